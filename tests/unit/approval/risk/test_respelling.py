"""Scripts that the grammar cannot read as they are written, and bash can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import Command, Level, assess
from services.approval.risk.shell.respelling import respelled


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ls !(a|b)", "ls *"),
        ("ls *.@(jpg|png) a?(b)", "ls *.{jpg,png} ab"),
        ("cat /etc/@(shadow)", "cat /etc/shadow"),
        ("! (ls)", None),
        ("ls; !(rm x)", None),
        ("if !(rm x); then ls; fi", None),
        ("cat <<E\na\nE\n", None),
        ("cat <<E; ls\na\nE\nls", 'cat <<< "a" ; ls\nls'),
        ("cat <<'E'; ls\na '$x' \\\nE\n", "cat <<< 'a '\\''$x'\\'' \\' ; ls\n"),
        ('cat <<E; ls\n"$x" \\" \\$x\nE\n', 'cat <<< "\\"$x\\" \\\\\\" \\$x" ; ls\n'),
        ("cat <<-A <<B\n\ta\n\tA\n\tb\nB\n", 'cat <<< "a"  <<< "\tb" \n'),
        # what is quoted, or a number, announces nothing
        ("echo '<<E; ls'\na\nE", None),
        ('echo "<<E;"\na\nE', None),
        ("ls # <<E;\na\nE", None),
        ("((x=1<<E));ls\nrm x\nE", None),
        ("a[1<<E]=1;ls\nrm x\nE]=1", None),
        ("echo ${x:1<<E};ls\nrm x\nE}", None),
        # what cannot be read with certainty
        ("cat <<E; ls\na", None),
        ('cat <<E; ls\n"$(a)"\nE', None),
        ('cat <<E "a\nb"; ls\nE', None),
        ("x=$(cat <<E); ls\na\nE", None),
        ("cat <<$E; ls\na\n$E", None),
    ],
)
def test_a_script_is_spelled_as_the_grammar_knows_it_or_left_alone(script: str, expected: str | None) -> None:
    assert respelled(script) == expected


@pytest.mark.parametrize(
    "script",
    [
        "shopt -s extglob; ls !(a|b); cp *.@(jpg|png) out/",
        'for f in !(*.md|*.txt); do echo "$f"; done',
        "case $x in +([0-9])) echo number ;; esac; ls !(a)",
        "cat <<A - <<B; echo done\na\nA\nb\nB",
        "cat <<E; echo done\na\nE",
        "cat <<E > f; chmod +x f\nls\nE",
        "diff <(cat <<A\na\nA\n) <(cat <<B; echo b\nb\nB\n)",
        "time case x in a) echo 1 ;; esac",
    ],
)
def test_ordinary_scripts_are_read(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf !(keep)",
        "cat /@(etc)/@(shadow|x)",
        "ls; !(rm -rf /)",
        "cat <<E; rm -rf /\na\nE",
        "cat <<E; rm -rf /\na\nE\nE;",
        "cat <<E; ls\n$(rm -rf /)\nE",
        "cat <<A; cat <<B\na\nA\nb\nB\nrm -rf /",
        "sh <<A <<B\nls\nA\nrm -rf /\nB",
        "cat <<E > x; sh x\nrm -rf /\nE",
        "cat <<E; ls\na\nE\nrm -rf /",
        "case x in a) cat <<E; rm -rf / ;; esac\na\nE\nE;",
    ],
)
def test_what_they_do_is_seen(script: str) -> None:
    assert assess(Command(script=script)).level > Level.LOW


@given(st.text(alphabet="E<<;\n'\"\\$(){}#a -!@|*", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_respelled_or_not(text: str) -> None:
    assert respelled(text) != text
