"""Walks a parsed shell script in the order it would run, and hands every command to `dispatch`.

The walk follows data as well as commands: what a pipe, a here-document, a variable or a written file carries decides what
the command at its end does. Everything that is not known before the script runs is HIDDEN, and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import tree_sitter_bash
from tree_sitter import Node

from services.approval.risk import normalise, patterns, syntax
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import ARGUMENTS, HIDDEN, STARTED
from services.approval.risk.model import Context, Factor, Span
from services.approval.risk.scoring import HIGH, NOTE
from services.approval.risk.shell import alternatives, builtins, calls, constructs, flows, hazards, lines, statements, variables
from services.approval.risk.shell.expansion import WELL_KNOWN, Resolver
from services.approval.risk.shell.files import DIVIDED, Files
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.scope import FOLDER, Function, Scope
from services.approval.risk.shell.words import MARKS, NONE, SPLIT, Value, Word

MAX_DEPTH = 60  # nested constructs of one script
MAX_NESTED = 6  # scripts inside scripts (sh -c "sh -c ...")
MAX_SCRIPT = 1 << 17  # characters of one script
MAX_CHARACTERS = 1 << 18  # characters of all the scripts of one assessment
MAX_COMMANDS = 4000  # commands of one assessment, nested scripts included; each takes about a tenth of a millisecond
MAX_WORDS = 6000  # words of one command; a wrapper's options, a rule and a file's name each look at all of them, in up to 80 µs
MAX_ALL_WORDS = 32_000  # words of all commands of one assessment, those of a command inside another again
_FEW, _MANY_WORDS = 20, 4  # of a command with more words than this each counts as so many: most are files or addresses
MAX_STEPS = 16_000  # constructs and redirections of one assessment, those of a loop's or a function's body each time it is walked
MAX_OUTPUT = 65536  # characters of a command's output that are remembered

# A letter that is not ASCII is part of a word and never part of a name, as in bash: a control character is just that.
_GRAMMAR = syntax.Grammar(tree_sitter_bash.language(), stand_in="\x02", bytes_a_report=65)
# One command of plain words: nothing in it means anything to the shell but the blanks.
_PLAIN = patterns.compile(r"[A-Za-z0-9_./:,@%+^~ -][A-Za-z0-9_./:=,@%+^~ -]*")
_KEYWORDS = frozenset(
    "if then elif else fi for in do done while until case esac select function time coproc export declare local readonly typeset unset".split()
)

_RESERVED = frozenset("} if then else elif fi case esac for while until do done in function select".split())

Dispatch = Callable[["Walker", list[Word], Flow], Flow]


@dataclass(slots=True)
class State:
    """What a script has done so far, and the budget of work left."""

    files: Files
    defined: list[Function] = field(default_factory=list)  # functions that were not called yet
    called: set[Function] = field(default_factory=set)
    active: list[Function] = field(default_factory=list)  # functions whose bodies are being walked
    recursed: set[Function] = field(default_factory=set)  # those that called themselves
    locals: list[dict[str, Value | None]] = field(default_factory=list)  # what the active functions' own variables hide
    later: list[tuple[Word, int]] = field(default_factory=list)  # scripts of traps, and the mark of when they were set
    apart: int = 0  # walks, one inside the other, whose changes of names are taken back
    exits: bool = False  # whether a command that fails ends the script, after `set -e`
    enabled: bool = False  # whether `enable` changed what the builtins are
    loaded: frozenset[str] = NONE  # taints of the variables that a file of settings may have set
    jumps: int = 0  # times that `return`, `break` or `continue` was met
    doubts: int = 0  # wrappers whose arguments were read in two ways
    commands: int = 0
    words: int = 0
    steps: int = 0
    nested: int = 0
    texts: int = 0
    characters: int = 0


class Walker:
    """Assesses one shell script into `factors`. `dispatch` says what one command does."""

    def __init__(self, context: Context, dispatch: Dispatch, cwd: str = "") -> None:
        self.context = context
        self._cwd = cwd or context.working_dir
        self._place = paths.place_of(context)
        self.factors: list[Factor] = []
        self.state = State(Files(lambda: self.moved))
        self.scope = Scope(WELL_KNOWN)
        self.privileged = False
        self.resolver = Resolver(self._lookup, self.assign, self._substitute, self._printed)
        self._dispatch = dispatch
        self.given: str | None = None  # the text of the action, where that is not what is run first but may hold it
        self._shown = b""  # the text that spans refer to
        self._depth = 0

    @property
    def moved(self) -> str:
        """Where `cd` went, from the directory in which the script starts; empty for nowhere, or for a place that is not known."""
        known = self.scope.variables.get(FOLDER)
        return known.text if known is not None and HIDDEN not in known.text else ""

    @property
    def cwd(self) -> str:
        """The working directory at this point of the script; the one that was given while no other is known."""
        moved = self.moved
        return paths.normalised(moved, self._cwd) if moved else self._cwd

    def move(self, folder: str) -> None:
        """What `cd` does; an empty or hidden folder is one that is not known."""
        known = folder and HIDDEN not in folder and len(folder) + len(self.moved) <= paths.MAX_PATH
        self.scope.put(FOLDER, Value(paths.normalised(folder, self.moved) if known else HIDDEN))

    @property
    def place(self) -> paths.Place:
        """Where the paths of the commands start from."""
        return self._place.at(self.cwd)

    # -- what dispatch and rules use ------------------------------------------------------------------------------

    def add(self, *factors: Factor) -> None:
        self.factors.extend(factors)

    def flag(self, id: str, weight: int, message: str, excerpt: str = "", safer: str = "", span: Span | None = None) -> None:
        """Adds a factor whose category is the first part of its id."""
        self.factors.append(Factor(id, id.partition(".")[0], message, weight, excerpt[:200], span, safer))

    def unreadable(self, id: str, message: str, excerpt: str = "") -> None:
        self.factors.append(normalise.unreadable(id, message, excerpt))

    def run_text(self, text: str, stdin: Flow | None = None) -> Flow:
        """Assesses a script: the one that was given, or one inside it."""
        if refusal := normalise.refusal(text):
            self.add(refusal)
            return Flow(taints=NONE, present=True)
        if len(text) > MAX_SCRIPT:
            self.unreadable("too-large", f"A script of {len(text)} characters; at most {MAX_SCRIPT} are analysed.")
            return Flow(present=True)
        self.state.characters += len(text)
        if self.state.nested >= MAX_NESTED or self.state.characters > MAX_CHARACTERS:
            self.unreadable("too-nested", "Scripts inside scripts, nested deeper than is analysed.")
            return Flow(present=True)
        self.state.nested += 1
        self.state.texts += 1
        saved, self.resolver.source = self.resolver.source, text.encode("utf-8", "surrogatepass")
        if self.state.nested == 1:
            self._shown = self.resolver.source if text.isascii() and self.given in (None, text) else b""
        try:
            if len(text) < 4096 and _PLAIN.fullmatch(text) and (plain := self._plain(text)):
                return calls.call(self, plain, stdin or Flow())
            return self._parsed(text, stdin or Flow())
        finally:
            if self.state.texts == 1:
                calls.finish(self)
            self.state.nested -= 1
            self.state.texts -= 1
            self.resolver.source = saved

    def run_words(self, words: Sequence[Word], stdin: Flow | None = None) -> Flow:
        """Assesses one command whose words are known: a builtin or a program, not a function of the script."""
        state = self.state
        state.commands += 1
        if state.commands > MAX_COMMANDS:
            if state.commands == MAX_COMMANDS + 1:
                self.unreadable("too-many", f"More than {MAX_COMMANDS} commands.")
            return Flow(present=True)
        state.words += len(words) if len(words) <= _FEW else len(words) * _MANY_WORDS
        if len(words) > MAX_WORDS or state.words > MAX_ALL_WORDS:
            self.unreadable("too-many", f"A command of {len(words)} words, or commands of many words inside each other.")
            return Flow(present=True)
        first = 0  # the grammar takes a second one, and the {name} of a redirection, for a program's name
        while first < len(words) and (words[first].text in ("!", "{") or _names_descriptor(words[first].text)):
            first += 1
        words = words[first:] if first else words
        if words and words[0].text in _RESERVED:
            if len(words) > 1 or words[0].text != "}":
                self.unreadable("construct", "A word of the shell's own stands where a program should.", words[0].text)
            words = words[1:]
        if not words:
            return Flow()
        name = words[0]
        if not name.known or not name.text:
            if "fetched" in name.taints:
                self.flag("execution.fetched", HIGH, "Runs what was fetched from the network.", name.text)
            alone = words == [name] and not name.taints and not (stdin and stdin.present)
            if alone and name.text == ARGUMENTS and state.nested == 1 and self.resolver.source.startswith(b"#!"):
                message = "Runs the command that it is given as arguments; on its own it has none."
                self.flag("execution.arguments", NOTE, message, excerpt_of(words))
                return Flow(present=True)
            self.unreadable("hidden-command", "Which program runs is not known before it runs.", excerpt_of(words))
            return Flow(present=True, taints=NONE.union(*(w.taints for w in words)))
        hazards.check_words(self, words)
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                self.unreadable("too-deep", "Nested deeper than is analysed.")
                return Flow(present=True)
            builtins.run(self, words)
            return self._dispatch(self, list(words), stdin or Flow())
        finally:
            self._depth -= 1

    def file_taint(self, path: str) -> frozenset[str]:
        """Where the content of a file came from, as far as this script made it."""
        return self.state.files.taints(path)

    def file_text(self, path: str) -> str | None:
        """What a file holds, when this script wrote all of it."""
        return self.state.files.text(path)

    def resolve_defined(self, name: str) -> bool:
        """Whether the script defines this name itself."""
        return name in self.scope.functions or name in self.scope.aliases

    def assign(self, name: str, value: Value) -> None:
        variables.check_assignment(self, name, value)
        if not value.text.isascii() and any(mark in value.text for mark in MARKS) and value.items is None:
            value = Value(HIDDEN, value.taints)
        self.scope.put(name, value)

    def set_arguments(self, words: Sequence[Word]) -> None:
        """Sets `$1`, `$2` and so on."""
        taints = NONE.union(*(word.taints for word in words)) if words else NONE
        self.scope.put("@", Value(SPLIT.join(word.text for word in words) or SPLIT, taints, items=tuple(word.text for word in words)))

    # -- the walk -------------------------------------------------------------------------------------------------

    def walk(self, node: Node, stdin: Flow) -> Flow:
        """Assesses one node of the script and everything in it; says what it prints."""
        if not self.step():
            return Flow(present=True)
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                self.unreadable("too-deep", "Nested deeper than is analysed.", self.resolver.raw(node)[:80])
                return Flow(present=True)
            handler = constructs.TABLE.get(node.type)
            if handler is None:
                self.unreadable("construct", f"A construct that is not analysed: {node.type}.", self.resolver.raw(node))
                return Flow(present=True)
            if self.scope.divided and node.type in alternatives.READERS:
                return alternatives.each(self, node, lambda: handler(self, node, stdin))
            return handler(self, node, stdin)
        finally:
            self._depth -= 1

    def feed(self, node: Node, flow: Flow) -> None:
        """Runs the commands of a `>(...)` on what is written to it."""
        constructs.into(self, node, flow)

    def step(self) -> bool:
        """Counts one piece of work; whether it is still within the budget."""
        state = self.state
        state.steps += 1
        if state.steps == MAX_STEPS + 1:
            self.unreadable("too-many", f"More than {MAX_STEPS} constructs.")
        return state.steps <= MAX_STEPS and state.commands <= MAX_COMMANDS

    @property
    def is_shown(self) -> bool:
        """Whether what is walked is the text that was given, the one that spans refer to."""
        return self.resolver.source is self._shown and bool(self._shown)

    def span(self, node: Node) -> Span | None:
        """Where a node stands in the text that was given, None for another text."""
        return Span(node.start_byte, node.end_byte) if self.is_shown else None

    def _plain(self, text: str) -> list[Word] | None:
        """The words of a script that is one command of plain words; None when it is not."""
        parts = text.split()
        if not parts or parts[0] in _KEYWORDS or "=" in parts[0]:
            return None
        words = [Word(part) for part in parts]
        if self.is_shown:
            start = len(text) - len(text.lstrip())
            words[0] = Word(parts[0], NONE, start, len(text.rstrip()))
        return words

    def _parsed(self, text: str, stdin: Flow) -> Flow:
        try:
            reading = lines.read(_GRAMMAR, self.resolver.source)
        except syntax.TooComplex:
            self.unreadable("too-complex", "Takes more work to read than a script of its length should.", text)
            return Flow(present=True)
        self.resolver.source = reading.source
        root = reading.tree.root_node
        if self.state.nested == 1 and statements.add_factors(self, text, read=not root.has_error):
            return Flow(present=True)
        hazards.check_text(self, text)
        if not reading.certain:
            self.unreadable("line-end", "Where one command ends and the next begins is not certain.", text)
        if root.has_error:
            self.unreadable("parse-error", "Not a complete shell command: it cannot be read with certainty.", text)
        return self.walk(root, stdin)

    def _lookup(self, name: str) -> Value:
        known = self.scope.variables.get(name)
        if known is not None:
            return known
        if name in WELL_KNOWN:
            return Value(WELL_KNOWN[name])
        if name == "!":
            return Value(STARTED)
        arguments = self.scope.variables.get("@")
        if arguments is None or arguments.items is None or name.isidentifier():
            if name == "@" and self.state.nested == 1:
                return Value(ARGUMENTS)
            if not name.isidentifier():
                return Value()
            return Value(HIDDEN, self.state.loaded | {flows.SECRET} if flows.is_secret_name(name) else self.state.loaded)
        items = arguments.items
        if name == "*":
            return Value(" ".join(items), arguments.taints)
        hidden = next((index for index, item in enumerate(items) if HIDDEN in item), len(items))
        if name == "#":
            return Value(str(len(items)) if hidden == len(items) else HIDDEN)
        if name.isdigit() and name != "0":  # behind a hidden argument, which may be several, the count is not known
            index = int(name[:4]) - 1
            if index <= hidden:
                return Value(items[index] if index < len(items) else "", arguments.taints)
            return Value(HIDDEN, arguments.taints)
        return Value()

    def _printed(self, text: str) -> Value:
        """What a script prints that runs in a subshell."""
        mark = self.scope.mark()
        flow = self.run_text(text)
        self.scope.take_back(mark)
        return Value(flow.text.rstrip("\n") if flow.text is not None else HIDDEN, flow.taints)

    def _substitute(self, node: Node) -> Value:
        """What `$(...)`, backquotes or `<(...)` give: the text when it is a constant, and its taints."""
        flow = constructs.substitution(self, node)
        if node.type == "process_substitution":
            return Value(self.state.files.pipe(flow.taints, flow.text), flow.taints)
        if flow.text is None or len(flow.text) > MAX_OUTPUT or DIVIDED in flow.taints:
            return Value(HIDDEN, flow.taints)
        return Value(flow.text.rstrip("\n"), flow.taints)


def _names_descriptor(text: str) -> bool:
    """Whether a word is `{name}`, which before a redirection is no word but takes the descriptor's number."""
    return text[:1] == "{" and text[-1:] == "}" and text[1:-1].isidentifier()


def excerpt_of(words: Sequence[Word]) -> str:
    """The words as one line, for a person to read, secrets not yet masked."""
    return " ".join([word.text for word in words[:40]])[:200].replace(HIDDEN, "…")


def invocation(walker: Walker, words: Sequence[Word], stdin: Flow, name: str) -> Invocation:
    """The command of these words as rules see it."""
    first = words[0]
    span = Span(first.start, first.end) if first.end > first.start else None
    rest = tuple(words[1:])
    return Invocation(
        name=name,
        typed=first.text,
        args=tuple([word.text for word in rest]),
        words=rest,
        stdin=stdin,
        span=span,
        excerpt=excerpt_of(words),
        cwd=walker.cwd,
        privileged=walker.privileged,
    )
