"""What each word of the condition language means."""

from __future__ import annotations

import pytest

from services.approval.risk.rules.condition import Compiler, Predicate
from services.approval.risk.shell.invocation import Flow, Invocation

HIDDEN = "\ufffc"


def call(line: str, **other: object) -> Invocation:
    name, *args = line.split()
    return Invocation(name, tuple(args), **other)  # type: ignore[arg-type]


def compiled(spec: dict[str, object], **defined: Predicate) -> Predicate:
    return Compiler(defined).condition(spec)


CASES: list[tuple[dict[str, object], list[str], list[str]]] = [
    ({"sub": "push"}, ["git push", "git PUSH origin", "git -C x push"], ["git", "git pull", "git origin push"]),
    ({"sub": ["remote rm", "stash"]}, ["git remote rm x", "git stash pop"], ["git remote", "git rm remote"]),
    ({"sub": "s3 r*"}, ["aws s3 rm", "aws s3 rb x"], ["aws s3", "aws s3 ls", "aws r s3"]),
    ({"sub": "* de?"}, ["x a del", "x b Den"], ["x del", "x a delete"]),
    ({"flags": "-f --force"}, ["x -f", "x -rf", "x --force=yes"], ["x f", "x --forced", "x -- -f"]),
    ({"without": "-n"}, ["x", "x -f", "x -- -n"], ["x -n", "x -fn"]),
    ({"arg": "^a+$"}, ["x aa", "x b aaa"], ["x", "x ab"]),
    ({"arg": {"is": "stop delete-*"}}, ["x stop", "x Delete-all", "x a STOP"], ["x stops", "x delete", "x"]),
    ({"arg": {"is": ["a b"]}}, [], ["x a b"]),
    ({"arg": {"matches": "b", "is": "a*"}}, ["x ab"], ["x a b", "x cb"]),
    ({"arg": {"path": "startup"}}, ["x ~/.bashrc", "x of=/etc/crontab"], ["x a.txt", "x https://e.com/.bashrc"]),
    ({"arg": {"path": "root"}}, ["x /", "x /etc"], ["x /etc/hosts.bak", "x etc"]),
    ({"arg": {"path": "temporary"}}, ["x /tmp/a"], ["x tmp/a"]),
    ({"arg": {"hidden": "true"}}, [f"x a{HIDDEN}"], ["x a"]),
    ({"positional": {"at": "2", "is": "b"}}, ["x a b", "x -o a B"], ["x b", "x b a", "x a"]),
    ({"positional": {"at": "-1", "is": "z"}}, ["x z", "x a z"], ["x z a", "x"]),
    ({"positional": {"from": "2", "matches": r"^\+"}}, ["x a +b", "x a b +c"], ["x +a b", "x"]),
    (
        {"value": {"of": "-m --mode", "matches": "s"}},
        ["x -m us", "x -mus", "x --mode=s", "x --mode s"],
        ["x s", "x -m 7 s"],
    ),
    ({"line": r"-e 0\b"}, ["x -e 0", "x a -e 0 b"], ["x -e 1", "x 0 -e"]),
    ({"min_args": "2"}, ["x a b", "x -a -b"], ["x a"]),
    ({"max_args": "1"}, ["x", "x a"], ["x a b"]),
    ({"min_positionals": "1"}, ["x a", "x -a b"], ["x -a", "x"]),
    ({"max_positionals": "0"}, ["x -a", "x"], ["x a"]),
    ({"any": [{"flags": "-a"}, {"sub": "b"}]}, ["x -a", "x b"], ["x c"]),
    ({"all": [{"flags": "-a"}, {"sub": "b"}]}, ["x -a b"], ["x -a", "x b"]),
    ({"flags": "-a", "sub": "b"}, ["x b -a"], ["x -a", "x b"]),
    ({"not": {"flags": "-a", "sub": "b"}}, ["x -a", "x b"], ["x -a b"]),
]


@pytest.mark.parametrize(("spec", "holds", "fails"), CASES, ids=[str(spec) for spec, _, _ in CASES])
def test_a_condition(spec: dict[str, object], holds: list[str], fails: list[str]) -> None:
    test = compiled(spec)
    assert [line for line in holds if not test(call(line))] == []
    assert [line for line in fails if test(call(line))] == []


def test_stdin_and_rights_are_the_commands_own() -> None:
    assert compiled({"stdin": "true"})(call("x", stdin=Flow(present=True)))
    assert not compiled({"stdin": "true"})(call("x"))
    assert compiled({"privileged": "true"})(call("x", privileged=True))
    assert not compiled({"privileged": "true"})(call("x"))


def test_a_defined_condition_is_used_by_name() -> None:
    disk = compiled({"arg": {"path": "block-device"}})
    test = compiled({"use": "disk", "flags": "-a"}, disk=disk)
    assert test(call("wipefs -a /dev/sda"))
    assert not test(call("wipefs -a a.img"))


def test_a_long_line_is_not_joined_for_ever() -> None:
    assert not compiled({"line": "a"})(Invocation("x", ("a" * 70_000,)))
    assert compiled({"arg": "a"})(Invocation("x", ("a" * 70_000,)))
