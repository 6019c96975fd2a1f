"""Reads a program in the order it is written, again and again until nothing new is learned, and hands every call to `Effects`.

Every branch is read and every function, whether it is called or not; names keep all the values they were given. So the order
of statements and what stands between them do not matter, and work is bounded: the number of rounds times the size.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from services.approval.risk.languages.python import folding, names, results
from services.approval.risk.languages.python.expressions import Expressions
from services.approval.risk.languages.python.loops import loop_of
from services.approval.risk.languages.python.scopes import Class, Definition, Function, Loop, Scope
from services.approval.risk.languages.python.values import (
    NOTHING,
    UNKNOWN,
    Value,
    const,
    element,
    flat,
    join,
    join_all,
    parts,
    sequence,
    tainted,
)

MAX_ROUNDS = 6
MIN_WORK = 60_000  # work that any program may take (see Progress); one more for each of its characters


class Reader(Expressions):
    """Reads one program into its effects."""

    def read(self, tree: ast.Module, size: int) -> None:
        """Reads a program; in the last round, when all is known, the effects are told to report."""
        self._progress.left = MIN_WORK + size
        rounds = MAX_ROUNDS if size < 8000 else 2
        for last in range(rounds):
            self._progress.seen = False
            self._round(tree)
            if not self._progress.seen or last == rounds - 1:
                break
        self._effects.reporting = True
        self._round(tree)

    def _round(self, tree: ast.Module) -> None:
        self._unrolled = 0
        self._effects.begin()
        self.block(tree.body, self._module)

    def block(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.AST, scope: Scope) -> None:
        kind = type(node)
        read = self._statements.get(kind)
        if read is None:
            read = getattr(self, f"_do_{kind.__name__}", self._do_other)
            self._statements[kind] = read
        read(node, scope)

    def _do_other(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, scope)
            elif isinstance(child, ast.stmt):
                self._statement(child, scope)
            else:
                self._do_other(child, scope)

    def _do_Expr(self, node: ast.Expr, scope: Scope) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value, scope)

    def _do_Import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            self._effects.imported(alias.name)
            bound = alias.name if alias.asname else alias.name.partition(".")[0]
            scope.bind(alias.asname or bound, Value(names=(names.canonical(bound),)))

    def _do_ImportFrom(self, node: ast.ImportFrom, scope: Scope) -> None:
        module = "." * node.level + (node.module or "")
        self._effects.imported(module)
        for alias in node.names:
            if alias.name == "*":
                if module not in self._stars:
                    self._stars.append(module)
                    self._progress.seen = True
            else:
                self._effects.imported(f"{module}.{alias.name}")
                self._postponed = self._postponed or (module == "__future__" and alias.name == "annotations")
                scope.bind(alias.asname or alias.name, self._global_name(f"{module}.{alias.name}"))

    def _do_FunctionDef(self, node: Definition, scope: Scope) -> None:
        function = self._function(node, scope)
        arguments = node.args
        given = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        for annotation in (*(each.annotation for each in given if each is not None), node.returns):
            self._annotated(annotation, scope)
        value: Value = Value(objects=(function,))
        for decorator in reversed(node.decorator_list):
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and decorator.func.attr in ("option", "argument"):
                self.value(decorator, scope)
                for name in function.scope.parameters & self._options.keys():
                    default = self._options[name]
                    function.scope.bind(name, Value(default.consts, True, (), default.taints))
                continue
            if isinstance(decorator, ast.Name) and decorator.id in ("staticmethod", "classmethod", "property", "cached_property"):
                function.static = decorator.id == "staticmethod"
                function.computed = decorator.id.endswith("property")
                continue
            value = join(value, self.call(self.value(decorator, scope), NOTHING, [value], {}, decorator, scope))
        scope.bind(node.name, value)
        if not function.inlined:
            self._body(function, node.body)

    _do_AsyncFunctionDef = _do_FunctionDef

    def _body(self, function: Function, body: Sequence[ast.stmt]) -> None:
        outer, self._loops = self._loops, [Loop(False, False, function.times)] if function.repeated else []
        try:
            self.block(body, function.scope)
        finally:
            self._loops = outer

    def _do_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        made = self._classes.get(node)
        bases = tuple(self.value(base, scope) for base in node.bases)
        if made is None:
            made = Class(node.name, Scope(self._progress, scope))
            self._classes[node] = made
        made.bases = bases
        for keyword in node.keywords:
            self.value(keyword.value, scope)
        value = Value(objects=(made,))
        for decorator in reversed(node.decorator_list):
            value = join(value, self.call(self.value(decorator, scope), NOTHING, [value], {}, decorator, scope))
        scope.bind(node.name, Value(objects=(made,)))
        self.block(node.body, made.scope)
        for name, member in made.scope.names.items():
            if name.startswith("__"):  # what the language calls by itself, wherever the class is used
                self._effects.escaped(member, node)

    def _do_Return(self, node: ast.Return, scope: Scope) -> None:
        value = self.value(node.value, scope) if node.value else const(None)
        function = self._enclosing(scope)
        if function is not None:
            self._returned(function, value)
            if getattr(function.node, "name", "") in ("__reduce__", "__reduce_ex__") and value.items:
                arguments = value.items[1].items if len(value.items) > 1 and value.items[1].items is not None else (UNKNOWN,)
                self._effects.reduced(node)
                self.call(value.items[0], NOTHING, list(arguments), {}, node, scope)

    def _do_Assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.value(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _do_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:
        if scope.function is None:  # that of a function's own variable is never evaluated
            self._annotated(node.annotation, scope)
        if node.value is not None:
            self.assign(node.target, self.value(node.value, scope), scope)

    def _annotated(self, annotation: ast.expr | None, scope: Scope) -> None:
        """An annotation is evaluated when it is read, unless the program says that it is not."""
        if annotation is not None and not self._postponed:
            self.value(annotation, scope)

    def _do_AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        given = self.value(node.value, scope)
        known = self.value(node.target, scope)
        self._effects.grown(node, given, self._loops)
        if isinstance(node.op, ast.BitOr) and known.names:  # `os.environ |= {..}` sets each of them
            for key, each in given.entries or ():
                self._effects.item_set(known, const(key), each, node)
        if known.items is not None and given.items is not None:
            value = sequence((*known.items, *(i for i in given.items if i not in known.items)))
        elif self._loops and known.consts:  # added to in a loop: what it becomes is not known, what it is made of is
            value = Value(hidden=True, taints=known.taints | given.taints)
        else:
            value = folding.binary(node.op, known, given) or Value(hidden=True, taints=known.taints | given.taints)
            value = tainted(value, known.taints | given.taints)
            if len(value.consts) > 1 and any(c in known.consts for c in value.consts):
                value = Value(known.consts, True, taints=value.taints)
        self.assign(node.target, value, scope)

    def _do_Delete(self, node: ast.Delete, scope: Scope) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript | ast.Attribute):
                self.value(target.value, scope)

    def _do_Global(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        scope.shared.update(node.names)

    _do_Nonlocal = _do_Global

    def _do_If(self, node: ast.If, scope: Scope) -> None:
        current: ast.If | None = node
        while current is not None:
            self.value(current.test, scope)
            self.block(current.body, scope)
            rest: Sequence[ast.stmt] = current.orelse
            if len(rest) == 1 and isinstance(rest[0], ast.If):
                current = rest[0]
            else:
                self.block(rest, scope)
                current = None

    def _do_For(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        iterated = self.value(node.iter, scope)
        self.assign(node.target, tainted(element(results.iterated(iterated)), {"looped"}), scope)
        self._repeat(node, loop_of(node, iterated), scope)

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While, scope: Scope) -> None:
        self.value(node.test, scope)
        self._repeat(node, loop_of(node, NOTHING), scope)

    def _repeat(self, node: ast.For | ast.AsyncFor | ast.While, loop: Loop, scope: Scope) -> None:
        self._loops.append(loop)
        self._effects.looped(node, loop, self._loops)
        self.block(node.body, scope)
        self._loops.pop()
        self.block(node.orelse, scope)

    def _do_With(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            value = self.value(item.context_expr, scope)
            generated = not value.names or any("contextmanager" in name for name in value.names)
            if value.items is not None and generated:  # what a generator gives is what it is entered with
                value = join(value, element(value))
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, scope)
        self.block(node.body, scope)

    _do_AsyncWith = _do_With

    def _do_Try(self, node: ast.Try, scope: Scope) -> None:
        self.block(node.body, scope)
        for handler in node.handlers:
            if handler.name:
                scope.bind(handler.name, UNKNOWN)
            self.block(handler.body, scope)
        self.block(node.orelse, scope)
        self.block(node.finalbody, scope)

    _do_TryStar = _do_Try

    def _do_Match(self, node: ast.Match, scope: Scope) -> None:
        subject = self.value(node.subject, scope)
        anything = join_all([flat(subject), *map(flat, parts(subject))])
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                if isinstance(name, str):
                    scope.bind(name, anything)
            if case.guard is not None:
                self.value(case.guard, scope)
            self.block(case.body, scope)
