"""Paths that lead elsewhere than they seem to: through links, `..`, a home folder, out of the working directory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from harness.approval.v1 import approval_pb2
from harness.common.v1 import action_pb2
from services.approval import risk
from services.approval.risk import patterns
from services.approval.risk.detectors.paths import MAX_PATH, Place, joined, place_of, resolved

MAX_PATHS = 32
MAX_WORDS = 2000
"""Words of a script that are looked at as paths."""

_WORD = patterns.compile(r"[^\s\"'`;|&<>(){}=,:$*?\[\]]+")
# After these, where a relative path starts from is not known here.
_MOVES = frozenset({"cd", "pushd", "popd", "chroot"})


def paths_of(
    actions: Iterable[action_pb2.Action], context: risk.Context
) -> tuple[list[approval_pb2.ResolvedPath], bool]:
    """The paths of the actions that mean something else than they say, each once, and whether there are more."""
    place = place_of(context)
    links = bool(place.links)
    found: dict[tuple[str, str], approval_pb2.ResolvedPath] = {}
    for action in actions:
        for path, cwd, home in _named(action, links=links):
            if (path, cwd) in found:
                continue
            shown = _resolve(path, home, place.at(cwd))
            if shown is None:
                continue
            if len(found) == MAX_PATHS:
                return list(found.values()), True
            found[path, cwd] = shown
    return list(found.values()), False


def _resolve(path: str, home: str, place: Place) -> approval_pb2.ResolvedPath | None:
    """What a path leads to; None if that is what it says."""
    text = home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
    target = resolved(text, place)
    if target is None:
        return approval_pb2.ResolvedPath(path=path, outside=bool(place.root))
    start = joined(place.cwd, place.root) if place.cwd else place.root
    said = "" if ".." in path.split("/") else posixpath.normpath(joined(path, start))
    if target in (said, path):
        return None
    outside = bool(place.root) and target != place.root and not target.startswith(place.root.rstrip("/") + "/")
    return approval_pb2.ResolvedPath(path=path, resolved=target, outside=outside)


def _named(action: action_pb2.Action, *, links: bool) -> Iterator[tuple[str, str, str]]:
    """Paths of an action that may lead elsewhere, each with its folder and the home folder, where they are known."""
    match action.WhichOneof("kind"):
        case "file_write":
            paths = [action.file_write.path]
        case "file_delete":
            paths = [action.file_delete.path]
        case "command":
            yield from _named_by(action.command, links=links)
            return
        case _:
            return
    for path in paths:
        if _may_differ(path, links=links):
            yield path, "", ""


def _named_by(command: action_pb2.CommandAction, *, links: bool) -> Iterator[tuple[str, str, str]]:
    home = command.env.get("HOME", "")
    if _may_differ(command.working_directory, links=links):
        yield command.working_directory, "", home
    words: Sequence[str] = command.argv
    if command.script:
        if not links and ".." not in command.script and "~" not in command.script:
            return
        words = [match.group() for match in _first(_WORD.finditer(command.script))]
    moves = not _MOVES.isdisjoint(words)
    for word in words[:MAX_WORDS]:
        is_path = not word.startswith(("//", "-")) and "://" not in word and len(word) <= MAX_PATH
        if is_path and _may_differ(word, links=links) and (word[:1] in "/~" or not moves):
            yield word, command.working_directory, home


def _may_differ(path: str, *, links: bool) -> bool:
    """Whether a path can mean something else than it says: nothing but links, `..` and `~` does that."""
    return bool(path.strip()) and (links or ".." in path or path[0] == "~")


def _first(matches: Iterable[patterns.Match]) -> Iterator[patterns.Match]:
    for count, match in enumerate(matches):
        if count == MAX_WORDS:
            return
        yield match
