"""The rules in force: packs put together, indexed by program, never changed afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.approval.risk.model import Factor
from services.approval.risk.rules.pack import Pack, PackError, Rule
from services.approval.risk.shell.invocation import Invocation


@dataclass(slots=True)
class _Bucket:
    """Rules of one program: those for any subcommand, and the others by the first word that they can begin with."""

    taking: frozenset[str] = frozenset()  # options with a value, of which the packs of these rules say so
    always: list[Rule] = field(default_factory=list)
    by_first: dict[str, list[Rule]] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        if rule.first is None:
            self.always.append(rule)
        for word in rule.first or ():
            self.by_first.setdefault(word, []).append(rule)

    def holding(self, call: Invocation) -> list[Rule]:
        """The rules that hold for a command."""
        found = [rule for rule in self.always if rule.holds is None or rule.holds(call)]
        if self.by_first and call.lowered:
            found += [rule for rule in self.by_first.get(call.lowered[0], ()) if rule.holds is None or rule.holds(call)]
        return found


class RuleBook:
    """Immutable. `extended` gives a new book: a pack adds rules, and can neither take one away nor weaken one.

    That holds by construction: every rule of every pack is tried, and of the factors with one id the heaviest counts. What a
    pack says of a program's options counts for its own rules only.
    """

    __slots__ = ("_buckets", "_known", "packs")

    def __init__(self, packs: Iterable[Pack], *, listed: RuleBook | None = None) -> None:
        """Raises PackError when two packs have one name. Programs of `listed` are the known ones; by default all are."""
        self.packs = tuple(packs)
        names: dict[str, Pack] = {}
        self._buckets: dict[str, list[_Bucket]] = {}
        for pack in self.packs:
            if (other := names.setdefault(pack.name, pack)) is not pack:
                raise PackError(f"{pack.source}: the pack {pack.name} is already in {other.source}; give it a name of its own")
            for rule in pack.rules:
                for program in rule.programs:
                    self._bucket(program, rule.taking.get(program, frozenset())).add(rule)
        self._known: frozenset[str] = listed._known if listed is not None else frozenset(self._buckets)

    def _bucket(self, program: str, taking: frozenset[str]) -> _Bucket:
        buckets = self._buckets.setdefault(program, [])
        found = next((bucket for bucket in buckets if bucket.taking == taking), None)
        if found is None:
            buckets.append(found := _Bucket(taking))
        return found

    def extended(self, packs: Iterable[Pack]) -> RuleBook:
        """This book and further packs. Raises PackError for a name that is taken.

        A program that only the further packs name stays unlisted: to look at some of its uses is not to know the others.
        """
        return RuleBook((*self.packs, *packs), listed=self)

    def versions(self) -> dict[str, str]:
        """The version of every pack by its name, with the start of its content's SHA-256: "1.2.0+sha256.0123456789ab"."""
        return {pack.name: f"{pack.version}+sha256.{pack.digest[:12]}" for pack in self.packs}

    def knows(self, program: str) -> bool:
        """Whether a rule of the packs that the book began with names this program."""
        return program in self._known

    def apply(self, call: Invocation) -> list[Factor]:
        """The factors of every rule that holds for a command; none for a dry run or a question for help."""
        buckets = self._buckets.get(call.name)
        if buckets is None:
            return []
        found: list[Rule] = []
        for bucket in buckets:
            found += bucket.holding(replace(call, taking=bucket.taking) if bucket.taking else call)
        if not found or call.dry_run or call.asks_help:
            return []
        return [rule.raised_by(call) for rule in found]
