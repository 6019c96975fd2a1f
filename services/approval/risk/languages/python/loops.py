"""Loops: whether one ends, whether it waits for something, and how often it goes round."""

from __future__ import annotations

import ast

from services.approval.risk.languages.python.scopes import Loop
from services.approval.risk.languages.python.values import Value

_WAITS = frozenset(
    "sleep input recv recvfrom accept read readline poll select wait join acquire getch get_message receive recv_into serve_forever run_forever heartbeat getUpdates next "
    "process_events tick delay read_event event_wait".split()
)
_LEAVES = ast.Break | ast.Return | ast.Raise | ast.Yield | ast.YieldFrom | ast.Await
_ENDLESS = frozenset("itertools.count itertools.cycle itertools.repeat".split())


def loop_of(node: ast.AST, iterated: Value) -> Loop:
    """The loop of a statement or a comprehension over `iterated`."""
    if isinstance(node, ast.While):
        test = node.test
        endless = isinstance(test, ast.Constant) and bool(test.value) and not _leaves(node.body)
        return Loop(endless, _waits(node.body), 0)
    times = len(iterated.items) if iterated.items is not None and not iterated.hidden else 0
    for constant in iterated.consts:
        times = max(times, constant) if isinstance(constant, int) and "range()" in iterated.names else times
    endless = bool(_ENDLESS & {n.replace("()", "") for n in iterated.names})
    body = node.body if isinstance(node, ast.For | ast.AsyncFor) else []
    return Loop(endless and not _leaves(body), _waits(body), times)


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether a block leaves the loop; what a function inside it does is its own. exit() leaves too."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, _LEAVES):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            if name in ("exit", "_exit", "quit"):
                return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return False


def _requests(call: ast.Call) -> bool:
    """Whether what is awaited may be a request or its answer, which is work, not a pause."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in (
        "get",
        "post",
        "put",
        "request",
        "fetch",
        "head",
        "send",
        "gather",
        "text",
        "json",
        "read",
    )


def _waits(body: list[ast.stmt]) -> bool:
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Await):
            if isinstance(node.value, ast.Call) and _requests(node.value):
                continue
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            if name in _WAITS or (name == "get" and not node.args):  # a queue's get takes nothing, a request's takes its address
                return True
        todo += ast.iter_child_nodes(node)
    return False
