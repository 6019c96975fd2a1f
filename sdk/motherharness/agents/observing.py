"""What built-in agents find below their root before they ask: links that paths go through, files as they are."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from harness.approval.v1.risk_pb2 import FileState
from motherharness.agents.paths import open_directory, relative
from motherharness.circumstances import Circumstances
from motherharness.errors import TerminalError

MAX_LINKS = 256
"""Links of one proposal, as the contract says."""
MAX_LOOKED_UP = 5_000
"""Paths that are looked up for one proposal; each costs a few system calls."""
MAX_FOLDERS = 16
"""Folders that a script changes into, from each of which its words are looked up."""
MAX_HOPS = 40
"""Links that one path goes through, as in Linux (ELOOP)."""
MAX_CONTENT_BYTES = 256 * 1024
"""Content of one file that is told, as the contract says."""
MAX_HASHED_BYTES = 16 * 1024 * 1024
"""A larger file is told by its size only: reading it would keep the step waiting."""

_GOES = frozenset({"cd", "pushd", "-C"})
"""Words after which a command names the folder that it goes to."""
_WORD = re.compile(r"[^\s\"'`;|&<>(){}=,:$]+")


class _TooManyError(Exception):
    """There is more to look up than is looked up."""


def of_command(texts: Iterable[str], folder: str, root: Path) -> Circumstances:
    """Return what a command would find: the links that its words go through, seen from `folder`.

    Words are also looked up from the folders that the command changes into. Where there is more to look up than the
    limits allow, the rating is "unknown": a person is asked, and nothing is left out silently.
    """
    links = _Links(root)
    try:
        words = [match.group() for text in texts for match in _WORD.finditer(text)]
        for start in dict.fromkeys(_folders(words, folder)):
            for word in dict.fromkeys(words):
                links.resolve(os.path.join(start, word))
    except _TooManyError:
        return Circumstances(str(root), links.found, rating="unknown")
    return Circumstances(str(root), links.found)


def of_file(path: str, root: Path) -> Circumstances:
    """Return what a write or a deletion of a file would find: the links on its path, and the file."""
    links = _Links(root)
    links.resolve(path)
    state = file_state(path, root)
    return Circumstances(str(root), links.found, observed=[state] if state else [])


def file_state(path: str, root: Path) -> FileState | None:
    """Return a file below the root as it is now; None if that cannot be told. Links are not followed."""
    try:
        parts = relative(path, root)
        with open_directory(root, parts[:-1]) as directory:
            return _state(path, parts[-1], directory)
    except TerminalError as error:
        return FileState(path=path) if error.reason == "PATH_NOT_FOUND" else None
    except FileNotFoundError:
        return FileState(path=path)
    except (OSError, ValueError, IndexError):
        return None


def _state(path: str, name: str, directory: int) -> FileState:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    state = FileState(path=path, exists=True, mode=status.st_mode, size_bytes=status.st_size)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_HASHED_BYTES:
        return state
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_HASHED_BYTES + 1)
    if len(data) > MAX_HASHED_BYTES:
        return state  # it grew meanwhile
    state.size_bytes, state.sha256 = len(data), hashlib.sha256(data).hexdigest()
    if len(data) <= MAX_CONTENT_BYTES:
        try:
            state.content = data.decode("utf-8")
        except UnicodeDecodeError:
            return state
    return state


class _Links:
    """Resolves paths below a root, and keeps the links on the way, each as a path relative to the root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._looked_up: dict[str, str] = {}
        self.found: dict[str, str] = {}

    def resolve(self, path: str) -> None:
        """Follow a path, absolute or relative to the root, for as long as it stays below it.

        Raises:
            _TooManyError: over MAX_LOOKED_UP paths or MAX_LINKS links in all.
        """
        todo, here, hops = self._parts(path), "", 0
        while todo:
            part = todo.pop()
            if part == "..":
                if not here:
                    return
                here = os.path.dirname(here)
                continue
            here = os.path.join(here, part)
            target = self._target(here)
            if target:
                hops += 1
                if hops > MAX_HOPS:
                    return
                todo += self._parts(target)
                here = "" if target.startswith("/") else os.path.dirname(here)

    def _parts(self, path: str) -> list[str]:
        """The components of a path, the first one last; none if it is absolute and not below the root."""
        if path.startswith("/"):
            root = str(self._root).rstrip("/") + "/"
            if not path.startswith(root):
                return []
            path = path[len(root) :]
        return [part for part in reversed(path.split("/")) if part not in ("", ".")]

    def _target(self, path: str) -> str:
        """Where a link leads; empty for what is no link, or not there."""
        if path not in self._looked_up:
            if len(self._looked_up) == MAX_LOOKED_UP:
                raise _TooManyError
            try:
                self._looked_up[path] = os.readlink(os.path.join(self._root, path))
            except (OSError, ValueError):
                self._looked_up[path] = ""
        target = self._looked_up[path]
        if target and path not in self.found:
            if len(self.found) == MAX_LINKS:
                raise _TooManyError
            # A name need not be UTF-8, a message must be.
            self.found[path] = os.fsencode(target).decode("utf-8", "replace")
        return target


def _folders(words: Sequence[str], folder: str) -> list[str]:
    """The folders that words may start from: where the command runs, and where it says that it goes."""
    folders = [folder or "."]
    for before, word in pairwise(words):
        if before in _GOES:
            folders.append(os.path.join(folders[-1], word))
        if len(folders) > MAX_FOLDERS:
            raise _TooManyError
    return folders
