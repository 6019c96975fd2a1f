"""Expressions: what each may be, and what is assigned by them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from services.approval.risk.languages.python import folding, names, processes, results
from services.approval.risk.languages.python.calling import Caller
from services.approval.risk.languages.python.loops import loop_of
from services.approval.risk.languages.python.scopes import Bound, Class, Scope
from services.approval.risk.languages.python.values import (
    NONE,
    NOTHING,
    UNKNOWN,
    Const,
    Value,
    const,
    element,
    join,
    join_all,
    mapping,
    options,
    sequence,
    tainted,
    text_of,
    without,
)

MAX_UNROLLED = 4000  # elements that comprehensions of one program are computed for, one by one
_MUTATORS = frozenset(
    "__setitem__ append extend add update insert write writestr writelines setdefault put put_nowait attach set_payload add_attachment set_content appendleft writerow writerows push".split()
)


class Expressions(Caller):
    """Reads expressions and targets."""

    def value(self, node: ast.AST | None, scope: Scope) -> Value:
        """What an expression may be."""
        if node is None:
            return NOTHING
        kind = type(node)
        read = self._expressions.get(kind)
        if read is None:
            read = getattr(self, f"_of_{kind.__name__}", self._of_other)
            self._expressions[kind] = read
        return read(node, scope)

    def _of_other(self, node: ast.AST, scope: Scope) -> Value:
        parts = [self.value(child, scope) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return Value(hidden=True, taints=NONE.union(*(p.taints for p in parts)) if parts else NONE)

    def _of_Constant(self, node: ast.Constant, scope: Scope) -> Value:
        value = node.value
        return const(value) if isinstance(value, str | bytes | int | float | bool) or value is None else UNKNOWN

    def _of_Name(self, node: ast.Name, scope: Scope) -> Value:
        found = scope.find(node.id)
        if found is not None:
            return found
        if node.id in ("globals", "locals") or node.id in names.BUILTINS or not self._stars:
            return self._global_name(node.id)
        return join_all([*(self._global_name(f"{module}.{node.id}") for module in self._stars), self._global_name(node.id)])

    def _of_Attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        self._effects.reached(node, self.value(node.value, scope))
        return self.attribute(self.value(node.value, scope), node.attr)

    def _of_Subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        owner, key = self.value(node.value, scope), self.value(node.slice, scope)
        if isinstance(node.slice, ast.Slice):
            return results.sliced(owner, *(self.value(e, scope) if e else None for e in (node.slice.lower, node.slice.upper, node.slice.step)))
        if (program := self._program(node, owner, key, scope)) is not None:
            return program
        found = results.item(owner, key)
        for name in owner.names:
            module = name.removesuffix(".__dict__")
            if (name == "sys.modules" or name in results.NAMESPACES) and key.consts:
                inner = [self._module.find(t) if name != "sys.modules" else None for t in key.texts()]
                found = join_all([v or self._global_name(t) for v, t in zip(inner, key.texts(), strict=True)])
            elif name.endswith(".__dict__") or name == "":
                found = join_all([self._member(Value(names=(module,)), key, node)])
        return found

    def _program(self, node: ast.Subscript, owner: Value, key: Value, scope: Scope) -> Value | None:
        """plumbum: `local["rm"]` is a program and `rm["-r", x]` one with arguments, which any of several operators starts."""
        words = key.items if key.items is not None else (key,)
        if "plumbum.local" in owner.names:
            return self._bind(node, Value(names=(processes.WORDS_RUN,)), words, {})
        known = [*owner.names, *(n for o in owner.objects if isinstance(o, Bound) for n in o.function.names)]
        if not any(n == processes.WORDS_RUN or n.startswith("plumbum.") for n in known):
            return None
        self.call(owner, NOTHING, list(words), {}, node, scope)
        return self._bind(node, owner, words, {})

    def _of_JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> Value:
        parts = [self.value(p.value if isinstance(p, ast.FormattedValue) else p, scope) for p in node.values]
        whole = const("")
        for part in parts:
            whole = folding.binary(ast.Add(), whole, results.as_text(part)) or UNKNOWN
        taints = NONE.union(*(p.taints for p in parts)) if parts else NONE
        return tainted(without(whole, results.FOUND), taints - results.FOUND if len(parts) > 1 else taints)

    def _of_BinOp(self, node: ast.BinOp, scope: Scope) -> Value:
        chain: list[ast.BinOp] = []
        current: ast.expr = node
        while isinstance(current, ast.BinOp):
            chain.append(current)
            current = current.left
        left = self.value(current, scope)
        for each in reversed(chain):
            right = self.value(each.right, scope)
            self._progress.spend(1 + len(left.consts) * len(right.consts) + left.length // 16)
            self._effects.operated(each, left, right)
            left = results.operated(each.op, left, right)
        return left

    def _of_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Value:
        value = self.value(node.operand, scope)
        numbers = [c for c in value.consts if isinstance(c, int | float)]
        if isinstance(node.op, ast.USub) and numbers and not value.hidden:
            return options((-n for n in numbers), value.taints)
        return UNKNOWN if isinstance(node.op, ast.Not) else Value(hidden=True, taints=value.taints)

    def _of_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Value:
        return join_all([self.value(each, scope) for each in node.values])

    def _of_IfExp(self, node: ast.IfExp, scope: Scope) -> Value:
        self.value(node.test, scope)
        return join(self.value(node.body, scope), self.value(node.orelse, scope))

    def _of_Compare(self, node: ast.Compare, scope: Scope) -> Value:
        self._effects.compared(node, [self.value(each, scope) for each in (node.left, *node.comparators)], self._loops)
        return UNKNOWN

    def _of_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Value:
        value = self.value(node.value, scope)
        self.assign(node.target, value, scope)
        return value

    def _of_Starred(self, node: ast.Starred, scope: Scope) -> Value:
        return self.value(node.value, scope)

    _of_Await = _of_YieldFrom = _of_Starred

    def _of_Yield(self, node: ast.Yield, scope: Scope) -> Value:
        function = self._enclosing(scope)
        if node.value is not None:
            value = self.value(node.value, scope)
            if function is not None:
                self._returned(function, sequence([value]))
        return UNKNOWN

    def _of_List(self, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Value:
        parts: list[Value] = []
        for each in node.elts:
            value = self.value(each, scope)
            if not isinstance(each, ast.Starred):
                parts.append(value)
            elif value.items is not None:
                parts += value.items
            else:
                parts.append(element(value))
        return sequence(parts)

    _of_Tuple = _of_Set = _of_List

    def _of_Dict(self, node: ast.Dict, scope: Scope) -> Value:
        pairs: list[tuple[Const, Value]] = []
        taints = NONE
        for key, each in zip(node.keys, node.values, strict=True):
            value = self.value(each, scope)
            known = self.value(key, scope) if key is not None else None
            if known is None:
                pairs += value.entries or ()
                taints |= value.taints
            elif known.known:
                pairs += [(c, value) for c in known.consts]
            else:
                pairs.append((None, tainted(value, known.taints)))
                taints |= known.taints
        return mapping(pairs, taints)

    def _of_Lambda(self, node: ast.Lambda, scope: Scope) -> Value:
        function = self._function(node, scope)
        outer, self._loops = self._loops, []
        self._returned(function, self.value(node.body, function.scope))
        self._loops = outer
        return Value(objects=(function,))

    def _of_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope) -> Value:
        return self._comprehension(node, scope)

    _of_SetComp = _of_GeneratorExp = _of_DictComp = _of_ListComp

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope) -> Value:
        inner = Scope(self._progress, scope, function=None)
        first = results.iterated(self.value(node.generators[0].iter, scope))
        items = first.items if first.items is not None else None
        rows: Sequence[Value]
        if items is not None and len(node.generators) == 1 and not first.hidden and self._unrolled + len(items) <= MAX_UNROLLED:
            self._unrolled += len(items)
            rows = items
        else:
            rows = [element(first)]
        made: list[Value] = []
        pairs: list[tuple[Const, Value]] = []
        loop = loop_of(node, first)
        self._loops.append(loop)
        seen = self._progress.seen
        for row in rows:
            inner.names.clear()
            self.assign(node.generators[0].target, tainted(row, {"looped"}), inner)
            for generator in node.generators[1:]:
                self.assign(generator.target, tainted(element(results.iterated(self.value(generator.iter, inner))), {"looped"}), inner)
            self._progress.seen = seen
            for test in (t for g in node.generators for t in g.ifs):
                self.value(test, inner)
            if isinstance(node, ast.DictComp):
                key, value = self.value(node.key, inner), self.value(node.value, inner)
                pairs += [(c, value) for c in (key.consts if key.known else (None,))]
                made.append(Value(taints=key.taints))
            else:
                made.append(self.value(node.elt, inner))
            seen = self._progress.seen
        self._loops.pop()
        if isinstance(node, ast.DictComp):
            return mapping(pairs, NONE.union(*(m.taints for m in made)) if made else NONE)
        value = sequence(made)
        return value if rows is items else Value(hidden=True, taints=value.taints | first.taints, items=value.items, size=value.size)

    def _of_Call(self, node: ast.Call, scope: Scope) -> Value:
        receiver = NOTHING
        if isinstance(node.func, ast.Attribute):
            receiver = self.value(node.func.value, scope)
            self._effects.reached(node.func, receiver)
            function = self.attribute(receiver, node.func.attr)
        else:
            function = self.value(node.func, scope)
        args: list[Value] = []
        for each in node.args:
            value = self.value(each, scope)
            if isinstance(each, ast.Starred):
                args += value.items if value.items is not None else [element(value)]
            else:
                args.append(value)
        keywords: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            else:
                keywords |= {str(k): v for k, v in value.entries or ()}
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("add_argument", "option", "Option") and args:
            self._option(args, keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS and (args or keywords):
            self._mutated(node.func, args, keywords, scope)
        return self.call(function, receiver, args, keywords, node, scope)

    def _option(self, args: Sequence[Value], keywords: dict[str, Value]) -> None:
        """An option of the command line: its default is what it usually is."""
        default = keywords.get("default")
        if default is None or default is NOTHING:
            return
        given = keywords.get("dest", next((a for a in args if a.text().startswith("--")), args[0]))
        name = given.text().lstrip("-").replace("-", "_")
        if self._options.get(name) != default:
            self._options[name] = default
            self._progress.seen = True

    def _mutated(self, func: ast.Attribute, args: list[Value], keywords: dict[str, Value], scope: Scope) -> None:
        value = join_all([*args, *keywords.values()])
        owner = self.value(func.value, scope)
        if not results.NAMESPACES.isdisjoint(owner.names):
            named = [*keywords.items(), *((text_of(k), v) for each in args for k, v in each.entries or ())]
            if func.attr in ("setdefault", "__setitem__") and len(args) > 1:
                named += [(text, args[1]) for text in args[0].texts()]
            for name, each in named:
                self._module.bind(name, each)
        if func.attr in ("append", "add", "insert", "appendleft") and args:
            known = self.value(func.value, scope).items or ()
            if args[-1] not in known:
                self._update(func.value, sequence((*known, args[-1])), scope)
        elif func.attr in ("extend", "update") and (args[0].items is not None or args[0].entries is not None if args else False):
            self._update(func.value, args[0], scope)
        self._absorb(func.value, value, scope)

    # -- targets ------------------------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Gives a target one more value."""
        if isinstance(target, ast.Name):
            scope.bind(target.id, value)
        elif isinstance(target, ast.Tuple | ast.List):
            known = value.items
            for index, inner in enumerate(target.elts):
                exact = known is not None and len(known) == len(target.elts) and not any(isinstance(e, ast.Starred) for e in target.elts)
                part = known[index] if exact and known is not None else element(value)
                self.assign(inner.value if isinstance(inner, ast.Starred) else inner, part if exact else results.unpacked(value, index, part), scope)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value, scope)
            for each in owner.objects:
                if isinstance(each, Class):
                    each.scope.bind(target.attr, value)
            followed = any(isinstance(each, Class) for each in owner.objects)
            for name in owner.names or ("?",):
                self._effects.attribute_set(f"{name}.{target.attr}", value, target)
                followed = self._named_anew(name, target.attr, value) or followed
            if not followed:
                self._effects.escaped(value, target)
            self._absorb(target.value, value, scope)
        elif isinstance(target, ast.Subscript):
            owner, key = self.value(target.value, scope), self.value(target.slice, scope)
            self._effects.item_set(owner, key, value, target)
            if not results.NAMESPACES.isdisjoint(owner.names):
                for text in key.texts():
                    self._module.bind(text, value)
                return
            if key.known and len(key.consts) == 1:
                self._update(target.value, mapping([(key.consts[0], value)]), scope)
            else:
                self._update(
                    target.value,
                    Value(entries=((None, tainted(value, key.taints)),), hidden=True, taints=value.taints | key.taints, size=1 + value.size),
                    scope,
                )
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value, scope)

    def _update(self, target: ast.expr, value: Value, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            known = scope.find(target.id)
            if known is not None and not known.names:
                scope.bind(target.id, value)
            else:
                self._effects.escaped(value, target)
        elif isinstance(target, ast.Attribute):
            for each in self.value(target.value, scope).objects:
                if isinstance(each, Class):
                    each.scope.bind(target.attr, value)
        elif isinstance(target, ast.Subscript | ast.Call):
            self._effects.escaped(value, target)
            self._absorb(target, value, scope)

    def _absorb(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """What a container was given is known of the container."""
        taints = value.taints
        if not taints:
            return
        while isinstance(target, ast.Subscript | ast.Call | ast.Attribute):
            if isinstance(target, ast.Attribute):
                for each in self.value(target.value, scope).objects:
                    if isinstance(each, Class):
                        each.scope.bind(target.attr, Value(taints=taints))
            target = target.func if isinstance(target, ast.Call) else target.value
        known = scope.find(target.id) if isinstance(target, ast.Name) else None
        if isinstance(target, ast.Name) and known is not None and not known.objects and not taints <= known.taints:
            if any(n.startswith(("socket.", "requests.", "logging.")) for n in known.names):
                return  # what a connection was given does not come back from it
            scope.bind(target.id, Value(taints=taints))
