"""Every example of docs/policy.md: it can be saved, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from protovalidate import validate

from motherharness.policies import dump, parse
from services.approval import trials
from services.approval.policy.messages import policy_of
from services.approval.policy.names import CONSTANTS, NAMES

DOC = (Path(__file__).resolve().parents[4] / "docs" / "policy.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOC, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", EXAMPLES, ids=[text.partition("id: ")[2].partition("\n")[0] for text in EXAMPLES])
def test_every_example_is_a_policy_that_does_what_it_says(text: str) -> None:
    message = parse(text)
    validate(message)
    trials.check(policy_of(message), message, None)
    assert all(rule.match and rule.no_match for rule in message.rules)
    assert message.rules or message.cases
    assert parse(dump(message)) == message


def test_there_are_examples_of_each_kind() -> None:
    policies = [parse(text) for text in EXAMPLES]
    assert {rule.outcome for policy in policies for rule in policy.rules} == {1, 2, 3}
    assert {freeze.outcome for policy in policies for freeze in policy.freezes} == {2, 3}
    assert len(policies) >= 10


@pytest.mark.parametrize(
    "name", [*NAMES, *(name for name in CONSTANTS if not name.endswith("DAY")), "MONDAY", "SUNDAY"]
)
def test_every_name_is_documented(name: str) -> None:
    assert f"`{name}`" in DOC
