"""The symbolic links below a folder that texts name: what the assessment, which reads no file, is told about them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from services.approval.risk import patterns

MAX_LINKS = 256
"""Links of one row, as the contract says (ActionContext.links)."""
MAX_NAMES = 5_000
"""Words of one row that are looked up; each costs a few system calls."""

# Words after which a command names the folder that it goes to, and that its other words may start from.
_GOES = frozenset({"cd", "pushd", "-C"})
_WORD = patterns.compile(r"[^\s\"'`;|&<>(){}=,:$]+")


class TooManyError(ValueError):
    """The texts name more than is looked up."""


def links_in(texts: Iterable[str], root: Path) -> dict[str, str]:
    """The links that paths in `texts` go through, path to target, each relative to `root` where it is below it.

    Only what is below `root` is looked at, and what links below it lead to. Paths start from `root`, and from the
    folders that the texts change into.

    Raises:
        TooManyError: over MAX_NAMES words or MAX_LINKS links; nothing is left out silently.
    """
    found: dict[str, str] = {}
    words = list(_words(texts))
    each = dict.fromkeys(words)
    folders = [""]
    for before, word in pairwise(["", *words]):
        if before in _GOES:
            folders.append(os.path.join(folders[-1], word))
        if len(each) * len(folders) > MAX_NAMES:
            raise TooManyError(f"{len(each) * len(folders)} words may be paths; at most {MAX_NAMES} are looked up")
    todo = list(dict.fromkeys(os.path.join(folder, word) for folder in folders for word in each))
    while todo:
        for link, target in _links_of(todo.pop(), root):
            if link in found:
                continue
            found[link] = target
            if len(found) > MAX_LINKS:
                raise TooManyError(f"more than {MAX_LINKS} symbolic links")
            todo.append(target if target.startswith("/") else os.path.join(os.path.dirname(link), target))
    return found


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for match in _WORD.finditer(text):
            yield match.group()


def _links_of(word: str, root: Path) -> Iterator[tuple[str, str]]:
    """The links among a path and the folders that it is in."""
    path = os.path.normpath(os.path.join(root, word))
    below = os.path.relpath(path, root)
    if below.startswith("..") or len(word) > 4096 or "\0" in word:
        return
    here = ""
    for part in below.split("/"):
        here = os.path.join(here, part)
        try:
            yield here, os.readlink(os.path.join(root, here))
        except OSError:
            continue  # no link, or not there
