"""Responses: a message as proto3's JSON form, with unset fields written out, as grpc-gateway's default has it.

Names are lowerCamelCase, enums are names, 64-bit integers strings, bytes base64. An unset scalar is its zero, an unset
list `[]`, map `{}`, message `null`; unset members of a oneof and unset optional scalars are left out.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway import texts
from services.gateway.fields import entry_of, enum_of, is_map

Write = Callable[[Any], Any]
_F = FieldDescriptor
# Whole numbers up to here are written without a fraction; beyond, not every whole number is a double.
_WHOLE = 2.0**53


def dump(value: Any) -> bytes:
    """The bytes of a JSON value."""
    return orjson.dumps(value)


def jsonable(message: Message) -> Any:
    """The message as a JSON value. Raises ValueError for a value that has no JSON form, such as a year 10000."""
    return _writer(message.DESCRIPTOR)(message)


def jsonable_field(message: Message, field: FieldDescriptor) -> Any:
    """One field as a JSON value, unset or not."""
    if field.message_type is not None and not field.is_repeated and not message.HasField(field.name):
        return None
    return _field_writer(field)(getattr(message, field.name))


@cache
def _writer(descriptor: Descriptor) -> Write:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    plan = [
        (field.json_name, field.name, field.has_presence, field.containing_oneof is not None, _field_writer(field))
        for field in descriptor.fields
    ]

    def write(message: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for json_name, name, has_presence, in_oneof, write_field in plan:
            if has_presence and not message.HasField(name):
                if not in_oneof:
                    found[json_name] = None
                continue
            found[json_name] = write_field(getattr(message, name))
        return found

    return write


@cache
def _field_writer(field: FieldDescriptor) -> Write:
    if is_map(field):
        key_field, value_field = entry_of(field)
        key, item = _MAP_KEYS.get(key_field.type, str), _item_writer(value_field)
        return lambda items: {key(name): item(value) for name, value in items.items()}
    item = _item_writer(field)
    if not field.is_repeated:
        return item
    if item is _same:
        return list
    return lambda items: [item(value) for value in items]


def _item_writer(field: FieldDescriptor) -> Write:
    kind = field.type
    if field.message_type is not None:
        inner = field.message_type
        # Looked up when it is first needed, for a message may contain itself.
        return lambda message: _writer(inner)(message)
    if kind == _F.TYPE_ENUM:
        values = enum_of(field).values_by_number
        if enum_of(field).full_name == "google.protobuf.NullValue":
            return lambda _number: None
        return lambda number: values[number].name if number in values else number
    if kind in texts.WIDE:
        return str
    if kind == _F.TYPE_BYTES:
        return lambda data: base64.b64encode(data).decode("ascii")
    if kind == _F.TYPE_DOUBLE:
        return _number
    if kind == _F.TYPE_FLOAT:
        return lambda value: _number(_shortest(value))
    return _same


def _same(value: Any) -> Any:
    return value


def _bool_key(value: bool) -> str:
    return "true" if value else "false"


_MAP_KEYS: dict[int, Write] = {_F.TYPE_BOOL: _bool_key}


def _number(value: float) -> Any:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    # Minus zero is a double, and no integer.
    return int(value) if abs(value) < _WHOLE and value.is_integer() and str(value) != "-0.0" else value


def _shortest(value: float) -> float:
    """The shortest decimal that is the same 32-bit number."""
    if math.isfinite(value):
        for digits in (6, 7, 8):
            short = float(f"{value:.{digits}g}")
            if struct.pack("<f", short) == struct.pack("<f", value):
                return short
    return value


def _write_value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _write_struct(message.struct_value)
    if kind == "list_value":
        return _write_list(message.list_value)
    if kind in (None, "null_value"):
        return None
    value = getattr(message, kind)
    return _number(value) if kind == "number_value" else value


def _write_struct(message: Any) -> dict[str, Any]:
    return {key: _write_value(value) for key, value in message.fields.items()}


def _write_list(message: Any) -> list[Any]:
    return [_write_value(value) for value in message.values]


def _write_any(message: Any) -> dict[str, Any]:
    """What is in it, with its type; what is not known here as the bytes it is."""
    if not message.type_url:
        return {}
    opaque = {"@type": message.type_url, "value": base64.b64encode(message.value).decode("ascii")}
    try:
        descriptor = message.DESCRIPTOR.file.pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
        written = jsonable(GetMessageClass(descriptor).FromString(message.value))
    except (KeyError, DecodeError, ValueError):
        return opaque
    if descriptor.full_name in _WELL_KNOWN:
        return {"@type": message.type_url, "value": written}
    return {"@type": message.type_url, **written}


def _write_wrapper(message: Any) -> Any:
    return _field_writer(message.DESCRIPTOR.fields_by_name["value"])(message.value)


_WELL_KNOWN: dict[str, Write] = {
    "google.protobuf.Timestamp": lambda message: texts.timestamp_text(message.seconds, message.nanos),
    "google.protobuf.Duration": lambda message: texts.duration_text(message.seconds, message.nanos),
    "google.protobuf.FieldMask": lambda message: texts.mask_text(list(message.paths)),
    "google.protobuf.Struct": _write_struct,
    "google.protobuf.ListValue": _write_list,
    "google.protobuf.Value": _write_value,
    "google.protobuf.Any": _write_any,
    "google.protobuf.Empty": lambda _message: {},
    **{
        f"google.protobuf.{name}Value": _write_wrapper
        for name in "Double Float Int64 UInt64 Int32 UInt32 Bool String Bytes".split()
    },
}
