"""What an assessment says: levels, factors, and the context it was made in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.approval.risk.rules.book import RuleBook


class Level(IntEnum):
    """How much is at stake. UNKNOWN means "could not be read" and is never approved automatically.

    The order is that of `strictest`: UNKNOWN ranks above MEDIUM (nobody knows what it does) and below HIGH (which is known
    to be dangerous), so that an unread part never hides a dangerous one and is never hidden by a harmless one.
    """

    LOW = 1
    MEDIUM = 2
    UNKNOWN = 3
    HIGH = 4
    CRITICAL = 5


def strictest(*levels: Level) -> Level:
    """The level that decides when several apply; LOW when there are none."""
    return max(levels, default=Level.LOW)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of characters in the text that was assessed."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One reason for a level.

    `id` is stable ("destruction.recursive-delete"), `category` its first part. `weight` is what it adds to the score.
    `excerpt` is the part of the input that raised it (secrets masked, at most 200 characters); `span` is where that part
    is in the action's own text (a script, code, a description, a path, an address, the content of a file), None when the
    text was derived (decoded, resolved, joined, a value inside an object). `safer_alternative` may be empty. `action` is
    which of the actions that were assessed together it was found in, counted from 0.
    """

    id: str
    category: str
    message: str
    weight: int
    excerpt: str = ""
    span: Span | None = None
    safer_alternative: str = ""
    action: int = 0


@dataclass(frozen=True, slots=True)
class Assessment:
    """The answer: a level, a score (the sum of the weights, 0 to 100) and every factor, the heaviest first."""

    level: Level
    score: int
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """Where an action would happen.

    `environment` is a setting of the project ("development", "staging", "production"), never guessed from a name.
    `approval_type` is the type that was asked for explicitly (file_write, code_execution, git_push, workflow_creation,
    api_call); empty means: infer it from the action. `working_dir` is the folder that the agent may change. `links` are
    the symbolic links that paths go through, path to target, each absolute or relative to `working_dir` (a relative target
    to the folder of its link): a path counts as what it leads to. `agent_rating` is how risky the agent says that it is: it
    can raise the level and never lowers it. `rules` are the rules about commands that are in force; None means those that
    come with the package.
    """

    environment: str = "development"
    agent: str = ""
    approval_type: str = ""
    working_dir: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    agent_rating: Level | None = None
    rules: RuleBook | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an approver sees first: what would be touched, read from the actions."""

    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    api_calls: tuple[str, ...] = ()
    workflow: str = ""
