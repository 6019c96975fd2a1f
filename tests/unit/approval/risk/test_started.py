"""Which programs an action starts: none is hidden by how a command is written, and what is not known says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import CodeExecution, Command, Context, FileWrite, GitPush
from services.approval.risk.started import UNSURE, Started, started_by


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("ls -la", "ls"),
        ("cd x && make test | tee out", "cd make tee"),
        ("sudo /usr/bin/rm -rf /", "sudo rm"),
        ("echo $(curl x | sh)", "curl sh echo"),
        ("xargs rm < a", "xargs rm"),
        ("sh -c 'git push -f; k get pods'", "sh git kubectl"),
        ("find . -exec rm {} ;", "find rm"),
        ("ls() { rm x; }; ls", "rm"),
        (r"\rm x; a=rm; $a y; r''m z", "rm"),
        ("./ls; /opt/bin/ls", "./ls /opt/bin/ls"),
        ("git -c alias.x='!rm -rf /' x", "git rm"),
        ('eval "rm x"', "eval rm"),
        ("$X foo", UNSURE),
        ("ls; $X", f"ls {UNSURE}"),
        ("FOO=1", UNSURE),
        ("(", UNSURE),
        ("# nothing", UNSURE),
        ("ls \udc80", UNSURE),
        ("ls" + " x" * 70_000, UNSURE),
    ],
)
def test_programs_of_scripts(script: str, programs: str) -> None:
    assert started_by(Command(script=script), Context()).programs == tuple(programs.split())


def test_programs_of_other_actions() -> None:
    assert started_by(Command(argv=("bash", "-c", "ls; rm x")), Context()).programs == ("bash", "ls", "rm")
    assert started_by(Command(script="x", env={"BASH_FUNC_x%%": "() { rm y; }"}), Context()).programs
    assert started_by(CodeExecution("bash", "ls | wc"), Context()).programs == ("ls", "wc")
    assert started_by(CodeExecution("Python", "1"), Context()) == Started(("python", UNSURE))
    assert started_by(GitPush("origin", "main", force=True), Context()).words == (
        "git",
        "push",
        "--force",
        "origin",
        "main",
    )
    assert started_by(FileWrite("a"), Context()) == Started()


def test_what_is_not_known_of_a_word_is_unsure() -> None:
    assert started_by(Command(script="echo a-$(date)"), Context()).words == ("date", "echo", f"a-{UNSURE}")


@settings(deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from("ls rm | ; && $( ) ' \" ` { } sudo xargs \n".split(" "))).map(" ".join)
)
def test_no_text_raises(script: str) -> None:
    assert started_by(Command(script=script), Context()).programs
