"""Which operation a request asks for, when its method does not say: names in GraphQL, JSON-RPC, SOAP, headers and forms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from services.approval.risk import patterns

METHOD_OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
_OPERATION_HEADERS = frozenset({"soapaction", "x-amz-target", "x-operation", "x-action"})
_OPERATION_FIELDS = frozenset({"action", "operation", "op", "operationname", "command", "mutation"})
MAX_PARSED = 1 << 18  # characters of a body that is parsed; a longer one is a document, and is searched only
MAX_OPERATIONS = 500  # operations of one body; more are as good as any

_MUTATION = patterns.compile(r"\bmutation\b[^{}]{0,1000}\{")
_FIELD = patterns.compile(r"[{}]|\(|\)|\"(?:[^\"\\]|\\.)*\"|(?:(\w+)\s*:\s*)?([A-Za-z_]\w*)")
_SOAP = patterns.compile(r"<(?:\w{1,40}:)?Body[^>]{0,400}>\s*<(?:\w{1,40}:)?(\w{1,100})")
_CAMEL = patterns.compile(r"[A-Z]+[a-z0-9]*|[a-z0-9]+")


def words_of(name: str) -> list[str]:
    """The words of a name in any style: deleteUser, DELETE_USER, delete-user, Users.Delete."""
    if name.islower() or name.isupper():
        return [word for word in _plain(name) if word]
    return [match.group().lower() for match in _CAMEL.finditer(name)]


def _plain(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.lower()).split(" ")


def override(headers: Mapping[str, str], query: str, body: str) -> str:
    """The method that a request asks to be read as, upper-case; empty when it asks for none."""
    for name, value in headers.items():
        if name.lower() in METHOD_OVERRIDES:
            return value.strip().upper()
    for text in (query, body if len(body) < MAX_PARSED and "_method" in body[:MAX_PARSED] else ""):
        if "_method" in text:
            for name, value in _form(text):
                if name == "_method":
                    return value.strip().upper()
    return ""


def names(headers: Mapping[str, str], query: str, body: str) -> Iterator[str]:
    """The names of the operations that a request carries, at most MAX_OPERATIONS."""
    for name, value in headers.items():
        if name.lower() in _OPERATION_HEADERS and value:
            yield value.strip("\"'").rpartition("/")[2].rpartition("#")[2].rpartition(".")[2]
    for name, value in _form(query):
        if name.lower() in _OPERATION_FIELDS:
            yield value
        elif name == "query":
            yield from mutations(value)
    if not body or len(body) > MAX_PARSED:
        return
    start = body.lstrip()[:1]
    if start in ("{", "["):
        yield from _json_operations(body)
    elif start == "<":
        yield from (match.group(1) for match in _SOAP.finditer(body))
    elif "=" in body:
        for name, value in _form(body):
            if name.lower() in _OPERATION_FIELDS:
                yield value


def mutates(query: str) -> bool:
    """Whether the query of an address is GraphQL that changes something."""
    return "mutation" in query and any(name == "query" and _MUTATION.search(value) for name, value in _form(query))


def queries_only(body: str) -> bool:
    """Whether a body is GraphQL, or several of it, that asks and changes nothing."""
    documents = [text for text in _graphql(_parsed(body)) if text]
    return bool(documents) and not any(_MUTATION.search(text) for text in documents)


def _form(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_OPERATIONS) if "=" in text else []
    except ValueError:
        return []


def _parsed(body: str) -> object:
    if not body or len(body) > MAX_PARSED or body.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _messages(parsed: object) -> list[dict[str, object]]:
    several = parsed if isinstance(parsed, list) else [parsed]
    return [each for each in several[:MAX_OPERATIONS] if isinstance(each, dict)]


def _graphql(parsed: object) -> Iterator[str]:
    for message in _messages(parsed):
        query = message.get("query")
        if isinstance(query, str):
            yield query


def _json_operations(body: str) -> Iterator[str]:
    parsed = _parsed(body)
    for document in _graphql(parsed):
        yield from mutations(document)
    for message in _messages(parsed):
        method = message.get("method")
        if isinstance(method, str) and ("jsonrpc" in message or "params" in message):
            yield method
        for name, value in message.items():
            if name.lower() in _OPERATION_FIELDS and isinstance(value, str):
                yield value


def mutations(document: str) -> Iterator[str]:
    """The names of the top fields of GraphQL mutations: what each calls."""
    for start in _MUTATION.finditer(document):
        depth, inside = 1, 0
        for match in _FIELD.finditer(document, start.end()):
            token = match.group()
            if token == "(":
                inside += 1
            elif token == ")":
                inside -= 1
            elif token in "{}":
                depth += 1 if token == "{" else -1
                if depth == 0:
                    break
            elif depth == 1 and inside == 0 and match.group(2):
                yield match.group(2)
