"""Request bodies: JSON bytes as a value, and a value as a message by proto3's JSON form, strictly.

Refused, with the field named: unknown fields, a field given twice (under both of its names, too), the wrong type, two
members of a oneof, numbers out of range. Both names of a field are accepted, `null` leaves it out, and int64 may be a
number or a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway import texts
from services.gateway.fields import entry_of, enum_of, fields_named, is_map, takes_null, values_named
from services.gateway.texts import Unreadable

# What protobuf's parsers accept in the wire form; JSON that nests deeper could not be sent on.
MAX_DEPTH = 100

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_F = FieldDescriptor

Read = Callable[[Any], Any]
Fill = Callable[[Message, Any], None]


def parse(data: bytes) -> Any:
    """The JSON value in the bytes.

    Raises:
        Unreadable: it is not UTF-8, not JSON, nests too deeply, has a key twice in an object, or something behind it.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Unreadable(f"the body is not UTF-8 (byte {exc.start})") from None
    if _depth_exceeds(data, MAX_DEPTH):
        raise Unreadable(f"the JSON nests deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        # Escapes can spell half a character, which no string field can hold.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as exc:
        raise Unreadable(f"the body is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})") from None
    except UnicodeEncodeError:
        raise Unreadable("the JSON has an escape that is half of a character (an unpaired surrogate)") from None
    except (ValueError, RecursionError):
        raise Unreadable("the JSON has a number with too many digits, or nests too deeply") from None
    return value


def _depth_exceeds(data: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than the limit, found without parsing: each pass removes the innermost ones."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    brackets = _STRINGS.sub(b"", data).translate(_ROUND, _NOT_BRACKETS)
    for _ in range(limit):
        outer = brackets.replace(b"()", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    return b"(" in brackets


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Unreadable("the JSON has this key twice", key)
            seen.add(key)
    return found


def _no_constant(word: str) -> Any:
    raise Unreadable(f"the body is not JSON: {word} is a string there")


def fill(message: Message, value: Any) -> None:
    """Set a message's fields from its JSON form. Raises Unreadable."""
    _filler(message.DESCRIPTOR)(message, value)


def fill_field(message: Message, field: FieldDescriptor, value: Any) -> None:
    """Set one field from its JSON form. Raises Unreadable, with the field named."""
    if value is None and not takes_null(field):
        raise Unreadable("null is no value here", field.json_name)
    try:
        _setter(field)(message, value)
    except Unreadable as exc:
        raise exc.inside(field.json_name) from None


@cache
def _filler(descriptor: Descriptor) -> Fill:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    fields = fields_named(descriptor)
    name = descriptor.name

    def fill_message(message: Message, value: Any) -> None:
        if type(value) is not dict:
            raise Unreadable(f"{name} must be an object")
        given: set[str] = set()
        taken: dict[OneofDescriptor, str] = {}
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                raise Unreadable(f"{name} has no such field", key)
            if field.name in given:
                raise Unreadable("it is given twice, under both of its names", key)
            given.add(field.name)
            if item is None and not takes_null(field):
                continue
            oneof = field.containing_oneof
            if oneof is not None and taken.setdefault(oneof, key) != key:
                raise Unreadable(f"it excludes {taken[oneof]}, which is given, too", key)
            try:
                _setter(field)(message, item)
            except Unreadable as exc:
                raise exc.inside(key) from None

    return fill_message


@cache
def _setter(field: FieldDescriptor) -> Fill:
    """Sets a field from its JSON form."""
    name = field.name
    if is_map(field):
        return _map_setter(field)
    if field.is_repeated:
        return _list_setter(field)
    if field.message_type is not None:
        fill_inner = _later(field.message_type)

        def set_message(message: Message, value: Any) -> None:
            inner = getattr(message, name)
            inner.SetInParent()
            fill_inner(inner, value)

        return set_message
    read = scalar(field)

    def set_scalar(message: Message, value: Any) -> None:
        setattr(message, name, read(value))

    return set_scalar


def _later(descriptor: Descriptor) -> Fill:
    """The filler of a message that may contain itself: looked up when it is first needed."""
    return lambda message, value: _filler(descriptor)(message, value)


def _list_setter(field: FieldDescriptor) -> Fill:
    name = field.name
    fill_inner = _later(field.message_type) if field.message_type is not None else None
    nullable = field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"
    read = scalar(field) if fill_inner is None else None

    def set_list(message: Message, value: Any) -> None:
        if type(value) is not list:
            raise Unreadable("it must be a list")
        items = getattr(message, name)
        for index, item in enumerate(value):
            try:
                if fill_inner is not None:
                    if item is None and not nullable:
                        raise Unreadable("null is no value here")
                    fill_inner(items.add(), item)
                elif read is not None:
                    items.append(read(item))
            except Unreadable as exc:
                raise exc.inside(f"[{index}]") from None

    return set_list


def _map_setter(field: FieldDescriptor) -> Fill:
    name, (key_field, value_field) = field.name, entry_of(field)
    read_key = _map_key(key_field)
    fill_inner = _later(value_field.message_type) if value_field.message_type is not None else None
    nullable = takes_null(value_field)
    read = scalar(value_field) if fill_inner is None else None

    def set_map(message: Message, value: Any) -> None:
        if type(value) is not dict:
            raise Unreadable("it must be an object")
        items = getattr(message, name)
        for text, item in value.items():
            try:
                key = read_key(text)
                if key in items:
                    raise Unreadable("the key is there twice")
                if item is None and not nullable:
                    raise Unreadable("null is no value here")
                if fill_inner is not None:
                    fill_inner(items[key], item)
                elif read is not None:
                    items[key] = read(item)
            except Unreadable as exc:
                raise exc.inside(f'["{text[:64]}"]') from None

    return set_map


def _map_key(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.type == _F.TYPE_STRING:
        return str
    if field.type == _F.TYPE_BOOL:
        words = {"true": True, "false": False}

        def read_bool(text: str) -> bool:
            if text not in words:
                raise Unreadable("the key is neither true nor false")
            return words[text]

        return read_bool
    low, high = texts.INTEGERS[field.type]
    return lambda text: _integer(text, low, high)


@cache
def scalar(field: FieldDescriptor) -> Read:
    """Reads the JSON form of a field that is no message."""
    kind = field.type
    if kind in texts.INTEGERS:
        low, high = texts.INTEGERS[kind]
        return lambda value: _integer(value, low, high)
    if kind in (_F.TYPE_FLOAT, _F.TYPE_DOUBLE):
        single = kind == _F.TYPE_FLOAT
        return lambda value: _floating(value, single)
    if kind == _F.TYPE_ENUM:
        return _enum_reader(field)
    return {_F.TYPE_BOOL: _boolean, _F.TYPE_BYTES: _binary}.get(kind, _string)


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Unreadable("it must be a string")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Unreadable("it must be true or false")
    return value


def _binary(value: Any) -> bytes:
    return texts.binary(_string(value))


def _integer(value: Any, low: int, high: int) -> int:
    if type(value) is str:
        if not _NUMBER.fullmatch(value) or len(value) > 64:
            raise Unreadable("it must be an integer")
        value = float(value) if not value.lstrip("-").isdigit() else int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise Unreadable("it must be an integer")
    return texts.within(value, low, high)


def _floating(value: Any, single: bool) -> float:
    if type(value) is str:
        if value not in ("NaN", "Infinity", "-Infinity") and not _NUMBER.fullmatch(value):
            raise Unreadable("it must be a number")
        return texts.floating(value, single=single)
    if type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise Unreadable("the number is too large for 64 bits") from None
    if type(value) is not float:
        raise Unreadable("it must be a number")
    return texts.finite(value, single=single)


def _enum_reader(field: FieldDescriptor) -> Read:
    enum = enum_of(field)
    numbers = values_named(enum)
    is_null = enum.full_name == "google.protobuf.NullValue"

    def read(value: Any) -> int:
        if type(value) is str and (known := numbers.get(value)) is not None:
            return known
        if value is None and is_null:
            return 0
        if type(value) is str or type(value) is bool:
            raise Unreadable(f"{str(value)[:40]!r} is not a {enum.name}")
        return _integer(value, -(2**31), 2**31 - 1)

    return read


def _fill_pair(read: Callable[[str], tuple[int, int]]) -> Fill:
    def fill_pair(message: Any, value: Any) -> None:
        message.seconds, message.nanos = read(_string(value))

    return fill_pair


def _fill_mask(message: Any, value: Any) -> None:
    message.paths.extend(texts.mask_paths(_string(value)))


def _fill_wrapper(message: Any, value: Any) -> None:
    message.value = scalar(message.DESCRIPTOR.fields_by_name["value"])(value)


def _fill_empty(message: Message, value: Any) -> None:
    if type(value) is not dict:
        raise Unreadable("it must be an object without fields")
    for key in value:
        raise Unreadable("an empty message has no fields", key)


def _fill_struct(message: Any, value: Any) -> None:
    if type(value) is not dict:
        raise Unreadable("it must be an object")
    fields = message.fields
    for key, item in value.items():
        _fill_value(fields[key], item)


def _fill_list(message: Any, value: Any) -> None:
    if type(value) is not list:
        raise Unreadable("it must be a list")
    for item in value:
        _fill_value(message.values.add(), item)


def _fill_value(message: Any, value: Any) -> None:
    kind = type(value)
    if kind is str:
        message.string_value = value
    elif kind is bool:
        message.bool_value = value
    elif value is None:
        message.null_value = 0
    elif kind is dict:
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value)
    elif kind is list:
        message.list_value.SetInParent()
        _fill_list(message.list_value, value)
    else:
        message.number_value = _floating(value, single=False)


def _fill_any(message: Any, value: Any) -> None:
    if type(value) is not dict:
        raise Unreadable("it must be an object with an @type")
    if not value:
        return
    url = value.get("@type")
    if type(url) is not str:
        raise Unreadable("it must name the type of what is in the object", "@type")
    try:
        descriptor = message.DESCRIPTOR.file.pool.FindMessageTypeByName(url.rpartition("/")[2])
    except KeyError:
        raise Unreadable("the type is not known here", "@type") from None
    inner = GetMessageClass(descriptor)()
    rest = {key: item for key, item in value.items() if key != "@type"}
    if descriptor.full_name in _WELL_KNOWN:
        if set(rest) != {"value"}:
            raise Unreadable("beside @type there must be exactly a value")
        rest = rest["value"]
    fill(inner, rest)
    message.type_url, message.value = url, inner.SerializeToString(deterministic=True)


_WELL_KNOWN: dict[str, Fill] = {
    "google.protobuf.Timestamp": _fill_pair(texts.timestamp),
    "google.protobuf.Duration": _fill_pair(texts.duration),
    "google.protobuf.FieldMask": _fill_mask,
    "google.protobuf.Struct": _fill_struct,
    "google.protobuf.ListValue": _fill_list,
    "google.protobuf.Value": _fill_value,
    "google.protobuf.Any": _fill_any,
    "google.protobuf.Empty": _fill_empty,
    **{
        f"google.protobuf.{name}Value": _fill_wrapper
        for name in "Double Float Int64 UInt64 Int32 UInt32 Bool String Bytes".split()
    },
}
