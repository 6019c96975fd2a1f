"""Scopes, functions and classes of the program that is read."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from services.approval.risk.languages.python.reading import Unreadable
from services.approval.risk.languages.python.values import NOTHING, UNKNOWN, Value, join

Definition = ast.FunctionDef | ast.AsyncFunctionDef
MAX_BASES = 40  # classes that one class is looked up in
MAX_NAMES = 4000  # names of one scope; further ones are not known


@dataclass(slots=True)
class Progress:
    """Whether anything new was learned in this round (`seen`), and how much work is left (`left`, in values that are joined,
    computed or handed on; each takes 2 to 10 microseconds)."""

    left: int
    seen: bool = False

    def spend(self, work: int) -> None:
        """Counts work that is about to be done. Raises Unreadable when there was too much."""
        self.left -= work
        if self.left < 0:
            raise Unreadable("too-complex", "Takes more work to read than a program of its length should.")


@dataclass(slots=True)
class Scope:
    """The names of a module, a class, a function or a comprehension, with every value that each was given."""

    progress: Progress
    parent: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    shared: set[str] = field(default_factory=set)  # names that `global` or `nonlocal` gives to the scope around it
    function: Function | None = None

    def find(self, name: str) -> Value | None:
        """Every value of a name, None when nothing is known of it."""
        scope: Scope | None = self
        while scope is not None:
            value = scope.names.get(name)
            if value is not None and name not in scope.shared:
                return value
            if name in scope.parameters:
                return UNKNOWN
            scope = scope.parent
        return None

    def bind(self, name: str, value: Value) -> None:
        """Gives a name one more value."""
        scope = self
        while name in scope.shared and scope.parent is not None:
            scope = scope.parent
        known = scope.names.get(name)
        if known is None:
            if len(scope.names) < MAX_NAMES:
                scope.names[name] = value
                self.progress.seen = True
            return
        self.progress.spend(known.size + value.size + len(known.consts))
        joined = join(known, value)
        if joined is not known and joined != known:
            scope.names[name] = joined
            self.progress.seen = True


@dataclass(slots=True, eq=False)
class Function:
    """A function of the program: its parameters hold what its callers give, `returns` what it gives back."""

    node: Definition | ast.Lambda
    scope: Scope
    positional: list[str]
    returns: Value = NOTHING
    owner: Class | None = None
    repeated: bool = False  # called in a loop, or by many threads
    times: int = 0  # how often, when that is known
    static: bool = False
    computed: bool = False  # a property: naming it calls it
    inlined: bool = False  # read where it is called, with what each call gives


@dataclass(slots=True, eq=False)
class Class:
    """A class of the program; its instances share the attributes that any of them was given."""

    name: str
    scope: Scope
    bases: tuple[Value, ...] = ()

    def find(self, attr: str) -> Value | None:
        """An attribute of the class, or of the first of its bases that has it."""
        todo, seen = [self], {id(self)}
        while todo:
            current = todo.pop(0)
            found = current.scope.names.get(attr)
            if found is not None:
                return found
            for each in (each for base in current.bases for each in base.objects):
                if isinstance(each, Class) and id(each) not in seen and len(seen) < MAX_BASES:
                    seen.add(id(each))
                    todo.append(each)
        return None


@dataclass(slots=True, eq=False)
class Bound:
    """A function with arguments that it already has: a method of an instance, `functools.partial`."""

    function: Value
    args: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop around what is read: `endless` when only the program itself can end it, and does not; `times` when known."""

    endless: bool
    waits: bool
    times: int
