"""Query parameters and path variables as fields of a request, by the rules of grpc-gateway.

    page_size=5&pageToken=x      either name of a field
    filter.state=OPEN            a field of a message
    ids=1&ids=2                  a list
    labels[team]=blue            an entry of a map

A parameter that names no field is ignored, and so is one that names what the path or the body has set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.gateway import jsonread, texts
from services.gateway.bindings import TEXTUAL, FieldPath
from services.gateway.fields import entry_of, fields_named, is_map
from services.gateway.texts import Unreadable

_ENTRY = re.compile(r"(.*)\[(.*)\]", re.DOTALL)
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Parameters = dict[str, list[str]]


def unescape(data: bytes, *, plus_is_space: bool = False) -> str:
    """Percent-encoded bytes as a text.

    Raises:
        Unreadable: a percent sign without two hex digits behind it, or bytes that are not UTF-8.
    """
    if plus_is_space:
        data = data.replace(b"+", b" ")
    if b"%" in data:
        if _ESCAPE.search(data):
            raise Unreadable("a percent sign has no two hex digits behind it")
        first, *rest = data.split(b"%")
        data = first + b"".join(bytes.fromhex(part[:2].decode("ascii")) + part[2:] for part in rest)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None


def parse(data: bytes) -> Parameters:
    """The parameters of a query string (or of a form, which looks the same), in order.

    Raises:
        Unreadable: a wrong escape, or a semicolon as a separator.
    """
    found: Parameters = {}
    for pair in data.split(b"&"):
        if not pair:
            continue
        if b";" in pair:
            raise Unreadable("a semicolon separates nothing in a query; write & or %3B")
        key, _, value = pair.partition(b"=")
        found.setdefault(unescape(key, plus_is_space=True), []).append(unescape(value, plus_is_space=True))
    return found


def fill(message: Any, parameters: Parameters, taken: Sequence[tuple[str, ...]]) -> None:
    """Set the fields that the parameters name.

    Args:
        message: the request.
        parameters: by name, with every value given.
        taken: fields that path and body have set, as paths of names.

    Raises:
        Unreadable: a value does not fit its field, or a field is given twice; names the parameter.
    """
    given: set[str] = set()
    for key, values in parameters.items():
        name, entry = key, None
        if match := _ENTRY.fullmatch(key):
            name, entry = match[1], match[2]
        try:
            names = name.split(".")
            path = _resolve(message.DESCRIPTOR, names)
            if path is None or any(_overlap(path, set_already) for set_already in taken):
                continue
            if len(path) < len(names):
                raise Unreadable(f"{path[-1].name} is not a message that has fields")
            spelled = ".".join(field.name for field in path) + (f"[{entry}]" if entry is not None else "")
            if spelled in given:
                raise Unreadable("it is given twice, under different names")
            given.add(spelled)
            _set(message, path, values, entry)
        except Unreadable as exc:
            raise Unreadable(exc.what, key[:128]) from None


def fill_path(message: Message, captured: dict[str, str], paths: dict[str, FieldPath]) -> None:
    """Set the fields that the path captured. Raises Unreadable, naming the field."""
    for name, text in captured.items():
        path = paths[name]
        target, field = _walk(message, path), path[-1]
        try:
            if field.is_repeated:
                # The separator of lists in paths is grpc-gateway's default.
                getattr(target, field.name).extend(_item(field)(part) for part in text.split(","))
            elif field.message_type is not None:
                getattr(target, field.name).SetInParent()
                _from_path(getattr(target, field.name), text, nested=len(path) > 1)
            else:
                setattr(target, field.name, _item(field)(text))
        except Unreadable as exc:
            raise Unreadable(exc.what, name) from None


def _from_path(message: Any, text: str, *, nested: bool) -> None:
    """A message from its text. At the top level grpc-gateway reads times as JSON has them, below as queries do."""
    name = message.DESCRIPTOR.full_name
    if not nested and name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        jsonread.fill(message, text.strip('"'))
    else:
        _message_reader(message.DESCRIPTOR)(message, text)


def _overlap(path: FieldPath, taken: tuple[str, ...]) -> bool:
    """Whether one of the two fields is the other, or within it."""
    return all(field.name == name for field, name in zip(path, taken, strict=False))


def _resolve(descriptor: Descriptor, names: Iterable[str]) -> FieldPath | None:
    """The fields along a path of names, up to one that has no fields of its own; None where there is no such field."""
    found: list[FieldDescriptor] = []
    inside: Descriptor | None = descriptor
    for name in names:
        if inside is None or (found and found[-1].is_repeated):
            break
        field = fields_named(inside).get(name)
        if field is None:
            return None
        found.append(field)
        inside = field.message_type
    return tuple(found)


def _walk(message: Any, path: FieldPath) -> Any:
    """The message that holds the last field of a path, set as present on the way."""
    for field in path[:-1]:
        message = getattr(message, field.name)
        message.SetInParent()
    return message


def _set(message: Message, path: FieldPath, values: list[str], entry: str | None) -> None:
    target: Any = message
    for position, field in enumerate(path):
        _check_oneof(target, field)
        if position < len(path) - 1:
            target = getattr(target, field.name)
            target.SetInParent()
    if is_map(field):
        _set_entry(target, field, values, entry)
    elif entry is not None:
        raise Unreadable("it is not a map, and has no entries")
    elif field.is_repeated:
        items = getattr(target, field.name)
        for value in values:
            if field.message_type is not None:
                _message_reader(field.message_type)(items.add(), value)
            else:
                items.append(_item(field)(value))
    elif len(values) > 1:
        raise Unreadable(f"it takes one value, and {len(values)} are given")
    elif field.message_type is not None:
        # What the path has set of it before is replaced.
        target.ClearField(field.name)
        getattr(target, field.name).SetInParent()
        _message_reader(field.message_type)(getattr(target, field.name), values[0])
    else:
        setattr(target, field.name, _item(field)(values[0]))


def _check_oneof(message: Message, field: FieldDescriptor) -> None:
    oneof = field.containing_oneof
    # One field alone: what an optional field is made of.
    if oneof is None or len(oneof.fields) == 1:
        return
    other = message.WhichOneof(oneof.name)
    if other is not None and (field.message_type is None or other != field.name):
        raise Unreadable(f"it excludes {other}, which is given, too")


def _set_entry(target: Any, field: FieldDescriptor, values: list[str], entry: str | None) -> None:
    if entry is None or len(values) != 1:
        raise Unreadable(f"an entry of a map is given as {field.name}[key]=value, once")
    key_field, value_field = entry_of(field)
    items, key = getattr(target, field.name), _item(key_field)(entry)
    if value_field.message_type is not None:
        _message_reader(value_field.message_type)(items[key], values[0])
    else:
        items[key] = _item(value_field)(values[0])


def _item(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.message_type is not None:
        raise Unreadable(f"{field.message_type.name} cannot be given as a text")
    return texts.scalar_reader(field)


def _message_reader(descriptor: Descriptor) -> Callable[[Any, str], None]:
    """Reads the text form of a well-known message."""
    name: str = descriptor.full_name
    reader = _READERS.get(name)
    if reader is not None:
        return reader
    if name in TEXTUAL:
        read = texts.scalar_reader(descriptor.fields_by_name["value"])

        def read_wrapper(message: Any, text: str) -> None:
            message.value = read(text)

        return read_wrapper
    raise Unreadable(f"a {descriptor.name} cannot be given in a query; name its fields, as in {_example(descriptor)}")


def _example(descriptor: Descriptor) -> str:
    first = descriptor.fields[0].name if descriptor.fields else "field"
    return f"parent.{first}=…"


def _read_time(message: Any, text: str) -> None:
    message.seconds, message.nanos = texts.timestamp(text)


def _read_span(message: Any, text: str) -> None:
    message.seconds, message.nanos = texts.span(text)


def _read_mask(message: Any, text: str) -> None:
    message.paths.extend(text.split(",") if text else [])


def _read_json(message: Message, text: str) -> None:
    jsonread.fill(message, jsonread.parse(text.encode("utf-8")))


def _read_empty(_message: Message, text: str) -> None:
    if text not in ("", "{}"):
        raise Unreadable(f"{json.dumps(text[:40])} is not empty")


_READERS: dict[str, Callable[[Any, str], None]] = {
    "google.protobuf.Timestamp": _read_time,
    "google.protobuf.Duration": _read_span,
    "google.protobuf.FieldMask": _read_mask,
    "google.protobuf.Value": _read_json,
    "google.protobuf.Struct": _read_json,
    "google.protobuf.Empty": _read_empty,
}
