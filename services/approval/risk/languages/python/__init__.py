"""Python source, read as a syntax tree: what it does under whatever names, and where its data come from and go to."""

from __future__ import annotations

from collections.abc import Callable

from services.approval.risk import normalise
from services.approval.risk.languages.python.effects import Effects
from services.approval.risk.languages.python.flow import Reader
from services.approval.risk.languages.python.reading import Unreadable, parse
from services.approval.risk.model import Factor

MAX_NESTED = 3  # programs inside programs

__all__ = ["assess"]


def assess(source: str, run_shell: Callable[[str], object]) -> list[Factor]:
    """Factors of Python source. `run_shell` assesses a shell command that it starts, and adds its own factors.

    Never raises. What cannot be parsed (Python 2, a fragment, nesting beyond the caps) is UNKNOWN, and still searched for what
    is telling by its name. Work is linear in the size of the source, which is capped.
    """
    return _assess(source, run_shell, 0)


def _assess(source: str, run_shell: Callable[[str], object], depth: int) -> list[Factor]:
    if refusal := normalise.refusal(source):
        return [refusal]
    try:
        if depth > MAX_NESTED:
            raise Unreadable("too-nested", "Programs inside programs, nested deeper than is analysed.")
        tree, commands = parse(source)
        effects = Effects(run_shell, lambda text: _assess(text, run_shell, depth + 1))
        Reader(effects).read(tree, len(source))
        for command in commands:
            effects.shell(command)
        effects.finish(tree)
        return list(effects.factors.values())
    except Unreadable as reason:
        return _unread(reason.id, reason.message, source)
    except RecursionError:
        return _unread("too-deep", "Nested deeper than is analysed.", source)


def _unread(id: str, message: str, source: str) -> list[Factor]:
    from services.approval.risk.languages.source import mentions

    return [normalise.unreadable(id, message, source[:80]), *mentions(source)]
