"""The policy: a table of what passes, and one case for each field that shows that it decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.approval.lifecycle import Outcome
from services.approval.policy import ALL_TYPES, DEFAULTS, Policy, Question, evaluate
from services.approval.risk import Level

OPEN = Policy(enabled=True, max_level=Level.HIGH, allowed_types=ALL_TYPES, require_scan=False)
HARMLESS = Question(Level.LOW)


def test_what_meets_every_condition_passes() -> None:
    assert evaluate(OPEN, HARMLESS).outcome is Outcome.AUTO


def test_enabled_decides() -> None:
    assert evaluate(replace(OPEN, enabled=False), HARMLESS).outcome is Outcome.HUMAN


@pytest.mark.parametrize(
    ("highest", "passing"),
    [
        (Level.LOW, {Level.LOW}),
        (Level.MEDIUM, {Level.LOW, Level.MEDIUM}),
        (Level.HIGH, {Level.LOW, Level.MEDIUM, Level.HIGH}),
    ],
)
def test_max_level_decides_and_critical_and_unknown_never_pass(highest: Level, passing: set[Level]) -> None:
    policy = replace(OPEN, max_level=highest)
    assert {level for level in Level if evaluate(policy, Question(level)).outcome is Outcome.AUTO} == passing


def test_allowed_types_decide() -> None:
    policy = replace(OPEN, allowed_types=frozenset({"file_write"}))
    assert evaluate(policy, replace(HARMLESS, types=frozenset({"file_write"}))).outcome is Outcome.AUTO
    assert evaluate(policy, replace(HARMLESS, types=frozenset({"git_push"}))).outcome is Outcome.HUMAN


def test_every_type_of_a_mixed_request_must_be_allowed() -> None:
    policy = replace(OPEN, allowed_types=frozenset({"file_write"}))
    verdict = evaluate(policy, replace(HARMLESS, types=frozenset({"file_write", "api_call"})))
    assert verdict.outcome is Outcome.HUMAN
    assert "api_call" in verdict.reason


def test_an_empty_list_allows_no_type_but_reading_passes() -> None:
    policy = replace(OPEN, allowed_types=frozenset())
    assert evaluate(policy, HARMLESS).outcome is Outcome.AUTO
    for name in ALL_TYPES:
        assert evaluate(policy, replace(HARMLESS, types=frozenset({name}))).outcome is Outcome.HUMAN


def test_require_scan_decides() -> None:
    question = replace(HARMLESS, unread=("cobol code",))
    assert evaluate(OPEN, question).outcome is Outcome.AUTO
    verdict = evaluate(replace(OPEN, require_scan=True), question)
    assert verdict.outcome is Outcome.HUMAN
    assert "cobol code" in verdict.reason


@pytest.mark.parametrize("policy", [OPEN, *DEFAULTS.values()])
def test_an_explicit_demand_always_asks(policy: Policy) -> None:
    assert evaluate(policy, replace(HARMLESS, require_approval=True)).outcome is Outcome.HUMAN


@pytest.mark.parametrize(
    ("environment", "types", "outcome"),
    [
        ("development", frozenset[str](), Outcome.AUTO),
        ("development", ALL_TYPES, Outcome.AUTO),
        ("staging", frozenset[str](), Outcome.AUTO),
        ("staging", frozenset({"file_write", "code_execution"}), Outcome.AUTO),
        ("staging", frozenset({"git_push"}), Outcome.HUMAN),
        ("staging", frozenset({"api_call"}), Outcome.HUMAN),
        ("production", frozenset[str](), Outcome.AUTO),
        ("production", frozenset({"file_write"}), Outcome.HUMAN),
        ("production", frozenset({"code_execution"}), Outcome.HUMAN),
    ],
)
def test_shipped_defaults_for_low(environment: str, types: frozenset[str], outcome: Outcome) -> None:
    assert evaluate(DEFAULTS[environment], Question(Level.LOW, types)).outcome is outcome


@pytest.mark.parametrize("environment", list(DEFAULTS))
@pytest.mark.parametrize("level", [Level.MEDIUM, Level.HIGH, Level.CRITICAL, Level.UNKNOWN])
def test_shipped_defaults_ask_about_everything_else(environment: str, level: Level) -> None:
    assert evaluate(DEFAULTS[environment], Question(level)).outcome is Outcome.HUMAN


@pytest.mark.parametrize("environment", list(DEFAULTS))
def test_shipped_defaults_ask_about_what_was_not_scanned(environment: str) -> None:
    assert evaluate(DEFAULTS[environment], replace(HARMLESS, unread=("x",))).outcome is Outcome.HUMAN
