"""Between the contract's policies and the domain's, with every fault of one named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from harness.approval.v1 import policy_pb2, risk_pb2
from harness.common.v1 import access_pb2
from services.approval import convert
from services.approval.lifecycle import Outcome
from services.approval.messages import seat_message
from services.approval.policy import cel
from services.approval.policy.context import rehearse
from services.approval.policy.model import Freeze, Policy, Rule, Verdict
from services.approval.policy.windows import MINUTES_A_DAY, Window, WindowError, minute_of, zone
from services.approval.quorum import MAX_SEATS, Seat, size

_FOR_EVER_MS = 1 << 62


class PolicyError(ValueError):
    """A policy that cannot be taken: `faults` are pairs of a field and what is wrong with it."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {what}" for field, what in faults))
        self.faults = tuple(faults)


def policy_of(message: policy_pb2.Policy) -> Policy:
    """A policy that is to be saved or tried. Raises PolicyError, with all its faults."""
    reader = _Reader(strict=True)
    policy = reader.policy(message)
    if reader.faults:
        raise PolicyError(reader.faults)
    return policy


def saved_policy_of(message: policy_pb2.Policy, etag: str) -> Policy:
    """A policy that was saved. Never raises: a rule that this service cannot read any more fails closed."""
    return _Reader(strict=False).policy(message, etag)


class _Reader:
    def __init__(self, *, strict: bool) -> None:
        self.faults: list[tuple[str, str]] = []
        self._strict = strict

    def policy(self, message: policy_pb2.Policy, etag: str = "") -> Policy:
        time_zone = message.time_zone or "UTC"
        if not self._is_zone(time_zone, "time_zone"):
            time_zone = "UTC"
        rules = tuple(self._rule(rule, f"rules[{at}]") for at, rule in enumerate(message.rules))
        freezes = tuple(self._freeze(each, time_zone, f"freezes[{at}]") for at, each in enumerate(message.freezes))
        ids = [rule.id for rule in rules] + [freeze.id for freeze in freezes]
        for twice in sorted(each for each, times in Counter(ids).items() if times > 1):
            self.faults.append(("rules", f"{twice} is the id of two rules or freezes; give each its own"))
        return Policy(
            enabled=message.enabled,
            max_level=convert.level_of(message.max_risk_level),
            allowed_types=frozenset(convert.type_name(number) for number in message.allowed_types),
            require_scan=message.require_scan,
            rules=rules,
            freezes=freezes,
            time_zone=time_zone,
            etag=etag,
        )

    def _rule(self, message: policy_pb2.PolicyRule, at: str) -> Rule:
        outcome = Outcome(message.outcome)
        if outcome is not Outcome.HUMAN and (message.quorum or message.HasField("decide_within")):
            self.faults.append((at, f"{message.id} is {outcome.name}: quorum and decide_within are for HUMAN"))
        if outcome is Outcome.DENY and message.HasField("use_within"):
            self.faults.append((at, f"{message.id} is DENY: use_within is for HUMAN and AUTO"))
        return Rule(
            id=message.id,
            outcome=outcome,
            when=self._program(message.when, f"{at}.when", message.id),
            explanation=message.explanation,
            quorum=self._quorum(message, at),
            decide_within_ms=message.decide_within.ToMilliseconds(),
            use_within_ms=message.use_within.ToMilliseconds(),
        )

    def _quorum(self, message: policy_pb2.PolicyRule | policy_pb2.ChangeWindow, at: str) -> tuple[Seat, ...]:
        seats = [(seat.role, seat.group) for seat in message.quorum]
        if len(seats) > len(set(seats)):
            self.faults.append((f"{at}.quorum", f"{message.id} names a role or a group twice; add the two up"))
        quorum = tuple(Seat(_role_name(seat.role), seat.group, seat.count) for seat in message.quorum)
        if size(quorum) > MAX_SEATS:
            self.faults.append((f"{at}.quorum", f"{message.id} asks for {size(quorum)} people; at most {MAX_SEATS}"))
        return quorum

    def _freeze(self, message: policy_pb2.ChangeWindow, time_zone: str, at: str) -> Freeze:
        outcome = Outcome(message.outcome)
        if outcome is not Outcome.HUMAN and message.quorum:
            self.faults.append((f"{at}.quorum", f"{message.id} is {outcome.name}: quorum is for HUMAN"))
        return Freeze(
            id=message.id,
            outcome=outcome,
            window=self._window(message, time_zone, at),
            explanation=message.explanation,
            unless=self._program(message.unless, f"{at}.unless", message.id) if message.unless else None,
            quorum=self._quorum(message, at),
        )

    def _window(self, message: policy_pb2.ChangeWindow, time_zone: str, at: str) -> Window:
        if not message.days:
            return Window(from_ms=message.start_time.ToMilliseconds(), to_ms=message.end_time.ToMilliseconds())
        where = message.time_zone or time_zone
        try:
            start, end = minute_of(message.start), minute_of(message.end)
            if start == MINUTES_A_DAY:
                raise WindowError("start is 24:00; write 00:00 of the next day")
            zone(where)
            return Window(frozenset(int(day) for day in message.days), start, end, where)
        except WindowError as error:
            self.faults.append((at, f"{message.id}: {error}"))
            return Window(from_ms=0, to_ms=_FOR_EVER_MS)

    def _is_zone(self, name: str, at: str) -> bool:
        try:
            zone(name)
        except WindowError as error:
            self.faults.append((at, str(error)))
            return False
        return True

    def _program(self, source: str, at: str, rule: str) -> cel.Program:
        try:
            program = cel.compile(source)
            if self._strict:
                rehearse(program)
        except (cel.CelError, cel.EvaluationError) as error:
            self.faults.append((at, f"{rule} {error}"))
            return cel.unusable(source, "it cannot be read any more")
        return program


def _role_name(role: int) -> str:
    return access_pb2.Role.Name(role).removeprefix("ROLE_").lower() if role else ""  # type: ignore[arg-type]


def decision_message(verdict: Verdict) -> policy_pb2.PolicyDecision:
    """A verdict as the contract has it, without the assessment that it is about."""
    return policy_pb2.PolicyDecision(
        outcome=risk_pb2.PolicyOutcome.ValueType(int(verdict.outcome)),
        reason=verdict.reason,
        rule=verdict.rule,
        quorum=[seat_message(seat) for seat in verdict.quorum],
        decide_within=_duration(verdict.decide_within_ms),
        use_within=_duration(verdict.use_within_ms),
    )


def _duration(ms: int) -> Duration | None:
    if not ms:
        return None
    duration = Duration()
    duration.FromMilliseconds(ms)
    return duration
