"""Policies as people write them: YAML with the contract's field names, enums in lower case ("deny", "approver"), and
times as "4h" and "90s". The forms of proto3 JSON ("POLICY_OUTCOME_DENY", "14400s") are read as well.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import policy_pb2
from motherharness.text import UNSAFE, line

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BOOLEANS = {"true": True, "false": False}
# What the service sets; a file says nothing about it but the etag, which guards against overwriting others' changes.
_SET_BY_SERVICE = ("version", "updated_by", "update_time")
_ALWAYS_SHOWN = ("enabled", "max_risk_level", "allowed_types", "require_scan")
_NUMBERS = frozenset({FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE})
MAX_CHARS = 1 << 20


class PolicyFileError(ValueError):
    """A file that is no policy; the message says where and why."""


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text: what `18:00`, `no` and `2025-01-01` mean, the contract's types say."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str) or name in seen:
                raise PolicyFileError(f"line {key.start_mark.line + 1}: {name} is there twice, or is no name")
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse(text: str) -> policy_pb2.Policy:
    """Read a policy. Raises PolicyFileError."""
    if len(text) > MAX_CHARS:
        raise PolicyFileError(f"is {len(text)} characters long; a policy has at most {MAX_CHARS}")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)):
            raise PolicyFileError("has an alias (*name), which would hide what it says; write it out")
        loaded = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise PolicyFileError(f"is no YAML: {error}") from error
    except RecursionError as error:
        raise PolicyFileError("is nested too deep") from error
    if not isinstance(loaded, dict):
        raise PolicyFileError("is no mapping; it begins with `environment: development`")
    try:
        return ParseDict(_read(loaded, policy_pb2.Policy.DESCRIPTOR, ""), policy_pb2.Policy())
    except ParseError as error:
        raise PolicyFileError(str(error)) from error


def dump(policy: policy_pb2.Policy) -> str:
    """A policy as YAML that `parse` reads, headed by who saved it."""
    shown = _shown(policy)
    for name in _SET_BY_SERVICE:
        shown.pop(name, None)
    for name in _ALWAYS_SHOWN:
        shown.setdefault(name, [] if name == "allowed_types" else False)
    ordered = {name: shown[name] for name in _order(shown)}
    head = f"# version {policy.version}, saved by {line(policy.updated_by)}\n" if policy.version else "# as shipped\n"
    text = _yaml(ordered, readable=True)
    return head + (_yaml(ordered, readable=False) if UNSAFE.search(text) else text)


def _yaml(value: Mapping[str, Any], *, readable: bool) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=readable)


def _order(shown: Mapping[str, Any]) -> list[str]:
    first = ["environment", "etag", "time_zone", *_ALWAYS_SHOWN]
    return [name for name in first if name in shown] + [name for name in shown if name not in first]


def _read(value: Mapping[str, Any], kind: Descriptor, at: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in value.items():
        place = f"{at}.{name}" if at else str(name)
        field = kind.fields_by_name.get(name)
        if field is None:
            known = ", ".join(known.name for known in kind.fields if known.name not in _SET_BY_SERVICE)
            raise PolicyFileError(f"{place} is not known; there are {known}")
        if each == "":  # nothing after the colon, or an empty text: as if it were not there
            continue
        if _is_map(field):
            made[name] = each
        elif field.is_repeated:
            if not isinstance(each, list):
                raise PolicyFileError(f"{place} must be a list")
            made[name] = [_one(item, field, f"{place}[{index}]") for index, item in enumerate(each)]
        else:
            made[name] = _one(each, field, place)
    return made


def _one(value: Any, field: FieldDescriptor, at: str) -> Any:
    if field.message_type is not None:
        return _inner(value, field.message_type, at)
    if not isinstance(value, str):
        raise PolicyFileError(f"{at} must be a single value")
    if field.enum_type is not None:
        return _enum(value, field.enum_type, at)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if value.lower() not in _BOOLEANS:
            raise PolicyFileError(f"{at} must be true or false, not {value!r}")
        return _BOOLEANS[value.lower()]
    if field.cpp_type in _NUMBERS or field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return value
    try:
        return int(value)
    except ValueError:
        raise PolicyFileError(f"{at} must be a whole number, not {value!r}") from None


def _inner(value: Any, kind: Descriptor, at: str) -> Any:
    if kind.full_name == "google.protobuf.Duration":
        return _duration(value, at)
    if kind.file.package == "google.protobuf":
        return value
    if not isinstance(value, dict):
        raise PolicyFileError(f"{at} must be a mapping, with {', '.join(field.name for field in kind.fields)}")
    return _read(value, kind, at)


def _duration(value: Any, at: str) -> str:
    text = str(value).strip()
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise PolicyFileError(f"{at} must be a time such as 90s, 30m, 4h or 2d, not {text!r}")
    return f"{int(number) * _UNITS[unit]}s"


def _prefix(kind: EnumDescriptor) -> str:
    return str(kind.values_by_number[0].name).removesuffix("UNSPECIFIED")


def _enum(value: str, kind: EnumDescriptor, at: str) -> str:
    prefix, name = _prefix(kind), value.upper()
    for spelled in (name, prefix + name):
        if spelled in kind.values_by_name:
            return spelled
    known = ", ".join(each.name.removeprefix(prefix).lower() for each in kind.values if each.number)
    raise PolicyFileError(f"{at} is {value!r}; there are {known}")


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _shown(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        if _is_map(field):
            shown[field.name] = dict(value)
        elif field.is_repeated:
            shown[field.name] = [_shown_one(each, field) for each in value]
        else:
            shown[field.name] = _shown_one(value, field)
    return shown


def _shown_one(value: Any, field: FieldDescriptor) -> Any:
    if isinstance(value, Duration):
        return _shown_duration(value.ToTimedelta())
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        if value.DESCRIPTOR.file.package == "google.protobuf" or field.name == "actions":
            return MessageToDict(value, preserving_proto_field_name=True)
        return _shown(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.removeprefix(_prefix(field.enum_type)).lower()
    return value


def _shown_duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
