"""What commands do. A rule that can be said as data is in a pack (`packs/*.yaml`, one file a family, see docs/risk-rules.md);
what follows data between commands, or judges a target by where it is, is a function in `CHECKS` or `CHECKS_OF`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from services.approval.risk.rules import containers, destruction, escapes, network
from services.approval.risk.rules.book import RuleBook
from services.approval.risk.rules.pack import PackError, parse
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

__all__ = ["BUILTIN", "PackError", "RuleBook", "check", "parse"]


def _builtin() -> RuleBook:
    found = sorted((each for each in files(__name__).joinpath("packs").iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)
    return RuleBook(parse(each.read_text(encoding="utf-8"), each.name) for each in found)


BUILTIN = _builtin()
"""The rules that come with the package. Their examples are checked by the tests; those of an operator's packs, when the service starts."""

Check = Callable[["Walker", Invocation, frozenset[str]], None]

# Checks that look at more than one command's own words: those of some programs, and those of every program.
CHECKS: tuple[Check, ...] = (network.check, escapes.check)
CHECKS_OF: Mapping[str, tuple[Check, ...]] = {
    **dict.fromkeys(destruction.PROGRAMS, (destruction.check, *CHECKS)),
    **dict.fromkeys(containers.PROGRAMS, (containers.check, *CHECKS)),
}


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Runs the checks that apply to a command; `read` are the taints of the files it reads."""
    for each in CHECKS_OF.get(call.name, CHECKS):
        each(walker, call, read)
