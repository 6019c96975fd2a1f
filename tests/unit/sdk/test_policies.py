"""Policies as people write them: read, refused with the place, and written back the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.approval.v1 import policy_pb2, risk_pb2
from harness.common.v1 import access_pb2, action_pb2
from motherharness.policies import PolicyFileError, dump, parse
from motherharness.text import UNSAFE

HEAD = "environment: production\nenabled: true\nmax_risk_level: low\n"
RULE = HEAD + "rules:\n  - id: r\n    outcome: human\n    when: 'true'\n    explanation: why\n"


def test_short_and_full_forms_mean_the_same() -> None:
    short = parse(RULE + "    quorum: [{role: approver, count: 2}]\n    decide_within: 4h\n    use_within: 90s\n")
    full = parse(
        (RULE + "    quorum: [{role: ROLE_APPROVER, count: '2'}]\n    decide_within: 14400s\n    use_within: 90s\n")
        .replace("production", "ENVIRONMENT_PRODUCTION")
        .replace("human", "POLICY_OUTCOME_HUMAN")
        .replace("low", "RISK_LEVEL_LOW")
    )
    assert short == full
    (rule,) = short.rules
    assert (rule.outcome, rule.when, rule.decide_within.seconds) == (risk_pb2.POLICY_OUTCOME_HUMAN, "true", 14400)
    assert (rule.quorum[0].role, rule.quorum[0].count) == (access_pb2.ROLE_APPROVER, 2)
    assert short.environment == action_pb2.ENVIRONMENT_PRODUCTION


def test_what_yaml_would_take_for_something_else_is_text() -> None:
    freeze = "freezes:\n  - {id: w, outcome: deny, explanation: no, days: [friday], start: 18:00, end: 24:00}\n"
    (window,) = parse(HEAD + freeze).freezes
    assert (window.explanation, window.start, window.end) == ("no", "18:00", "24:00")
    times = "start_time: 2025-12-24T00:00:00Z, end_time: 2026-01-01T00:00:00Z"
    once = f"freezes:\n  - {{id: w, outcome: deny, explanation: x, {times}}}\n"
    assert parse(HEAD + once).freezes[0].start_time.seconds == 1766534400


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no mapping"),
        ("- a", "no mapping"),
        ("a: [", "no YAML"),
        ("a: " + "[" * 600, "nested too deep|no YAML"),
        ("a: !!python/object:os.system x", "no YAML|not known"),
        (HEAD + "enabled: false\n", "enabled is there twice"),
        (RULE + "    when: 'false'\n", "when is there twice"),
        ("a: &x 1\nb: *x", "alias"),
        (HEAD + "rule: []", "rule is not known; there are environment"),
        (HEAD + "rules: {}", "rules must be a list"),
        (HEAD + "rules: [x]", r"rules\[0\] must be a mapping"),
        (RULE.replace("human", "maybe"), r"rules\[0\].outcome is 'maybe'; there are auto, human, deny"),
        (RULE.replace("enabled: true", "enabled: yes"), "enabled must be true or false"),
        (RULE + "    quorum: [{role: approver, count: two}]", r"rules\[0\].quorum\[0\].count must be a whole number"),
        (RULE + "    quorum: [{role: approver, group: g, count: 1}]", "oneof"),
        (RULE + "    decide_within: 4 hours", "90s, 30m, 4h or 2d"),
        (RULE + "    decide_within: 4.5h", "90s, 30m, 4h or 2d"),
        (RULE + "    explain: why", r"rules\[0\].explain is not known"),
        (RULE.replace("id: r", "id: [r]"), r"rules\[0\].id must be a single value"),
        ("x" * (1 << 21), "characters long"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(PolicyFileError, match=why):
        parse(text)


# What means something to YAML, to terminals, or to readers of lines.
texts = st.text("ab1 ':\"#-&*!|>%@`{}[],?\\\n\t\x1b\x7f\x85\u202e\u2028ü🌍", max_size=12)
rules = st.builds(
    policy_pb2.PolicyRule,
    id=texts,
    outcome=st.sampled_from(risk_pb2.PolicyOutcome.values()),
    when=texts,
    explanation=texts,
    match=st.lists(
        st.builds(policy_pb2.PolicyExample, command=texts, agent=texts, require_approval=st.booleans()), max_size=2
    ),
)
policies = st.builds(
    policy_pb2.Policy,
    environment=st.sampled_from(action_pb2.Environment.values()),
    enabled=st.booleans(),
    max_risk_level=st.sampled_from(risk_pb2.RiskLevel.values()[1:4]),
    allowed_types=st.lists(st.sampled_from(action_pb2.ApprovalType.values()), max_size=3),
    etag=texts,
    rules=st.lists(rules, max_size=2),
)


@settings(deadline=None)
@given(policies, st.integers(0, 1 << 40), texts)
def test_what_is_written_is_read_back_the_same_and_drives_no_terminal(
    policy: policy_pb2.Policy, version: int, by: str
) -> None:
    saved = policy_pb2.Policy()
    saved.CopyFrom(policy)
    saved.version, saved.updated_by = version, by
    text = dump(saved)
    assert UNSAFE.search(text) is None
    assert parse(text) == policy
