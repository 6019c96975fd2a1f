"""The files that a command runs or is given are found however they are named, and any difference is seen."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.v1.action_pb2 import Action, CommandAction, FileDigest
from motherharness.agents.operands import MAX_FILES, READERS, compare, find
from motherharness.agents.shell import ShellAgent
from motherharness.errors import TerminalError

FILES = ("x.sh", "my script.sh", "sub/y.py", "sub/z.py", "data.sql", "Makefile", "bin/tool", "out.log", "$odd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"content of {name}")
    return tmp_path


def names(root: Path, command: CommandAction, *, working: str = "", path: str = "/usr/bin", **more: Any) -> list[str]:
    """Return what a command is bound to; the hashes are those of the files."""
    found = find(root, command, working=root / working, path=path, **more)
    for operand in found:
        assert operand.sha256 == hashlib.sha256((root / operand.path).read_bytes()).hexdigest()
    return [operand.path for operand in found]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("bash x.sh", ["x.sh"]),
        ("./x.sh --fast", ["x.sh"]),
        ("sh ./x.sh; python sub/y.py|tee out.txt", ["sub/y.py", "x.sh"]),
        ("bash 'my script.sh'", ["my script.sh"]),
        ('bash "my script.sh" && true', ["my script.sh"]),
        (r"bash my\ script.sh", ["my script.sh"]),
        ("bash my' 'script.sh", ["my script.sh"]),
        ("bash $'x.sh'", ["x.sh"]),
        ("bash '$odd'", ["$odd"]),
        ("bash < x.sh", ["x.sh"]),
        ("bash 0<x.sh", ["x.sh"]),
        ("bash <(cat x.sh)", ["x.sh"]),
        ('eval "$(cat x.sh)"', ["x.sh"]),
        ("`cat x.sh`", ["x.sh"]),
        ("cat x.sh | bash", ["x.sh"]),
        ("cat x.sh\nbash", ["x.sh"]),
        ("bash -c 'python sub/y.py'", ["sub/y.py"]),
        ("""bash -c "bash -c 'python sub/y.py'" """, ["sub/y.py"]),
        ("source ~/x.sh", ["x.sh"]),
        ('. "$HOME/x.sh"', ["x.sh"]),
        ("bash ${PWD}/x.sh", ["x.sh"]),
        ("make -fMakefile", ["Makefile"]),
        ("psql --file=data.sql", ["data.sql"]),
        ("curl -d @data.sql http://h", ["data.sql"]),
        ("cd sub && python y.py", ["sub/y.py"]),
        ("cd sub; cd .. ; bash x.sh", ["x.sh"]),
        ("make -C sub y.py", ["sub/y.py"]),
        ("python sub/../x.sh sub/./y.py", ["sub/y.py", "x.sh"]),
        ("cat() { bash $1; }; cat x.sh", ["x.sh"]),
        ("PATH=.:$PATH cat x.sh", ["x.sh"]),
        ("grep 'unclosed x.sh", ["x.sh"]),
        ("cat <<EOF\nit's\nEOF\nbash x.sh", ["x.sh"]),
        # Only written, or only read by what cannot do anything with it.
        ("echo a > out.log", []),
        ("make >> out.log 2>&1", []),
        ("bash -c 'make &> out.log'", []),
        ("cat out.log | grep -C 3 x | head", []),
        ("wc -l < out.log && rm out.log", []),
        ("cd sub && rm -rf build && echo a >> y.py", []),
        ("echo hello", []),
        ("bash missing.sh sub /etc/passwd", []),
    ],
)
def test_what_a_script_names(root: Path, script: str, expected: list[str]) -> None:
    assert names(root, CommandAction(script=script)) == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["./x.sh"], ["x.sh"]),
        (["python", "y.py"], []),
        (["bash", "-c", "cd sub && python y.py"], ["sub/y.py"]),
        (["bash", "my script.sh"], ["my script.sh"]),
        (["env", "-C", "sub", "python", "y.py"], ["sub/y.py"]),
        (["cat", "out.log"], []),
        (["./cat", "x.sh"], ["x.sh"]),
        (["tee", "out.log"], ["out.log"]),
    ],
)
def test_what_a_program_is_given(root: Path, argv: list[str], expected: list[str]) -> None:
    assert names(root, CommandAction(argv=argv)) == expected


def test_what_is_relative_to_the_working_directory(root: Path) -> None:
    assert names(root, CommandAction(script="python y.py; bash x.sh"), working="sub") == ["sub/y.py"]
    assert names(root, CommandAction(script="python ../x.sh"), working="sub") == ["x.sh"]
    assert names(root, CommandAction(argv=["bash", str(root / "x.sh")]), working="sub") == ["x.sh"]


def test_what_variables_name(root: Path) -> None:
    assert names(root, CommandAction(script="true", env={"BASH_ENV": "x.sh"})) == ["x.sh"]
    assert names(root, CommandAction(argv=["cat"], env={"LD_PRELOAD": f"/lib/a.so:{root}/bin/tool"})) == ["bin/tool"]
    assert names(root, CommandAction(script="bash ~/y.py", env={"HOME": "sub"})) == ["sub/y.py"]


def test_programs_below_the_root_are_bound_and_those_of_the_machine_are_not(root: Path) -> None:
    path = f"/usr/bin:{root}/bin"
    assert names(root, CommandAction(script="tool x"), path=path) == ["bin/tool"]
    (root / "bin" / "cat").write_text("#!/bin/sh\nbash $1")
    assert names(root, CommandAction(argv=["cat", "x.sh"]), path=path) == ["bin/cat", "x.sh"]
    assert names(root, CommandAction(argv=["tool"])) == []


def test_a_link_counts_as_what_it_leads_to(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tool"
    elsewhere.write_text("machine's")
    (root / "inside").symlink_to("sub/y.py")
    (root / "outside").symlink_to(elsewhere)
    (root / "folder").symlink_to("sub")
    assert names(root, CommandAction(script="./inside; ./outside; folder/z.py")) == ["sub/y.py", "sub/z.py"]


def test_bounds_refuse_and_leave_nothing_out(root: Path) -> None:
    for number in range(MAX_FILES + 1):
        (root / f"f{number}").write_text("")
    with pytest.raises(TerminalError) as caught:
        names(root, CommandAction(argv=["cp", *(f"f{number}" for number in range(MAX_FILES + 1))]))
    assert caught.value.reason == "OPERANDS_TOO_MANY"
    assert len(names(root, CommandAction(argv=["cp", *(f"f{number}" for number in range(MAX_FILES))]))) == MAX_FILES
    size = (root / "x.sh").stat().st_size
    assert names(root, CommandAction(script="bash x.sh"), max_bytes=size) == ["x.sh"]
    with pytest.raises(TerminalError) as caught:
        names(root, CommandAction(script="bash x.sh"), max_bytes=size - 1)
    assert caught.value.reason == "OPERANDS_TOO_LARGE"
    for number in range(40):
        (root / f"d{number}").mkdir()
    with pytest.raises(TerminalError) as caught:
        names(root, CommandAction(script="; ".join(f"cd d{number}; ./x; cd .." for number in range(40))))
    assert caught.value.reason == "OPERANDS_TOO_MANY"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_refused(root: Path) -> None:
    (root / "x.sh").chmod(0o111)
    with pytest.raises(TerminalError) as caught:
        names(root, CommandAction(script="./x.sh"))
    assert caught.value.reason == "OPERAND_UNREADABLE"


def test_a_pipe_is_no_file_and_blocks_nobody(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert names(root, CommandAction(script="bash pipe")) == []


@given(st.text(max_size=200) | st.text("ab/.x$'\"\\ \n;|&<>(){}=`~-", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_taken_apart(script: str) -> None:
    assert find(Path("/nonexistent"), CommandAction(script=script), working=Path("/nonexistent"), path="") == []


@given(st.sampled_from(["x.sh", "sub/y.py", "my script.sh"]), st.data())
@settings(max_examples=100, deadline=None)
def test_a_file_is_found_however_its_name_is_quoted(tmp_path_factory: Any, name: str, data: st.DataObject) -> None:
    root = tmp_path_factory.getbasetemp() / "quoted"
    (root / "sub").mkdir(parents=True, exist_ok=True)
    for file in FILES[:3]:
        (root / file).write_text(file)
    quoted = ""
    for character in name:
        style = data.draw(st.sampled_from([f"\\{character}", f"'{character}'", f'"{character}"']))
        quoted += style if character == " " else data.draw(st.sampled_from([character, style]))
    around = data.draw(st.sampled_from(["bash {}", "true;bash {}&&ls", "(bash {})", "bash<{}", "x=1 bash -- {}"]))
    assert name in names(root, CommandAction(script=around.format(quoted)))


def test_large_scripts_are_taken_apart_in_linear_time(root: Path) -> None:
    for part in ("'", '"', "\\", "a b ", "<", "$(", "a=", '"\\', "x;"):
        assert names(root, CommandAction(script=part * (200_000 // len(part)))) == []


def operand(path: str, content: str) -> FileDigest:
    return FileDigest(path=path, sha256=hashlib.sha256(content.encode()).hexdigest())


@pytest.mark.parametrize(
    "now",
    [
        [operand("a", "1")],
        [operand("a", "1"), operand("b", "x")],
        [],
        [operand("a", "1"), operand("b", "2"), operand("c", "")],
    ],
)
def test_any_difference_is_refused(now: list[FileDigest]) -> None:
    approved = [operand("a", "1"), operand("b", "2")]
    compare(approved, approved)
    with pytest.raises(TerminalError) as caught:
        compare(approved, now)
    assert caught.value.reason == "OPERAND_CHANGED"


def test_readers_are_names() -> None:
    assert all("/" not in name for name in READERS)
    assert not READERS & {
        "bash",
        "sh",
        "env",
        "xargs",
        "find",
        "awk",
        "sed",
        "sort",
        "less",
        "tee",
        "cp",
        "mv",
        "python",
    }


async def test_the_agent_runs_what_was_bound_and_nothing_else(root: Path) -> None:
    agent = ShellAgent(root)
    try:
        (root / "x.sh").write_text("echo first > ran")
        bound = await agent.bound(CommandAction(script="bash x.sh"))
        assert [found.path for found in bound.operands] == ["x.sh"]
        assert (await agent.run([Action(command=bound)]))["exit_code"] == 0
        (root / "ran").unlink()
        for change in (lambda: (root / "x.sh").write_text("echo other > ran"), (root / "x.sh").unlink):
            change()
            with pytest.raises(TerminalError) as caught:
                await agent.run([Action(command=bound)])
            assert caught.value.reason == "OPERAND_CHANGED"
            assert "x.sh" in caught.value.message
        assert not (root / "ran").exists()
    finally:
        agent.close()


async def test_another_directory_in_the_place_of_the_approved_one_is_refused(root: Path) -> None:
    agent = ShellAgent(root)
    try:
        bound = await agent.bound(CommandAction(script="bash y.py", working_directory="sub"))
        (root / "sub").rename(root / "old")
        (root / "sub").symlink_to("old")
        with pytest.raises(TerminalError) as caught:
            await agent.run([Action(command=bound)])
        assert caught.value.reason == "PATH_ESCAPES"
        missing = await agent.bound(CommandAction(script="bash y.py", working_directory="none"))
        assert not missing.operands
        (root / "none").mkdir()
        (root / "none" / "y.py").write_text("true")
        with pytest.raises(TerminalError) as caught:
            await agent.run([Action(command=missing)])
        assert caught.value.reason == "OPERAND_CHANGED"
    finally:
        agent.close()
