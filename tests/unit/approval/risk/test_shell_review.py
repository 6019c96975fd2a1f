"""Ways past the walker that a review found, and work that a review found without bounds."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, Level, assess
from tests.support.patience import ends


@pytest.mark.parametrize(
    "script",
    [
        "rm(){ :; }; bash -c 'rm -rf /'",
        "shopt -s expand_aliases\nalias rm=ls\nsh -c 'rm -rf /'",
        "compgen -C 'rm -rf /'",
        "compgen -W '$(rm -rf /)'",
        "[[ 'a[$(rm -rf /)]' -eq 1 ]]",
        "[[ -v 'a[$(rm -rf /)]' ]]",
    ],
)
def test_ways_past_the_walker_ask(script: str) -> None:
    assert assess(Command(script=script)).level > Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "log() { echo \"$1\"; }; bash -c 'echo hi'; log done",
        "compgen -c | head",
        '[[ "${a[0]}" -eq 1 ]] && echo yes',
        "[[ $x =~ ^[a-z]+$ ]]",
        '[[ "${a[$(( i + 1 ))]}" == \'x\' ]] && echo "${a[${i}]}"',
        "ls | sort | uniq -c | sort -rn | head",
    ],
)
def test_their_everyday_likes_pass(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize("part", ["a|", "find . -exec ", "docker run x ", "sudo ", "env A=1 ", "xargs ", "a|&"])
def test_work_and_memory_are_bounded_between_the_caps(part: str) -> None:
    with ends():
        for size in (20_000, 60_000, 120_000):
            assess(Command(script=(part * size)[:size]))
