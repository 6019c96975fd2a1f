"""Trying policies: on the examples they carry, on others, and on what was really asked."""

from __future__ import annotations

from collections.abc import Iterator

from harness.approval.v1 import policy_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.history import Past
from services.approval.judge import Asked, Judgement, judge
from services.approval.lifecycle import Outcome
from services.approval.policy import Policy, Question, Rule, Verdict, evaluate
from services.approval.policy.context import Views
from services.approval.policy.evaluate import EXPLICIT, matched
from services.approval.policy.messages import PolicyError
from services.approval.policy.shipped import DEFAULTS, MESSAGES
from services.approval.record import POLICY, State
from services.approval.risk.rules import RuleBook
from services.approval.survey import types_of, unread_in
from services.runtime.errors import ConfigurationError

# When an example is asked for that does not say: Wednesday 2025-01-01 12:00 UTC.
_EXAMPLE_MS = 1_735_732_800_000


def judge_example(
    policy: Policy, environment: str, example: policy_pb2.PolicyExample, rules: RuleBook | None
) -> Judgement:
    """What the detectors and a policy say about an example."""
    actions = list(example.actions)
    if example.command:
        actions = [action_pb2.Action(command=action_pb2.CommandAction(script=example.command))]
    asked = Asked(
        project=example.project_id,
        requester=example.requester,
        now_ms=example.time.ToMilliseconds() if example.HasField("time") else _EXAMPLE_MS,
    )
    context = risk.Context(environment=environment, agent=example.agent, rules=rules)
    return judge(actions, context, policy, require_approval=example.require_approval, asked=asked)


def check(policy: Policy, message: policy_pb2.Policy, rules: RuleBook | None) -> None:
    """Hold a policy to the examples of its rules and to its cases. Raises PolicyError, with all that differ."""
    environment = convert.environment_name(message.environment, "")
    faults = list(_faults(policy, message, environment, rules))
    if faults:
        raise PolicyError(faults)


def check_shipped() -> None:
    """Hold the policies that come with the service to their cases. Raises ConfigurationError."""
    for environment, message in MESSAGES.items():
        try:
            check(DEFAULTS[environment], message, None)
        except PolicyError as error:
            raise ConfigurationError(
                f"the policy for {environment} of this installation does not do what it says: {error}"
            ) from error


def _faults(
    policy: Policy, message: policy_pb2.Policy, environment: str, rules: RuleBook | None
) -> Iterator[tuple[str, str]]:
    for at, (rule, source) in enumerate(zip(policy.rules, message.rules, strict=True)):
        for kind, wanted in (("match", True), ("no_match", False)):
            for index, example in enumerate(getattr(source, kind)):
                question = judge_example(policy, environment, example, rules).question
                answer = _matches(policy, rule, question)
                if answer is not wanted:
                    told = (
                        f"has no answer: {answer}"
                        if isinstance(answer, str)
                        else f"is {'' if answer else 'not '}a match"
                    )
                    yield f"rules[{at}].{kind}[{index}]", f"{rule.id}: {_named(example)} {told}"
    for index, case in enumerate(message.cases):
        verdict = judge_example(policy, environment, case.example, rules).verdict
        expected = Outcome(case.outcome)
        if verdict.outcome is not expected:
            why = f"{_named(case.example)} is {verdict.outcome.name}, not {expected.name}: {verdict.reason}"
            yield f"cases[{index}]", why


def _matches(policy: Policy, rule: Rule, question: Question) -> bool | str:
    views = Views(question, policy.needs, policy.time_zone)
    return matched(rule.when, views, every=rule.outcome is Outcome.AUTO)


def _named(example: policy_pb2.PolicyExample) -> str:
    if example.command:
        return f"`{risk.redact(example.command)[:100]}`"
    return " and ".join(str(action.WhichOneof("kind")) for action in example.actions)


def verdict_then(past: Past) -> Verdict:
    """What was decided about a request when it was made."""
    decision = past.record.decision
    if past.record.state is State.DENIED:
        outcome = Outcome.DENY
    elif decision is not None and decision.by == POLICY:
        outcome = Outcome.AUTO
    else:
        outcome = Outcome.HUMAN
    return Verdict(outcome, past.body.policy_reason)


def verdict_now(policy: Policy, past: Past, environment: str, rules: RuleBook | None) -> Verdict:
    """What a policy would decide about a request, with the assessment and at the time that it had.

    Never raises: a stored action that cannot be read any more is one that could not be read.
    """
    body = past.body
    context = convert.context_of(body.context, environment, rules)
    try:
        actions = [convert.action_of(action, context) for action in body.actions]
        types = frozenset[str]().union(*(types_of(action, context.approval_type) for action in actions))
        unread = unread_in(actions)
    except ValueError:
        actions, types, unread = [], frozenset(), ()
    factors = tuple(
        risk.Factor(each.id, each.category, each.explanation, each.weight) for each in body.assessment.factors
    )
    question = Question(
        level=convert.level_of(body.assessment.level),
        types=types,
        unread=unread,
        require_approval=EXPLICIT in body.policy_reason,
        score=body.assessment.score,
        factors=factors,
        actions=actions,
        where=context,
        project=body.context.project_id,
        requester=past.record.requester,
        now_ms=past.record.created_ms,
    )
    return evaluate(policy, question)
