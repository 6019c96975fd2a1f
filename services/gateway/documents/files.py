"""Where the documents and the files of Swagger UI are, and what is made of them."""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import yaml

from services.gateway.documents.resource import FOREVER, Resource
from services.runtime.errors import ConfigurationError

MERGED = "mother-harness"
HERE = Path(__file__).resolve().parent
# In an installed package; in a checkout.
FOLDERS = (HERE / "openapi", HERE.parents[2] / "gen" / "openapi")

JSON_TYPE = "application/json"
# RFC 9512.
YAML_TYPE = "application/yaml"

# The package whose files are used: a release for each of Swagger UI, byte for byte what npm's swagger-ui-dist has. It
# is a plugin for Flask, and never imported.
SWAGGER_UI = "flask-swagger-ui"
SCRIPTS = ("swagger-ui-bundle.js", "swagger-ui-standalone-preset.js")
STYLES = ("swagger-ui.css", "index.css")
ICON = "favicon-32x32.png"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


def folder() -> Path:
    """The folder of the documents of this version.

    Raises:
        ConfigurationError: there is none.
    """
    for candidate in FOLDERS:
        if candidate.is_dir():
            return candidate
    raise ConfigurationError("the OpenAPI documents are missing; install the package again, or run `make generate`")


def openapi(documents: Path) -> list[Resource]:
    """Every document of a folder, the merged one first, in 3.1 and in 2.0.

    Raises:
        ConfigurationError: the merged document is not there.
    """
    names = sorted(path.name.removesuffix(".v31.json") for path in documents.glob("*.v31.json"))
    if MERGED not in names:
        raise ConfigurationError(f"{documents} has no OpenAPI documents; run `make generate`")
    names.remove(MERGED)
    merged = _load(documents / f"{MERGED}.v31.json")
    found = [
        Resource("/openapi.yaml", YAML_TYPE, _yaml(merged)),
        *_forms(documents, MERGED, "/documentation", "everything"),
    ]
    for name in names:
        found += _forms(documents, name, f"/documentation/{name}", name)
    return found


def _forms(documents: Path, name: str, path: str, menu: str) -> list[Resource]:
    return [
        Resource(f"{path}/json", JSON_TYPE, _compact(_load(documents / f"{name}.v31.json")), menu=menu),
        Resource(f"{path}/v2/json", JSON_TYPE, _compact(_load(documents / f"{name}.swagger.json"))),
    ]


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _compact(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _yaml(document: Any) -> bytes:
    # The C one where there is one: it takes a tenth of the time.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return text.encode()


@cache
def swagger_ui() -> tuple[Resource, ...]:
    """The scripts, styles and the icon of Swagger UI, at paths with its version.

    Raises:
        ConfigurationError: it is not installed.
    """
    # Finding a package, unlike importing it, runs none of its code.
    spec = util.find_spec(SWAGGER_UI.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"Swagger UI is missing: install {SWAGGER_UI}, which the extra `gateway` brings")
    files = Path(spec.submodule_search_locations[0], "dist")
    at = f"/documentation/swagger-ui/{metadata.version(SWAGGER_UI)}"
    return tuple(
        Resource(f"{at}/{name}", MEDIA_TYPES[Path(name).suffix], (files / name).read_bytes(), cache=FOREVER)
        for name in (*SCRIPTS, *STYLES, ICON)
    )
