"""No dress hides a risky command, and everyday commands pass: on commands that are made from tables.

The whole tables are measured by `benchmarks.risk_detection`; here each dress and each template is tried on a few.
"""

from __future__ import annotations

import random

import pytest

from benchmarks.corpora import evasions, everyday
from services.approval.risk import Command, Level, assess

# Another sixth of the commands for every dress, so that all together every command is worn by ten dresses or more.
STEP = 6


@pytest.mark.parametrize("command", evasions.COMMANDS)
def test_every_command_of_the_table_asks_a_person(command: str) -> None:
    assert assess(Command(script=command)).level > Level.LOW


@pytest.mark.parametrize(("number", "name"), list(enumerate(evasions.DRESSES)))
def test_a_dress_never_lowers_a_level(number: int, name: str) -> None:
    for command in evasions.COMMANDS[number % STEP :: STEP]:
        text = dict(evasions.dressed(command))[name]
        assert assess(Command(script=text)).level >= assess(Command(script=command)).level, text


def test_two_dresses_over_each_other_let_nothing_pass() -> None:
    for number, command in enumerate(evasions.COMMANDS):
        inner = list(evasions.dressed(command))[number % len(evasions.DRESSES)][1]
        for name in ("after", "subshell", "sh-c", "eval", "base64", "here-document", "function", "condition"):
            text = evasions.DRESSES[name](inner, random.Random(number))
            assert assess(Command(script=text)).level > Level.LOW, text


@pytest.mark.parametrize("template", everyday.TEMPLATES)
def test_everyday_commands_pass(template: str) -> None:
    for seed in range(3):
        command = everyday.fill(template, random.Random(seed))
        assessment = assess(Command(script=command))
        assert assessment.level is Level.LOW, (command, [factor.id for factor in assessment.factors])
