"""Packs of an operator: what one may say, and what is refused with which words."""

from __future__ import annotations

import pytest

from services.approval.risk import Assessment, Command, Context, Level, assess
from services.approval.risk.rules import BUILTIN, PackError, RuleBook, parse
from services.approval.risk.rules.examples import check
from tests.support.patience import ends

HEAD = "schema: 1\npack: acme/deploy\nversion: 1.2.0\n"
RULE = """\
  - id: acme.deploy
    programs: acme-deploy
    weight: high
    message: Deploys to the shops.
    safer: Use the release calendar.
    when: {sub: rollout, without: --preview}
    match: [acme-deploy rollout shops]
    no_match: [acme-deploy status, acme-deploy rollout shops --preview]
"""
PACK = f"{HEAD}rules:\n{RULE}"


def judge(line: str, book: RuleBook) -> Assessment:
    return assess(Command(script=line), Context(rules=book))


def rule(**changes: str) -> str:
    """The pack with some lines of its rule changed; an empty value takes the line out."""
    lines = RULE.splitlines()
    for key, value in changes.items():
        at = next((i for i, line in enumerate(lines) if line.lstrip(" -").startswith(f"{key}:")), None)
        if at is None:
            lines.append(f"    {key}: {value}")
        elif value:
            lines[at] = lines[at].partition(":")[0] + f": {value}"
        else:
            lines[at] = "  - " if lines[at].startswith("  - ") else ""
    return f"{HEAD}rules:\n" + "\n".join(lines) + "\n"


def test_a_pack_adds_rules_for_a_program() -> None:
    pack = parse(PACK, "deploy.yaml")
    book = BUILTIN.extended([pack])
    check([pack], judge, book)
    (factor,) = (f for f in judge("acme-deploy rollout shops", book).factors if f.id == "acme.deploy")
    assert (factor.category, factor.weight, factor.message) == ("acme", 55, "Deploys to the shops.")
    assert judge("acme-deploy rollout shops", BUILTIN).level is Level.LOW
    assert book.versions()["acme/deploy"].startswith("1.2.0+sha256.")
    assert "acme/deploy" not in BUILTIN.versions()


def test_a_rule_is_tried_inside_wrappers_and_scripts() -> None:
    book = BUILTIN.extended([parse(PACK, "deploy.yaml")])
    for line in (
        "sudo acme-deploy rollout x",
        "sh -c 'acme-deploy rollout x'",
        "for i in 1; do acme-deploy rollout x; done",
    ):
        assert judge(line, book).level >= Level.HIGH


def test_a_pack_cannot_weaken_a_builtin_rule() -> None:
    weak = parse(
        rule(
            id="history.force-push",
            programs="git",
            weight="note",
            when="{sub: push}",
            match="[git push]",
            no_match="[git pull]",
        ),
        "w.yaml",
    )
    book = BUILTIN.extended([weak])
    for line in ("git push --force", "git push", "git push --force --help", "git reset --hard"):
        assert judge(line, book).level >= judge(line, BUILTIN).level
        assert judge(line, book).score >= judge(line, BUILTIN).score


def test_a_program_that_only_an_operator_names_stays_unlisted() -> None:
    book = BUILTIN.extended([parse(PACK, "deploy.yaml")])
    assert "unlisted.program" in {factor.id for factor in judge("acme-deploy status", book).factors}


OPTIONS = PACK.replace("rules:", "options: {acme-deploy: --region -r, git: --force}\nrules:")


def test_options_with_a_value_stand_before_a_subcommand_and_count_for_the_packs_own_rules() -> None:
    book = BUILTIN.extended([parse(OPTIONS, "deploy.yaml")])
    for line in (
        "acme-deploy --region eu rollout x",
        "acme-deploy -r eu rollout x",
        "acme-deploy --region=eu rollout x",
    ):
        assert "acme.deploy" in {factor.id for factor in judge(line, book).factors}
    assert judge("acme-deploy --region rollout status", book).level is Level.LOW
    assert judge("git --force push origin", book) == judge("git --force push origin", BUILTIN)


def test_an_option_of_which_nobody_says_whether_it_takes_a_value_is_read_both_ways() -> None:
    plain = BUILTIN.extended([parse(PACK, "deploy.yaml")])
    again = plain.extended([parse(PACK.replace("acme/deploy", "acme/more"), "more.yaml")])
    many = " ".join(f"--option{n} x" for n in range(9))
    for book in (plain, again):
        for line in (
            "acme-deploy --region eu rollout x",
            "acme-deploy --now --region eu rollout x",
            "acme-deploy --region eu --now rollout x",
            f"acme-deploy {many} rollout x",
        ):
            assert "acme.deploy" in {factor.id for factor in judge(line, book).factors}, line
        for line in ("acme-deploy --region eu status", "acme-deploy --region eu rollout x --preview"):
            assert judge(line, book).level is Level.LOW, line
    told = BUILTIN.extended([parse(OPTIONS, "deploy.yaml")])
    assert judge("acme-deploy --region rollout status", told).level is Level.LOW
    assert judge("acme-deploy --region rollout status", plain).level >= Level.HIGH


def test_a_command_of_many_options_is_read_in_a_bounded_number_of_ways() -> None:
    book = BUILTIN.extended([parse(PACK, "deploy.yaml")])
    with ends():
        judge("acme-deploy " + " ".join(f"--option{n} x" for n in range(2500)), book)


def test_two_packs_of_one_name_are_refused() -> None:
    pack = parse(PACK, "a.yaml")
    with pytest.raises(PackError, match=r"b\.yaml: the pack acme/deploy is already in a\.yaml"):
        BUILTIN.extended([pack, parse(PACK, "b.yaml")])


REFUSED = {
    "no pack at all": ("", "x.yaml: a pack is a mapping of schema, pack"),
    "no YAML": (PACK + "  - {", "x.yaml, line"),
    "a list": ("- a\n", "a pack is a mapping"),
    "another schema": (PACK.replace("schema: 1", "schema: 2"), "this version reads schema: 1"),
    "an unknown key": (PACK + "extra: 1\n", "'extra' is no key of a pack"),
    "no version": (PACK.replace("version: 1.2.0\n", ""), "a pack needs version"),
    "a bad version": (PACK.replace("1.2.0", "new"), "is no version"),
    "a bad name": (PACK.replace("acme/deploy", "Acme Deploy"), "is no name"),
    "no options": (PACK.replace("rules:", "options: [x]\nrules:"), "must be a mapping of programs"),
    "options without a dash": (PACK.replace("rules:", "options: {x: y}\nrules:"), "options: x: 'y' is no option"),
    "options of a path": (PACK.replace("rules:", "options: {/x: -y}\nrules:"), "options: '/x' is no program's name"),
    "no rules": (HEAD + "rules: []\n", "at least one rule"),
    "a key twice": (HEAD + PACK, "line 4: the key 'schema' is there twice"),
    "an anchor": (PACK.replace("high", "&w high"), "anchors and aliases are not read"),
    "two documents": (PACK + "---\n" + PACK, "a second document"),
    "too deep": (HEAD + "rules: " + "[" * 30 + "]" * 30, "nested deeper than 20"),
    "an id twice": (PACK + RULE, "rule acme.deploy: the id is there twice"),
    "an id without a family": (rule(id="deploy"), "family.behaviour"),
    "a reserved family": (rule(id="unreadable.deploy"), "the family 'unreadable' belongs to the assessment"),
    "an unknown key of a rule": (rule(regex="x"), "rule acme.deploy: 'regex' is no key of a rule"),
    "an unknown weight": (
        rule(weight="deadly"),
        "'deadly' is no weight; there are note, minor, medium, serious, high, critical",
    ),
    "no message": (rule(message=""), "a rule needs message"),
    "no match": (rule(match=""), "a rule needs match"),
    "an empty match": (rule(match="[]"), "needs match: at least one"),
    "no no_match": (rule(no_match=""), "a rule needs no_match"),
    "an upper-case program": (rule(programs="Deploy"), "no program's name"),
    "a program's path": (rule(programs="/bin/deploy"), "no program's name"),
    "an empty condition": (rule(when="{}"), "a condition is a mapping"),
    "an unknown condition": (rule(when="{subcommand: x}"), "'subcommand' is no condition; there are flags"),
    "an unknown test": (rule(when="{arg: {like: x}}"), "must be a pattern, or a mapping with one of is"),
    "a second, unknown test": (rule(when="{arg: {is: x, like: y}}"), "'like' is no test"),
    "look-ahead": (rule(when="{arg: 'x(?!y)'}"), "RE2 has no look-around"),
    "a back-reference": (rule(when="{arg: '(x)\\1'}"), "RE2 has no look-around and no back-references"),
    "a long pattern": (rule(when="{arg: " + "x" * 1001 + "}"), "make several rules of it"),
    "a flag without a dash": (rule(when="{flags: force}"), "'force' is no option"),
    "an unknown class of paths": (rule(when="{arg: {path: secret}}"), "'secret' is no class of paths"),
    "a position of 0": (rule(when="{positional: {at: 0, is: x}}"), "counted from 1"),
    "no position": (rule(when="{positional: {is: x}}"), "either at or from"),
    "no options of a value": (rule(when="{value: {is: x}}"), "a mapping with of"),
    "no number": (rule(when="{min_args: many}"), "must be a number"),
    "stdin: false": (rule(when="{stdin: false}"), "can only be true"),
    "an unknown name": (rule(when="{use: disk}"), "'disk' is not under `define`"),
    "too many conditions": (rule(when="{any: [" + "{min_args: 1}," * 201 + "]}"), "more than 200 conditions"),
    "too many rules": (HEAD + "rules:\n" + RULE * 501, "at most 500 are read"),
    "too many characters": (PACK + "#" * (1 << 18), "split it into several packs"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_pack_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(PackError) as refused:
        parse(text, "x.yaml")
    assert str(refused.value).startswith("x.yaml")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rule(match="[acme-deploy status]"), "rule acme.deploy: match: 'acme-deploy status' does not match"),
        (rule(no_match="[acme-deploy rollout x]"), "rule acme.deploy: no_match: 'acme-deploy rollout x' matches"),
        (PACK + "everyday: [acme-deploy rollout x]\n", "everyday: 'acme-deploy rollout x' is HIGH (acme.deploy"),
    ],
)
def test_examples_that_do_not_hold_are_refused(text: str, message: str) -> None:
    pack = parse(text, "x.yaml")
    with pytest.raises(PackError) as refused:
        check([pack], judge, BUILTIN.extended([pack]))
    assert str(refused.value).startswith("x.yaml: ")
    assert message in str(refused.value)


def test_an_example_is_the_rules_own_and_not_anothers() -> None:
    """Another rule raises that id for `git push --force`; the rule that has the example must do it itself."""
    text = rule(
        id="history.force-push", programs="git", when="{sub: pull}", match="[git push --force]", no_match="[git status]"
    )
    pack = parse(text, "x.yaml")
    with pytest.raises(PackError, match="does not match"):
        check([pack], judge, BUILTIN.extended([pack]))
