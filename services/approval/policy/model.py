"""What a policy is made of, what it is asked, and what it answers: plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from services.approval.lifecycle import Outcome
from services.approval.policy.cel import Program
from services.approval.policy.windows import Window
from services.approval.quorum import Seat
from services.approval.risk import Action, Context, Factor, Level

FILE_WRITE = "file_write"
CODE_EXECUTION = "code_execution"
GIT_PUSH = "git_push"
WORKFLOW_CREATION = "workflow_creation"
API_CALL = "api_call"
ALL_TYPES = frozenset({FILE_WRITE, CODE_EXECUTION, GIT_PUSH, WORKFLOW_CREATION, API_CALL})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its layer follows from its outcome: DENY before HUMAN before AUTO.

    `when` is checked CEL (see `cel.compile`). A HUMAN rule may say who must agree (`quorum`; empty: the service's
    default, one approver) and how long there is, milliseconds (0: the service's default); an AUTO rule, how long what
    it lets pass may be used.
    """

    id: str
    outcome: Outcome
    when: Program
    explanation: str
    quorum: tuple[Seat, ...] = ()
    decide_within_ms: int = 0
    use_within_ms: int = 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which everything is denied (DENY) or asks (HUMAN), but what `unless` matches.

    One that asks may say who must agree, as a rule does.
    """

    id: str
    outcome: Outcome
    window: Window
    explanation: str
    unless: Program | None = None
    quorum: tuple[Seat, ...] = ()


@dataclass(frozen=True)
class Policy:
    """The document of one environment: when actions pass, ask, or are denied.

    The simple fields let actions pass when all of them hold: `enabled`, a level up to `max_level`, types that are all
    in `allowed_types` (actions without a type need none), and with `require_scan` nothing that no detector has read.
    `enabled` false lets nothing pass, whatever the rules say. Rules and freezes come on top, strictest first.
    """

    enabled: bool
    max_level: Level = Level.LOW
    allowed_types: frozenset[str] = frozenset()
    require_scan: bool = True
    rules: tuple[Rule, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    time_zone: str = "UTC"
    etag: str = field(default="", compare=False)

    @cached_property
    def needs(self) -> frozenset[str]:
        """The names that its rules look at, see `context`."""
        programs = [rule.when for rule in self.rules] + [each.unless for each in self.freezes if each.unless]
        return frozenset[str]().union(*(program.names for program in programs))


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy looks at.

    `types` are the effects of all the actions, `unread` names content that no detector has read. `actions` are those
    that could be read, `where` is what they were assessed in. `now_ms` is the time of the Redis server.
    """

    level: Level
    types: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()
    require_approval: bool = False
    score: int = 0
    factors: tuple[Factor, ...] = ()
    actions: Sequence[Action] = ()
    where: Context = field(default_factory=Context)
    project: str = ""
    requester: str = ""
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy does, and why, for people to read.

    `rule` names the rules and freezes that decided, separated by commas; empty when the simple fields did. `quorum` and
    the times hold for what asks a human, `use_within_ms` also for what passes; 0 and empty mean the service's default.
    """

    outcome: Outcome
    reason: str
    rule: str = ""
    etag: str = ""
    quorum: tuple[Seat, ...] = ()
    decide_within_ms: int = 0
    use_within_ms: int = 0
