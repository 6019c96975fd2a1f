"""No way to join two lines hides the second command."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, Level, assess

FIRST = [
    "ls",
    "ls -la",
    "x=1",
    "ls > out",
    "ls | cat",
    "export A=1",
    'echo "a"',
    "[ -f x ]",
    "unset x",
    "ls 2>&1",
    "ls #",
    "cat <in",
    "ls &&",
]
SECOND = [
    r"\rm -rf /",
    r"\r\m -rf /",
    r"\/bin/rm -rf /",
    "\\\nrm -rf /",
    "\\\n\\rm -rf /",
    r"\rm\ -rf x; rm -rf /",
]


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_a_backslash_at_the_start_of_a_line_hides_nothing(first: str, second: str) -> None:
    assert assess(Command(script=f"{first}\n{second}")).level > Level.LOW
    assert assess(Command(script=f"{first}\n\n{second}\nls")).level > Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "r\\\nm -rf /",
        "ls; r\\\nm -r\\\nf /",
        "ls a\\\n#; rm -rf /",
        "<<< a\\\nb rm -rf /",
        ">a\\\nb rm -rf /",
        "X=a\\\nb rm -rf /",
        "su\\\ndo r\\\nm -rf /",
        "# a\\\nrm -rf /",
        "cat <<'E'\nx\\\nE\nrm -rf /",
        "r\\\n\\\nm -rf /",
    ],
)
def test_an_escaped_line_end_inside_a_word_is_nothing(script: str) -> None:
    assert assess(Command(script=script)).level is Level.CRITICAL


@pytest.mark.parametrize(
    "script",
    [
        "time 2>&1 rm -rf /",
        "env A=1 <x rm -rf /",
        "2>&1 >x sudo 2>z rm -rf /",
        "nohup >out 2>&1 rm -rf /",
        "xargs <list rm -rf /",
        ">>\r rm -rf /",
        "ls =~ \n rm -rf /",
        "<<< \\ \n rm -rf /",
        "> $(rm -rf /)",
        "<y {fd}>x rm -rf /",
        "sudo {fd}>x rm -rf /",
        "<<< a <<E rm -rf /\nE\n",
        "! ! rm -rf /",
        "time ! rm -rf /",
        "coproc ! rm -rf /",
        "! { rm -rf /; }",
        "time { rm -rf /; }",
        "if ! ! rm -rf /; then ls; fi",
        "ls >x 2>$(rm -rf /)",
    ],
)
def test_words_and_lines_around_redirections_are_the_commands(script: str) -> None:
    assert assess(Command(script=script)).level > Level.MEDIUM or "line-end" in str(assess(Command(script=script)))


def test_what_the_backslash_escapes_is_read_as_bash_does() -> None:
    assert assess(Command(script="ls\n\\rm -rf /")).level is Level.CRITICAL
    assert assess(Command(script="echo 'a\n\\'; rm -rf /; echo 'b\n\\'")).level is Level.CRITICAL


@pytest.mark.parametrize(
    "script",
    [
        "echo a \\\n  b",
        "ls \\\n  -la \\\n  src",
        "docker run --rm \\\n\t-v $PWD:/w \\\n\timage make test",
        "echo 'two\n\\lines'",
        'echo "a\n\\"quoted\\" b"',
        "awk '\n\\/x/ {print}\n' file",
        "cat <<'E'\n\\begin{document}\n\\end{document}\nE",
        "printf '%s\\n' a |\n\\cat",
    ],
)
def test_continued_lines_and_quoted_backslashes_stay_low(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "[ -f x ] &&\n# why\nls",
        "ls ||\n  # why\n  # and why\n  true &&\n# more\n  echo done",
        "ls | # why\n  cat",
        "n=$(( 10#$n + 1 ))\n(( 16#$a > 5 )) && echo $n",
        "if [ a ] && # why\n[ b ]; then ls; fi",
        'if test x$create = xyes ; then\n  cat "$1" | tar -x${v}f -\n  echo "$usage" 1>&2\nfi',
    ],
)
def test_comments_and_dashes_between_commands_are_ordinary(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize(
    "script", ["{rm,-rf,build}", "ls; {rm,-rf,build}", "sudo {rm,-rf,build}", "({rm,-rf,build} >x)"]
)
def test_a_list_in_braces_is_the_command_that_it_makes(script: str) -> None:
    assert assess(Command(script=script)).level >= assess(Command(script="rm -rf build")).level > Level.LOW


@pytest.mark.parametrize(
    "script",
    [
        "`echo ls` `rm -rf /`",
        "echo `date`\t`rm -rf /`",
        "echo `date` \\\n `rm -rf /`",
        'echo "`date` `rm -rf /`"',
        "x=`a` `rm -rf /`",
    ],
)
def test_backquotes_next_to_each_other_hide_nothing(script: str) -> None:
    assert assess(Command(script=script)).level > Level.LOW


@pytest.mark.parametrize(
    "script", ["echo `date`", "echo `date` x `pwd`", "x=`date` y=`pwd`; echo $x", 'echo "`date`" `pwd`']
)
def test_other_backquotes_stay_low(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW


@pytest.mark.parametrize(
    "script", ["cat <<EOF\nEOF\r\ncat <<X\nEOF\nrm -rf /\nX", "echo a \\\r\nrm -rf /", "echo\r#; rm -rf /"]
)
def test_carriage_returns_hide_nothing(script: str) -> None:
    assert assess(Command(script=script)).level > Level.LOW


@pytest.mark.parametrize(
    "script", ["ls\r\ncat a\r\n", "if true; then\r\n  ls\r\nfi\r\n", "cat <<E\r\nrm -rf /\r\nE\r\n"]
)
def test_scripts_with_carriage_returns_throughout_are_read(script: str) -> None:
    assert assess(Command(script=script)).level is Level.LOW
