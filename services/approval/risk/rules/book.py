"""The rules in force: packs put together, indexed by program, never changed afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, pairwise

from services.approval.risk.model import Factor
from services.approval.risk.rules.pack import Pack, PackError, Rule
from services.approval.risk.shell.invocation import VALUE_OPTIONS, Invocation

MAX_UNSURE = 4  # options that may each take a value or not, in every combination; of further ones all do, or none


@dataclass(slots=True)
class _Bucket:
    """Rules of one program: those for any subcommand, and the others by the first word that they can begin with."""

    taking: frozenset[str] = frozenset()  # options with a value, of which the packs of these rules say so
    unsure: bool = False  # whether nobody said which options take a value: each may, or not
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
    pack says of a program's options counts for its own rules only. Where a further pack says nothing of the options of a program
    that the book does not know either, the word after an option may be its value or not, and a rule holds that holds for either.
    """

    __slots__ = ("_began", "_buckets", "_known", "packs")

    def __init__(self, packs: Iterable[Pack], *, listed: RuleBook | None = None) -> None:
        """Raises PackError when two packs have one name. Programs of `listed` are the known ones; by default all are."""
        self.packs = tuple(packs)
        names: dict[str, Pack] = {}
        self._began: frozenset[str] = listed._began if listed is not None else frozenset(pack.name for pack in self.packs)
        self._buckets: dict[str, list[_Bucket]] = {}
        for pack in self.packs:
            if (other := names.setdefault(pack.name, pack)) is not pack:
                raise PackError(f"{pack.source}: the pack {pack.name} is already in {other.source}; give it a name of its own")
            for rule in pack.rules:
                for program in rule.programs:
                    unsure = pack.name not in self._began and program not in rule.taking and program not in VALUE_OPTIONS
                    self._bucket(program, rule.taking.get(program, frozenset()), unsure=unsure).add(rule)
        self._known: frozenset[str] = listed._known if listed is not None else frozenset(self._buckets)

    def _bucket(self, program: str, taking: frozenset[str], *, unsure: bool) -> _Bucket:
        buckets = self._buckets.setdefault(program, [])
        found = next((bucket for bucket in buckets if bucket.taking == taking and bucket.unsure is unsure), None)
        if found is None:
            buckets.append(found := _Bucket(taking, unsure))
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
            for taking in _readings(call) if bucket.unsure else ():
                found += [rule for rule in bucket.holding(replace(call, taking=taking)) if rule not in found]
        if not found or call.dry_run or call.asks_help:
            return []
        return [rule.raised_by(call) for rule in found]


def _readings(call: Invocation) -> Iterator[frozenset[str]]:
    """The options that may be those with a value, one combination after the other: all of which a word stands right behind."""
    args = call.args[: call.args.index("--")] if "--" in call.args else call.args
    unsure = dict.fromkeys(arg for arg, after in pairwise(args) if len(arg) > 1 and arg[0] == "-" and "=" not in arg and after[:1] != "-")
    first, rest = list(unsure)[:MAX_UNSURE], list(unsure)[MAX_UNSURE:]
    for chosen in chain.from_iterable(combinations(first, size) for size in range(len(first) + 1)):
        for further in ([], rest) if rest else ([],):
            if chosen or further:
                yield frozenset((*chosen, *further))
