"""The constructs of the shell language, one function a construct: what each runs, in which order, and what it prints.

`TABLE` is closed: a construct that is not in it is not passed over, it makes the script unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk import scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN, STARTED
from services.approval.risk.shell import assignments, calls, flows, hazards, ownership, redirects, words
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.scope import Function, one_of
from services.approval.risk.shell.words import NONE, Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_ROUNDS = 8  # values of a `for` whose body is walked once for each; with more of them its variable is hidden
_OPENS = frozenset("{ if while until for case select [[".split())

Construct = Callable[["Walker", Node, Flow], Flow]

_BLANKS = b" \t"
_REDIRECTS = frozenset(("file_redirect", "heredoc_redirect", "herestring_redirect"))
# Builtins that leave the assignments before them in place, in a POSIX shell.
_SPECIAL = frozenset(": . break continue eval exec exit export readonly return set shift source times trap unset".split())


def substitution(walker: Walker, node: Node) -> Flow:
    """What the commands of `$(...)`, backquotes, `<(...)` or `>(...)` print. They run in a subshell."""
    return _apart(walker, lambda: _substituted(walker, node))


def into(walker: Walker, node: Node, flow: Flow) -> None:
    """Runs the commands of `>(...)` on what is written to it."""
    _apart(walker, lambda: _sequence(walker, node.children[1:-1], flow))


def _substituted(walker: Walker, node: Node) -> Flow:
    raw = walker.resolver.raw(node)
    if raw.startswith("`") and "\\" in raw:  # within backquotes a backslash hides another pair of them
        quoted = node.parent is not None and node.parent.type == "string"
        return walker.run_text(words.unescape_some(raw[1:-1], '`$\\"' if quoted else "`$\\"))
    inner = node.named_children
    if len(inner) == 1 and inner[0].type == "file_redirect":  # $(< file) reads the file
        return redirects.given(walker, inner[0], Flow())
    return _sequence(walker, node.children[1:-1], Flow())


def _apart(walker: Walker, run: Callable[[], Flow]) -> Flow:
    """Runs a subshell: nothing that it sets is left."""
    mark = walker.scope.mark()
    walker.state.apart += 1
    flow = run()
    walker.state.apart -= 1
    walker.scope.take_back(mark)
    return flow


def _perhaps(walker: Walker, run: Callable[[], Flow]) -> Flow:
    """Runs what may not run: what it sets is one of two afterwards."""
    mark, jumps = walker.scope.mark(), walker.state.jumps
    flow = run()
    walker.scope.merge(mark, every=walker.state.jumps != jumps)
    return flow


def _sequence(walker: Walker, nodes: Sequence[Node], stdin: Flow) -> Flow:
    flow, last = Flow(), len(nodes) - 1
    if walker.state.active and any(node.type == "&" for node in nodes):
        hazards.check_fork_bomb(walker, nodes)
    for index, node in enumerate(nodes):
        if not node.is_named:
            continue
        if index < last and nodes[index + 1].type == "&":
            flow = flows.both(flow, _apart(walker, partial(walker.walk, node, stdin)))
        elif walker.state.exits and node.type == "command" and node.parent is not None and node.parent.type == "program":
            flow = flows.both(flow, ownership.after(walker, partial(walker.walk, node, stdin)))
        else:
            flow = flows.both(flow, walker.walk(node, stdin))
    return flow


def _all(walker: Walker, node: Node, stdin: Flow) -> Flow:
    return _sequence(walker, node.children, stdin)


def _nothing(walker: Walker, node: Node, stdin: Flow) -> Flow:
    del walker, node, stdin
    return Flow()


def _broken(walker: Walker, node: Node, stdin: Flow) -> Flow:
    """What the grammar could not read: the script is unreadable as a whole, what can be seen in it is looked at."""
    for child in node.named_children:
        if child.type in TABLE:
            walker.walk(child, stdin)
        else:
            walker.resolver.run_inside(child)
    return Flow(present=True)


def _subshell(walker: Walker, node: Node, stdin: Flow) -> Flow:
    return _apart(walker, lambda: _sequence(walker, node.children, stdin))


def _compound(walker: Walker, node: Node, stdin: Flow) -> Flow:
    children = node.children
    if children and children[0].type == "((":
        return _data(walker, node, stdin)
    return _sequence(walker, children, stdin)


def _data(walker: Walker, node: Node, stdin: Flow) -> Flow:
    """A place that is only data, but for the substitutions and assignments in it: a test, an arithmetic command."""
    del stdin
    walker.resolver.run_inside(node)
    hazards.check_quoted(walker, node)
    return Flow()


def _pipeline(walker: Walker, node: Node, stdin: Flow) -> Flow:
    parts = node.named_children
    hazards.check_fork_bomb(walker, parts)
    flow = stdin
    for part in parts[:-1]:
        flow = _apart(walker, partial(walker.walk, part, flow))
    # The last part may run in the shell itself.
    return _perhaps(walker, lambda: walker.walk(parts[-1], flow)) if parts else Flow()


def _list(walker: Walker, node: Node, stdin: Flow) -> Flow:
    return _chain(walker, node, stdin, walker.walk)


def _chain(walker: Walker, node: Node, stdin: Flow, last: Callable[[Node, Flow], Flow]) -> Flow:
    """`a && b || c` nests to the left: unfolded here, so that a long chain is not a deep one. `last` runs its last command."""
    chain: list[tuple[str, Node]] = []
    current = node
    while current.type == "list":
        parts = [child for child in current.children if child.type != "comment"]
        if len(parts) != 3:
            walker.unreadable("construct", "A chain of commands that cannot be read.", walker.resolver.raw(current)[:80])
            return _sequence(walker, parts, stdin)
        current, sign, right = parts
        chain.append((sign.type, right))
    scope, state = walker.scope, walker.state
    joint, other = chain[-1]
    ends = joint == "||" and _ends_script(walker, other.children if other.type == "compound_statement" else [other])
    if ends and current.type == "command" and not (state.enabled or walker.resolve_defined("exit")):
        flow = ownership.after(walker, partial(walker.walk, current, stdin))
    else:
        flow = walker.walk(current, stdin)
    mark, jumps = scope.mark(), state.jumps
    for position, (joint, each) in enumerate(reversed(chain), 1):
        if joint == "||":
            scope.merge(mark, every=state.jumps != jumps)
            mark = scope.mark()
        with state.files.way():
            flow = flows.both(flow, (last if position == len(chain) else walker.walk)(each, stdin))
    scope.merge(mark, every=state.jumps != jumps)
    return flow


def _if(walker: Walker, node: Node, stdin: Flow) -> Flow:
    bodies: list[list[Node]] = []
    certain = False

    def take(clause: Node, nodes: Sequence[Node]) -> None:
        nonlocal certain
        then = next((index for index, each in enumerate(nodes) if each.type == "then"), 0)
        condition = nodes[:then]
        if clause is node:
            _sequence(walker, condition, stdin)
        else:
            _perhaps(walker, lambda: _sequence(walker, condition, stdin))
        certain = certain or clause.type == "else_clause"
        bodies.append([each for each in nodes[then:] if each.type not in ("elif_clause", "else_clause")])

    children = node.children
    take(node, children)
    for clause in children:
        if clause.type in ("elif_clause", "else_clause"):
            take(clause, clause.children)

    printed: list[Flow] = []
    walker.scope.branches([partial(_branch, walker, body, stdin, printed) for body in bodies], one_runs=certain)
    return flows.any_of(printed)


def _branch(walker: Walker, body: Sequence[Node], stdin: Flow, printed: list[Flow]) -> bool:
    """Walks one branch; whether the script may go on after it."""
    walker.state.apart += 1
    with walker.state.files.way():
        printed.append(calls.once(walker, partial(_sequence, walker, body, stdin)))
    walker.state.apart -= 1
    state = walker.state  # a trap still sees what a branch set that ends the script
    return bool(state.later) or state.enabled or walker.resolve_defined("exit") or not _ends_script(walker, body)


def _ends_script(walker: Walker, body: Sequence[Node]) -> bool:
    """Whether the last command of a branch is `exit`, or `exit 1`; with two words it may have more than one number, and goes on."""
    last = next((node for node in reversed(body) if node.is_named and node.type != "comment"), None)
    if last is None or last.type != "command":
        return False
    name, _, status = walker.resolver.raw(last).partition(" ")
    return name == "exit" and (not status or status.isdigit())


def _case(walker: Walker, node: Node, stdin: Flow) -> Flow:
    items = [child for child in node.named_children if child.type == "case_item"]
    for child in node.named_children:
        if child.type != "case_item":
            walker.resolver.run_inside(child)
    found: list[Flow] = []
    bodies: list[Callable[[], bool]] = []
    certain = falls = False
    for item in items:
        patterns = item.children_by_field_name("value")
        for pattern in patterns:
            walker.resolver.run_inside(pattern)
        certain = certain or any(walker.resolver.raw(pattern) == "*" for pattern in patterns)
        end = next((index for index, child in enumerate(item.children) if child.type == ")"), 0)
        body = item.children[end + 1 :]
        falls = falls or any(child.type in (";&", ";;&") for child in body)
        bodies.append(partial(_branch, walker, body, stdin, found))
    if falls:
        for each in bodies:
            mark = walker.scope.mark()
            each()
            walker.scope.merge(mark)
    else:
        walker.scope.branches(bodies, one_runs=certain)
    return flows.any_of(found)


def _while(walker: Walker, node: Node, stdin: Flow) -> Flow:
    hazards.check_endless(walker, node)
    with walker.state.files.way():
        return calls.repeat(walker, lambda: _sequence(walker, node.children, stdin))


def _for(walker: Walker, node: Node, stdin: Flow) -> Flow:
    variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
    if variable is None or body is None:
        return Flow()
    name = walker.resolver.raw(variable)
    values = [word for child in node.children_by_field_name("value") for word in walker.resolver.words(child)]
    if not any(child.type == "in" for child in node.children):  # without a list: the arguments
        arguments = walker.scope.variables.get("@")
        known = arguments.items if arguments is not None else None
        taints = arguments.taints if arguments is not None else NONE
        values = [Word(item, taints) for item in known] if known is not None else [Word(HIDDEN, taints)]
    for word in values:
        if word.known and ("/" in word.text or "." in word.text) and (found := paths.read_factor(word.text, walker.place)):
            walker.add(found)
    taints = NONE.union(*(word.taints for word in values)) if values else NONE
    if any("*" in word.text and flows.is_elsewhere(word.text) for word in values):
        taints |= {flows.MANY}
    texts = list(dict.fromkeys(word.text for word in values))
    hazards.check_rounds(walker, node, len(values))
    chosen = any(child.type == "select" for child in node.children)
    if chosen or len(texts) > MAX_ROUNDS or any(HIDDEN in text for text in texts):
        walker.assign(name, Value(STARTED if texts == [STARTED] else HIDDEN, taints))
        with walker.state.files.way():
            return calls.repeat(walker, lambda: walker.walk(body, stdin))

    def rounds() -> Flow:
        flow = Flow()
        for text in texts or [HIDDEN]:
            walker.assign(name, Value(text, taints))
            flow = flows.both(flow, calls.once(walker, lambda: walker.walk(body, stdin)))
        return flow

    return calls.once(walker, rounds)


def _c_for(walker: Walker, node: Node, stdin: Flow) -> Flow:
    body = node.child_by_field_name("body")
    header = [child for child in node.named_children if body is None or child.id != body.id]

    def head() -> None:
        for child in header:
            if child.type == "variable_assignment":
                assignments.assign(walker, child)
            else:
                walker.resolver.run_inside(child)

    def run() -> Flow:
        flow = walker.walk(body, stdin) if body is not None else Flow()
        mark = walker.scope.mark()
        head()
        walker.scope.hide(walker.scope.assigned(mark))
        return flow

    mark = walker.scope.mark()
    head()
    walker.scope.hide(walker.scope.assigned(mark))
    return calls.repeat(walker, run)


def _function(walker: Walker, node: Node, stdin: Flow) -> Flow:
    del stdin
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    for child in node.named_children:
        if child.type in _REDIRECTS:
            redirects.taken(walker, child, redirects.given(walker, child, Flow()))
    if name is not None and body is not None:
        function = Function(walker.resolver.raw(name), body, walker.resolver.source)
        walker.scope.define(function)
        walker.state.defined.append(function)
    return Flow()


def _negated(walker: Walker, node: Node, stdin: Flow) -> Flow:
    """`! cmd`; a line `!/bin/sh` is what gets typed into a pager to leave it for a shell."""
    raw = walker.resolver.raw(node)
    if len(raw) > 1 and not raw[1].isspace() and raw[1] != "(":
        walker.flag("escape.bang", scoring.HIGH, "Leaves an interactive program for a shell.", raw, span=walker.span(node))
    flow = Flow()
    for child in node.named_children:
        flow = walker.walk(child, stdin)
    return flow


# -- commands ---------------------------------------------------------------------------------------------------------


def _command(walker: Walker, node: Node, stdin: Flow) -> Flow:
    return command(walker, node, stdin, ())


def command(walker: Walker, node: Node, stdin: Flow, extra: Sequence[Node]) -> Flow:
    """One command with its assignments, words and redirections. `extra`: words that the grammar puts elsewhere."""
    resolver = walker.resolver
    source = resolver.source
    given: list[Word] = []
    assigned: list[Node] = []
    redirected: list[Node] = []
    behind: list[Node] = list(extra)
    position = node.start_byte
    joins = False  # whether the next word would be a part of the one before, if nothing stands between them
    for child in node.children:
        start, kind = child.start_byte, child.type
        if (start - position > 1 or (start > position and source[position] not in _BLANKS)) and _is_gap(source[position:start]):
            walker.unreadable("gap", "A part of a command that is not analysed.", resolver.raw(node))
        if kind == "number" and source[child.end_byte : child.end_byte + 2] in (b"<&", b">&", b"<>"):
            continue  # a descriptor, which the grammar takes for an argument
        glued = joins and start == position
        position = child.end_byte
        if kind == "variable_assignment":
            assigned.append(child)
        elif kind in _REDIRECTS:
            redirected.append(child)
            behind += redirects.words_behind(child)
            joins = False
        elif kind == "$" and source[position : position + 1] == b'"':
            joins = glued
        elif kind == "subshell":
            walker.unreadable("construct", "A construct that is not analysed: a subshell among arguments.", resolver.raw(node))
            walker.walk(child, stdin)
        else:
            found = resolver.words(child) if child.is_named else [Word(resolver.raw(child))]
            if glued and given and found:
                before = given.pop()
                found[0] = Word(before.text + found[0].text, before.taints | found[0].taints)
            given += found
            joins = bool(found)
    for child in behind:
        given += resolver.words(child)
    if len(given) > 2 and given[0].text == "coproc" and given[2].text in _OPENS:
        del given[1]  # the name of the coprocess; the grammar takes all of it for one command
    own = stdin
    for child in redirected:
        own = redirects.given(walker, child, own)
    if not given:
        for child in assigned:
            assignments.assign(walker, child)
        return redirects.all_taken(walker, redirected, Flow())
    if walker.is_shown:
        first = given[0]
        given[0] = Word(first.text, first.taints, node.start_byte, node.end_byte)
    else:
        given = [Word(w.text, w.taints) for w in given]
    flow = _with_assignments(walker, assigned, given, own) if assigned else calls.call(walker, given, own)
    return redirects.all_taken(walker, redirected, flow)


def _is_gap(between: bytes) -> bool:
    """Whether more than blanks stands between two words of a command."""
    return bool(between.replace(b"\\\n", b"").strip(_BLANKS + b"\r"))


def _with_assignments(walker: Walker, nodes: Sequence[Node], given: list[Word], stdin: Flow) -> Flow:
    """`X=v command`: the words were read before, and the variable is as it was afterwards, but for a builtin or a function."""
    scope = walker.scope
    before: dict[str, Value | None] = {}
    for node in nodes:
        name_node = node.child_by_field_name("name")
        if name_node is not None:
            name = walker.resolver.raw(name_node).partition("[")[0]
            before.setdefault(name, scope.variables.get(name))
        assignments.assign(walker, node)
    stays = given[0].text in _SPECIAL or walker.resolve_defined(given[0].text)
    flow = calls.call(walker, given, stdin)
    for name, value in before.items():
        if stays:
            scope.put(name, one_of([value or scope.unset(name), scope.variables.get(name) or Value()]))
        else:
            scope.restore(name, value)
    return flow


def _redirected(walker: Walker, node: Node, stdin: Flow) -> Flow:
    found = [child for child in node.named_children if child.type in _REDIRECTS]
    body = next((child for child in node.named_children if child.type not in _REDIRECTS), None)
    after: list[tuple[str, Node]] = []
    sign = ""
    for redirect in list(found):
        if redirect.type != "heredoc_redirect":
            continue
        for child in redirect.children:  # the rest of the line on which a here-document is announced
            if child.type == "file_redirect":
                found.append(child)
            elif child.is_named and child.type not in ("heredoc_start", "heredoc_body", "heredoc_end", "file_descriptor"):
                after.append((sign, child))
            elif child.type in ("&&", "||", "|", "|&"):
                sign = child.type
    extra = [child for joint, child in after if not joint and child.type not in TABLE]
    extra += [word for redirect in found for word in redirects.words_behind(redirect)]
    if body is not None and body.type == "list":  # redirections are those of its last command
        return _chain(walker, body, stdin, lambda last, stdin: _run_redirected(walker, last, stdin, found, extra, after))
    return _run_redirected(walker, body, stdin, found, extra, after)


def _run_redirected(
    walker: Walker, body: Node | None, stdin: Flow, found: Sequence[Node], extra: Sequence[Node], after: Sequence[tuple[str, Node]]
) -> Flow:
    for redirect in found:
        stdin = redirects.given(walker, redirect, stdin)
    if body is not None and body.type == "command":
        flow = command(walker, body, stdin, extra)
    else:
        flow = walker.walk(body, stdin) if body is not None else Flow()
        if given := [word for each in extra for word in walker.resolver.words(each)]:
            flow = calls.call(walker, given, stdin)
    flow = redirects.all_taken(walker, found, flow)
    for sign, child in after:
        if child.type not in TABLE:
            if sign:
                walker.unreadable("construct", f"A construct that is not analysed: {child.type}.", walker.resolver.raw(child))
        elif child.type == "pipeline" or sign in ("|", "|&"):
            flow = walker.walk(child, flow)
        else:
            flow = flows.both(flow, _perhaps(walker, partial(walker.walk, child, Flow())))
    return flow


TABLE: dict[str, Construct] = {
    "program": _all,
    "do_group": _all,
    "command": _command,
    "pipeline": _pipeline,
    "redirected_statement": _redirected,
    "variable_assignment": assignments.assignments,
    "variable_assignments": assignments.assignments,
    "declaration_command": assignments.declaration,
    "unset_command": assignments.declaration,
    "list": _list,
    "compound_statement": _compound,
    "subshell": _subshell,
    "if_statement": _if,
    "case_statement": _case,
    "while_statement": _while,
    "for_statement": _for,
    "c_style_for_statement": _c_for,
    "function_definition": _function,
    "negated_command": _negated,
    "test_command": _data,
    "comment": _nothing,
    "heredoc_body": _nothing,
    "ERROR": _broken,
}
