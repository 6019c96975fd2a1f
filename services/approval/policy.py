"""The policy: may actions run without asking a human?

Pure. All conditions of a policy must hold for AUTO; anything else asks a human. CRITICAL and UNKNOWN are never AUTO,
whatever a policy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.approval.lifecycle import Outcome
from services.approval.risk import Level

FILE_WRITE = "file_write"
CODE_EXECUTION = "code_execution"
GIT_PUSH = "git_push"
WORKFLOW_CREATION = "workflow_creation"
API_CALL = "api_call"
ALL_TYPES = frozenset({FILE_WRITE, CODE_EXECUTION, GIT_PUSH, WORKFLOW_CREATION, API_CALL})

# UNKNOWN is not a grade between others: it has no rank, because nobody knows what it would do.
_RANKS: Mapping[Level, int] = {Level.LOW: 1, Level.MEDIUM: 2, Level.HIGH: 3}


@dataclass(frozen=True, slots=True)
class Policy:
    """When actions pass.

    A type that is not in `allowed_types` asks; actions without a type (reading, listing) need none.
    `require_scan`: only what the detectors read entirely passes.
    """

    enabled: bool
    max_level: Level = Level.LOW
    allowed_types: frozenset[str] = frozenset()
    require_scan: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy looks at.

    `types` are the effects of all the actions, `unread` names content that no detector has read.
    """

    level: Level
    types: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()
    require_approval: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy does, and why, for people to read."""

    outcome: Outcome
    reason: str


# Shipped, until an admin saves another. Development passes whatever is LOW. Staging also wants the effect to stay
# inside the worker's folder. Production passes nothing but reading: an operator says what else may.
DEFAULTS: Mapping[str, Policy] = {
    "development": Policy(enabled=True, allowed_types=ALL_TYPES),
    "staging": Policy(enabled=True, allowed_types=frozenset({FILE_WRITE, CODE_EXECUTION})),
    "production": Policy(enabled=True),
}


def evaluate(policy: Policy, question: Question) -> Verdict:
    """Decide one question; the first condition that fails is the reason."""
    reason = _why_ask(policy, question)
    if reason:
        return Verdict(Outcome.HUMAN, reason)
    return Verdict(Outcome.AUTO, f"{question.level.name} is within the policy (up to {policy.max_level.name})")


def _why_ask(policy: Policy, question: Question) -> str:
    if question.require_approval:
        return "approval was required explicitly"
    if question.level not in _RANKS:
        return f"{question.level.name} is never approved automatically"
    if not policy.enabled:
        return "automatic approval is disabled"
    if _RANKS[question.level] > _RANKS[policy.max_level]:
        return f"{question.level.name} is above the policy's {policy.max_level.name}"
    refused = question.types - policy.allowed_types
    if refused:
        return f"the policy does not allow {' and '.join(sorted(refused))}"
    if policy.require_scan and question.unread:
        return f"not scanned: {', '.join(question.unread)}"
    return ""
