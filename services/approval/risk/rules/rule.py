"""A rule over one invocation, and the table of all rules by program."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from services.approval.risk.model import Factor
from services.approval.risk.shell.invocation import Invocation

Predicate = Callable[[Invocation], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over one invocation: all the conditions that are given must hold.

    `programs`: names, space-separated. `sub`: alternatives separated by `|`, each a run of globs that the first positional
    arguments must match ("system prune"). `flags`: any of these. `without`: none of these. `arg`: a regular expression that
    some argument must match from its start. `when`: anything else. A dry run never matches.
    """

    id: str
    programs: str
    weight: int
    message: str
    sub: str = ""
    flags: str = ""
    without: str = ""
    arg: str = ""
    when: Predicate | None = None
    safer: str = ""

    def matches(self, call: Invocation) -> bool:
        if self.flags and call.flags.isdisjoint(self.flags.split()):
            return False
        if self.without and not call.flags.isdisjoint(self.without.split()):
            return False
        if self.sub and not any(starts_with(call.positionals, option.split()) for option in self.sub.split("|")):
            return False
        if self.arg and not any(re.match(self.arg, arg) for arg in call.args):
            return False
        return (self.when is None or self.when(call)) and not call.dry_run

    def factor(self, call: Invocation) -> Factor:
        return Factor(
            self.id,
            self.id.partition(".")[0],
            self.message,
            self.weight,
            excerpt=call.excerpt,
            span=call.span,
            safer_alternative=self.safer,
        )


def starts_with(positionals: tuple[str, ...], globs: list[str]) -> bool:
    """Whether the first positionals match the globs, one each, ignoring case."""
    if len(positionals) < len(globs):
        return False
    return all(fnmatchcase(have.lower(), want) for have, want in zip(positionals, globs, strict=False))


class RuleTable:
    """Rules by program name."""

    def __init__(self, *groups: Iterable[Rule]) -> None:
        self._by_program: dict[str, list[Rule]] = defaultdict(list)
        for group in groups:
            for rule in group:
                for program in rule.programs.split():
                    self._by_program[program].append(rule)

    def knows(self, program: str) -> bool:
        return program in self._by_program

    def apply(self, call: Invocation) -> list[Factor]:
        return [rule.factor(call) for rule in self._by_program.get(call.name, ()) if rule.matches(call)]
