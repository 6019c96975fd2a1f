"""Whether the rules do what their own examples say, asked through the real assessment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from services.approval.risk.model import Assessment, Level
from services.approval.risk.rules.book import RuleBook
from services.approval.risk.rules.pack import Pack, PackError, Rule

Assess = Callable[[str, RuleBook], Assessment]

_MARK = "example.match"  # the factor under which a rule is tried alone; no pack can have it, the family is reserved


def check(packs: Iterable[Pack], assess: Assess, book: RuleBook) -> None:
    """Checks the examples of every rule, each rule alone, and each pack's everyday commands under the whole book.

    `assess` assesses a command line under a book. Raises PackError for the first example that does not hold.
    """
    for pack in packs:
        for rule in pack.rules:
            _check_rule(pack, rule, assess)
        for line in pack.everyday:
            found = assess(line, book)
            if found.level is not Level.LOW:
                why = ", ".join(factor.id for factor in found.factors)
                raise PackError(f"{pack.source}: everyday: {line!r} is {found.level.name} ({why}); make the rule narrower, or take the line out")


def _check_rule(pack: Pack, rule: Rule, assess: Assess) -> None:
    alone = RuleBook([replace(pack, rules=(replace(rule, factor=_MARK),))])
    for line in rule.match:
        if not _raised(line, assess, alone):
            raise PackError(f"{pack.source}: rule {rule.id}: match: {line!r} does not match; correct the rule's `when` or the line")
    for line in rule.no_match:
        if _raised(line, assess, alone):
            raise PackError(f"{pack.source}: rule {rule.id}: no_match: {line!r} matches; make the rule's `when` narrower or correct the line")


def _raised(line: str, assess: Assess, book: RuleBook) -> bool:
    return any(factor.id == _MARK for factor in assess(line, book).factors)
