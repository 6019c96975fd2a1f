"""What was found out lately: the same actions in the same circumstances, and nothing else, are not assessed again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.approval import risk
from services.approval.findings import Recent, findings_of
from services.approval.risk.rules import BUILTIN

HERE = risk.Context(working_dir="/srv/app")
LISTS, DELETES = [risk.Command(script="ls")], [risk.Command(script="rm -rf /")]


def test_what_was_found_is_what_would_be_found() -> None:
    recent = Recent()
    found = recent.of("d", DELETES, HERE)
    assert found == findings_of("d", DELETES, HERE)
    # By another list it is seen that nobody looks again: a digest is that of one list only.
    assert recent.of("d", LISTS, HERE) is found
    assert recent.of("e", LISTS, HERE) == findings_of("e", LISTS, HERE)


@pytest.mark.parametrize(
    "other",
    [
        {"environment": "production"},
        {"agent": "coder"},
        {"approval_type": "git_push"},
        {"working_dir": "/srv"},
        {"links": {"a": "/etc"}},
        {"agent_rating": risk.Level.HIGH},
        {"rules": BUILTIN.extended([])},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_circumstances_are_looked_at_again(other: dict[str, Any]) -> None:
    recent, there = Recent(), replace(HERE, **other)
    assert {name for name in risk.Context.__slots__ if getattr(there, name) != getattr(HERE, name)} == set(other)
    for first, second in ((HERE, there), (there, HERE)):
        recent = Recent()
        found = recent.of("d", DELETES, first)
        assert recent.of("d", LISTS, second) == findings_of("d", LISTS, second) != found


def test_every_circumstance_is_told_apart() -> None:
    """A new field of the context has to be added to what is compared."""
    assert set(risk.Context.__slots__) == {
        *("environment", "agent", "approval_type", "working_dir", "links", "agent_rating", "rules"),
    }


def test_links_are_never_remembered() -> None:
    recent, linked = Recent(), replace(HERE, links={"a": "/etc"})
    recent.of("d", DELETES, linked)
    assert recent.of("d", LISTS, linked) == findings_of("d", LISTS, linked)


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    recent = Recent(most=2)
    first = recent.of("a", DELETES, HERE)
    recent.of("b", DELETES, HERE)
    assert recent.of("a", LISTS, HERE) is first
    recent.of("c", DELETES, HERE)
    assert recent.of("a", LISTS, HERE) is first
    assert recent.of("b", LISTS, HERE) == findings_of("b", LISTS, HERE)


def test_much_is_not_kept() -> None:
    recent = Recent(most_factors=1)
    assert len(recent.of("d", DELETES, HERE).assessment.factors) > 1
    assert recent.of("d", LISTS, HERE) == findings_of("d", LISTS, HERE)
