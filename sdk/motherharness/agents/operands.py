"""Which files a command runs or is given, and what is in them: so that what was approved is what runs.

A command line says `bash deploy.sh`; what happens is in deploy.sh. Its hash is part of the action, and so of the digest
that an approval and a grant are for. Whoever runs the command finds and hashes the files again, and compares.

Only files that the command names are found, not what these include in turn; `docs/grants.md` says what follows from
that. The command line is not parsed but taken apart: too many candidates do no harm, for only those that are files
below the root count.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.common.v1.action_pb2 import CommandAction, FileDigest
from motherharness.agents.paths import open_directory
from motherharness.errors import TerminalError

# As many as the contract takes.
MAX_FILES = 64
# Of all files together: half a second of hashing. What is larger is refused and not left out, or whoever can make a
# script larger could make it escape.
MAX_BYTES = 256 * 1024 * 1024
CHUNK = 1024 * 1024
# Directories that a command line changes into, in all their combinations.
MAX_BASES = 32
# Command lines inside words of command lines.
MAX_DEPTH = 4

# They print, list, compare, stamp or remove what they are given: what is in it does not decide what they do. Not those
# that can be told to run something, such as sort, less, find, awk.
READERS = frozenset(
    "basename cat cd chgrp chmod chown cksum cmp comm cut date df diff dirname du echo egrep expand false fgrep file "
    "fold grep head hexdump id join ls md5sum mkdir nl od paste printenv printf pwd readlink realpath rev rm rmdir "
    "seq sha1sum sha256sum sha512sum sleep stat strings tac tail test touch tr true uname uniq wc which whoami "
    "xxd".split()
)
# What they are followed by is a directory that other words are relative to.
ENTERING = frozenset({"cd", "pushd", "-C", "--directory", "--chdir", "--cwd", "--prefix", "--work-tree"})

# A word of bash, with its quotes; what ends a command; what the next word is written to, or anything else.
_TOKEN = re.compile(
    r"""(?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;&|<>()`'"\\])+)"""
    r"|(?P<output>&?>>?[|&]?)(?![(>])|(?P<input><)(?![<(])|(?P<end>[;&|\n()`]+)|(?P<other>\S)",
    re.DOTALL,
)
_QUOTED = re.compile(r"""\\(?P<escaped>.)|'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)\"""", re.DOTALL)
_INSIDE_DOUBLE = re.compile(r'\\([$`"\\\n])')
# Where a part of a word can be a path by itself: --file=x, -I,x, user@x, a:b, {x,y}.
_PARTS = re.compile(r"[=,:@{}]+")
_HOME = re.compile(r"^(?:~|\$HOME|\$\{HOME\})(?=/)")
_HERE = re.compile(r"^(?:\$PWD|\$\{PWD\}|\$\(pwd\))(?=/)")


def find(
    root: Path, command: CommandAction, *, working: Path, path: str, max_bytes: int = MAX_BYTES
) -> list[FileDigest]:
    """Return the regular files below the root that a command runs or is given, sorted by path.

    A symbolic link counts as the file it leads to. What is outside the root is the machine's, as programs on the PATH
    are, and does not count; nor do files that the command only reads or writes (see READERS, and `> file`).

    Args:
        root: of the worker, without symbolic links in it.
        working: the directory the command runs in.
        path: the PATH that the command gets.
        max_bytes: of all files together.

    Raises:
        TerminalError: OPERANDS_TOO_MANY, OPERANDS_TOO_LARGE, OPERAND_UNREADABLE.
    """
    home = working / command.env.get("HOME", root)
    programs = [folder for entry in path.split(":") if _is_below(folder := working / entry, root)]
    line = _Line(command, has_own_programs=bool(programs))
    bases = _bases(working, home, line.entered)
    found: set[tuple[str, ...]] = set()
    for word in line.words:
        for base in bases if "/" in word else [*bases, *programs]:
            parts = _file(root, _joined(base, home, word))
            if parts is not None:
                found.add(parts)
    if len(found) > MAX_FILES:
        message = f"the command names {len(found)} files, and at most {MAX_FILES} can be approved with it; name fewer"
        raise TerminalError(message, "OPERANDS_TOO_MANY")
    left = max_bytes
    operands = []
    for parts in sorted(found):
        digest, size = _hash(root, parts, left)
        left -= size
        operands.append(FileDigest(path="/".join(parts), sha256=digest))
    return operands


def compare(approved: Sequence[FileDigest], found: Sequence[FileDigest]) -> None:
    """Refuse a command whose files are not as they were when it was proposed.

    Raises:
        TerminalError: OPERAND_CHANGED, naming the files.
    """
    before = {operand.path: operand.sha256 for operand in approved}
    now = {operand.path: operand.sha256 for operand in found}
    changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    if changed:
        message = f"{', '.join(changed)} changed after the command was proposed; nothing was run"
        raise TerminalError(message, "OPERAND_CHANGED")


class _Line:
    """A command line taken apart: `words` that can name files, `entered` directories that they can be relative to."""

    def __init__(self, command: CommandAction, *, has_own_programs: bool) -> None:
        self.words: dict[str, None] = {}
        self.entered: list[str] = []
        # What the name of a program means can be changed by variables, and by files in a folder of the PATH.
        is_plain = not has_own_programs and not command.env
        if command.argv:
            if not (is_plain and command.argv[0] in READERS):
                self._add_argv(command.argv)
        elif not (is_plain and _only_reads(command.script)):
            self._add_script(command.script, 0)
        for name in sorted(command.env):
            # LD_PRELOAD=./x.so, BASH_ENV=x.sh
            self._add(command.env[name], 0)

    def _add_argv(self, argv: Sequence[str]) -> None:
        for before, word in zip(["", *argv], argv, strict=False):
            if before in ENTERING:
                self.entered.append(word)
            self._add(word, 0)

    def _add_script(self, script: str, depth: int) -> None:
        before, output = "", False
        for token in _TOKEN.finditer(script):
            word = token["word"]
            if word is None:
                output = token["output"] is not None
                continue
            plain = _unquoted(word)
            if before in ENTERING:
                self.entered.append(plain)
            if not output:
                self._add(plain, depth)
            before, output = plain, False

    def _add(self, word: str, depth: int) -> None:
        candidates = [word, *_PARTS.split(word)]
        if word.startswith("-") and len(word) > 2:
            # -fMakefile
            candidates.append(word[2:])
        for candidate in candidates:
            # $'x.sh' as well as a file of that name.
            self.words[candidate] = self.words[candidate.lstrip("$")] = None
        # A command line inside a word: bash -c '...', "$(...)".
        if depth < MAX_DEPTH and any(mark in word for mark in " \t\n;|&<>()`'\""):
            self._add_script(word, depth + 1)


def _only_reads(script: str) -> bool:
    """Whether every command of a line is one of the READERS, by its plain name, and nothing is hidden in a word."""
    begins, is_output = True, False
    for token in _TOKEN.finditer(script):
        word = token["word"]
        if word is None:
            if token["other"] is not None or (token["end"] is not None and set(token["end"]) & set("()`")):
                return False
            begins, is_output = begins or token["end"] is not None, token["output"] is not None
        elif "$(" in word or "`" in word:
            return False
        elif is_output:
            is_output = False
        elif begins:
            if word not in READERS:
                return False
            begins = False
    return True


def _unquoted(word: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "" if match["escaped"] == "\n" else match["escaped"]
        if match["single"] is not None:
            return match["single"]
        return _INSIDE_DOUBLE.sub(r"\1", match["double"])

    return _QUOTED.sub(plain, word)


def _bases(working: Path, home: Path, entered: Iterable[str]) -> list[Path]:
    """Return the directories that words can be relative to: where it begins, and where it goes from there."""
    bases = [working]
    for name in entered:
        further = [_joined(base, home, name) for base in bases]
        bases += [folder for folder in further if folder not in bases and _is_directory(folder)]
        if len(bases) > MAX_BASES:
            message = "the command changes directories so often that the files it names cannot be told; split it"
            raise TerminalError(message, "OPERANDS_TOO_MANY")
    return bases


def _joined(base: Path, home: Path, word: str) -> Path:
    """Return the path that a word means in a directory."""
    return base / _HERE.sub(".", _HOME.sub(lambda _: str(home), word))


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_below(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


def _file(root: Path, path: Path) -> tuple[str, ...] | None:
    """Return the components below the root of the regular file at a path; None if there is none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
    except (OSError, ValueError):
        return None
    real = Path(os.path.realpath(path))
    return real.relative_to(root).parts if real.is_relative_to(root) else None


def _hash(root: Path, parts: tuple[str, ...], left: int) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file, opened component by component without following links."""
    name = "/".join(parts)
    sha256, size = hashlib.sha256(), 0
    try:
        # The contract has texts, and file systems have bytes.
        name.encode()
        with open_directory(root, parts[:-1]) as directory:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(parts[-1], flags, dir_fd=directory)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > left:
                    message = f"the files that the command names are too large to be approved with it, from {name!r} on"
                    raise TerminalError(message, "OPERANDS_TOO_LARGE")
                sha256.update(chunk)
    except (OSError, UnicodeError) as error:
        message = f"{name!r} cannot be read, so what the command would run cannot be told: {error}"
        raise TerminalError(message, "OPERAND_UNREADABLE") from error
    return sha256.hexdigest(), size


__all__ = ["MAX_BYTES", "MAX_FILES", "compare", "find"]
