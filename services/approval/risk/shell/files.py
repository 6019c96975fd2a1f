"""What a script has done to files so far: what they hold, where that came from, and which names are links to others."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.words import NONE

MAX_LINKS = 200  # links that are remembered; a script that makes more has its further ones read as ordinary files
MAX_HOPS = 8  # links that are followed one after another
MAX_TEXT = 1 << 16  # characters of one file that are remembered; running a longer one is UNKNOWN
TOO_LONG = "too-long"  # the taint of such a file
DIVIDED = "divided"  # the taint of a file that may hold one of several texts
MAX_OTHERS = 8  # texts that a file may hold besides the last one before it counts as too long
LEAST_KNOWN = 4  # known characters that a path needs so that two unknown parts of it are taken for the same
_PIPE = "/dev/fd/pipe-"
# Folders whose programs run by name alone.
_PROGRAM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/bin", "~/bin", "~/.local/bin")


class Files:
    """The files of one assessment, by normalised path with links followed."""

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder
        self._taints: dict[str, frozenset[str]] = {}
        self._texts: dict[str, str] = {}
        self._others: dict[str, tuple[str | None, ...]] = {}  # what a file may hold instead, by the way that a script goes; None is not known
        self._ways: list[set[str]] = []  # the files that were written in each of the ways that are being walked
        self._inside: dict[str, frozenset[str]] = {}
        self._links: dict[str, str] = {}
        self._made: set[str] = set()
        self._overwritten: set[str] = set()
        self._folders: dict[str, bool] = {}  # in the order in which they were made; whether making it fails where it was there before
        self._own: set[str] = set()
        self._unpacked: set[str] = set()
        self._cloned: set[str] = set()
        self._programs: dict[str, str] = {}  # copies of programs
        self._pieces: dict[str, str] = {}
        self._pipes = 0
        self.unsure = 0  # alternatives that are being walked, of which only one happens: nothing is written over

    def real(self, path: str) -> str:
        """`path` with the links of this script followed; the path as it was given when none is on the way."""
        if not self._links or len(path) > paths.MAX_PATH:
            return path
        start = current = self._named(path)
        for _ in range(MAX_HOPS):
            head, tail = current, ""
            while head not in self._links and "/" in head.rstrip("/"):
                head, _, last = head.rpartition("/")
                tail = f"/{last}{tail}"
            if head not in self._links:
                break
            current = paths.normalised(self._links[head] + tail)
        else:
            return path
        if current == start:
            return path
        folder = self._folder()
        return posixpath.relpath(current, folder) if folder and current[0] not in "/~" and folder[0] not in "/~" else current

    def write(self, path: str, taints: frozenset[str], text: str | None, *, append: bool = False) -> None:
        """Remembers what a file holds after something was written to it."""
        key = self._key(path)
        if not key:
            return
        before = self._texts.get(key)
        if self._ways or key in self._others:
            self._keep_others(key, before, text, append=append)
        self._taints[key] = taints | self._taints.get(key, NONE)
        if (append or self.unsure) and key in self._taints and before is not None:
            text = before + text if text is not None else None
        if text is not None and len(text) > MAX_TEXT:
            self._taints[key] |= {TOO_LONG}
        if text is not None and len(text) <= MAX_TEXT and HIDDEN not in key:
            self._texts[key] = text
        else:
            self._texts.pop(key, None)
        folder = posixpath.dirname(key)
        while taints and folder and folder != "/":
            self._inside[folder] = self._inside.get(folder, NONE) | taints
            folder = posixpath.dirname(folder)

    @contextmanager
    def way(self) -> Iterator[None]:
        """Within it, commands run that may not run: what a file held before is what it may still hold afterwards."""
        self._ways.append(set())
        try:
            yield
        finally:
            self._ways.pop()

    def _keep_others(self, key: str, before: str | None, text: str | None, *, append: bool) -> None:
        others = self._others.pop(key, ())
        if append:
            others = tuple(other + text if other is not None and text is not None else None for other in others)
        elif not self._ways:
            return
        elif key not in self._ways[-1] and key in self._taints and before != text and before not in others:
            others = (*others, before)
        if self._ways:
            self._ways[-1].add(key)
        if not others:
            return
        self._others[key] = others[-MAX_OTHERS:]
        too_long = len(others) > MAX_OTHERS or sum(len(other) for other in others if other is not None) > MAX_TEXT
        self._taints[key] = self._taints.get(key, NONE) | ({DIVIDED, TOO_LONG} if too_long else {DIVIDED})

    def link(self, name: str, target: str) -> None:
        """Makes `name` stand for `target`, which is relative to the folder of the link."""
        if HIDDEN in name or HIDDEN in target or not name or not target or len(self._links) >= MAX_LINKS:
            return
        if not target.startswith(("/", "~")):
            target = posixpath.join(posixpath.dirname(name), target)
        if self._named(name) != self._named(target):
            self._links[self._named(name)] = self._named(target)

    def taints(self, path: str) -> frozenset[str]:
        """Where the content of a file, or of the files in a folder, came from."""
        if not self._taints:
            return NONE
        key = self._key(path)
        return self._taints.get(key, NONE) | self._inside.get(key, NONE)

    def text(self, path: str) -> str | None:
        """What a file holds, when that is known; of a file that may hold one of several texts, all of them one after the other."""
        texts = self.texts(path)
        return "\n".join(texts) if texts else None

    def texts(self, path: str) -> list[str]:
        """The texts of which a file may hold one; none when any of them is not known."""
        key = self._key(path) if self._texts else ""
        text, others = self._texts.get(key), self._others.get(key)
        if text is None or not others:
            return [] if text is None else [text]
        known = [other for other in others if other is not None]
        return [*known, text] if len(known) == len(others) and TOO_LONG not in self._taints[key] else []

    def installed(self, program: str) -> str:
        """The path of a program that was put into a folder of programs, empty when it was not."""
        if self._taints:
            for folder in _PROGRAM_FOLDERS:
                if (path := f"{folder}/{program}") in self._taints:
                    return path
        return ""

    def copy(self, source: str, path: str) -> None:
        """Remembers which program a file is a copy of, when `source` is one."""
        key = self._key(source)
        program = self._programs.get(key) or (key if posixpath.dirname(key) in _PROGRAM_FOLDERS else "")
        if program and (copied := self._key(path)):
            self._programs[copied] = program

    def program(self, typed: str) -> str:
        """The path of the program that a command starts through a copy or a link of this script; empty when it is none of these."""
        if not (self._programs or self._links):
            return ""
        path = typed if "/" in typed else self.installed(typed)
        real = self.real(path)
        return self._programs.get(self._key(path), real if real != path else "") if path else ""

    def insert(self, path: str, text: str) -> None:
        """Remembers a piece that was put into a file whose other content is not known."""
        if text and len(text) <= MAX_TEXT and (key := self._key(path)):
            self._pieces[key] = f"{self._pieces.get(key, '')}{text}\n"[-MAX_TEXT:]

    def pieces(self, path: str) -> str:
        """What was put into a file, one piece after the other."""
        return self._pieces.get(self._key(path), "") if self._pieces else ""

    def temporary(self) -> str:
        """A name that no other file has, as mktemp makes one."""
        path = f"/tmp/tmp.{len(self._made):06d}"
        self._made.add(path)
        return path

    def unpack(self, folder: str) -> None:
        """Remembers that an archive from the network was unpacked into a folder, the current one when it has no name."""
        self._unpacked.add(self._named(self.real(folder)) if folder else "")

    def is_unpacked(self, path: str) -> bool:
        """Whether a file may have come out of an archive from the network. The folder that a relative one is in is not known."""
        if not self._unpacked:
            return False
        key = self._named(self.real(path))
        if not key.startswith(("/", "~")):
            return key not in self._texts
        return _below(key, self._unpacked)

    def clone(self, folder: str) -> None:
        """Remembers a folder into which a repository of somebody's was put."""
        if folder and HIDDEN not in folder:
            self._cloned.add(self._key(folder))

    @property
    def has_clones(self) -> bool:
        """Whether there is any such folder."""
        return bool(self._cloned)

    def is_cloned(self, path: str) -> bool:
        """Whether a path is such a folder or is below one, and this script did not write it."""
        if not self._cloned or HIDDEN in path:
            return False
        key = self._key(path)
        return key not in self._texts and _below(key, self._cloned)

    def pipe(self, taints: frozenset[str], text: str | None) -> str:
        """The name under which what a process substitution prints is read."""
        self._pipes += 1
        path = f"{_PIPE}{self._pipes}"
        self.write(path, taints, text)
        return path

    @staticmethod
    def is_pipe(path: str) -> bool:
        """Whether a path is the name of a process substitution."""
        return path.startswith(_PIPE)

    def is_own(self, path: str) -> bool:
        """Whether a path is a temporary file or folder that this script made, or is below one: nobody else's work is in it."""
        if not self._made or HIDDEN in path:
            return False
        key = self._named(self.real(path))
        return key in self._made or key[:15] in self._made

    def overwrite(self, path: str) -> None:
        """Remembers that what a file held before is gone: all that it holds came from this script."""
        if not self.unsure and HIDDEN not in path and (key := self._key(path)):
            self._overwritten.add(key)

    def make_folder(self, path: str, *, new: bool = False) -> None:
        """Remembers a folder that this script made, and whether that fails for one that was there (`new`)."""
        if not self.unsure and HIDDEN not in path and (key := self._key(path)):
            self._folders.setdefault(key, new)

    def new_folders(self) -> list[str]:
        """The folders that this script made in a way that fails where one was there before, in this order."""
        return [folder for folder, new in self._folders.items() if new]

    def own(self, folders: Iterable[str]) -> None:
        """Remembers folders that were not there before: had they been, the script would have ended."""
        self._own.update(folders)

    def disown(self, path: str) -> None:
        """Something of another's was moved to a path: what is in the folders above it is no longer only the script's."""
        key = self._key(path)
        while key and key != "/":
            self._own.discard(key)
            self._made.discard(key)
            key = posixpath.dirname(key)

    def is_own_folder(self, path: str) -> bool:
        """Whether a path is a folder that only this script can have filled, or is below one."""
        if not self._own or HIDDEN in path:
            return False
        key = self._key(path)
        while key and key not in self._own and key != "/":
            key = posixpath.dirname(key)
        return key in self._own

    def is_overwritten(self, path: str) -> bool:
        """Whether this script has written all that a file holds."""
        return bool(self._overwritten) and HIDDEN not in path and self._key(path) in self._overwritten

    def is_made_folder(self, path: str) -> bool:
        """Whether this script made a folder, unless it was there before."""
        return bool(self._folders) and HIDDEN not in path and self._key(path) in self._folders

    def _key(self, path: str) -> str:
        if len(path) > paths.MAX_PATH or (HIDDEN in path and len(path.replace(HIDDEN, "")) < LEAST_KNOWN):
            return ""
        return self._named(self.real(path))

    def _named(self, path: str) -> str:
        """The path from where the script starts, whatever folder it is in now."""
        return paths.normalised(path, self._folder())


def _below(key: str, folders: set[str]) -> bool:
    """Whether a path is one of these folders or is in one."""
    relative = not key.startswith(("/", "~", "../"))
    while key:
        if key in folders:
            return True
        key = key.rpartition("/")[0]
    return relative and "." in folders
