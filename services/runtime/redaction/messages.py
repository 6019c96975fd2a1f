"""Masks protobuf messages: every text in them, at any depth, whatever fields they get later."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from services.runtime.redaction.mask import redact, redact_all, redact_named

M = TypeVar("M", bound=Message)

ARGUMENTS = "argv"
"""Lists of this name are the arguments of one command, and are read together."""


def redacted(message: M) -> M:
    """A copy of a message with the secrets in its texts masked: strings, bytes, maps (keys too) and Structs."""
    copy = type(message)()
    copy.CopyFrom(message)
    _redact(copy)
    return copy


def redacted_bytes(content: bytes) -> bytes:
    """Content with its secrets masked; what is no UTF-8 is read byte by byte."""
    try:
        return redact(content.decode()).encode()
    except UnicodeDecodeError:
        return redact(content.decode("latin-1")).encode("latin-1")


def _redact(message: Message) -> None:
    if isinstance(message, Struct):
        _redact_struct(message)
        return
    # A list, for what is iterated is changed.
    for field, value in list(message.ListFields()):
        inside = field.message_type
        if inside is not None and inside.GetOptions().map_entry:
            _redact_map(inside.fields_by_name["value"].type, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                _redact(inner)
        elif field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                value[:] = redact_all(value) if field.name == ARGUMENTS else [redact(text) for text in value]
            else:
                setattr(message, field.name, redact_named(field.name, value))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            if field.is_repeated:
                value[:] = [redacted_bytes(content) for content in value]
            else:
                setattr(message, field.name, redacted_bytes(value))


def _redact_map(kind: int, values: Any) -> None:
    for name in list(values):
        shown = redact(name) if isinstance(name, str) else name
        if kind == FieldDescriptor.TYPE_MESSAGE:
            _redact(values[name])
            if shown != name:
                values[shown].CopyFrom(values[name])
                del values[name]
        elif kind == FieldDescriptor.TYPE_STRING:
            values[shown] = redact_named(str(name), values.pop(name))
        elif kind == FieldDescriptor.TYPE_BYTES:
            values[shown] = redacted_bytes(values.pop(name))
        elif shown != name:
            values[shown] = values.pop(name)


def _redact_struct(struct: Struct) -> None:
    for name in list(struct.fields):
        value = struct.fields[name]
        _redact_value(value, name)
        shown = redact(name)
        if shown != name:
            struct.fields[shown].CopyFrom(value)
            del struct.fields[name]


def _redact_value(value: Value, name: str) -> None:
    match value.WhichOneof("kind"):
        case "string_value":
            value.string_value = redact_named(name, value.string_value)
        case "struct_value":
            _redact_struct(value.struct_value)
        case "list_value":
            _redact_list(value.list_value, name)


def _redact_list(values: ListValue, name: str) -> None:
    items = list(values.values)
    if name == ARGUMENTS and all(item.WhichOneof("kind") == "string_value" for item in items):
        for item, text in zip(items, redact_all([item.string_value for item in items]), strict=True):
            item.string_value = text
        return
    for item in items:
        _redact_value(item, name)
