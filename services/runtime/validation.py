"""Requests as the contracts want them: parsed from bytes, then checked against their `buf.validate` rules."""

from __future__ import annotations

from typing import TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from services.runtime.errors import ConfigurationError, Internal, InvalidArgument

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """The message in the bytes.

    Raises:
        InvalidArgument: REQUEST_MALFORMED, it is damaged, has invalid UTF-8, or nests deeper than 100 levels.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidArgument(
            "REQUEST_MALFORMED",
            f"the request is not a {kind.DESCRIPTOR.full_name} that can be read (damaged, or nested too deeply)",
        ) from None


def validate(message: Message) -> None:
    """Check the field rules.

    Raises:
        InvalidArgument: REQUEST_INVALID, with one violation a broken rule, each naming its field.
        Internal: RULE_BROKEN, the rules themselves cannot be evaluated.
    """
    try:
        found = protovalidate.collect_violations(message)
    except (protovalidate.CompilationError, protovalidate.EvaluationError) as exc:
        raise Internal("RULE_BROKEN", f"the rules of {message.DESCRIPTOR.full_name} cannot be evaluated") from exc
    if not found:
        return
    violations = [(field_path(violation), _what(violation)) for violation in found]
    field, what = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    raise InvalidArgument(
        "REQUEST_INVALID", f"{field}: {what}{more}" if field else f"{what}{more}", violations=violations
    )


def prepare(kind: type[Message]) -> None:
    """Compile the rules of a message before its first request has to wait for that.

    Raises:
        ConfigurationError: the rules do not compile.
    """
    try:
        protovalidate.collect_violations(kind())
    except protovalidate.CompilationError as exc:
        raise ConfigurationError(f"the field rules of {kind.DESCRIPTOR.full_name} do not compile: {exc}") from exc


def field_path(violation: protovalidate.Violation) -> str:
    """The path of the field, e.g. `plan.steps[2].depends_on[0]` or `labels["team"]`."""
    path = violation.proto.field
    parts: list[str] = []
    for element in path.elements if path else ():
        name = f".{element.field_name}" if parts else str(element.field_name)
        subscript = element.subscript
        if subscript is None:
            parts.append(name)
        elif subscript.field == "string_key":
            parts.append(f'{name}["{subscript.value}"]')
        else:
            parts.append(f"{name}[{subscript.value}]")
    return "".join(parts)


def _what(violation: protovalidate.Violation) -> str:
    proto = violation.proto
    return proto.message or f"breaks the rule {proto.rule_id}"
