"""OpenAPI 3.1 from the v2 documents.

Total over what our documents use, and no further: a key that is not known here is refused, so that nothing is lost
unseen when the plugin, or what completes its output, begins to write something new. The differences that matter:
bodies and answers have a media type, schemas are JSON Schema 2020-12 (`null` is a type, keywords stand beside
`$ref`, limits are exclusive by value), the token is of the scheme `bearer`.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

JSON_TYPE = "application/json"
DEFINITIONS, RESPONSES = "#/definitions/", "#/responses/"

DOCUMENT = {"swagger", "info", "tags", "schemes", "consumes", "produces", "paths", "definitions"} | {
    "responses",
    "securityDefinitions",
    "security",
}
OPERATION_AS_IS = {"summary", "description", "operationId", "tags", "security", "deprecated"}
OPERATION = OPERATION_AS_IS | {"parameters", "responses", "x-stream"}
PARAMETER_AS_IS = {"name", "in", "description", "required"}
RESPONSE = {"description", "schema", "examples", "x-links"}
# Keywords that mean the same in both, and hold no schemas.
SCHEMA_AS_IS = {"type", "format", "description", "title", "enum", "default", "pattern", "required"} | {
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
}
TYPES = {"object", "array", "string", "integer", "number", "boolean"}
SCHEMA_OTHER = {"$ref", "properties", "items", "additionalProperties", "example", "x-nullable", "x-one-of"} | {
    "exclusiveMinimum",
    "exclusiveMaximum",
}
EVENTS = "Server-sent events: each message in the `data` of one; at the end an event `end`, or `error` with a Status."


class Unknown(ValueError):
    """A v2 document uses what this conversion does not know."""


def convert(document: Json) -> Json:
    """The OpenAPI 3.1 form of a v2 document.

    Raises:
        Unknown: the document has something that is not converted; the message says where.
    """
    _only(document, DOCUMENT, "the document")
    if document["swagger"] != "2.0" or document["consumes"] != [JSON_TYPE] or document["produces"] != [JSON_TYPE]:
        raise Unknown("the document is not of Swagger 2.0 with JSON both ways")
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {**document["info"], "license": {"name": "MIT", "identifier": "MIT"}},
        # Wherever the document was got from.
        "servers": [{"url": "/"}],
        "tags": document["tags"],
        "security": document["security"],
        "paths": {
            path: {verb: _operation(operation, f"{verb} {path}") for verb, operation in verbs.items()}
            for path, verbs in document["paths"].items()
        },
        "components": {
            "schemas": {name: schema(part, name) for name, part in document["definitions"].items()},
            "responses": {name: _response(part, name, events=False) for name, part in document["responses"].items()},
            "securitySchemes": {
                name: _security(scheme, name) for name, scheme in document["securityDefinitions"].items()
            },
        },
    }


def _only(found: Json, known: set[str], where: str) -> None:
    """Raise Unknown if an object has other keys than those known."""
    unknown = sorted(found.keys() - known)
    if unknown:
        raise Unknown(f"{where}: {', '.join(unknown)} is not converted; teach tools/openapi/v31.py what it becomes")


def _security(scheme: Json, name: str) -> Json:
    if (scheme["type"], scheme["in"], scheme["name"]) != ("apiKey", "header", "Authorization"):
        raise Unknown(f"security scheme {name}: only a token in Authorization is converted")
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": scheme["description"]}


def _operation(operation: Json, where: str) -> Json:
    _only(operation, OPERATION, where)
    converted = {key: value for key, value in operation.items() if key in OPERATION_AS_IS}
    parameters = operation.get("parameters", [])
    if any(parameter["in"] != "body" for parameter in parameters):
        converted["parameters"] = [_parameter(p, where) for p in parameters if p["in"] != "body"]
    for body in (parameter for parameter in parameters if parameter["in"] == "body"):
        _only(body, PARAMETER_AS_IS | {"schema"}, f"{where}: body")
        described = {"description": body["description"]} if "description" in body else {}
        content = {JSON_TYPE: {"schema": schema(body["schema"], f"{where}: body")}}
        converted["requestBody"] = {**described, "required": body["required"], "content": content}
    stream = operation.get("x-stream", False)
    converted["responses"] = {
        status: _response(response, f"{where}: {status}", events=stream and status == "200")
        for status, response in operation["responses"].items()
    }
    return converted


def _parameter(parameter: Json, where: str) -> Json:
    where = f"{where}: {parameter['name']}"
    if parameter["in"] not in ("path", "query"):
        raise Unknown(f"{where}: a parameter in {parameter['in']} is not converted")
    described = {key: value for key, value in parameter.items() if key in PARAMETER_AS_IS}
    keywords = {key: value for key, value in parameter.items() if key not in PARAMETER_AS_IS}
    example = {"example": keywords.pop("x-example")} if "x-example" in keywords else {}
    style = {}
    if keywords.get("type") == "array":
        if keywords.pop("collectionFormat", "csv") != "multi":
            raise Unknown(f"{where}: only lists whose parameter is repeated (multi) are converted")
        style = {"style": "form", "explode": True}
    return {**described, **style, "schema": schema(keywords, where), **example}


def _response(response: Json, where: str, *, events: bool) -> Json:
    if response.keys() == {"$ref"}:
        return {"$ref": "#/components/responses/" + response["$ref"].removeprefix(RESPONSES)}
    _only(response, RESPONSE, where)
    if "schema" not in response:
        return {"description": response["description"]}
    media = {"schema": schema(response["schema"], where)}
    examples = response.get("examples", {})
    _only(examples, {JSON_TYPE}, f"{where}: examples")
    if examples:
        media["example"] = examples[JSON_TYPE]
    content = {JSON_TYPE: media}
    if events:
        content["text/event-stream"] = {"schema": {"type": "string", "description": EVENTS}}
    links = {"links": response["x-links"]} if "x-links" in response else {}
    return {"description": response["description"], "content": content, **links}


def schema(found: Json, where: str) -> Json:
    """The JSON Schema of a v2 schema.

    Raises:
        Unknown: it has a keyword that is not converted.
    """
    _only(found, SCHEMA_AS_IS | SCHEMA_OTHER, where)
    if found.get("type", "object") not in TYPES:
        raise Unknown(f"{where}: a value of type {found['type']} is not converted")
    converted = {key: value for key, value in found.items() if key in SCHEMA_AS_IS}
    if "$ref" in found:
        if not found["$ref"].startswith(DEFINITIONS):
            raise Unknown(f"{where}: only references to definitions are converted")
        converted["$ref"] = "#/components/schemas/" + found["$ref"].removeprefix(DEFINITIONS)
    if "properties" in found:
        converted["properties"] = {name: schema(part, f"{where}.{name}") for name, part in found["properties"].items()}
    if "items" in found:
        converted["items"] = schema(found["items"], f"{where}[]")
    if "additionalProperties" in found:
        rest = found["additionalProperties"]
        converted["additionalProperties"] = rest if isinstance(rest, bool) else schema(rest, f"{where}{{}}")
    if "example" in found:
        converted["examples"] = [found["example"]]
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if found.get(exclusive):
            converted[exclusive] = converted.pop(limit)
    if "x-one-of" in found:
        converted["oneOf"] = [{"required": [name]} for name in found["x-one-of"]]
    if found.get("format") == "byte":
        # As JSON Schema has it; `format` stays for tools that look for it.
        converted["contentEncoding"] = "base64"
    return _nullable(converted) if found.get("x-nullable") else converted


def _nullable(converted: Json) -> Json:
    """A schema that takes null as well."""
    if "$ref" in converted:
        reference = {"$ref": converted.pop("$ref"), **({"enum": converted.pop("enum")} if "enum" in converted else {})}
        return {**converted, "anyOf": [reference, {"type": "null"}]}
    if "enum" in converted:
        raise Unknown("a list of values that may be null is not converted")
    return {**converted, "type": [converted["type"], "null"]}
