"""Completes a document of protoc-gen-openapiv2: summaries, access, errors, field rules, examples, streams, links.

The plugin gives paths, parameters, schemas and the comments of fields. What it cannot know, because it is in options of
ours, in buf.validate, or in protos/examples.yaml, is added here, so that a new RPC has all of it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tools.openapi import rules
from tools.openapi.contract import Contract, Method, message_of

Json = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """What a status means: the canonical codes that grpc-gateway maps to it, words, and how one may look."""

    name: str
    codes: tuple[str, ...]
    meaning: str
    example: tuple[int, str, str] | None = None

    def response(self, error: Json) -> Json:
        """The response object of the document."""
        described = {"description": f"{self.meaning} ({', '.join(self.codes)})", "schema": dict(error)}
        if self.example is None:
            return described
        code, message, reason = self.example
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "harness.dev"}
        status = {"code": code, "message": message, "details": [{**info, "metadata": {}}]}
        return {**described, "examples": {"application/json": status}}


FAILURES = {
    400: Failure(
        "Refused",
        ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"),
        "The request is wrong, or the state of things does not allow it; `details` say which field or state.",
        (3, "project_id: value length must be at least 1 characters", "INVALID_REQUEST"),
    ),
    401: Failure(
        "NoToken", ("UNAUTHENTICATED",), "There is no valid token.", (16, "the call has no token", "TOKEN_MISSING")
    ),
    403: Failure(
        "NotAllowed",
        ("PERMISSION_DENIED",),
        "The roles of the token, or the rules about who decides, do not allow it.",
        (7, "it needs one of the roles: approver, admin", "ROLE_REQUIRED"),
    ),
    404: Failure(
        "NotFound",
        ("NOT_FOUND",),
        "There is none that the caller may see.",
        (5, "there is no such task", "TASK_NOT_FOUND"),
    ),
    409: Failure(
        "Conflict",
        ("ALREADY_EXISTS", "ABORTED"),
        "It has changed meanwhile, or its request_id was used for something else.",
        (6, "the request_id was used for another request", "REQUEST_ID_REUSED"),
    ),
    429: Failure(
        "TooMuch",
        ("RESOURCE_EXHAUSTED",),
        "Too much at once, or too large; a `RetryInfo` in `details` says when to try again, if that helps.",
        (8, "too many requests at once", "RATE_LIMITED"),
    ),
    500: Failure("Fault", ("INTERNAL", "UNKNOWN", "DATA_LOSS"), "A fault of the service; its log has more."),
    503: Failure(
        "Unavailable",
        ("UNAVAILABLE",),
        "The service, or what it needs, cannot be reached now; try again.",
        (14, "the service cannot be reached", "UNAVAILABLE"),
    ),
    504: Failure("TooLate", ("DEADLINE_EXCEEDED",), "There was no answer in the time that the call was given."),
}
# A parameter in a path.
PLACE = re.compile(r"{([^}]*)}")
ALWAYS = frozenset(FAILURES) - {404, 409}
STREAM = (
    'The answer is a stream of lines, each a JSON object: `{{"result": {name}}}` for each message, and, should it '
    'break, `{{"error": Status}}` as the last one. With `Accept: text/event-stream` it comes as server-sent events: '
    "each message in the `data` of one, and at the end an event `end`, or `error` with a `Status`."
)
RESUMED = "To go on after a break, send the `id` of the last event as `Last-Event-ID`, as browsers do by themselves."


def finish(document: Json, contract: Contract, examples: Json) -> Json:
    """Complete a document in place, and return it.

    `examples` gives for a method, by Service_Method, a `request` and a `response` in JSON.

    Raises:
        KeyError: an operation of the document is no method of the contract.
    """
    document["tags"].sort(key=lambda tag: tag["name"])
    operations = list(_operations(document))
    for name, schema in document["definitions"].items():
        message = contract.messages.get(name) or _body_message(contract, name)
        if message is not None:
            _complete_schema(contract, schema, message)
    for operation in operations:
        method = contract.methods[operation["operationId"]]
        _describe(operation, method)
        _complete_parameters(document, contract, operation, method)
        _add_responses(document, operation, method)
        _add_examples(document, operation, method, examples.get(method.operation_id, {}))
        if method.public:
            operation["security"] = []
    _join_twins(document)
    for operation in operations:
        _add_links(operation, contract.methods[operation["operationId"]], document)
    for name in _taken(document, operations):
        # Requests with a field that is not in the contract are refused; answers may get more fields in later versions.
        document["definitions"][name].setdefault("additionalProperties", False)
    return document


def _operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def _body_message(contract: Contract, name: str) -> Descriptor | None:
    """The request whose part in the body the plugin named XBody, for the request XRequest."""
    return contract.messages.get(name.removesuffix("Body") + "Request") if name.endswith("Body") else None


def _complete_schema(contract: Contract, schema: Json, message: Descriptor) -> None:
    """Add the rules of a message to its schema, which may lack fields that are in the path."""
    properties: Json = schema.get("properties", {})
    required = []
    for field in message.fields:
        found = properties.get(field.json_name)
        if found is None:
            continue
        _merge(found, rules.property_keywords(contract, field))
        if rules.is_map(field):
            _merge(found["additionalProperties"], rules.item_keywords(contract, field))
        elif field.is_repeated:
            _merge(found["items"], rules.item_keywords(contract, field))
            if "$ref" in found["items"]:
                # The plugin writes a type beside the reference, also for enums, which are no objects.
                found["items"].pop("type", None)
        elif "properties" in found:
            # Written out in place, because a part of it is in the path.
            _complete_schema(contract, found, message_of(field))
            found.setdefault("additionalProperties", False)
        if rules.must_be_given(contract, field):
            required.append(field.json_name)
            found.pop("x-nullable", None)
    if required:
        schema["required"] = required
    if rules.is_one_choice(contract, message):
        schema.update(minProperties=1, maxProperties=1)
    choices = rules.required_choices(contract, message)
    if choices:
        schema["x-one-of"] = choices
    notes = rules.message_notes(contract, message)
    if notes:
        schema["description"] = "\n\n".join([*filter(None, [schema.get("description")]), *notes])


def _merge(schema: Json, keywords: Json) -> None:
    example = keywords.pop("x-example", None)
    schema.update(keywords)
    if example is not None:
        schema["example"] = example


def _describe(operation: Json, method: Method) -> None:
    """Put the comment's first sentence into the summary, and all of it, and who may call, into the description."""
    paragraphs = [" ".join(part.split()) for part in method.comment.strip().split("\n\n")]
    first = re.split(r"(?<=[.!?]) ", paragraphs[0], maxsplit=1)
    rest = [*first[1:], *paragraphs[1:]]
    # "GetTask returns one task." is "Returns one task." where the name stands beside it.
    summary = first[0].removeprefix(method.operation_id.split("_")[1]).lstrip()
    operation["summary"] = summary[0].upper() + summary[1:]
    if method.streams:
        rest.append(STREAM.format(name=method.response.name))
        if method.resumable:
            rest.append(RESUMED)
    rest.append("No token is needed." if method.public else f"Roles: {_listed(method.roles)}.")
    operation["description"] = "\n\n".join(rest)


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _complete_parameters(document: Json, contract: Contract, operation: Json, method: Method) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "body":
            schema = parameter["schema"]
            if "$ref" not in schema:
                message = message_of(method.request.fields_by_name[method.body])
                _complete_schema(contract, schema, message)
                schema.setdefault("additionalProperties", False)
            # Nothing is read as an empty message.
            parameter["required"] = "required" in _resolved(document, schema)
            continue
        field = _field_of(method.request, parameter["name"])
        _merge_parameter(parameter, rules.property_keywords(contract, field))
        if rules.is_mask(field):
            parameter["pattern"] = rules.MASK_IN_QUERY
        if field.is_repeated:
            parameter["items"].update(rules.item_keywords(contract, field))
        if parameter["in"] == "path":
            # An empty segment is none.
            if parameter["type"] == "string" and "enum" not in parameter:
                parameter.setdefault("minLength", 1)
        elif "." not in parameter["name"]:
            parameter["required"] = rules.must_be_given(contract, field) and field.message_type is None


def _resolved(document: Json, schema: Json) -> Json:
    """A schema itself, or the definition that it refers to."""
    found: Json = document["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _field_of(message: Descriptor, name: str) -> FieldDescriptor:
    """The field that a parameter such as `project.id` or `pageSize` is for."""
    head, _, tail = name.partition(".")
    found = next(field for field in message.fields if head in (field.json_name, field.name))
    return _field_of(message_of(found), tail) if tail else found


def _merge_parameter(parameter: Json, keywords: Json) -> None:
    """Add keywords to a parameter; a default that is no longer allowed goes."""
    keywords.pop("x-nullable", None)
    keywords.pop("x-example", None)
    parameter.update(keywords)
    if "default" in parameter and parameter["default"] not in parameter.get("enum", [parameter["default"]]):
        del parameter["default"]


def _add_responses(document: Json, operation: Json, method: Method) -> None:
    responses = operation["responses"]
    error = responses["default"]["schema"]
    document["definitions"]["Status"]["description"] = (
        "Why a call failed: a canonical code of gRPC, words, and facts. `details` have an `ErrorInfo` with a stable "
        "reason, and, where they apply, a `BadRequest` with the fields, a `RetryInfo` or a `PreconditionFailure`."
    )
    named = {status for status, failure in FAILURES.items() if any(code in method.comment for code in failure.codes)}
    if any(parameter["in"] == "path" and "enum" not in parameter for parameter in operation.get("parameters", [])):
        named.add(404)
    if "request_id" in method.request.fields_by_name:
        named.add(409)
    for status in (ALWAYS | named) - ({401, 403} if method.public else set()):
        failure = FAILURES[status]
        document.setdefault("responses", {}).setdefault(failure.name, failure.response(error))
        responses[str(status)] = {"$ref": f"#/responses/{failure.name}"}
    responses["default"]["description"] = "Any other failure."
    responses["200"]["description"] = "Done."
    if method.streams:
        responses["200"]["description"] = "A stream of lines, each a JSON object."
        operation["x-stream"] = True
        if method.resumable:
            responses["204"] = {"description": "There is nothing more: the stream that was to go on has ended."}
    # In the order of a reader: what is wanted, what can go wrong, all else.
    operation["responses"] = {key: responses[key] for key in sorted(responses)}


def _add_examples(document: Json, operation: Json, method: Method, example: Json) -> None:
    """Spread the example of a request over body and parameters, and give that of the answer."""
    request = dict(example.get("request", {}))
    body: Json | None = None
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "body":
            body = parameter
            continue
        value: Any = request
        for part in parameter["name"].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            # A mask in a query has the names of the contract.
            is_mask = rules.is_mask(_field_of(method.request, parameter["name"]))
            parameter["x-example"] = _snake(value) if is_mask else value
    if body is not None and "request" in example:
        given = request if method.body == "*" else request[_field_of(method.request, method.body).json_name]
        in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        target = _resolved(document, body["schema"])
        target["example"] = _without(given, in_path if method.body == "*" else [n.partition(".")[2] for n in in_path])
    if "response" in example:
        answer = example["response"]
        if method.streams:
            answer = {"result": answer}
        operation["responses"]["200"]["examples"] = {"application/json": answer}


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda letter: f"_{letter[1].lower()}", name)


def _without(value: Json, names: list[str]) -> Json:
    """A JSON object without some of its members, each named by its path."""
    kept = dict(value)
    for name in names:
        head, _, tail = name.partition(".")
        if tail and head in kept:
            kept[head] = _without(kept[head], [tail])
        elif not tail:
            kept.pop(head, None)
    return kept


def _join_twins(document: Json) -> None:
    """Give parameters in paths names without dots, and join paths that then differ in such names only.

    `{project.id}` becomes `{projectId}`; to OpenAPI, `{policyEnvironment}` is the same as `{environment}` in its place.
    """
    paths: Json = {}
    known: dict[str, str] = {}
    # The name of a field of the request itself is kept.
    for path in sorted(document["paths"], key=lambda path: "." in path):
        twin = known.setdefault(PLACE.sub("{}", path), PLACE.sub(lambda name: f"{{{_undotted(name[1])}}}", path))
        names = dict(zip(PLACE.findall(path), PLACE.findall(twin), strict=True))
        for verb, operation in document["paths"][path].items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    parameter["name"] = names[parameter["name"]]
            paths.setdefault(twin, {})[verb] = operation
    document["paths"] = dict(sorted(paths.items()))


def _undotted(name: str) -> str:
    head, *tail = name.split(".")
    return head + "".join(part[0].upper() + part[1:] for part in tail)


def _add_links(operation: Json, method: Method, document: Json) -> None:
    """Say which operations take the id of what an operation answers with: `project.id` goes into `projectId`."""
    links: Json = {}
    for field in [] if method.streams else method.response.fields:
        # A list may be empty, and then there is nothing to go on with.
        if field.message_type is None or field.is_repeated:
            continue
        name = field.message_type.name[0].lower() + field.message_type.name[1:]
        identities = [part.json_name for part in field.message_type.fields if part.json_name in ("id", f"{name}Id")]
        for other in _operations(document) if identities else []:
            for parameter in other.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] == f"{name}Id":
                    links[other["operationId"].partition("_")[2]] = {
                        "operationId": other["operationId"],
                        "parameters": {f"{name}Id": f"$response.body#/{field.json_name}/{identities[0]}"},
                    }
    if links:
        operation["responses"]["200"]["x-links"] = links


def _taken(document: Json, operations: list[Json]) -> set[str]:
    """The names of the definitions that bodies of requests are made of."""
    waiting: list[Any] = [p["schema"] for op in operations for p in op.get("parameters", []) if p["in"] == "body"]
    found: set[str] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                definition = document["definitions"][name]
                waiting.append({k: v for k, v in definition.items() if k != "example"})
            waiting += [part for key, part in value.items() if key != "example"]
    return {name for name in found if "properties" in document["definitions"][name] or _is_empty(document, name)}


def _is_empty(document: Json, name: str) -> bool:
    """Whether a definition is that of a message without fields."""
    definition = document["definitions"][name]
    return definition.get("type") == "object" and "properties" not in definition
