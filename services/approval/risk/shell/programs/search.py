"""find, fd and fzf: searches that start programs, delete, or write lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import caches, flows
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import NONE, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_FIND_RUNS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_FD_RUNS = frozenset({"-x", "-X", "--exec", "--exec-batch"})
_WIDENS = frozenset({"-o", "-or", "!", "-not", ",", "-L", "-follow"})
_EVERYWHERE = frozenset({flows.EVERYWHERE, flows.MANY})
# Conditions that narrow a search down to some files.
_NARROWS = frozenset("-name -iname -path -ipath -wholename -regex -iregex -mtime -mmin -newer -size -empty -atime -ctime -inum -samefile".split())


def _find(walker: Walker, call: Invocation) -> None:
    words = list(call.words)
    runs = _FIND_RUNS if call.name == "find" else _FD_RUNS
    first = next(
        (i for i, w in enumerate(words) if (w.text.startswith("-") and w.text not in ("-H", "-L", "-P")) or w.text in ("(", "!")), len(words)
    )
    start = [w.text for w in words[:first] if w.text not in ("-H", "-L", "-P")]
    inside = f"{start[0] if start and call.name == 'find' else '.'}/{HIDDEN}"
    everywhere = _EVERYWHERE if any(map(paths.is_root, start if call.name == "find" else call.positionals)) else NONE
    cache = _only_caches(walker, call, start or ["."])
    inside = cache or inside
    end = 0
    for index, word in enumerate(words):
        if word.text in runs and index >= end:
            end = next(
                (i for i in range(index + 1, len(words)) if words[i].text == ";" or (words[i].text == "+" and words[i - 1].text == "{}")), len(words)
            )
            inner = [Word(code.filled(w.text, "{}", inside), w.taints | (everywhere if "{}" in w.text else NONE)) for w in words[index + 1 : end]]
            if call.name != "find" and inner and not any("{" in w.text for w in words[index + 1 : end]):
                inner.append(Word(inside, everywhere))
            walker.run_words(inner)
    if "-delete" in call.args and cache:
        walker.flag("destruction.cache", scoring.NOTE, "Removes caches, which tools make again.", call.excerpt, span=call.span)
    elif "-delete" in call.args:
        root = any(paths.is_root(path) for path in start) and _NARROWS.isdisjoint(call.args)
        walker.flag(
            "destruction.find-delete",
            scoring.CRITICAL if root else scoring.SERIOUS,
            "Deletes every file that a search finds.",
            call.excerpt,
            "List them first, without -delete.",
            call.span,
        )
    for path in call.values("-fprint", "-fprintf", "-fls", "-fprint0"):
        flows.writes(walker, path, Flow())


def _only_caches(walker: Walker, call: Invocation, start: list[str]) -> str:
    """The path of one of the caches to whose names a search is narrowed, empty when it may find something else too."""
    names = call.values("-name", "-iname")
    if len(names) != 1 or call.name != "find" or not _WIDENS.isdisjoint(call.args):
        return ""
    found = [f"{folder}/{names[0]}" for folder in start]
    return found[0] if all(caches.is_cache(walker, path) for path in found) else ""


_BOUND = patterns.compile(
    r"(?:execute|execute-silent|become|reload|reload-sync|transform(?:-\w+)*|preview|change-preview)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|:(.+)$)"
)


def _choose(walker: Walker, call: Invocation) -> None:
    """fzf: `--bind 'enter:execute(cmd {})'` and `--preview 'cmd {}'` run shell text with what was chosen in it."""
    scripts = call.values("--preview")
    for bound in call.values("--bind"):
        scripts += [match.group(1) or match.group(2) for match in _BOUND.finditer(bound) if match.group(1) or match.group(2)]
    for script in scripts:
        walker.run_text(code.filled(script, "{}", HIDDEN))


HANDLERS = {"find": _find, "fd": _find, "fdfind": _find, "fzf": _choose, "sk": _choose}
