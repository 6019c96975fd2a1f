"""Policies as the contract has them: what they become, and every fault of one that cannot be taken."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from protovalidate import ValidationError, validate

from harness.approval.v1 import policy_pb2
from harness.common.v1 import action_pb2
from services.approval import trials
from services.approval.judge import Asked, judge
from services.approval.lifecycle import HOUR_MS, Outcome
from services.approval.policy import ALL_TYPES, DEFAULTS, Policy
from services.approval.policy.messages import PolicyError, policy_of, saved_policy_of
from services.approval.policy.shipped import ETAG, MESSAGES
from services.approval.policy.windows import Window
from services.approval.quorum import Seat
from services.approval.risk import Context, Level

RULE = {"id": "r", "outcome": "POLICY_OUTCOME_HUMAN", "when": "true", "explanation": "why"}
WINDOW = {"id": "w", "outcome": "POLICY_OUTCOME_DENY", "explanation": "why"}
ALWAYS = {**WINDOW, "start_time": "2000-01-01T00:00:00Z", "end_time": "2100-01-01T00:00:00Z"}
ON_CALL = {"quorum": [{"role": "ROLE_APPROVER", "count": 1}, {"group": "on-call", "count": 1}]}
WEEKEND = {**WINDOW, "days": ["DAY_OF_WEEK_SATURDAY"], "start": "00:00", "end": "24:00"}


def message(**fields: Any) -> policy_pb2.Policy:
    given = {"environment": "ENVIRONMENT_DEVELOPMENT", "enabled": True, "max_risk_level": "RISK_LEVEL_LOW", **fields}
    return ParseDict(given, policy_pb2.Policy())


def test_everything_a_policy_says_is_read() -> None:
    policy = policy_of(
        message(
            time_zone="Europe/Berlin",
            rules=[
                {
                    **RULE,
                    "quorum": [{"role": "ROLE_APPROVER", "count": 2}, {"group": "security", "count": 1}],
                    "decide_within": "7200s",
                    "use_within": "3600s",
                }
            ],
            freezes=[
                {**WEEKEND, "unless": "agent == 'x'"},
                {**WEEKEND, "id": "w2", "time_zone": "Asia/Tokyo", "outcome": "POLICY_OUTCOME_HUMAN", **ON_CALL},
                {**WINDOW, "id": "w3", "start_time": "2025-12-20T00:00:00Z", "end_time": "2026-01-02T00:00:00Z"},
            ],
        )
    )
    (rule,) = policy.rules
    assert rule.quorum == (Seat("approver", count=2), Seat(group="security"))
    assert (rule.decide_within_ms, rule.use_within_ms, rule.outcome) == (2 * HOUR_MS, HOUR_MS, Outcome.HUMAN)
    assert [freeze.window for freeze in policy.freezes] == [
        Window(frozenset({6}), 0, 1440, "Europe/Berlin"),
        Window(frozenset({6}), 0, 1440, "Asia/Tokyo"),
        Window(from_ms=1_766_188_800_000, to_ms=1_767_312_000_000),
    ]
    assert policy.freezes[0].unless is not None
    assert [freeze.quorum for freeze in policy.freezes] == [(), (Seat("approver"), Seat(group="on-call")), ()]


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"rules": [RULE, RULE]}, "rules", "r is the id of two"),
        ({"rules": [RULE], "freezes": [{**WEEKEND, "id": "r"}]}, "rules", "r is the id of two"),
        ({"rules": [{**RULE, "when": "nope"}]}, "rules[0].when", "r has the name nope"),
        ({"rules": [{**RULE, "when": "agent"}]}, "rules[0].when", "neither true nor false"),
        (
            {"rules": [{**RULE, "outcome": "POLICY_OUTCOME_DENY", "quorum": [{"role": "ROLE_ADMIN", "count": 1}]}]},
            "rules[0]",
            "quorum",
        ),
        ({"rules": [{**RULE, "outcome": "POLICY_OUTCOME_AUTO", "decide_within": "60s"}]}, "rules[0]", "decide_within"),
        ({"rules": [{**RULE, "outcome": "POLICY_OUTCOME_DENY", "use_within": "60s"}]}, "rules[0]", "use_within"),
        (
            {"rules": [{**RULE, "quorum": [{"group": "a", "count": 1}, {"group": "a", "count": 2}]}]},
            "rules[0].quorum",
            "twice",
        ),
        ({"time_zone": "Mars/Base"}, "time_zone", "Mars/Base"),
        ({"freezes": [{**WEEKEND, "time_zone": "Mars/Base"}]}, "freezes[0]", "Mars/Base"),
        ({"freezes": [{**WEEKEND, "start": "25:00"}]}, "freezes[0]", "25:00"),
        ({"freezes": [{**WEEKEND, "start": "24:00"}]}, "freezes[0]", "24:00"),
        ({"freezes": [{**WEEKEND, "unless": "nope"}]}, "freezes[0].unless", "nope"),
        ({"freezes": [{**WEEKEND, "outcome": "POLICY_OUTCOME_DENY", **ON_CALL}]}, "freezes[0].quorum", "for HUMAN"),
    ],
)
def test_faults_are_named(fields: dict[str, Any], field: str, why: str) -> None:
    given = message(**fields)
    with pytest.raises(PolicyError) as refused:
        policy_of(given)
    assert [at for at, _ in refused.value.faults] == [field]
    assert why in refused.value.faults[0][1]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"rules": [{**RULE, "when": "nope"}]}, Outcome.HUMAN),
        ({"rules": [{**RULE, "when": "nope", "outcome": "POLICY_OUTCOME_DENY"}]}, Outcome.DENY),
        ({"rules": [{**RULE, "when": "nope", "outcome": "POLICY_OUTCOME_AUTO"}], "enabled": False}, Outcome.HUMAN),
        ({"freezes": [{**WEEKEND, "time_zone": "Mars/Base"}]}, Outcome.DENY),
        ({"freezes": [{**ALWAYS, "unless": "nope"}]}, Outcome.DENY),
        ({"freezes": [{**ALWAYS, "unless": "true"}]}, Outcome.AUTO),
    ],
)
def test_what_was_saved_and_cannot_be_read_any_more_fails_closed(fields: dict[str, Any], outcome: Outcome) -> None:
    ls = [action_pb2.Action(command=action_pb2.CommandAction(script="ls"))]
    saved = saved_policy_of(message(**fields), "v1")
    asked = Asked(now_ms=1_735_732_800_000)
    assert judge(ls, Context(), saved, require_approval=False, asked=asked).verdict.outcome is outcome


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(PolicyError) as refused:
        policy_of(message(time_zone="x", rules=[{**RULE, "when": "nope"}, {**RULE, "id": "s", "when": "1"}]))
    assert [at for at, _ in refused.value.faults] == ["time_zone", "rules[0].when", "rules[1].when"]


@pytest.mark.parametrize(
    "fields",
    [
        {"rules": [{**RULE, "id": "Not An Id"}]},
        {"rules": [{**RULE, "outcome": "POLICY_OUTCOME_UNSPECIFIED"}]},
        {"rules": [{**RULE, "explanation": ""}]},
        {"rules": [{**RULE, "when": "x" * 4097}]},
        {"rules": [{**RULE, "decide_within": "0s"}]},
        {"rules": [{**RULE, "quorum": [{"count": 1}]}]},
        {"rules": [{**RULE, "quorum": [{"role": "ROLE_AGENT", "count": 1}]}]},
        {"rules": [{**RULE, "quorum": [{"role": "ROLE_ADMIN"}]}]},
        {"rules": [{**RULE, "match": [{}]}]},
        {"rules": [{**RULE, "id": f"r{n}"} for n in range(201)]},
        {"freezes": [WINDOW]},
        {"freezes": [{**WEEKEND, "end": ""}]},
        {"freezes": [{**WEEKEND, "start_time": "2025-01-01T00:00:00Z"}]},
        {"freezes": [{**WINDOW, "start_time": "2025-01-02T00:00:00Z", "end_time": "2025-01-01T00:00:00Z"}]},
        {"freezes": [{**WEEKEND, "outcome": "POLICY_OUTCOME_AUTO"}]},
        {"cases": [{"outcome": "POLICY_OUTCOME_AUTO"}]},
    ],
)
def test_the_contract_refuses_what_no_policy_is(fields: dict[str, Any]) -> None:
    validate(message(rules=[RULE], freezes=[WEEKEND]))
    with pytest.raises(ValidationError):
        validate(message(**fields))


def case(outcome: str, **example: Any) -> dict[str, Any]:
    return {"example": example, "outcome": f"POLICY_OUTCOME_{outcome}"}


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"rules": [{**RULE, "match": [{"command": "ls"}]}]}, []),
        ({"rules": [{**RULE, "no_match": [{"command": "ls"}]}]}, [("rules[0].no_match[0]", "r: `ls` is a match")]),
        (
            {
                "rules": [
                    {**RULE, "when": "agent == 'a'", "match": [{"command": "ls", "agent": "a"}, {"command": "ls"}]}
                ]
            },
            [("rules[0].match[1]", "r: `ls` is not a match")],
        ),
        (
            {
                "rules": [
                    {**RULE, "when": "size(action.words) == 0 || action.words[1] == 'x'", "match": [{"command": "ls"}]}
                ]
            },
            [("rules[0].match[0]", "r: `ls` has no answer: IndexError")],
        ),
        (
            {
                "rules": [
                    {
                        **RULE,
                        "outcome": "POLICY_OUTCOME_AUTO",
                        "when": "action.path.startsWith('docs/')",
                        "no_match": [
                            {"actions": [{"file_write": {"path": "docs/a"}}, {"file_write": {"path": "src/a"}}]},
                            {"actions": [{"file_write": {"path": "docs/../src/a"}}]},
                            {"actions": [{"file_write": {"path": "docs/a"}}]},
                        ],
                    }
                ]
            },
            [("rules[0].no_match[2]", "r: file_write is a match")],
        ),
        ({"cases": [case("AUTO", command="ls"), case("HUMAN", command="ls", require_approval=True)]}, []),
        (
            {"cases": [case("DENY", command="ls")]},
            [("cases[0]", "`ls` is AUTO, not DENY: LOW is within the policy (up to LOW)")],
        ),
        (
            {
                "freezes": [WEEKEND],
                "cases": [case("DENY", command="ls", time="2025-01-04T10:00:00Z"), case("AUTO", command="ls")],
            },
            [],
        ),
    ],
)
def test_examples_that_come_out_otherwise_are_named(fields: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    given = message(**fields)
    if not faults:
        trials.check(policy_of(given), given, None)
        return
    with pytest.raises(PolicyError) as refused:
        trials.check(policy_of(given), given, None)
    assert list(refused.value.faults) == faults


def test_a_secret_in_an_example_is_not_repeated() -> None:
    secret = "ghp_" + "x7Kq2LmZ9pRt4VwY8sBn3CdFgHj5QaTe6UiO"
    given = message(
        rules=[{**RULE, "no_match": [{"command": f"curl -H 'Authorization: Bearer {secret}' https://x.io"}]}]
    )
    with pytest.raises(PolicyError) as refused:
        trials.check(policy_of(given), given, None)
    assert secret not in str(refused.value)


def test_the_shipped_policies_are_what_they_were_and_do_what_they_say() -> None:
    everything = Policy(enabled=True, allowed_types=ALL_TYPES)
    assert dict(DEFAULTS) == {
        "development": everything,
        "staging": Policy(enabled=True, allowed_types=frozenset({"file_write", "code_execution"})),
        "production": Policy(enabled=True),
    }
    assert all(policy.etag == ETAG and policy.max_level is Level.LOW for policy in DEFAULTS.values())
    for shipped in MESSAGES.values():
        validate(shipped)
        assert shipped.cases
    trials.check_shipped()


def test_a_shipped_policy_that_does_not_do_what_it_says_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = message(cases=[case("DENY", command="ls")])
    monkeypatch.setattr(trials, "MESSAGES", {"development": wrong})
    with pytest.raises(Exception, match="does not do what it says"):
        trials.check_shipped()
