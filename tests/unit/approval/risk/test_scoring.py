"""How factors become a level: every weight has a reason, and no circumstance makes a question of a note."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import (
    Command,
    Context,
    Factor,
    FileDelete,
    Level,
    StepStart,
    assess,
    modifiers,
    rules,
    scoring,
)

PRODUCTION = Context(environment="production")
HARMLESS = ("ls -la", "git status", "cat README.md", "kubectl get pods", "grep -rn TODO src", "pytest -q")

factors = st.builds(
    lambda id, weight: Factor(id, id.partition(".")[0], "why", weight),
    st.sampled_from(
        ["a.x", "b.y", "destruction.z", "environment.production", "agent.base", "reach.wide", "unreadable.u"]
    ),
    st.integers(0, 100),
)


def effect(weight: int, category: str = "change", excerpt: str = "x") -> Factor:
    return Factor(f"{category}.made", category, "why", weight, excerpt)


def ids(*found: Factor, context: Context | None = None) -> set[str]:
    return {f.id for f in modifiers.circumstances(found, context or Context())}


def test_every_number_of_the_score_is_listed_with_its_reason() -> None:
    named = {name for name, value in vars(scoring).items() if name.isupper() and isinstance(value, int)}
    assert named | {f"TYPE_BASE[{name}]" for name in scoring.TYPE_BASE} == {weight.name for weight in scoring.WEIGHTS}
    for weight in scoring.WEIGHTS:
        assert weight.reason
        if "[" not in weight.name:
            assert getattr(scoring, weight.name) == weight.value


def test_the_page_on_risk_lists_every_weight_and_every_category_of_the_rules() -> None:
    page = (Path(__file__).parents[4] / "docs" / "risk.md").read_text(encoding="utf-8")
    for weight in scoring.WEIGHTS:
        assert f"| `{weight.name}` | {weight.value} | {weight.reason} |" in page
    for pack in rules.BUILTIN.packs:
        for rule in pack.rules:
            assert f"`{rule.id.partition('.')[0]}`" in page, rule.id
    for category in [scoring.UNREADABLE, *scoring.MODIFIERS]:
        assert f"`{category}`" in page


@pytest.mark.parametrize(
    ("weights", "level"),
    [
        ([], Level.LOW),
        ([scoring.MINOR], Level.LOW),
        ([scoring.NOTE] * 50, Level.LOW),
        ([scoring.MINOR, scoring.MINOR], Level.MEDIUM),
        ([scoring.MEDIUM], Level.MEDIUM),
        ([scoring.MEDIUM, scoring.MEDIUM], Level.HIGH),
        ([scoring.SERIOUS], Level.MEDIUM),
        ([scoring.SERIOUS, scoring.MINOR], Level.HIGH),
        ([scoring.HIGH] * 9, Level.HIGH),
        ([scoring.CRITICAL], Level.CRITICAL),
    ],
)
def test_levels_follow_from_the_sum(weights: list[int], level: Level) -> None:
    found = [Factor(f"change.{n}", "change", "why", weight) for n, weight in enumerate(weights)]
    assert scoring.conclude(found).level is level


@given(st.lists(factors, max_size=8), st.lists(factors, max_size=3))
def test_one_reason_more_never_lowers_a_level(some: list[Factor], more: list[Factor]) -> None:
    assert scoring.conclude([*some, *more]).level >= scoring.conclude(some).level


@given(st.lists(factors, max_size=8), st.sampled_from(list(Level)))
def test_an_agents_own_rating_raises_and_never_lowers(found: list[Factor], rating: Level) -> None:
    assessed = scoring.conclude(found, rating)
    assert assessed.level is max(scoring.conclude(found).level, rating)
    assert ("agent.rating" in {f.id for f in assessed.factors}) == (rating > scoring.conclude(found).level)


@pytest.mark.parametrize("script", HARMLESS)
def test_what_is_harmless_is_low_in_production_for_every_agent(script: str) -> None:
    for agent in ("coder", "toolsmith", ""):
        assert assess(Command(script=script), Context("production", agent)).level is Level.LOW


def test_a_coder_who_only_reads_is_low_in_production() -> None:
    assert assess(StepStart("coder", "Research best practices"), PRODUCTION).level is Level.LOW


def test_an_environment_is_a_field_and_no_part_of_a_name() -> None:
    assert "environment.production" in ids(effect(scoring.MEDIUM), context=PRODUCTION)
    for name in ("preproduction", "prod-like", "product", "staging"):
        assert not ids(effect(scoring.MEDIUM), context=Context(environment=name))


@pytest.mark.parametrize(
    ("excerpt", "found"),
    [
        ("chmod -R 777 /", "reach.whole"),
        ("chown -R me /etc", "reach.whole"),
        ("kubectl delete pods --all-namespaces", "reach.whole"),
        ("aws ec2 authorize-security-group-ingress --cidr 0.0.0.0/0", "reach.whole"),
        ("rm -f *", "reach.wide"),
        ("docker rm --all", "reach.wide"),
        ("Delete all temporary files", "reach.wide"),
        ("rm -f notes.txt", ""),
        ("chmod 600 src/app/key", ""),
    ],
)
def test_reach_is_told_by_the_targets(excerpt: str, found: str) -> None:
    assert ids(effect(scoring.MEDIUM, excerpt=excerpt)) == ({found} if found else set())


def test_reach_and_reversibility_make_no_question_of_their_own() -> None:
    small = effect(scoring.MINOR, "destruction", "rm *")
    assert ids(small) == set()
    assert ids(effect(scoring.MEDIUM, "destruction", "rm *")) == {"reach.wide", "reversibility.none"}


def test_serious_wide_and_irreversible_is_high_and_medium_stays_medium() -> None:
    serious, medium = (effect(weight, "destruction", "rm *") for weight in (scoring.SERIOUS, scoring.MEDIUM))
    assert scoring.conclude([serious, *modifiers.circumstances([serious], Context())]).level is Level.HIGH
    assert scoring.conclude([medium, *modifiers.circumstances([medium], Context())]).level is Level.MEDIUM
    assert assess(FileDelete("build", recursive=True)).level is Level.MEDIUM


def test_irreversible_effects_say_why() -> None:
    (factor,) = (f for f in modifiers.circumstances([effect(scoring.MEDIUM, "exfiltration")], Context()))
    assert factor.id == "reversibility.none"
    assert "called back" in factor.message


@pytest.mark.parametrize("key", ["risk", "risk_level", "severity", "riskLevel"])
def test_inputs_that_rate_themselves_lower_nothing(key: str) -> None:
    plain = assess(StepStart("coder", "Deploy changes", inputs={"command": "rm -rf /srv"}))
    rated = assess(StepStart("coder", "Deploy changes", inputs={"command": "rm -rf /srv", key: "low", "score": 0}))
    assert rated.level is plain.level
    assert rated.score == plain.score
