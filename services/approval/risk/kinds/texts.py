"""What every kind of action does with a text: refuse it, look for secrets and deceptions, assess it as code or as a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from services.approval.risk import languages, normalise
from services.approval.risk.detectors import secrets
from services.approval.risk.model import Context, Factor
from services.approval.risk.shell.dispatch import dispatch
from services.approval.risk.shell.walker import Walker


def decoded(content: str | bytes) -> str:
    """Content as text; bytes that are no UTF-8 are replaced, and so is NUL, which no detector reads."""
    return content if isinstance(content, str) else content.decode("utf-8", "replace").replace("\x00", "\ufffd")


def plain(text: str, *, prose: bool = False) -> list[Factor]:
    """What can be said of any text that a program acts upon, or with `prose` of one that people read."""
    if refusal := normalise.refusal(text):
        return [refusal]
    return [*normalise.suspicious(text, prose=prose), *secrets.detect(text)]


def code(language: str, source: str, walker: Walker) -> list[Factor]:
    """What source code would do; shell commands in it go to `walker`."""
    if refusal := normalise.refusal(source):
        return [refusal]
    walker.given = source
    return [*plain(source), *languages.assess(language, source, walker.run_text)]


def with_shell(context: Context, run: Callable[[Walker], list[Factor]]) -> list[Factor]:
    """The factors that `run` gives, and those of the commands that it hands to the walker."""
    walker = Walker(context, dispatch)
    found = run(walker)
    return [*walker.factors, *found]


def without_spans(factors: Iterable[Factor]) -> list[Factor]:
    """The same factors, found in a text that is only a part of the action's: their places would point elsewhere."""
    return [replace(factor, span=None) if factor.span else factor for factor in factors]
