"""The names that a rule can use, and what each stands for (docs/policy.md tells people).

Every name is there for every action: what an action has not is empty, zero or false, so that a rule about pushes is no
error for a command. Lists and texts that are longer than `MAX_ITEMS` and `MAX_TEXT` are not there at all: a rule that
looks at one cannot be evaluated, and so fails closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from services.approval.policy.windows import DAYS
from services.approval.risk import Level

MAX_ITEMS = 256  # of a list; one comprehension over them takes about 0.1 ms
MAX_TEXT = 65_536  # characters of a text; one search through them takes less than 0.1 ms


class Kind(Enum):
    """The types of CEL that names have."""

    TEXT = "string"
    NUMBER = "int"
    FLAG = "bool"
    TEXTS = "list(string)"


# Of one action. A rule that uses any of these is asked about each action of a request.
ACTION: Mapping[str, Kind] = {
    "action.kind": Kind.TEXT,
    "action.programs": Kind.TEXTS,
    "action.words": Kind.TEXTS,
    "action.script": Kind.TEXT,
    "action.cwd": Kind.TEXT,
    "action.env": Kind.TEXTS,
    "action.language": Kind.TEXT,
    "action.path": Kind.TEXT,
    "action.recursive": Kind.FLAG,
    "action.method": Kind.TEXT,
    "action.url": Kind.TEXT,
    "action.host": Kind.TEXT,
    "action.remote": Kind.TEXT,
    "action.refspecs": Kind.TEXTS,
    "action.force": Kind.FLAG,
    "action.name": Kind.TEXT,
    "action.description": Kind.TEXT,
    "action.size": Kind.NUMBER,
}

# Of the request as a whole.
REQUEST: Mapping[str, Kind] = {
    "assessment.level": Kind.NUMBER,
    "assessment.score": Kind.NUMBER,
    "assessment.types": Kind.TEXTS,
    "assessment.unread": Kind.TEXTS,
    "factors.ids": Kind.TEXTS,
    "factors.categories": Kind.TEXTS,
    "environment": Kind.TEXT,
    "project": Kind.TEXT,
    "agent": Kind.TEXT,
    "requester": Kind.TEXT,
    "time.hour": Kind.NUMBER,
    "time.minute": Kind.NUMBER,
    "time.weekday": Kind.NUMBER,
    "time.date": Kind.TEXT,
    "time.utc_hour": Kind.NUMBER,
    "time.utc_weekday": Kind.NUMBER,
    "time.utc_date": Kind.TEXT,
    "request.actions": Kind.NUMBER,
    "request.require_approval": Kind.FLAG,
}

NAMES: Mapping[str, Kind] = {**ACTION, **REQUEST}

# UNKNOWN stands between MEDIUM and HIGH, as in `Level`.
CONSTANTS: Mapping[str, int] = {
    **{level.name: int(level) for level in Level},
    **{name.upper(): number for number, name in enumerate(DAYS, start=1)},
}

RECORDS: Mapping[str, tuple[str, ...]] = {
    record: tuple(name.partition(".")[2] for name in NAMES if name.startswith(f"{record}."))
    for record in dict.fromkeys(name.partition(".")[0] for name in NAMES if "." in name)
}
