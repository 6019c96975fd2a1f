"""What options mean that several commands have: names of enums, times."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import typer
from google.protobuf.descriptor import EnumDescriptor

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Enum(Protocol):
    """An enum of the contract, as the generated code has it."""

    DESCRIPTOR: EnumDescriptor


def names_of(enum: Enum) -> list[str]:
    """The names of an enum for people, in its order: REJECT_CODE_UNSAFE is unsafe."""
    unspecified, *others = enum.DESCRIPTOR.values
    prefix = unspecified.name.removesuffix("UNSPECIFIED")
    return [value.name.removeprefix(prefix).lower() for value in others]


def name_of(enum: Enum, number: int) -> str:
    """The name of one of its values; empty for UNSPECIFIED, the number for one that this version does not know."""
    if not number:
        return ""
    known = {value.number: name for value, name in zip(enum.DESCRIPTOR.values[1:], names_of(enum), strict=True)}
    return known.get(number, str(number))


def number_of(enum: Enum, name: str, option: str) -> int:
    """The number of a name for people, in any case and with - for _; 0 for the empty name.

    Raises:
        typer.BadParameter: there is no such name; the message lists those there are.
    """
    if not name:
        return 0
    known = dict(zip(names_of(enum), (value.number for value in enum.DESCRIPTOR.values[1:]), strict=True))
    wanted = name.lower().replace("-", "_")
    if wanted not in known:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return known[wanted]


def numbers_of(enum: Enum, names: Sequence[str], option: str) -> list[int]:
    """As number_of, of several."""
    return [number_of(enum, name, option) for name in names]


def seconds_until(text: str, option: str, *, now: datetime | None = None) -> float:
    """Seconds from now to a time: "90s", "30m", "4h", "2d", or ISO 8601 (UTC unless it says otherwise).

    Raises:
        typer.BadParameter: it is neither, or has passed.
    """
    number, unit = text[:-1], text[-1:]
    if unit in UNITS and number.isascii() and number.isdigit() and len(number) < 10:
        seconds = float(int(number) * UNITS[unit])
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            wanted = "a time such as 90s, 30m, 4h, 2d or 2026-03-01T18:00"
            raise typer.BadParameter(f"{text!r} is not {wanted}", param_hint=option) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    if seconds <= 0:
        raise typer.BadParameter(f"{text!r} has passed", param_hint=option)
    return seconds
