"""What an expression may be: constants, functions of known names, and where its parts came from.

The reading is flow-insensitive: a name keeps every value that was ever given to it, so that what is added to a program can
only add to what is known of it, and never hide it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.approval.risk.detectors.paths import HIDDEN

Const = str | bytes | int | float | bool | None

MAX_OPTIONS = 48  # constants that one value may be; with more it may also be anything
MAX_TEXT = 1 << 16  # characters of one constant; a longer one is not known
MAX_SIZE = 600  # values inside one value; a larger one keeps what its parts may be, not where they are
MAX_NAME = 160  # characters of a dotted name
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Value:
    """`consts`: what it may be. `hidden`: it may be something else. `names`: dotted names of what it may be ("os.system"; a
    call of it appends "()", an element of it "[]"). `items` and `entries`: the parts of a list or a dict, where they are known.
    `objects`: functions, classes and partial calls of the program itself. `taints`: where it came from."""

    consts: tuple[Const, ...] = ()
    hidden: bool = False
    names: tuple[str, ...] = ()
    taints: frozenset[str] = NONE
    items: tuple[Value, ...] | None = None
    entries: tuple[tuple[Const, Value], ...] | None = None
    objects: tuple[object, ...] = ()
    size: int = 1

    @property
    def known(self) -> bool:
        """Whether it is one of its constants for certain."""
        return bool(self.consts) and not self.hidden

    @property
    def length(self) -> int:
        """Characters of its constants."""
        return sum(len(c) for c in self.consts if isinstance(c, str | bytes))

    def texts(self) -> list[str]:
        """Every text that it may be; HIDDEN stands for one that is not known."""
        found = [text_of(each) for each in self.consts]
        if self.hidden or not found:
            found.append(HIDDEN)
        return found

    def text(self) -> str:
        """The text that it is, HIDDEN when there is none or more than one."""
        found = self.texts()
        return found[0] if len(found) == 1 else HIDDEN


UNKNOWN = Value(hidden=True)
NOTHING = Value()


def const(value: Const, taints: frozenset[str] = NONE) -> Value:
    """A value that is known."""
    if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
        return Value(hidden=True, taints=taints)
    return Value((value,), taints=taints)


def options(values: Iterable[Const], taints: frozenset[str] = NONE, *, hidden: bool = False) -> Value:
    """A value that is one of several constants."""
    kept: dict[tuple[type, Const], Const] = {}
    for each in values:
        if (isinstance(each, str | bytes) and len(each) > MAX_TEXT) or len(kept) >= MAX_OPTIONS:
            hidden = True
        else:
            kept[type(each), each] = each
    return Value(tuple(kept.values()), hidden or not kept, taints=taints)


def named(name: str, taints: frozenset[str] = NONE, consts: tuple[Const, ...] = ()) -> Value:
    """The function, class, module or object of a dotted name."""
    return Value(consts, not consts, (name,) if len(name) <= MAX_NAME else (), taints)


def tainted(value: Value, taints: Iterable[str]) -> Value:
    """`value` with further taints."""
    more = value.taints.union(taints)
    return value if more == value.taints else _copy(value, taints=more)


def without(value: Value, taints: frozenset[str]) -> Value:
    """`value` without some taints."""
    return _copy(value, taints=value.taints - taints) if value.taints & taints else value


def _copy(value: Value, *, taints: frozenset[str]) -> Value:
    return Value(value.consts, value.hidden, value.names, taints, value.items, value.entries, value.objects, value.size)


def sequence(items: Iterable[Value]) -> Value:
    """A list, tuple or set of known elements. Its taints are those of its elements."""
    parts = tuple(items)
    size = 1 + sum(each.size for each in parts)
    taints = NONE.union(*(each.taints for each in parts)) if parts else NONE
    if size > MAX_SIZE:
        joined = join_all(parts)
        return Value(hidden=True, taints=taints, items=(flat(joined),), objects=(), size=2)
    return Value(taints=taints, items=parts, size=size)


def mapping(pairs: Iterable[tuple[Const, Value]], taints: frozenset[str] = NONE) -> Value:
    """A dict of known keys; `taints` are those of the keys and of parts that are not known."""
    merged: dict[tuple[type, Const], tuple[Const, Value]] = {}
    for key, value in pairs:
        known = merged.get((type(key), key))
        merged[type(key), key] = (key, value if known is None else join(known[1], value))
    entries = tuple(merged.values())
    size = 1 + sum(value.size for _, value in entries)
    taints = taints.union(*(value.taints for _, value in entries)) if entries else taints
    if size > MAX_SIZE:
        joined = flat(join_all(value for _, value in entries))
        return Value(hidden=True, taints=taints, entries=((None, joined),), size=2)
    return Value(taints=taints, entries=entries, size=size)


def flat(value: Value) -> Value:
    """`value` without its parts."""
    return Value(value.consts, True, value.names, value.taints, objects=value.objects)


def parts(value: Value, depth: int = 3) -> Iterator[Value]:
    """What is inside of a value, and inside of that, so many levels deep."""
    if depth:
        for each in (*(value.items or ()), *(v for _, v in value.entries or ())):
            yield each
            if each.size > 1:
                yield from parts(each, depth - 1)


def element(value: Value) -> Value:
    """What an element of a value may be."""
    if value.items is not None:
        return tainted(join_all(value.items), value.taints) if value.items else Value(hidden=True, taints=value.taints)
    if value.entries is not None:
        return tainted(options((key for key, _ in value.entries), hidden=value.hidden), value.taints)
    return Value(hidden=True, names=tuple(f"{n}[]" for n in value.names if len(n) < MAX_NAME), taints=value.taints)


def join(a: Value, b: Value) -> Value:
    """What is one or the other."""
    if a == b:
        return a
    keys = {(type(c), c) for c in a.consts}
    consts = a.consts + tuple(c for c in b.consts if (type(c), c) not in keys)
    hidden = a.hidden or b.hidden or len(consts) > MAX_OPTIONS
    items, entries = a.items, a.entries
    if b.items is not None and b.items is not items:
        if items is None:
            items = b.items
        elif len(items) == len(b.items):
            items = tuple(join(x, y) for x, y in zip(items, b.items, strict=True))
        else:
            items = tuple(dict.fromkeys((*items, *b.items)))
    if b.entries is not None and b.entries is not entries:
        entries = b.entries if entries is None else mapping((*entries, *b.entries)).entries
    size = 1 + sum(v.size for v in items or ()) + sum(v.size for _, v in entries or ())
    if size > MAX_SIZE:
        parts = join_all(flat(v) for v in (*(items or ()), *(v for _, v in entries or ())))
        items, entries, size = (parts,), None, 2
    return Value(
        consts[:MAX_OPTIONS],
        hidden,
        tuple(dict.fromkeys((*a.names, *b.names)))[:16],
        a.taints | b.taints,
        items,
        entries,
        tuple({id(o): o for o in (*a.objects, *b.objects)}.values())[:16],
        size,
    )


def join_all(values: Iterable[Value]) -> Value:
    """What is any of several; NOTHING when there are none."""
    joined: Value | None = None
    for each in values:
        joined = each if joined is None else join(joined, each)
    return NOTHING if joined is None else joined


def text_of(value: Const) -> str:
    """A constant as text: bytes as UTF-8, numbers in decimal."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int) and value.bit_length() > 4096:
        return HIDDEN
    return str(value)
