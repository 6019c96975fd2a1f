"""Checks that schemathesis makes of the gateway besides its own; SCHEMATHESIS_HOOKS names this module.

Two of its checks go by the status alone, and are replaced by exact ones. A request may follow its schema and be refused
for what no schema says, such as a state; it may not be refused for its form. And a request may break its schema and be
taken, for the JSON of proto3 can be written in more ways than one; but then what was read must follow the schema.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
import schemathesis
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor

from services.gateway.contracts import generated_services

# What is said of the form of a request: it could not be read, or breaks rules of its fields.
UNREADABLE = {"BODY_INVALID", "PATH_INVALID", "QUERY_INVALID"}
RULES = "REQUEST_INVALID"
# Rules that JSON Schema has no words for: lengths in bytes, what must hold between fields, durations and times.
BEYOND = re.compile(r"bytes$|exactly one|later one|duration|must be (greater|less|at)|set either")
LONG_POLL = "0.05s"


@cache
def methods() -> dict[str, MethodDescriptor]:
    """Every method of the contracts, by Service_Method."""
    return {f"{s.name}_{method.name}": method for s in generated_services() for method in s.methods}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Wait for steps as briefly as can be."""
    if isinstance(case.body, dict) and "wait" in case.body:
        case.body["wait"] = LONG_POLL


@schemathesis.check
def form_is_taken(_context: Any, response: Any, case: Any) -> None:
    """A request that follows the document is not refused for its form."""
    if response.status_code != 400 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    status = json.loads(response.content)
    details = {detail["@type"].rpartition(".")[2]: detail for detail in status["details"]}
    reason = details["ErrorInfo"]["reason"]
    assert reason not in UNREADABLE, status["message"]
    if reason == RULES:
        broken = [v["description"] for v in details["BadRequest"]["fieldViolations"]]
        assert all(BEYOND.search(rule) for rule in broken), broken


@schemathesis.check
def what_is_read_follows_the_schema(_context: Any, response: Any, case: Any) -> None:
    """A request that breaks the document, and is taken, says in another form what does not break it."""
    if response.status_code >= 300 or case.meta is None or not case.meta.generation.mode.is_negative:
        return
    method = methods()[case.operation.definition.raw["operationId"]]
    for name, value in (case.query or {}).items():
        enums = [field for field in method.input_type.fields if field.json_name == name and field.enum_type]
        # An enum's number is taken for its name.
        known = enums[0].enum_type.values_by_number if enums and enums[0].enum_type else {}
        assert not enums or not str(value).lstrip("-").isdigit() or int(value) in known
    raw = case.operation.definition.raw.get("requestBody")
    if raw is None or not isinstance(case.body, dict):
        return
    options: Any = method.GetOptions()
    part = options.Extensions[annotations_pb2.http].body
    message: Any = method.input_type if part == "*" else method.input_type.fields_by_name[part].message_type
    read = json_format.ParseDict(case.body, message_factory.GetMessageClass(message)())
    schema = {
        **raw["content"]["application/json"]["schema"],
        "components": case.operation.schema.raw_schema["components"],
    }
    jsonschema_rs.Draft202012Validator(schema).validate(json_format.MessageToDict(read))
