"""What the name of a command stands for: an alias or a function of the script, or else a builtin or a program.

A function's body is walked with the arguments of each call, and once with unknown ones when nothing calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.scope import Function
from services.approval.risk.shell.words import Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_PASSES = 3  # times that a loop's body is walked before every variable that it sets counts as hidden


def call(walker: Walker, words: list[Word], stdin: Flow) -> Flow:
    """Assesses a command as the script gives it."""
    name = words[0]
    scope = walker.scope
    if scope.aliases and (aliases := scope.aliases.get(name.text)):
        for alias in aliases:
            if alias is not None:
                _alias(walker, alias, words, stdin)
    if scope.functions and (functions := scope.functions.get(name.text)):
        flow = _functions(walker, functions, words, stdin)
        if None not in functions:
            return flow
    return walker.run_words(words, stdin)


def finish(walker: Walker) -> None:
    """The end of the outermost script: traps run, and what nothing called is looked at too."""
    state, scope = walker.state, walker.scope
    while state.later:
        script, mark = state.later.pop()
        scope.merge(mark, every=True, unset=False)
        walker.run_text(script.text)
    while state.defined:
        function = state.defined.pop()
        if function not in state.called:
            before = scope.mark()
            _function(walker, function, None, Flow())
            scope.take_back(before)


def repeat(walker: Walker, run: Callable[[], Flow]) -> Flow:
    """Walks the body of a loop until another round could not find other values in its variables."""
    scope, state = walker.scope, walker.state
    start = scope.mark()
    flow = Flow()
    for _ in range(MAX_PASSES):
        mark, jumps = scope.mark(), state.jumps
        flow = run()
        if not scope.merge(mark, every=state.jumps != jumps):
            return flow
    scope.hide(scope.assigned(start))
    mark = scope.mark()
    flow = run()
    scope.merge(mark, every=True)
    return flow


def once(walker: Walker, run: Callable[[], Flow]) -> Flow:
    """Runs what can be left in the middle: what it sets is certain only when nothing leaves it."""
    mark, jumps = walker.scope.mark(), walker.state.jumps
    flow = run()
    if walker.state.jumps != jumps:
        walker.scope.merge(mark, every=True)
    return flow


def _alias(walker: Walker, alias: Value, words: Sequence[Word], stdin: Flow) -> None:
    """The text of an alias, followed by the arguments of this call."""
    before = walker.scope.variables.get("@")
    walker.set_arguments(words[1:])
    try:
        walker.run_text(alias.text + ' "$@"', stdin)
    finally:
        walker.scope.restore("@", before)


def _functions(walker: Walker, functions: Sequence[Function | None], words: Sequence[Word], stdin: Flow) -> Flow:
    flow = Flow(present=True)
    mark = walker.scope.mark()
    for function in functions:
        if function is not None:
            flow = _function(walker, function, words[1:], stdin)
    if len(functions) > 1:
        walker.scope.merge(mark, every=True)
        return Flow(taints=flow.taints, present=True)
    return flow


def _function(walker: Walker, function: Function, arguments: Sequence[Word] | None, stdin: Flow) -> Flow:
    state, scope = walker.state, walker.scope
    state.called.add(function)
    if function in state.active:  # its body is walked once more, for whatever it holds by then, when this walk ends
        state.recursed.add(function)
        return Flow(present=True)
    before = scope.variables.get("@")
    mark = scope.mark()
    if arguments is None:
        scope.put("@", Value(HIDDEN))
    else:
        walker.set_arguments(arguments)
    state.active.append(function)
    state.locals.append({})
    source, walker.resolver.source = walker.resolver.source, function.source
    try:
        flow = once(walker, lambda: walker.walk(function.body, stdin))
        if function in state.recursed:
            state.recursed.discard(function)
            scope.hide(scope.assigned(mark))
            scope.put("@", Value(HIDDEN))
            walker.walk(function.body, stdin)
            scope.hide(scope.assigned(mark))
            state.recursed.discard(function)
        return flow
    finally:
        walker.resolver.source = source
        state.active.pop()
        for name, value in state.locals.pop().items():
            scope.restore(name, value)
        scope.restore("@", before)
        if not state.later:  # a trap may still see what the arguments were
            scope.forget(mark, "@")
