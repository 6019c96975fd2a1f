"""The generated OpenAPI documents: every RPC has a route in them, behind the bearer scheme."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

GEN = Path(__file__).resolve().parents[2] / "gen"
AREAS = ["orchestrator", "approval", "backup"]


def rpcs(area: str) -> set[str]:
    """The operation ids, Service_Method, of every RPC that an area's contracts define."""
    found = set()
    for path in (GEN / "python" / "harness" / area).rglob("*_pb2.py"):
        name = ".".join(path.relative_to(GEN / "python").with_suffix("").parts)
        services = importlib.import_module(name).DESCRIPTOR.services_by_name.values()
        found |= {f"{service.name}_{method.name}" for service in services for method in service.methods}
    return found


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GEN / "openapi" / f"{name}.swagger.json").read_text())
    return loaded


def operations(name: str) -> set[str]:
    return {verb["operationId"] for path in document(name)["paths"].values() for verb in path.values()}


@pytest.mark.parametrize("area", AREAS)
def test_every_rpc_of_an_area_has_a_route(area: str) -> None:
    assert rpcs(area)
    assert operations(area) == rpcs(area)


def test_the_merged_document_has_them_all() -> None:
    assert operations("mother-harness") == set().union(*(rpcs(area) for area in AREAS))


@pytest.mark.parametrize("name", [*AREAS, "mother-harness"])
def test_calls_are_behind_the_bearer_scheme(name: str) -> None:
    scheme = document(name)["securityDefinitions"]["bearer"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
    assert document(name)["security"] == [{"bearer": []}]
