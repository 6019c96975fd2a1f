"""Values of fields, as JSON and as texts of a query: such that fit their type, and such that do not."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from services.gateway.fields import is_map

_F = FieldDescriptor
_WIDE = (_F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_SINT64, _F.TYPE_FIXED64, _F.TYPE_SFIXED64)
_UNSIGNED = (_F.TYPE_UINT32, _F.TYPE_UINT64, _F.TYPE_FIXED32, _F.TYPE_FIXED64)
_KNOWN: dict[str, tuple[list[str], list[str]]] = {
    "google.protobuf.Timestamp": (
        ["2026-03-02T09:30:00Z", "2026-03-02T09:30:00.123456789+01:00", "0001-01-01T00:00:00Z"],
        [
            *("2026-03-02", "yesterday", "2026-13-02T09:30:00Z", "2026-03-02 09:30:00Z", "2026-02-30T09:30:00Z", "0"),
            *("0000-01-01T00:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T09:30:60Z", "2026-03-02T09:30:00"),
            *(
                "2026-03-02t09:30:00z",
                "2026-03-02T09:30:00+24:00",
                "2026-03-02T09:30:00.1234567890Z",
                "99999-01-01T00:00:00Z",
            ),
        ],
    ),
    "google.protobuf.Duration": (
        ["1s", "0.25s", "0s", "3.000000001s"],
        [
            "1",
            "1 s",
            "1.s",
            ".5s",
            "1h",
            "1m30s",
            "s",
            "+1s",
            "-1s",
            "1e3s",
            "1.0000000001s",
            "315576000001s",
            "99999999999999s",
        ],
    ),
    "google.protobuf.FieldMask": (
        ["displayName", "displayName,description", "*", ""],
        ["display_name", "displayName,,description", "a b", "DisplayName", "displayName ", "1"],
    ),
}


def good_texts(field: FieldDescriptor) -> list[str]:
    """Texts that a query takes for the field; none if it takes none."""
    kind = field.type
    if field.message_type is not None:
        return _KNOWN.get(field.message_type.full_name, ([], []))[0][:3]
    if field.enum_type is not None:
        return [field.enum_type.values[-1].name, str(field.enum_type.values[-1].number), field.enum_type.values[0].name]
    if kind == _F.TYPE_BOOL:
        return ["true", "0", "T"]
    if kind == _F.TYPE_STRING:
        return ["plain", "a b/ü&=?", "1"]
    if kind == _F.TYPE_BYTES:
        return ["aGVsbG8=", "aGVsbG8", "-_-_"]
    return ["1", "007", "+3"]


def bad_texts(field: FieldDescriptor) -> list[str]:
    """Texts that a query does not take for the field, or that are at the edge."""
    kind = field.type
    if field.message_type is not None:
        return _KNOWN.get(field.message_type.full_name, ([], ["x", "{}", "1"]))[1]
    if field.enum_type is not None:
        lower = field.enum_type.values[-1].name.lower()
        return [lower, "NOTHING_KNOWN", "999", "-1", " 1", "1.0", field.enum_type.values[-1].name + " "]
    if kind == _F.TYPE_BOOL:
        return ["yes", "TrUe", "2", " true", "on"]
    if kind == _F.TYPE_STRING:
        return ["\x00", "x" * 3000, "\n", "\u2028", "%"]
    if kind == _F.TYPE_BYTES:
        return ["%", "a", "a===", "a b", "+/-_"]
    return ["x", "1.0", "1e3", "0x10", "1_000", " 1", "99999999999999999999", "-1", "2147483648", "\uff11", "1,2"]


def good_json(field: FieldDescriptor) -> list[Any]:
    """JSON values that fit the field."""
    if is_map(field):
        return [{}, {"key": "value"}]
    if field.is_repeated:
        one = _one_json(field)[:1]
        return [[], one, one * 2]
    return _one_json(field)


def _one_json(field: FieldDescriptor) -> list[Any]:
    kind = field.type
    if field.message_type is not None:
        name = field.message_type.full_name
        if name == "google.protobuf.Struct":
            return [{}, {"a": [1, 2.5, None, True, {"b": "c"}], "": 1e300, "<": "&\u2028"}]
        if name == "google.protobuf.Value":
            return [1, "x", [1], {"a": None}]
        return _KNOWN.get(name, ([], []))[0] or [{}]
    if field.enum_type is not None:
        last = field.enum_type.values[-1]
        return [last.name, last.number, field.enum_type.values[0].name]
    if kind == _F.TYPE_BOOL:
        return [True, False]
    if kind == _F.TYPE_STRING:
        return ["plain", "ü <&> \u2028 \U0001f600", "\x7f\u0001"]
    if kind == _F.TYPE_BYTES:
        return ["aGVsbG8=", "aGVsbG8", "-_-_"]
    if kind in (_F.TYPE_FLOAT, _F.TYPE_DOUBLE):
        return [1, 0.5, "0.25", "1e-3"]
    return [1, "1", 1.0, "1.0", "1e2"]


def bad_json(field: FieldDescriptor) -> list[Any]:
    """JSON values that do not fit the field, or that are at the edge."""
    if is_map(field):
        return [[], "x", {"key": None}, {"key": 1}]
    if field.is_repeated:
        one = _one_json(field)[0]
        return [one, {}, [None], "x", [[]]]
    kind = field.type
    if field.message_type is not None:
        name = field.message_type.full_name
        if name == "google.protobuf.Struct":
            return [[], "x", 1]
        return [*_KNOWN.get(name, ([], ["x"]))[1], 1, [], {"nothing": 1}]
    if field.enum_type is not None:
        lower = field.enum_type.values[-1].name.lower()
        return [lower, "NOTHING_KNOWN", 999, -1, 1.5, True, [], "1", 2**31]
    if kind == _F.TYPE_BOOL:
        return ["true", 1, 0, [], {}]
    if kind == _F.TYPE_STRING:
        return [1, True, [], {}, 1.5]
    if kind == _F.TYPE_BYTES:
        return ["%", "a", 1, "a===", "a b", []]
    if kind in (_F.TYPE_FLOAT, _F.TYPE_DOUBLE):
        return ["x", "", True, "nan", "NaN", "-Infinity", "0x1", " 1", []]
    edge = 2**64 if kind in _WIDE else 2**32
    return ["x", "", True, 1.5, edge, str(edge), -1 if kind in _UNSIGNED else -edge, " 1", "+1", "01", "1.5", 1e30, []]
