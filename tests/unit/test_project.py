"""The rules of the project as a whole: layering, module size, what each extra and the wheel carry."""

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__init__.py"))
MAX_LINES = 500
# Where a package of the wheel lives in the repository.
PACKAGES = {
    "services": ROOT / "services",
    "motherharness": ROOT / "sdk" / "motherharness",
    "harness": ROOT / "gen" / "python" / "harness",
    "buf": ROOT / "gen" / "python" / "buf",
}
# Where the gateway looks for the documents that it serves.
DOCUMENTS = "services/gateway/documents/openapi"
# `google` is a namespace that several distributions share.
GOOGLE = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "google.api": "googleapis-common-protos",
}

IMPORT_EVERYTHING = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
"""


def test_imports_respect_the_layers() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_modules_stay_small() -> None:
    modules = [*(ROOT / "services").rglob("*.py"), *(ROOT / "sdk").rglob("*.py")]
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_requirements_are_pinned_and_hashed() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, f"{path.name} names an address"
        for entry in text.replace("\\\n", " ").splitlines():
            if entry.strip() and not entry.lstrip().startswith("#"):
                assert "==" in entry, entry
                assert "--hash=sha256:" in entry, entry


def canonical(requirement: str) -> str:
    """The distribution a requirement names, spelled as the package index spells it."""
    name = requirement.split(";")[0]
    for mark in "[<>=!~ ":
        name = name.split(mark)[0]
    return name.strip().lower().replace("_", "-")


def closure(extra: str) -> set[str]:
    """The distributions that installing `mother-harness[extra]` asks for directly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {canonical(requirement) for requirement in project["dependencies"]}
    for requirement in project["optional-dependencies"][extra]:
        if canonical(requirement) == project["name"]:
            for inner in requirement.split("[")[1].rstrip("]").split(","):
                found |= closure(inner)
        else:
            found.add(canonical(requirement))
    return found


def imported_names(package: Path) -> Iterator[str]:
    """The dotted name of every absolute import in a package."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def third_party(package: Path) -> set[str]:
    """The distributions a package imports from."""
    owners = packages_distributions()
    found = set()
    for name in imported_names(package):
        top = name.split(".")[0]
        if top == "google":
            found.add(GOOGLE[".".join(name.split(".")[:2])])
        elif top not in PACKAGES and top not in sys.stdlib_module_names:
            found.add(canonical(owners[top][0]))
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_only_what_its_extra_installs(service: str) -> None:
    assert third_party(ROOT / "services" / service) - closure(service) == set()


def test_the_sdk_imports_only_what_its_extras_install() -> None:
    assert third_party(ROOT / "sdk") - closure("local") == set()


@pytest.mark.timeout(180)
def test_the_wheel_is_complete_and_its_generated_code_imports(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in {**PACKAGES, DOCUMENTS: ROOT / "gen" / "openapi"}.items():
        files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        assert {f"{package}/{path.relative_to(folder).as_posix()}" for path in files} - carried == set()
    assert not any(name.startswith(("tests/", "tools/", "benchmarks/")) for name in carried)

    site = tmp_path / "site"
    subprocess.run([*pip, "install", *offline, "--target", site, wheel], check=True)
    names = sorted(
        name.removesuffix(".py").replace("/", ".")
        for name in carried
        if name.startswith(("harness/", "buf/")) and name.endswith(".py")
    )
    # Before the editable install, on the path: what the wheel lacks would come from the repository, and show.
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, *names],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    origins: dict[str, str] = json.loads(result.stdout)
    assert [name for name, origin in origins.items() if not Path(origin).is_relative_to(site)] == []
