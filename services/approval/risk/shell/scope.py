"""What the names of a script stand for: variables, functions and aliases, with a log of changes that can be taken back.

A subshell takes its changes back. A branch that may not have run leaves what either case gives. Both cost as much as was
changed, whatever the number of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from tree_sitter import Node

from services.approval.risk.detectors.paths import HIDDEN, STARTED
from services.approval.risk.shell.words import NONE, Value

MAX_NAMES = 20_000  # names of one assessment; further ones are not remembered, and so stay hidden
MAX_OPTIONS = 8  # values that a variable may have at one point before it counts as hidden
FOLDER = " folder"  # the name under which the working directory is kept; no variable of a script can have it


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function of a script: the body, and the text in which it stands."""

    name: str
    body: Node
    source: bytes


# Each is what a name may stand for at this point; None among functions is the program of that name.
Functions = tuple["Function | None", ...]
Aliases = tuple["Value | None", ...]
Entry = Value | Functions | Aliases


class Scope:
    """The names of one assessment. `well_known`: what variables hold that the script has not set."""

    def __init__(self, well_known: Mapping[str, str]) -> None:
        self._well_known = {**well_known, FOLDER: ""}
        self.divided = False  # whether any variable ever had one of several known values
        self.variables: dict[str, Value] = {}
        self.functions: dict[str, Functions] = {}
        self.aliases: dict[str, Aliases] = {}
        self._log: list[tuple[dict[str, Entry], str, Entry | None]] = []

    def mark(self) -> int:
        """A point that `take_back` and `merge` can refer to."""
        return len(self._log)

    def put(self, name: str, value: Value) -> None:
        self._put(self.variables, name, value)

    def unset(self, name: str) -> Value:
        """What a variable holds that the script has not set."""
        return Value(self._well_known.get(name, HIDDEN))

    def define(self, function: Function) -> None:
        self._put(self.functions, function.name, (function,))

    def undefine(self, name: str) -> None:
        """The name may be a program again: `unset NAME` removes a function only when no variable has the name."""
        if known := self.functions.get(name):
            self._put(self.functions, name, _together([known, (None,)]))

    def leave(self) -> None:
        """What another shell sees: a function may have been exported or not, an alias is none there."""
        for name, known in list(self.functions.items()):
            self._put(self.functions, name, _together([known, (None,)]))
        for name, values in list(self.aliases.items()):
            self._put(self.aliases, name, _together([values, (None,)]))

    def alias(self, name: str, value: Value) -> None:
        self._put(self.aliases, name, (value,))

    def hide(self, names: Iterable[str] | None = None) -> None:
        """These variables, or all, have values that nobody knows."""
        for name in list(self.variables if names is None else names):
            known = self.variables.get(name)
            self.put(name, Value(HIDDEN, known.taints if known else NONE))

    def restore(self, name: str, before: Value | None) -> None:
        """Gives a variable back the value that it had before a function used the name."""
        if before is not None:
            self.put(name, before)
        elif (known := self.variables.pop(name, None)) is not None:
            self._log.append((cast("dict[str, Entry]", self.variables), name, known))

    def forget(self, mark: int, name: str) -> None:
        """Drops the changes of a variable since `mark` that came to nothing: it has the value again that it had then."""
        self._log[mark:] = [change for change in self._log[mark:] if change[0] is not self.variables or change[1] != name]

    def branches(self, runs: Sequence[Callable[[], bool]], *, one_runs: bool) -> None:
        """Runs each from the same beginning; afterwards names stand for what any of them leaves, or without `one_runs` none.

        Each says whether the script goes on after it: what is left by one that ends it is of no account.
        """
        mark = self.mark()
        ends: list[dict[tuple[int, str], tuple[dict[str, Entry], Entry | None]]] = []
        for run in runs:
            goes_on = run()
            if goes_on:
                ends.append({(id(table), name): (table, table.get(name)) for table, name, _ in islice(self._log, mark, None)})
            self.take_back(mark)
        tables = {key: table for end in ends for key, (table, _) in end.items()}
        for (at, name), table in tables.items():
            current = table.get(name)
            entries = [end[at, name][1] if (at, name) in end else current for end in ends]
            self._put(table, name, self._either(table, name, entries if one_runs else [*entries, current]))

    def take_back(self, mark: int) -> None:
        """Undoes every change since `mark`."""
        while len(self._log) > mark:
            table, name, before = self._log.pop()
            if before is None:
                table.pop(name, None)
            else:
                table[name] = before

    def assigned(self, mark: int) -> set[str]:
        """The variables that were set since `mark`."""
        return {name for table, name, _ in islice(self._log, mark, None) if table is self.variables}

    def merge(self, mark: int, *, every: bool = False, unset: bool = True) -> bool:
        """The changes since `mark` may have happened or not. With `every`, each single one may have been the last.
        Without `unset`, a variable that was not set at some point counts as empty then, and the values that it did have are what counts.

        Returns whether anything is less certain than before.
        """
        if len(self._log) == mark:
            return False
        held: dict[tuple[int, str], tuple[dict[str, Entry], list[Entry | None]]] = {}
        for table, name, before in islice(self._log, mark, None):
            entries = held.setdefault((id(table), name), (table, []))[1]
            if not entries or every:
                entries.append(before)
        changed = False
        for (_, name), (table, entries) in held.items():
            current = table.get(name)
            entries = [*entries, current]
            if not unset and table is self.variables:
                entries = [entry for entry in entries if entry is not None] or entries
            either = self._either(table, name, entries)
            changed = changed or either != entries[0]
            if either != current:
                self._put(table, name, either)
        return changed

    def _either(self, table: object, name: str, entries: list[Entry | None]) -> Entry:
        if table is self.variables:
            value = one_of([e if isinstance(e, Value) else self.unset(name) for e in entries])
            self.divided = self.divided or bool(value.options)
            return value
        return _together([e if isinstance(e, tuple) else (None,) for e in entries])

    def _put(self, table: Mapping[str, Entry], name: str, entry: Entry) -> None:
        tables = cast("dict[str, Entry]", table)  # each kind of entry is only ever put into its own table
        before = tables.get(name)
        if before is None and len(tables) >= MAX_NAMES:
            return
        self._log.append((tables, name, before))
        tables[name] = entry


def one_of(values: list[Value]) -> Value:
    """The value of a variable that has one of these: hidden, with the few that it can be as its options."""
    first = values[0]
    if all(value == first for value in values[1:]):
        return first
    taints = NONE.union(*(value.taints for value in values))
    if any(value.items for value in values) and all(value.items is not None and set(value.items) <= {STARTED} for value in values):
        return Value(STARTED, taints, items=(STARTED,))  # however many there are
    options: dict[tuple[str, tuple[str, ...] | None], Value] = {}
    for value in values:
        for option in value.options or (value,):
            known = options.get(key := (option.text, option.items))
            options[key] = Value(option.text, option.taints | known.taints, option.items) if known else option
    if len(options) == 1:
        return next(iter(options.values()))
    return Value(HIDDEN, taints, options=tuple(options.values()) if len(options) <= MAX_OPTIONS else ())


def _together(groups: list[Functions | Aliases]) -> Functions | Aliases:
    found: list[Function | Value | None] = []
    for group in groups:
        found += [each for each in group if each not in found]
    return cast("Functions | Aliases", tuple(found))  # groups are of one kind
