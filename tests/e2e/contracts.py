"""Every RPC of every contract, and messages that keep or break its field rules, read from the descriptors."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import protovalidate
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import harness
from buf.validate import validate_pb2
from harness.common.v1 import access_pb2

# The stubs know two field descriptors, and neither is the other.
Field: TypeAlias = Any

# Deeper than any request nests; stops at messages that hold themselves.
MAX_DEPTH = 6
# One of these keeps any rule that the contracts have on a string; a pattern none of them matches fails the tests.
STRINGS = (
    "shell",
    "run_00000000000000000000000000000000",
    "bkp_0",
    "rst_0",
    "sha256:" + "0" * 64,
    "0" * 64,
    "GET",
    "UPPER_SNAKE",
    "",
)
SCALARS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32})


@dataclass(frozen=True)
class Rpc:
    """One method of a contract."""

    path: str
    service: str
    request: type[Message]
    streams: bool
    roles: frozenset[str]
    public: bool

    def __str__(self) -> str:
        return self.path.removeprefix("/harness.")


def all_rpcs() -> list[Rpc]:
    """Return every RPC of every service in the generated code."""
    found: dict[str, Rpc] = {}
    root = Path(next(iter(harness.__path__)))
    for file in root.rglob("*_pb2.py"):
        module = ".".join(["harness", *file.relative_to(root).with_suffix("").parts])
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rpc = _rpc(method)
                found[rpc.path] = rpc
    return [found[path] for path in sorted(found)]


def _rpc(method: MethodDescriptor) -> Rpc:
    access = method.GetOptions().Extensions[access_pb2.access]
    assert not method.client_streaming, f"{method.full_name}: the tests cannot call a client stream yet"
    service = method.containing_service.full_name
    return Rpc(
        path=f"/{service}/{method.name}",
        service=service.split(".")[1],
        request=GetMessageClass(method.input_type),
        streams=method.server_streaming,
        roles=frozenset(access_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in access.roles),
        public=access.public,
    )


def violations(message: Message) -> list[str]:
    """Return the paths of what breaks a rule, without subscripts; "" for the message as a whole."""
    return [
        ".".join(element.field_name for element in violation.field.elements) if violation.field else ""
        for violation in (found.proto for found in protovalidate.collect_violations(message))
    ]


def rules(field: Field) -> validate_pb2.FieldRules | None:
    """Return the rules of a field, if it has any."""
    options = field.GetOptions()
    return options.Extensions[validate_pb2.field] if options.HasExtension(validate_pb2.field) else None


def ruled_paths(kind: type[Message], depth: int = 0) -> set[str]:
    """Return the paths of all fields below a message that have rules."""
    found: set[str] = set()
    for field in kind.DESCRIPTOR.fields:
        if rules(field) is not None:
            found.add(field.name)
        if _is_ours(field) and depth < MAX_DEPTH:
            found |= {f"{field.name}.{path}" for path in ruled_paths(_class_of(field), depth + 1)}
    return found


def breaking(kind: type[Message]) -> dict[str, Message]:
    """Return, for each field below a message whose rules can be broken, a message that breaks them."""
    found: dict[str, Message] = {}
    for message in _broken(kind, 0):
        for path in violations(message):
            found.setdefault(path, message)
    return {path: message for path, message in found.items() if path in ruled_paths(kind)}


def keeping(kind: type[Message], depth: int = 0) -> Message:
    """Return a message that keeps all rules and holds as little as that takes.

    Raises:
        AssertionError: none of the values known here keeps the rules of a field.
    """
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.name not in {path.split(".")[0] for path in violations(message)}:
            continue
        for value in _candidates(field, depth):
            message.ClearField(field.name)
            _put(message, field, value)
            if field.name not in {path.split(".")[0] for path in violations(message)}:
                break
        else:
            raise AssertionError(f"no value known that {field.full_name} takes; add one to {__name__}")
    for oneof in kind.DESCRIPTOR.oneofs:
        for field in oneof.fields if oneof.name in violations(message) else ():
            _put(message, field, keeping(_class_of(field), depth + 1))
            if not violations(message):
                break
    return message


def _candidates(field: Field, depth: int) -> Iterator[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        if depth < MAX_DEPTH:
            yield keeping(_class_of(field), depth + 1)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from (STRINGS if field.type == FieldDescriptor.TYPE_STRING else (b"x",))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        # The last first: it is the one that tests of other things do not depend on, such as production's policy.
        yield from sorted(field.enum_type.values_by_number, reverse=True)
    else:
        yield 1


def _class_of(field: Field) -> type[Message]:
    return GetMessageClass(field.message_type)


def _put(message: Message, field: Field, value: Any) -> None:
    target = getattr(message, field.name)
    if field.is_repeated:
        target.append(value)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        target.CopyFrom(value)
        target.SetInParent()
    else:
        setattr(message, field.name, value)


def _is_ours(field: Field) -> bool:
    return field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE and (
        field.message_type.full_name.startswith("harness.") and not field.message_type.GetOptions().map_entry
    )


def _broken(kind: type[Message], depth: int) -> Iterator[Message]:
    """Yield messages of a kind, each with one field that may break its rules."""
    yield kind()
    for field in kind.DESCRIPTOR.fields:
        rule = rules(field)
        if rule is not None:
            yield from _with(kind, field, _broken_values(field, rule))
        if _is_ours(field) and depth < MAX_DEPTH:
            inner = _broken(_class_of(field), depth + 1)
            yield from _with(kind, field, ([value] if field.is_repeated else value for value in inner))


def _with(kind: type[Message], field: Field, values: Iterator[Any]) -> Iterator[Message]:
    for value in values:
        message = kind()
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name).update(value)
        elif field.is_repeated:
            getattr(message, field.name).extend(value)
        else:
            _put(message, field, value)
        yield message


def _broken_values(field: Field, rule: validate_pb2.FieldRules) -> Iterator[Any]:
    kind = rule.WhichOneof("type")
    if kind is None:
        return
    limits = getattr(rule, kind)
    if kind == "string":
        yield " \n"
        yield "x" * (max(limits.max_len, limits.max_bytes, limits.len) + 1)
    elif kind == "bytes":
        yield b"x" * (limits.max_len + 1)
    elif kind == "enum":
        yield from (max(field.enum_type.values_by_number) + 7, 0)
    elif kind == "repeated":
        one = _one(field)
        if one is not None:
            yield from ([one] * (limits.max_items + 1), [one, one])
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            yield [" \n"]
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            yield [0]
    elif kind == "map":
        yield {str(number): "" for number in range(limits.max_pairs + 1)}
    elif kind == "duration":
        duration = _class_of(field)
        yield duration(seconds=-1)
        yield duration(seconds=limits.lte.seconds + 1)
        yield duration()
    elif field.cpp_type in SCALARS:
        if field.cpp_type != FieldDescriptor.CPPTYPE_UINT32:
            yield limits.gte - 1
        yield limits.lte + 1
    else:
        yield from (limits.gte - 1, limits.lte + 1, float("inf"))


def _one(field: Field) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return _class_of(field)()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "x"
    return 1 if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM else None
