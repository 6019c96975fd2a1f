"""A request message from its HTTP parts: body, then path, then query, each over the one before."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway import jsonread, query
from services.gateway.bindings import Binding
from services.gateway.query import Parameters
from services.gateway.router import Match
from services.gateway.texts import Unreadable
from services.runtime.errors import InvalidArgument

# Their content is the caller's own JSON: a mask cannot look into the first two, and names all of the last.
_FREE_FORM = frozenset({"google.protobuf.Struct", "google.protobuf.Value"})
_ANY = "google.protobuf.Any"


def build(match: Match, body: bytes, parameters: Parameters) -> Message:
    """The request that a call gets.

    Args:
        match: the binding, and what the path captured.
        body: of the HTTP request, unpacked; looked at only if the binding has a place for it.
        parameters: of the query, and of a form.

    Raises:
        InvalidArgument: BODY_INVALID, PATH_INVALID or QUERY_INVALID; names the field.
    """
    binding = match.binding
    request: Message = GetMessageClass(binding.method.input_type)()
    if binding.body is not None:
        try:
            _fill_body(request, binding, body)
        except Unreadable as exc:
            raise _invalid("BODY_INVALID", "the body", exc) from None
    try:
        query.fill_path(request, match.captured, binding.path_fields)
    except Unreadable as exc:
        raise _invalid("PATH_INVALID", "the path", exc) from None
    if binding.takes_query and parameters:
        try:
            query.fill(request, parameters, binding.taken)
        except Unreadable as exc:
            raise _invalid("QUERY_INVALID", "the query", exc) from None
    return request


def _fill_body(request: Any, binding: Binding, body: bytes) -> None:
    empty = not body.strip(b" \t\r\n")
    value = None if empty else jsonread.parse(body)
    if not binding.body:
        if not empty:
            jsonread.fill(request, value)
        return
    target = request
    for field in binding.body[:-1]:
        target = getattr(target, field.name)
        target.SetInParent()
    field = binding.body[-1]
    if not empty:
        jsonread.fill_field(target, field, value)
    elif field.message_type is not None and not field.is_repeated:
        getattr(target, field.name).SetInParent()
    if binding.mask_field is not None and not getattr(request, binding.mask_field.name).paths:
        mask = getattr(request, binding.mask_field.name)
        mask.SetInParent()
        if not empty:
            mask.paths.extend(mask_of(field, value))


def mask_of(field: FieldDescriptor, value: Any) -> list[str]:
    """The paths, sorted, of what a JSON value sets in a message field: what a PATCH without a mask changes."""
    paths = list(_paths(field.message_type, value)) if field.message_type is not None else []
    return sorted(".".join(path) for path in paths)


def _paths(descriptor: Descriptor, value: Any) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, item in value.items() if type(value) is dict else ():
        field = descriptor.fields_by_name.get(key) or next(f for f in descriptor.fields if f.json_name == key)
        inner = field.message_type
        if field.is_repeated or inner is None or not isinstance(item, dict) or not item or inner.full_name == _ANY:
            found.append((field.name,))
        elif inner.full_name in _FREE_FORM:
            found.extend((field.name, *path) for path in _free_paths(item))
        else:
            found.extend((field.name, *path) for path in _paths(inner, item))
    return found


def _free_paths(value: dict[str, Any]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found.extend((key, *path) for path in _free_paths(item))
        else:
            found.append((key,))
    return found


def _invalid(reason: str, where: str, exc: Unreadable) -> InvalidArgument:
    if not exc.path:
        return InvalidArgument(reason, f"{where} cannot be read: {exc.what}")
    return InvalidArgument(reason, f"{where} cannot be read: {exc.path}: {exc.what}", violations=[(exc.path, exc.what)])
