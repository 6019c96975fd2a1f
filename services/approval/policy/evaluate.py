"""What a policy answers: the strictest of what matches.

Freezes and rules that deny come first, then what must ask, then what may pass; nothing matched means a human. A rule
about actions denies or asks when it matches any of them, and passes only what it matches all of: one harmless command
lets no other through. A rule that cannot be evaluated counts as a match where it denies or asks, and as none where it
passes.

Whatever a policy says, CRITICAL and UNKNOWN never pass, and what was required explicitly always asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.approval.lifecycle import Outcome
from services.approval.policy.cel import EvaluationError, Program
from services.approval.policy.context import Views
from services.approval.policy.model import Freeze, Policy, Question, Rule, Verdict
from services.approval.quorum import Seat
from services.approval.risk import Level

# UNKNOWN is not a grade between others: it has no rank, because nobody knows what it would do.
_RANKS: Mapping[Level, int] = {Level.LOW: 1, Level.MEDIUM: 2, Level.HIGH: 3}

EXPLICIT = "approval was required explicitly"

_SAID = 3  # explanations in a reason; the ids of all rules are in `rule`


@dataclass(frozen=True, slots=True)
class _Match:
    rule: Rule | Freeze
    error: str = ""

    @property
    def said(self) -> str:
        return (
            f"{self.rule.explanation} ({self.rule.id} could not be evaluated: {self.error})"
            if self.error
            else self.rule.explanation
        )


def evaluate(policy: Policy, question: Question) -> Verdict:
    """Decide one question. Never raises."""
    if not policy.rules and not policy.freezes:
        return _simple(policy, question)
    views = Views(question, policy.needs, policy.time_zone)
    if denying := _matches(policy, Outcome.DENY, question, views):
        return Verdict(Outcome.DENY, _reason(denying), _ids(denying), policy.etag)
    required = _why_required(policy, question)
    asking = _matches(policy, Outcome.HUMAN, question, views)
    if required or asking:
        rules = [match.rule for match in asking if isinstance(match.rule, Rule)]
        return Verdict(
            Outcome.HUMAN,
            "; ".join(filter(None, (required, _reason(asking)))),
            _ids(asking),
            policy.etag,
            strictest_quorum(match.rule.quorum for match in asking),
            _shortest(rule.decide_within_ms for rule in rules),
            _shortest(rule.use_within_ms for rule in rules),
        )
    simple = _simple(policy, question)
    if simple.outcome is not Outcome.AUTO:
        for rule in policy.rules:
            if rule.outcome is Outcome.AUTO and matched(rule.when, views, every=True) is True:
                return Verdict(Outcome.AUTO, rule.explanation, rule.id, policy.etag, use_within_ms=rule.use_within_ms)
    return simple


def matched(program: Program, views: Views, *, every: bool) -> bool | str:
    """Whether a program matches any action (or with `every` all of them); a text says why it cannot be told."""
    failed = ""
    for values in views.of(program):
        try:
            answer = program.run(values)
        except EvaluationError as error:
            failed = str(error)
            continue
        if answer is not every:
            return answer
    return failed or every


def strictest_quorum(quorums: Iterable[tuple[Seat, ...]]) -> tuple[Seat, ...]:
    """Every seat of all quorums: of one role or group, as many as the largest asks for."""
    seats: dict[tuple[str, str], int] = {}
    for quorum in quorums:
        for seat in quorum:
            key = (seat.role, seat.group)
            seats[key] = max(seats.get(key, 0), seat.count)
    return tuple(Seat(role, group, count) for (role, group), count in sorted(seats.items()))


def _matches(policy: Policy, outcome: Outcome, question: Question, views: Views) -> list[_Match]:
    """The freezes and rules of one outcome that match, or cannot be evaluated."""
    found: list[_Match] = []
    for freeze in policy.freezes:
        if freeze.outcome is outcome and freeze.window.holds(question.now_ms):
            free = matched(freeze.unless, views, every=True) if freeze.unless else False
            if free is not True:
                found.append(_Match(freeze, free or ""))
    for rule in policy.rules:
        if rule.outcome is outcome:
            answer = matched(rule.when, views, every=False)
            if answer is not False:
                found.append(_Match(rule, "" if answer is True else answer))
    return found


def _reason(matches: list[_Match]) -> str:
    rest = len(matches) - _SAID
    return "; ".join([match.said for match in matches[:_SAID]] + ([f"and {rest} more"] if rest > 0 else []))


def _ids(matches: list[_Match]) -> str:
    return ",".join(match.rule.id for match in matches)


def _shortest(times_ms: Iterable[int]) -> int:
    return min((each for each in times_ms if each), default=0)


def _simple(policy: Policy, question: Question) -> Verdict:
    """What the simple fields say; the first condition that fails is the reason."""
    reason = _why_required(policy, question) or _why_ask(policy, question)
    if reason:
        return Verdict(Outcome.HUMAN, reason, etag=policy.etag)
    within = f"{question.level.name} is within the policy (up to {policy.max_level.name})"
    return Verdict(Outcome.AUTO, within, etag=policy.etag)


def _why_required(policy: Policy, question: Question) -> str:
    """Why no rule can let this pass."""
    if question.require_approval:
        return EXPLICIT
    if question.level not in _RANKS:
        return f"{question.level.name} is never approved automatically"
    return "" if policy.enabled else "automatic approval is disabled"


def _why_ask(policy: Policy, question: Question) -> str:
    if _RANKS[question.level] > _RANKS[policy.max_level]:
        return f"{question.level.name} is above the policy's {policy.max_level.name}"
    refused = question.types - policy.allowed_types
    if refused:
        return f"the policy does not allow {' and '.join(sorted(refused))}"
    if policy.require_scan and question.unread:
        return f"not scanned: {', '.join(question.unread)}"
    return ""
