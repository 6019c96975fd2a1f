"""Reads a program of any language that has a syntax tree: what each expression may be, then what the calls do.

One evaluation visits every node once, children first, and knows no scopes: a name has every value that it is given anywhere.
It is repeated while names gain values (at most `MAX_ROUNDS` times, so that a value is followed through that many functions),
and once more to judge. Nothing calls itself for a level of nesting.

A tree with errors is judged as far as it was read, and the answer is UNKNOWN: what a parser skips may be what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, NamedTuple

from tree_sitter import Tree

from services.approval.risk import normalise
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import values
from services.approval.risk.languages.effects import KINDS, Effects
from services.approval.risk.languages.tree import Node, TooManyNodes, in_order
from services.approval.risk.languages.values import (
    FETCHED,
    INPUT,
    ROAMED,
    UNKNOWN,
    Function,
    Value,
    bounded,
    constant,
    either,
    joined,
    tainted,
)
from services.approval.risk.model import Factor
from services.approval.risk.scoring import CRITICAL, MEDIUM, NOTE
from services.approval.risk.syntax import Grammar, TooComplex

MAX_SOURCE = 24_000  # bytes of one program: the worst text found is parsed in 20 µs a byte, ordinary code in 0.5
MAX_TRIED = 28_000  # bytes that are parsed in all, when the same text is tried in several ways
MAX_ROUNDS = 4
MAX_INSIDE = 3  # constant code that is executed, in constant code
_MAX_NAME = 200  # characters; a longer chain of calls stands for nothing that a table knows
_MAX_LOOPS = 50  # endless loops whose bodies are looked at

_ACTING = frozenset({"shell", "program", "code", "start", "delete"})

RunShell = Callable[[str], object]
Mentions = Callable[[str], list[Factor]]


class Call(NamedTuple):
    """A call: the name of what is called, its arguments, the receiver of a method, arguments by name, and the node."""

    name: str
    args: list[Value]
    receiver: Value
    node: Node
    options: Mapping[str, Value]

    def arg(self, index: int) -> Value:
        """An argument by position, an unknown one when it is not given."""
        return self.args[index] if index < len(self.args) else UNKNOWN


def table(**names: str) -> dict[str, str]:
    """Names of a language by the kind of effect that they have."""
    return {name: kind.replace("_", "-") for kind, text in names.items() for name in text.split()}


class Reader:
    """The reader of one program; a language is a subclass with its node types and its tables."""

    LANGUAGE = ""
    GRAMMARS: tuple[Grammar, ...] = ()
    CALLS: ClassVar[Mapping[str, str]] = {}  # full names
    METHODS: ClassVar[Mapping[str, str]] = {}  # names of methods of whatever object
    TEXTS: ClassVar[Mapping[str, str]] = {}  # functions and methods that make text of text: what they do
    NODES: ClassVar[Mapping[str, str]] = {}  # types of nodes: the method that evaluates them
    SEPARATOR = "."
    MODULES: frozenset[str] = frozenset()  # all of whose functions start programs

    def __init__(self, source: str, run_shell: RunShell, mentions: Mentions, inside: int = 0) -> None:
        self._text_of_source = source
        self._source = source.encode("utf-8", "replace")
        self._run_shell, self._mentions, self._inside = run_shell, mentions, inside
        self.effects = Effects(run_shell, self._nested)
        self._values: dict[int, Value] = {}
        self._names: dict[str, Value] = {}
        self._changed = False
        self._round = 0
        self._judging = False
        self._nodes: list[Node] = []
        self._loops = 0
        self._handlers = {type_: getattr(self, name) for type_, name in self.NODES.items()}

    def factors(self) -> list[Factor]:
        """What the program does."""
        if len(self._source) > MAX_SOURCE:
            return [
                normalise.unreadable("too-large", f"Source of {len(self._source)} bytes; at most {MAX_SOURCE} are analysed."),
                *self._mentions(self._text_of_source),
            ]
        try:
            tree, whole = self.parsed()
            self._nodes = in_order(tree)
        except (TooComplex, TooManyNodes):
            return [
                normalise.unreadable("too-complex", "The source is too large or too tangled to be read."),
                *self._mentions(self._text_of_source),
            ]
        for self._round in range(MAX_ROUNDS if whole else 1):  # of a broken text no more is asked than what stands there
            self._changed = False
            self._evaluate()
            if not self._changed:
                break
        self._judging = True
        self._evaluate()
        found = self.effects.conclude()
        if not whole:
            found.append(normalise.unreadable("syntax", f"Not valid {self.LANGUAGE}: it cannot be read with certainty.", self._text_of_source[:80]))
            found += self._mentions(self._text_of_source)
        return found

    def parsed(self) -> tuple[Tree, bool]:
        """The tree of the first grammar that covers the source, else of the first that reads it; and whether it is whole.

        Raises TooComplex.
        """
        broken: list[Tree] = []
        for tried, grammar in enumerate(self.grammars(), 1):
            if tried > 1 and tried * len(self._source) > MAX_TRIED:
                break
            try:
                tree = grammar.parse(self._source)
            except TooComplex:
                continue
            if not tree.root_node.has_error:
                return tree, True
            broken.append(tree)
        if not broken:
            raise TooComplex
        return broken[0], False

    def grammars(self) -> Iterable[Grammar]:
        """The grammars to try, the likeliest first."""
        return self.GRAMMARS

    def _nested(self, code: str) -> list[Factor]:
        if self._inside >= MAX_INSIDE:
            return [normalise.unreadable("too-deep", "Code in code in code.")]
        found = type(self)(code, self._run_shell, self._mentions, self._inside + 1).factors()
        return [factor for factor in found if factor.id not in ("unreadable.syntax",)]

    # -- evaluation

    def _evaluate(self) -> None:
        evaluated, handlers = self._values, self._handlers
        for node in self._nodes:
            handler = handlers.get(node.type)
            if handler is not None:
                evaluated[id(node)] = handler(node)
            elif node.children:
                taints = 0
                for child in node.children:
                    taints |= evaluated[id(child)].taints
                evaluated[id(node)] = Value(taints=taints) if taints else UNKNOWN
            else:
                evaluated[id(node)] = UNKNOWN

    def value(self, node: Node | None) -> Value:
        """What a node that was visited may be."""
        return self._values.get(id(node), UNKNOWN) if node is not None else UNKNOWN

    def source(self, node: Node) -> str:
        return self._source[node.start : node.end].decode("utf-8", "replace")

    def excerpt(self, node: Node) -> str:
        return self._source[node.start : node.start + 160].decode("utf-8", "replace").split("\n")[0]

    def bind(self, name: str, value: Value, *, append: bool = False) -> None:
        """Gives a name one more value; `append` adds to the text that it has."""
        if not name:
            return
        known = self._names.get(name)
        if known is None:
            self._names[name] = value
            self._changed = True
            return
        if append:
            texts = joined([known, value]).texts if self._round == 0 and not self._judging else known.texts
        else:
            texts = bounded((*known.texts, *value.texts)) if known.texts != value.texts else known.texts
        new = Value(
            texts,
            known.name or value.name,
            known.taints | value.taints,
            value.items or known.items,
            value.fields or known.fields,
            value.function or known.function,
        )
        if texts != known.texts or new.taints != known.taints or new.name != known.name:
            self._changed = True
        self._names[name] = new

    # -- nodes that most languages have

    def first(self, node: Node) -> Value:
        """Brackets and casts: what is inside."""
        return self.value(node.children[-1]) if node.children else UNKNOWN

    def nothing(self, node: Node) -> Value:
        return UNKNOWN

    def string(self, node: Node) -> Value:
        """A string of fragments and expressions."""
        if not node.children:
            return constant("")
        value = joined([self.value(child) for child in node.children])
        taints = value.taints
        for text in value.texts:
            if text != HIDDEN:
                taints |= self.effects.literal(text)
        return value if taints == value.taints else replace(value, taints=taints)

    def fragment(self, node: Node) -> Value:
        return constant(self.source(node))

    def escape(self, node: Node) -> Value:
        return constant(values.unescaped(self.source(node)))

    def number(self, node: Node) -> Value:
        return constant(self.source(node))

    def identifier(self, node: Node) -> Value:
        name = self.source(node)
        return self._names.get(name) or Value(name=name)

    def member(self, receiver: Value, name: str) -> Value:
        """The member of an object by name."""
        if receiver.fields and name in receiver.fields:
            return receiver.fields[name]
        if not receiver.name or len(receiver.name) > _MAX_NAME:
            return Value(taints=receiver.taints)
        full = self.canonical(f"{receiver.name}{self.SEPARATOR}{name}")
        known = self._names.get(full)
        if known is not None:
            return known if known.name else replace(known, name=full)
        return Value(name=full, taints=self.member_taints(full, receiver.taints))

    def member_taints(self, full: str, taints: int) -> int:
        """Where the data of a member comes from."""
        return taints

    def canonical(self, name: str) -> str:
        """The one name that the tables use for a thing with several names."""
        return name

    def element(self, receiver: Value, index: Value) -> Value:
        """An element of a list or an object."""
        if index.known:
            if receiver.items is not None and index.text.isdigit() and len(index.text) < 6 and int(index.text) < len(receiver.items):
                return receiver.items[int(index.text)]
            if receiver.fields and index.text in receiver.fields:
                return receiver.fields[index.text]
            if receiver.name and not index.text.isdigit():
                return self.member(receiver, index.text)
            if receiver.known and index.text.isdigit() and len(index.text) < 6 and int(index.text) < len(receiver.text):
                return constant(receiver.text[int(index.text)])
        return Value(taints=receiver.taints)

    def listed(self, node: Node) -> Value:
        """A list: its parts in order."""
        items: list[Value] = []
        for child in node.children:
            value = self.value(child)
            items += value.items if child.type in self.SPREADS and value.items else [value]
        return Value(items=tuple(items), taints=tainted(items))

    SPREADS: frozenset[str] = frozenset()

    def binary(self, node: Node) -> Value:
        operator = node.get("operator")
        sign = self.source(operator) if operator is not None else ""
        sides = [self.value(child) for child in node.children if child is not operator]
        if sign in self.CONCATENATES:
            return joined(sides)
        if sign in ("||", "&&", "??", "?:", "or", "and", "||=", "??="):
            return either(sides)
        return Value(taints=tainted(sides))

    CONCATENATES: frozenset[str] = frozenset("+")

    def assigned(self, node: Node) -> Value:
        """An assignment, whose value is what was assigned."""
        target, value = node.get("left"), self.value(node.get("right"))
        if target is not None:
            self.assign(target, value)
        return value

    def assign(self, target: Node, value: Value) -> None:
        """Gives what stands on the left of an assignment one more value."""
        self.bind(self.source(target), value)

    def alternatives(self, node: Node) -> Value:
        """A conditional expression: what it chooses from."""
        return either([self.value(child) for child in node.children[-2:]])

    def block(self, node: Node) -> Value:
        """Statements: what they return, not what happens in them."""
        returned = [
            self.value(child) for child in node.children if child.type in self.RETURNS or (child.type in self.BLOCKS and self.value(child).taints)
        ]
        return either(returned) if returned else UNKNOWN

    RETURNS: frozenset[str] = frozenset({"return_statement"})
    BLOCKS: frozenset[str] = frozenset()

    # -- calls

    def call(self, call: Call) -> Value:
        """What a call does and what it gives."""
        name = call.name if len(call.name) <= _MAX_NAME else ""
        last = name.rpartition(self.SEPARATOR)[2] if name else ""
        kind = self.CALLS.get(name) or self.METHODS.get(last, "") if name else ""
        if kind:
            result = self.effect(kind, call)
            return result if result is not None else Value(name=f"{name}()", taints=call.receiver.taints)
        if (how := self.TEXTS.get(name) or self.TEXTS.get("." + last)) and (made := self.text(how, call)) is not None:
            return made
        if self._judging:
            self.handed_on(call.args, call.node)
        taints = tainted(call.args) | call.receiver.taints
        for argument in call.args:  # a function given to a method of a list or of data gets what is in it
            if argument.function is not None and call.receiver.items:
                self.parameters(argument.function, [either(call.receiver.items)])
            elif argument.function is not None and call.receiver.taints:
                self.parameters(argument.function, [Value(taints=call.receiver.taints)] * len(argument.function.parameters))
        return Value(name=f"{name}()" if name else "", taints=taints)

    def user_call(self, function: Function, args: list[Value]) -> Value:
        """A call of a function of the program itself."""
        self.parameters(function, args)
        return function.returns

    def parameters(self, function: Function, args: list[Value]) -> None:
        for parameter, value in zip(function.parameters, args, strict=False):
            self.bind(parameter, value)

    def handed_on(self, given: Iterable[Value], node: Node) -> None:
        """A function that starts programs or removes files, or a module of such, given to something that may call it."""
        for value in given:
            if self._judging and value.name and (value.name in self.MODULES or self.CALLS.get(value.name) in _ACTING):
                self.effects.flag("code.handed-on", MEDIUM, "Hands on what starts programs, runs code or removes files.", self.excerpt(node))

    def effect(self, kind: str, call: Call) -> Value | None:
        """Judges a call of a known kind; its value, None for an ordinary one. Kinds that take more are a language's own."""
        effects, excerpt, judging = self.effects, self.excerpt(call.node), self._judging
        result: Value | None = None
        if kind == "read":
            result = Value(taints=effects.read(call.arg(0)) if judging or call.arg(0).known else values.LOCAL)
        elif kind in ("fetch", "send", "request", "download"):
            result = self.network(kind, call)
        elif kind == "decode":
            result = self.decode(call)
        elif kind == "environment":
            result = Value(taints=values.ENVIRONMENT)
        elif kind == "input-data":
            result = Value(taints=INPUT)
        elif kind == "list":
            result = Value(taints=effects.listed(call.arg(0)))
            for argument in call.args:
                if argument.function is not None and result.taints:
                    self.parameters(argument.function, [result] * len(argument.function.parameters))
        elif kind == "home":
            result = constant("~")
        elif kind == "socket":
            result = Value(name=f"{call.name}()", taints=FETCHED)
        if not judging:
            return result
        if kind == "shell":
            effects.command(call.arg(0), excerpt)
        elif kind == "program":
            effects.program(self.words(call.args), excerpt)
        elif kind == "code":
            effects.code(call.arg(0), excerpt)
        elif kind == "delete":
            for target in call.args[:1] if call.args and call.args[0].items is None else (call.args[0].items or ()) if call.args else [UNKNOWN]:
                effects.delete(target, excerpt)
        elif kind == "write":
            effects.write(call.arg(0), tainted(call.args[1:]), excerpt)
        elif kind == "copy":
            effects.write(replace(call.arg(1), taints=call.arg(1).taints | (call.arg(0).taints & ROAMED)), effects.read(call.arg(0)), excerpt)
        elif kind == "permissions":
            effects.permissions(call.arg(1), call.arg(0), excerpt)
        elif kind == "statement":
            for argument in call.args[:2]:
                effects.statement(argument, excerpt)
        elif kind == "print":
            if tainted(call.args) & values.ENVIRONMENT:
                effects.environment(excerpt)
        elif kind == "sent":
            effects.sent(tainted(call.args), excerpt)
        elif kind in KINDS:
            effects.plain(kind, excerpt)
        return result

    def words(self, args: list[Value]) -> list[Value]:
        """The words of a command line, lists spread."""
        words: list[Value] = []
        for argument in args:
            words += argument.items if argument.items is not None else [argument]
        return words

    def network(self, kind: str, call: Call) -> Value:
        """A call that talks to another machine; what it gives is fetched."""
        data = tainted(call.args[1:]) | tainted(call.options.values())
        if self._judging:
            last = call.name.rpartition(self.SEPARATOR)[2].upper()
            method = "GET" if kind != "send" else last if last in ("PUT", "PATCH", "DELETE") else "POST"
            self.effects.network(method, call.arg(0), data, self.excerpt(call.node), sends=kind == "send")
        for argument in call.args:
            if argument.function is not None:
                self.parameters(argument.function, [Value(taints=FETCHED)] * len(argument.function.parameters))
        return Value(name=f"{call.name}()", taints=FETCHED)

    def decode(self, call: Call) -> Value:
        """A call that decodes its first argument."""
        return values.decoded(call.arg(0), "base64")

    def text(self, how: str, call: Call) -> Value | None:
        """What a function that makes text of text gives; None when its arguments are not what it takes."""
        subject = call.receiver if how.startswith(".") else call.arg(0)
        rest = call.args if how.startswith(".") else call.args[1:]
        first = rest[0] if rest else UNKNOWN
        match how.lstrip("."):
            case "same":
                return subject
            case "join":
                return (
                    joined(subject.items, first.text if rest else ",") if subject.items is not None else Value(taints=subject.taints | first.taints)
                )
            case "join-last":
                return joined(first.items, subject.text) if first.items is not None else Value(taints=subject.taints | first.taints)
            case "path":
                return joined([subject, *rest], "/")
            case "concat":
                return joined([subject, *rest]) if subject.items is None else None
            case "reverse":
                if subject.items is not None:
                    return Value(items=subject.items[::-1], taints=subject.taints)
                return values.decoded(subject, "reverse")
            case "split":
                if subject.known and first.known and len(subject.text) < 4096:
                    parts = subject.text.split(first.text) if first.text else list(subject.text)
                    return Value(items=tuple(constant(part) for part in parts), taints=subject.taints)
                return Value(taints=subject.taints)
            case "replace":
                second = rest[1] if len(rest) > 1 else UNKNOWN
                if subject.known and first.known and second.known and len(subject.text) * max(1, len(second.text)) < values.MAX_TEXT:
                    return constant(subject.text.replace(first.text, second.text))
                return Value(taints=subject.taints | second.taints)
            case "lower" | "upper" | "strip" as change:
                return values.mapped(subject, getattr(str, change))
            case "codes":
                return values.from_codes([subject, *rest] if subject.items is None else list(subject.items))
            case "format":
                return values.formatted([subject, *rest])
            case "percent" | "hex" | "base64" | "rot13" as coding:
                return values.decoded(subject, coding)
        return None

    # -- loops

    def endless(self, node: Node, forks: frozenset[str], grows: frozenset[str]) -> None:
        """A loop without an end: whether it starts copies of the program or takes memory."""
        if not self._judging or self._loops >= _MAX_LOOPS:
            return
        self._loops += 1
        inside = self._nodes[node.first : node.last]
        if any(child.type in self.LEAVES for child in inside):
            return
        called = {self.value(child).name.removesuffix("()") for child in inside}
        called |= {name.rpartition(self.SEPARATOR)[2] for name in called}
        if called & forks:
            self.effects.flag("resource.fork-bomb", CRITICAL, "Starts copies of itself without end.", self.excerpt(node))
        elif called & grows:
            self.effects.flag("resource.loop", MEDIUM, "Grows without end.", self.excerpt(node))

    LEAVES: frozenset[str] = frozenset({"break_statement", "return_statement", "throw_statement", "await_expression", "yield_expression"})

    def note(self, id: str, message: str, node: Node) -> None:
        """Something worth saying that decides nothing."""
        if self._judging:
            self.effects.flag(id, NOTE, message, self.excerpt(node))
