"""google.protobuf.Struct to plain JSON values and back, with the limits that stored values have."""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf.struct_pb2 import Struct, Value

MAX_DEPTH = 30
"""Levels of objects and lists a value may have, itself included.

A protobuf reader takes 100 nested messages by default. A level of an object costs three of them, and what a value is
carried in (an event in a list of events) up to five: a value that could be stored must also fit into every answer.
"""

_EXACT = 2**53
"""Doubles are exact for whole numbers below this, so those can be integers in JSON."""


class ValueTooDeep(ValueError):
    """The value has more than MAX_DEPTH levels."""


class NotJson(ValueError):
    """The value has a number that JSON cannot express (NaN or an infinity)."""


def to_json(struct: Struct) -> dict[str, Any]:
    """Return the object as plain values, whole numbers as int. Raises ValueTooDeep, NotJson."""
    return {key: _plain(value, 1) for key, value in struct.fields.items()}


def _plain(value: Value, depth: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind is None or kind == "null_value":
        return None
    if depth >= MAX_DEPTH:
        raise ValueTooDeep(f"more than {MAX_DEPTH} levels")
    if kind == "struct_value":
        return {key: _plain(item, depth + 1) for key, item in value.struct_value.fields.items()}
    return [_plain(item, depth + 1) for item in value.list_value.values]


def _number(number: float) -> int | float:
    if number != number or number in (float("inf"), float("-inf")):
        raise NotJson(f"{number} is not a JSON number")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def to_struct(value: dict[str, Any]) -> Struct:
    """Return plain values as a Struct."""
    struct = Struct()
    struct.update(value)
    return struct


def size(value: Any) -> int:
    """Return the bytes of the value as JSON."""
    return len(orjson.dumps(value))
