"""Walks a parsed shell script in the order it would run, and hands every command to `dispatch`.

The walk follows data as well as commands: what a pipe, a here-document, a variable or a written file carries decides what
the command at its end does. Everything that is not known before the script runs is HIDDEN, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import tree_sitter_bash
from tree_sitter import Node

from services.approval.risk import normalise, scoring, syntax
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.model import Context, Factor, Span
from services.approval.risk.shell import flows, hazards, lines, statements, variables
from services.approval.risk.shell.files import Files
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.words import NONE, WELL_KNOWN, Resolver, Value, Word

MAX_DEPTH = 60  # nested constructs of one script
MAX_NESTED = 6  # scripts inside scripts (sh -c "sh -c ...")
MAX_VARIABLES = 500  # variables that are remembered; further ones stay hidden
MAX_SCRIPT = 1 << 18  # characters of one script
MAX_CHARACTERS = 1 << 19  # characters of all the scripts of one assessment
MAX_COMMANDS = 4000  # commands of one assessment, nested scripts included; each takes about a tenth of a millisecond

# A letter that is not ASCII is part of a word and never part of a name, as in bash: a control character is just that.
_GRAMMAR = syntax.Grammar(tree_sitter_bash.language(), stand_in="\x02")
_SHELL_NAME = re.compile(r"^[\w./+@:,\[\]{}%=~!?*-]+$")
_FORK_BOMB = re.compile(r"([^\s(){}|;&]{1,40})\s*\(\)\s*\{[^{}]{0,200}?\1\s*\|\s*\1\s*&")

_RESERVED = frozenset("} if then else elif fi case esac for while until do done in function select".split())

Dispatch = Callable[["Walker", list[Word], Flow], Flow]


@dataclass(slots=True)
class State:
    """What a script has done so far: variables, functions, files written, and the budget of work left."""

    variables: dict[str, Value] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    files: Files = field(default_factory=Files)
    unpacked_fetched: bool = False  # an archive from the network was unpacked: any file here may come from it
    commands: int = 0
    nested: int = 0
    characters: int = 0


class Walker:
    """Assesses one shell script into `factors`. `dispatch` says what one command does."""

    def __init__(self, context: Context, dispatch: Dispatch, cwd: str = "") -> None:
        self.context = context
        self.cwd = cwd or context.working_dir
        self._place = paths.place_of(context)
        self.factors: list[Factor] = []
        self.state = State()
        self.privileged = False
        self._dispatch = dispatch
        self._source = b""
        self._resolver = Resolver(b"", self._lookup, self._substitute)
        self._depth = 0

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
        source = text.encode("utf-8", "surrogatepass")
        try:
            tree = _GRAMMAR.parse(lines.separated(source))
        except syntax.TooComplex:
            self.unreadable("too-complex", "Takes more work to read than a script of its length should.", text)
            return Flow(present=True)
        if (joined := lines.joined(source, tree)) is not None:
            return self.run_text(joined.decode("utf-8", "surrogatepass"), stdin)
        hazards.check_text(self, text)
        if lines.swallowed(source, tree):
            self.unreadable("line-end", "A backslash at the start of a line hides where a command ends.", text)
        saved = (self._source, self._resolver)
        self._source = source
        self._resolver = Resolver(source, self._lookup, self._substitute)
        self.state.nested += 1
        try:
            if "(" in text and _FORK_BOMB.search(text):
                self.flag("resource.fork-bomb", scoring.CRITICAL, "Starts copies of itself without end.", text)
            elif tree.root_node.has_error and not (self.state.nested == 1 and statements.add_factors(self, text)):
                self.unreadable("parse-error", "Not a complete shell command: it cannot be read with certainty.", text)
            return self._walk(tree.root_node, stdin or Flow())
        finally:
            self.state.nested -= 1
            self._source, self._resolver = saved

    def run_words(self, words: Sequence[Word], stdin: Flow | None = None) -> Flow:
        """Assesses one command whose words are known."""
        self.state.commands += 1
        while words and (words[0].text in ("!", "{") or _names_descriptor(words[0].text)):
            words = words[1:]  # the grammar takes a second one, and the {name} of a redirection, for a program's name
        if words and words[0].text in _RESERVED:
            if len(words) > 1 or words[0].text != "}":
                self.unreadable("construct", "A word of the shell's own stands where a program should.", words[0].text)
            words = words[1:]
        if self.state.commands > MAX_COMMANDS:
            if self.state.commands == MAX_COMMANDS + 1:
                self.unreadable("too-many", f"More than {MAX_COMMANDS} commands.")
            return Flow(present=True)
        if not words:
            return Flow()
        name = words[0]
        if not name.known or not name.text:
            if "fetched" in name.taints:
                self.flag("execution.fetched", scoring.HIGH, "Runs what was fetched from the network.", name.text)
            self.unreadable("hidden-command", "Which program runs is not known before it runs.", " ".join(w.text for w in words[:8]))
            return Flow(present=True, taints=NONE.union(*(w.taints for w in words)))
        hazards.check_words(self, words)
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                self.unreadable("too-deep", "Nested deeper than is analysed.")
                return Flow(present=True)
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
        return name in self.state.functions

    def assign(self, name: str, value: Value) -> None:
        variables.check_assignment(self, name, value)
        if name in self.state.variables or len(self.state.variables) < MAX_VARIABLES:
            self.state.variables[name] = value

    # -- the walk -------------------------------------------------------------------------------------------------

    def _lookup(self, name: str) -> Value:
        known = self.state.variables.get(name)
        if known is not None:
            return known
        return Value(WELL_KNOWN[name]) if name in WELL_KNOWN else Value()

    def _span(self, node: Node) -> Span | None:
        return Span(node.start_byte, node.end_byte) if self.state.nested == 1 and self._source.isascii() else None

    def _walk(self, node: Node, stdin: Flow) -> Flow:
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                self.unreadable("too-deep", "Nested deeper than is analysed.", self._resolver.raw(node)[:80])
                return Flow(present=True)
            return self._node(node, stdin)
        finally:
            self._depth -= 1

    def _node(self, node: Node, stdin: Flow) -> Flow:
        kind = node.type
        if kind == "command":
            return self._command(node, stdin, [])
        if kind == "pipeline":
            flow = stdin
            for child in node.named_children:
                flow = self._walk(child, flow)
            return flow
        if kind == "redirected_statement":
            return self._redirected(node, stdin)
        if kind in ("variable_assignment", "variable_assignments"):
            for each in [node] if kind == "variable_assignment" else node.named_children:
                self._assign_node(each)
            return Flow()
        if kind == "list":
            return self._list(node, stdin)
        if kind == "function_definition":
            return self._function(node)
        if kind == "for_statement":
            return self._for(node, stdin)
        if kind in ("declaration_command", "unset_command"):
            return self._declaration(node)
        if kind == "negated_command":
            return self._negated(node, stdin)
        if kind in ("test_command", "c_style_for_statement", "case_statement"):
            self._resolve_inside(node)
        if kind in (
            "heredoc_body",
            "comment",
            "word",
            "string",
            "raw_string",
            "concatenation",
            "variable_name",
            "heredoc_start",
        ):
            return Flow()
        flow, branches = (
            Flow(),
            kind in ("if_statement", "case_statement", "while_statement", "elif_clause", "else_clause", "case_item"),
        )
        before = dict(self.state.variables) if branches else None
        for child in node.named_children:
            if kind == "test_command":
                break
            produced = self._walk(child, stdin)
            if produced.present:
                flow = Flow(None if flow.present else produced.text, flow.taints | produced.taints, present=True)
        if before is not None:
            self._forget_branches(before)
        return flow

    def _forget_branches(self, before: dict[str, Value]) -> None:
        """A variable that only some branch changed is not known afterwards."""
        for name, value in self.state.variables.items():
            if name in before and before[name] != value:
                self.state.variables[name] = Value(HIDDEN, value.taints | before[name].taints)

    def _list(self, node: Node, stdin: Flow) -> Flow:
        """`a && b || c` nests to the left: unfolded here, so that a long chain is not a deep one."""
        chain: list[Node] = []
        current = node
        while current.type == "list":
            children = current.named_children
            chain.extend(reversed(children[1:]))
            current = children[0]
        chain.append(current)
        flow = Flow()
        for each in reversed(chain):
            produced = self._walk(each, stdin)
            if produced.present:
                flow = Flow(None if flow.present else produced.text, flow.taints | produced.taints, present=True)
        return flow

    def _function(self, node: Node) -> Flow:
        name = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name is not None:
            self.state.functions.add(self._resolver.raw(name))
        if body is not None:
            before = dict(self.state.variables)
            self._walk(body, Flow())
            self._forget_branches(before)
        return Flow()

    def _for(self, node: Node, stdin: Flow) -> Flow:
        variable = node.child_by_field_name("variable")
        values: list[Word] = []
        for child in node.children_by_field_name("value"):
            values += self._resolver.words(child)
        for word in values:
            if word.known and (found := paths.read_factor(word.text, self.place)):
                self.add(found)
        if variable is not None:
            taints = NONE.union(*(w.taints for w in values)) if values else NONE
            known = values[0].text if len({w.text for w in values}) == 1 else HIDDEN
            self.state.variables[self._resolver.raw(variable)] = Value(known, taints)
        body = node.child_by_field_name("body")
        return self._walk(body, stdin) if body is not None else Flow()

    def _declaration(self, node: Node) -> Flow:
        keyword = self._resolver.raw(node).split(None, 1)[0]
        words = [Word(keyword)]
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assign_node(child)
            elif child.type == "variable_name":
                words.append(Word(self._resolver.raw(child)))
            else:
                words += self._resolver.words(child)
        if keyword != "unset":
            hazards.check_declaration(self, words)
        return self.run_words(words)

    def _negated(self, node: Node, stdin: Flow) -> Flow:
        """`! cmd`; a line `!/bin/sh` is what gets typed into a pager to leave it for a shell."""
        raw = self._resolver.raw(node)
        if re.match(r"^!\S", raw):
            self.flag("escape.bang", scoring.HIGH, "Leaves an interactive program for a shell.", raw, span=self._span(node))
        flow = Flow()
        for child in node.named_children:
            flow = self._walk(child, stdin)
        return flow

    def _resolve_inside(self, node: Node) -> None:
        """Runs the substitutions in a place that is otherwise only data: a test, a case value."""
        todo = [node]
        while todo:
            current = todo.pop()
            if current.type in ("command_substitution", "process_substitution"):
                self._substitute(current)
            elif current.type not in ("case_item", "do_group"):
                todo += current.named_children

    def _assign_node(self, node: Node) -> None:
        name_node, value_node = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name_node is None:
            return
        self._resolve_inside(name_node)  # a subscript is evaluated
        name = self._resolver.raw(name_node)
        value = self._resolver.text(value_node) if value_node is not None else Value("")
        hazards.check_value(self, value)
        if "+=" in self._resolver.raw(node)[: len(name) + 2]:
            before = self._lookup(name)
            joined = before.text + value.text
            value = Value(joined if len(joined) < 65536 else HIDDEN, before.taints | value.taints)
        self.assign(name, value)

    def _redirected(self, node: Node, stdin: Flow) -> Flow:
        body, redirects, after = None, [], []
        for child in node.named_children:
            if child.type in ("file_redirect", "heredoc_redirect", "herestring_redirect"):
                redirects.append(child)
            elif body is None:
                body = child
        for redirect in list(redirects):
            if redirect.type == "heredoc_redirect":
                for child in redirect.named_children:
                    if child.type == "file_redirect":
                        redirects.append(child)
                    elif child.type not in ("heredoc_start", "heredoc_body", "heredoc_end", "file_descriptor"):
                        after.append(child)
        for redirect in redirects:
            stdin = self._input(redirect, stdin)
        extra = [c for c in after if c.type in ("word", "string", "raw_string", "concatenation", "number", "simple_expansion", "expansion")]
        extra += [word for redirect in redirects for word in _words_behind(redirect)]
        if body is not None and body.type == "command":
            flow = self._command(body, stdin, extra)
        else:
            flow = self._walk(body, stdin) if body is not None else stdin
            if extra:
                flow = self.run_words([word for each in extra for word in self._resolver.words(each)], stdin)
        for redirect in redirects:
            if redirect.type == "file_redirect":
                flow = self._output(redirect, flow)
        for child in after:
            if child not in extra:
                flow = self._walk(child, flow)
        return flow

    def _input(self, redirect: Node, stdin: Flow) -> Flow:
        if redirect.type == "heredoc_redirect":
            body = next((c for c in redirect.named_children if c.type == "heredoc_body"), None)
            value = self._resolver.text(body) if body is not None else Value("")
            return Flow(value.text, value.taints, present=True)
        if redirect.type == "herestring_redirect":
            value = self._resolver.text(redirect.named_children[-1]) if redirect.named_child_count else Value()
            return Flow(value.text + "\n", value.taints, present=True)
        operator = next((c.type for c in redirect.children if not c.is_named), "")
        if operator != "<" and operator != "<>":
            return stdin
        target = self._target(redirect)
        return flows.reads(self, target.text, target.taints)

    def _target(self, redirect: Node) -> Word:
        destination = redirect.child_by_field_name("destination")
        words = self._resolver.words(destination) if destination is not None else []
        return words[0] if words else Word("")

    def _output(self, redirect: Node, flow: Flow) -> Flow:
        operator = next((c.type for c in redirect.children if not c.is_named), "")
        if not operator.startswith((">", "&>")):
            return flow
        target = self._target(redirect)
        if operator in (">&", "<&") and re.match(r"^(?:\d+-?|-)$", target.text):
            return flow
        flows.writes(self, target.text, flow, append=operator in (">>", "&>>"))
        return Flow(taints=flow.taints, present=True)

    def _command(self, node: Node, stdin: Flow, extra: list[Node]) -> Flow:
        words: list[Word] = []
        for child in node.children:
            kind = child.type
            if kind == "variable_assignment":
                self._assign_node(child)
            elif kind == "herestring_redirect" or kind == "heredoc_redirect" or (kind == "file_redirect"):
                stdin = self._input(child, stdin)
                if kind == "file_redirect":
                    self._output(child, Flow())
                    extra = [*extra, *_words_behind(child)]
            elif child.is_named:
                words += self._resolver.words(child)
        for child in extra:
            words += self._resolver.words(child)
        while words and not words[0].text and len(words) > 1:  # an empty unquoted expansion vanishes
            words.pop(0)
        if words and self.state.nested == 1 and self._source.isascii():
            first = words[0]
            words[0] = Word(first.text, first.taints, node.start_byte, node.end_byte)
        else:
            words = [Word(w.text, w.taints) for w in words]
        return self.run_words(words, stdin)

    def _substitute(self, node: Node) -> Value:
        """What `$(...)`, backquotes or `<(...)` give: the text when it is a constant, and its taints."""
        flow, saved = Flow(), dict(self.state.variables)
        for child in node.named_children:
            # $(< file) reads the file
            flow = self._input(child, Flow()) if child.type == "file_redirect" else self._walk(child, Flow())
        self.state.variables = saved  # a substitution runs in a subshell
        if node.type == "process_substitution":
            return Value("/dev/fd/" + HIDDEN, flow.taints | {"substituted"})
        if flow.text is None or len(flow.text) > 65536:
            return Value(HIDDEN, flow.taints)
        return Value(flow.text.rstrip("\n"), flow.taints)


def _names_descriptor(text: str) -> bool:
    """Whether a word is `{name}`, which before a redirection is no word but takes the descriptor's number."""
    return text[:1] == "{" and text[-1:] == "}" and text[1:-1].isidentifier()


def _words_behind(redirect: Node) -> list[Node]:
    """The words after the target of a redirection: the grammar takes them for targets too, bash for words of the command."""
    return redirect.children_by_field_name("destination")[1:] if redirect.type == "file_redirect" else []


def excerpt_of(words: Sequence[Word]) -> str:
    """The words as one line, for a person to read, secrets not yet masked."""
    return " ".join(word.text for word in words[:40])[:200].replace(HIDDEN, "…")


def invocation(walker: Walker, words: Sequence[Word], stdin: Flow, name: str) -> Invocation:
    """The command of these words as rules see it."""
    first = words[0]
    span = Span(first.start, first.end) if first.end > first.start and walker.state.nested == 1 else None
    return Invocation(
        name=name,
        typed=first.text,
        args=tuple(word.text for word in words[1:]),
        words=tuple(words[1:]),
        stdin=stdin,
        span=span,
        excerpt=excerpt_of(words),
        cwd=walker.cwd,
        privileged=walker.privileged,
    )
