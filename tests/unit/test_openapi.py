"""The generated OpenAPI documents: complete, valid, true to the contracts, and the same in both versions."""

from __future__ import annotations

import copy
import importlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import protovalidate
import pytest
import yaml
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from harness.common.v1 import access_pb2
from tools.openapi import v31

ROOT = Path(__file__).resolve().parents[2]
GEN = ROOT / "gen"
AREAS = ["orchestrator", "approval", "backup"]
DOCUMENTS = [*AREAS, "mother-harness"]
FORMS = [f"{name}.{form}" for name in DOCUMENTS for form in ("swagger", "v31")]


@cache
def rpcs(area: str) -> dict[str, MethodDescriptor]:
    """Every RPC that an area's contracts define, by operation id: Service_Method."""
    found: dict[str, MethodDescriptor] = {}
    for path in (GEN / "python" / "harness" / area).rglob("*_pb2.py"):
        name = ".".join(path.relative_to(GEN / "python").with_suffix("").parts)
        services = importlib.import_module(name).DESCRIPTOR.services_by_name.values()
        found |= {f"{service.name}_{method.name}": method for service in services for method in service.methods}
    return found


EVERY_RPC = {name: method for area in AREAS for name, method in rpcs(area).items()}


@cache
def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GEN / "openapi" / f"{name}.json").read_text())
    return loaded


def operations(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in document(name)["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


def test_every_document_has_every_rpc_of_its_area() -> None:
    for form in ("swagger", "v31"):
        for area in AREAS:
            assert {operation["operationId"] for *_, operation in operations(f"{area}.{form}")} == set(rpcs(area))
        merged = {operation["operationId"] for *_, operation in operations(f"mother-harness.{form}")}
        assert merged == set(EVERY_RPC)


@pytest.mark.parametrize("name", FORMS)
def test_documents_are_valid(name: str) -> None:
    validator = OpenAPIV2SpecValidator if name.endswith(".swagger") else OpenAPIV31SpecValidator
    assert [str(error)[:500] for error in validator(document(name)).iter_errors()] == []


@pytest.mark.parametrize("name", FORMS)
def test_no_two_paths_differ_in_the_names_of_parameters_only(name: str) -> None:
    shapes = [re.sub(r"{[^}]*}", "{}", path) for path in document(name)["paths"]]
    assert sorted(set(shapes)) == sorted(shapes)


@pytest.mark.parametrize("name", FORMS)
def test_names_of_parameters_in_paths_are_plain(name: str) -> None:
    assert [p for p in document(name)["paths"] if not re.fullmatch(r"(/[\w-]+|/{\w+})+(:\w+)?", p)] == []


@pytest.mark.parametrize("name", FORMS)
def test_verbs_and_paths_are_those_of_the_http_rules(name: str) -> None:
    for path, verb, operation in operations(name):
        options: Any = EVERY_RPC[operation["operationId"]].GetOptions()
        rule = options.Extensions[annotations_pb2.http]
        assert rule.WhichOneof("pattern") == verb
        assert re.sub(r"{[^}]*}", "{}", getattr(rule, verb)) == re.sub(r"{[^}]*}", "{}", path)


@pytest.mark.parametrize("name", FORMS)
def test_operations_say_what_they_do_who_may_call_and_how_they_fail(name: str) -> None:
    tags = {tag["name"]: tag["description"] for tag in document(name)["tags"]}
    for _, _, operation in operations(name):
        access = EVERY_RPC[operation["operationId"]].GetOptions().Extensions[access_pb2.access]
        assert operation["summary"]
        assert tags[operation["tags"][0]]
        if access.public:
            assert operation["security"] == []
            assert operation["description"].endswith("No token is needed.")
        else:
            assert "security" not in operation
            last = operation["description"].split("\n")[-1]
            roles = {access_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in access.roles}
            assert set(re.findall(r"\w+", last)) - {"Roles", "or"} == roles
        needed = {"200", "400", "429", "500", "503", "504", "default"} | (set() if access.public else {"401", "403"})
        assert needed <= set(operation["responses"])


@pytest.mark.parametrize("area", AREAS)
def test_calls_need_a_token(area: str) -> None:
    v2, v3 = document(f"{area}.swagger"), document(f"{area}.v31")
    scheme = v2["securityDefinitions"]["bearer"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
    assert v3["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert v2["security"] == v3["security"] == [{"bearer": []}]


def test_every_call_has_an_example_that_its_contract_takes() -> None:
    examples = yaml.safe_load((ROOT / "protos" / "examples.yaml").read_text())
    assert {name for name in examples if not name.startswith(".")} == set(EVERY_RPC)
    for name, method in EVERY_RPC.items():
        request = read(method.input_type, examples[name]["request"])
        protovalidate.validate(request)
        read(method.output_type, examples[name]["response"])


def read(message: Descriptor, value: Any) -> Any:
    return json_format.ParseDict(value, message_factory.GetMessageClass(message)())


def test_documents_have_the_examples() -> None:
    for path, verb, operation in operations("mother-harness.v31"):
        where = f"{verb} {path}"
        assert "example" in operation["responses"]["200"]["content"]["application/json"], where
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema.get("$ref", "").rpartition("/")[2]
            assert "examples" in document("mother-harness.v31")["components"]["schemas"].get(name, schema), where
        for parameter in operation.get("parameters", []):
            assert parameter["in"] != "path" or "example" in parameter, where


def test_what_may_break_the_rules_of_a_field_is_in_its_schema() -> None:
    schemas = document("mother-harness.v31")["components"]["schemas"]
    step = schemas["StepSpec"]
    assert step["required"] == ["id", "agent"]
    assert step["additionalProperties"] is False
    assert step["properties"]["id"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
    assert (step["properties"]["priority"]["minimum"], step["properties"]["priority"]["maximum"]) == (0, 9)
    assert step["properties"]["dependsOn"]["uniqueItems"] is True
    assert step["properties"]["timeout"]["type"] == ["string", "null"]
    assert step["properties"]["retry"]["anyOf"] == [{"$ref": "#/components/schemas/RetryPolicy"}, {"type": "null"}]
    assert (schemas["Action"]["minProperties"], schemas["Action"]["maxProperties"]) == (1, 1)
    assert schemas["FileWriteAction"]["properties"]["content"]["contentEncoding"] == "base64"
    assert schemas["Run"]["properties"]["version"] == {
        "type": "string",
        "format": "int64",
        "description": "Grows by one with every commit.",
        "pattern": "^(0|-?[1-9][0-9]{0,18})$",
    }
    outcomes = [{"required": ["result"]}, {"required": ["error"]}, {"required": ["released"]}]
    assert schemas["StepReport"]["oneOf"] == outcomes
    draft = schemas["TestPolicyBody"]["properties"]["policy"]
    assert (draft["type"], draft["required"], draft["additionalProperties"]) == ("object", ["maxRiskLevel"], False)
    # An answer may get more fields in a later version.
    assert "additionalProperties" not in schemas["Run"]
    assert "set exactly one of argv" in schemas["CommandAction"]["description"]
    rule = schemas["PolicyRule"]["properties"]["outcome"]
    assert rule["enum"] == ["POLICY_OUTCOME_AUTO", "POLICY_OUTCOME_HUMAN", "POLICY_OUTCOME_DENY"]


def test_parameters_have_the_rules_of_their_fields() -> None:
    paths = document("mother-harness.v31")["paths"]
    listed = {p["name"]: p for p in paths["/v1/approvals"]["get"]["parameters"]}
    assert listed["pageSize"]["schema"]["minimum"] == 0
    assert "APPROVAL_STATE_PENDING" in listed["state"]["schema"]["enum"]
    remembered = {p["name"]: p for p in paths["/v1/rememberedDecisions"]["get"]["parameters"]}
    assert remembered["projectId"]["required"] is True
    watched = {p["name"]: p for p in paths["/v1/approvals:watch"]["get"]["parameters"]}
    assert watched["afterSequence"]["schema"]["type"] == "string"
    environment = paths["/v1/policies/{environment}"]["put"]["parameters"][0]
    assert environment["name"] == "environment"
    assert "ENVIRONMENT_UNSPECIFIED" not in environment["schema"]["enum"]
    updated = {p["name"]: p for p in paths["/v1/projects/{projectId}"]["patch"]["parameters"]}
    assert set(updated) == {"projectId", "updateMask"}
    bodies = [paths[path]["post"]["requestBody"]["required"] for path in ("/v1/tasks", "/v1/runs/{runId}:cancel")]
    assert bodies == [True, False]
    # As grpc-gateway reads it; in a body it would be displayName.
    assert updated["updateMask"]["example"] == "display_name"


def test_streams_are_lines_and_events() -> None:
    content = document("mother-harness.v31")["paths"]["/v1/runs/{runId}:watch"]["get"]["responses"]["200"]["content"]
    assert set(content["application/json"]["schema"]["properties"]) == {"result", "error"}
    assert content["application/json"]["example"]["result"]["event"]["sequence"] == "7"
    assert content["text/event-stream"]["schema"]["type"] == "string"
    for _, _, operation in operations("mother-harness.v31"):
        streams = EVERY_RPC[operation["operationId"]].server_streaming
        assert ("text/event-stream" in operation["responses"]["200"]["content"]) is streams


def test_answers_link_to_what_can_be_done_with_them() -> None:
    paths = document("mother-harness.v31")["paths"]
    links = paths["/v1/tasks"]["post"]["responses"]["200"]["links"]
    assert links["StartRun"]["parameters"] == {"taskId": "$response.body#/task/id"}
    project = paths["/v1/projects"]["post"]["responses"]["200"]["links"]
    assert project["UpdateProject"]["parameters"] == {"projectId": "$response.body#/project/id"}
    backup = paths["/v1/backups"]["post"]["responses"]["200"]["links"]
    assert backup["VerifyBackup"]["parameters"] == {"backupId": "$response.body#/backup/backupId"}


def test_what_is_served_as_3_1_is_what_2_converts_to() -> None:
    for name in DOCUMENTS:
        assert v31.convert(document(f"{name}.swagger")) == document(f"{name}.v31")


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ([], "host", "example.com"),
        (["definitions", "Project"], "allOf", []),
        (["definitions", "Project", "properties", "id"], "readOnly", True),
        (["paths", "/v1/projects", "get"], "schemes", ["https"]),
        (["paths", "/v1/projects", "get", "responses", "200"], "headers", {}),
        (["paths", "/v1/projects", "get", "parameters", 0], "in", "header"),
        (["paths", "/v1/projects", "get", "parameters", 0], "type", "file"),
        (["securityDefinitions", "bearer"], "in", "query"),
    ],
)
def test_what_the_conversion_does_not_know_is_refused(place: list[Any], key: str, value: Any) -> None:
    changed = copy.deepcopy(document("orchestrator.swagger"))
    target: Any = changed
    for part in place:
        target = target[part]
    target[key] = value
    with pytest.raises(v31.Unknown):
        v31.convert(changed)


def test_limits_that_exclude_their_value_and_lists_in_queries_are_converted() -> None:
    assert v31.schema({"type": "number", "minimum": 0, "exclusiveMinimum": True}, "x") == {
        "type": "number",
        "exclusiveMinimum": 0,
    }
    changed = copy.deepcopy(document("orchestrator.swagger"))
    states = {"name": "states", "in": "query", "required": False, "type": "array", "items": {"type": "string"}}
    changed["paths"]["/v1/projects"]["get"]["parameters"] = [{**states, "collectionFormat": "multi"}]
    converted = v31.convert(changed)["paths"]["/v1/projects"]["get"]["parameters"]
    assert converted[0]["explode"] is True
    assert converted[0]["schema"] == {"type": "array", "items": {"type": "string"}}
    changed["paths"]["/v1/projects"]["get"]["parameters"] = [states]
    with pytest.raises(v31.Unknown, match="multi"):
        v31.convert(changed)
