"""Calls: which functions an expression may be, what they are given, and what comes back."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python import names, processes, results
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.effects import Effects
from services.approval.risk.languages.python.scopes import Bound, Class, Definition, Function, Loop, Progress, Scope
from services.approval.risk.languages.python.values import (
    MAX_NAME,
    NONE,
    NOTHING,
    UNKNOWN,
    Value,
    const,
    element,
    join,
    join_all,
    mapping,
    named,
    sequence,
    tainted,
    text_of,
)

ENVIRON = frozenset({"environ"})
TEMPORARY = named("pathlib.Path()", frozenset({"temp"}), (f"/tmp/{HIDDEN}",))
_FIXTURES = frozenset("tmp_path tmpdir tmp_dir temp_dir".split())  # parameters that a test's framework fills with a folder of its own
# Functions that make a function that gets a member or an item: what that is called here; empty for a call of what was made.
_GETTERS = {
    f"operator.{name}{made}": "" if made else f"operator.{name}()" for name in ("methodcaller", "attrgetter", "itemgetter") for made in ("", "()")
}
MAX_WITHIN = 3  # functions inside functions that are read where they are called


class Caller:
    """What the program is made of as far as it was read, and how its functions are called."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._progress = Progress(0)
        self._module = Scope(self._progress)
        self._functions: dict[ast.AST, Function] = {}
        self._classes: dict[ast.AST, Class] = {}
        self._bound: dict[object, Bound] = {}
        self._stars: list[str] = []
        self._loops: list[Loop] = []
        self._unrolled = 0
        self._within = 0  # functions whose bodies are read in place of a call
        self._postponed = False  # whether annotations are never evaluated
        self._options: dict[str, Value] = {}  # options of the command line, with their defaults
        self._expressions: dict[type[ast.AST], Callable[[ast.AST, Scope], Value]] = {}
        self._statements: dict[type[ast.AST], Callable[[ast.AST, Scope], None]] = {}

    def _global_name(self, name: str) -> Value:
        name = names.canonical(name)
        if name in names.CONSTANTS:
            return const(names.CONSTANTS[name])
        return Value(names=(name,), taints=ENVIRON if name == "os.environ" else NONE)

    def attribute(self, owner: Value, attr: str) -> Value:
        """A member of a value, by name."""
        found: list[Value] = []
        if attr == "__call__" and not any(isinstance(each, Class) for each in owner.objects):
            return owner
        self._progress.spend(len(owner.names) + 8 * len(owner.objects))  # a class is looked up in all of its bases
        for each in owner.objects:
            if isinstance(each, Class):
                member = each.find(attr)
                if member is not None:
                    found.append(self._method_of(each, member))
                else:
                    found += [Value(names=(f"{n}().{attr}",)) for base in each.bases for n in base.names]
        for name in owner.names:
            known = results.attribute(name, owner, attr)
            if known is None and attr in self._options and name.endswith(("parse_args()", "parse_known_args()", "parse_known_args()[]")):
                default = self._options[attr]
                known = Value(default.consts, True, (), default.taints, default.items, size=default.size)
            if known is not None:
                found.append(known)
            elif attr == "__self__" and "()" not in name and "." in name:  # of a function, its module
                found.append(Value(names=(name.rpartition(".")[0],)))
            elif name in ("", "builtins"):
                found.append(self._global_name(attr))
            elif len(name) < MAX_NAME:
                found.append(tainted(self._global_name(f"{name}.{attr}"), owner.taints))
        if not found:
            return Value(hidden=True, taints=owner.taints)
        return join_all(found)

    def _method_of(self, owner: Class, member: Value) -> Value:
        functions = [o for o in member.objects if isinstance(o, Function) and o.owner is not None and not o.static]
        if functions and functions[0].computed:
            return functions[0].returns if functions[0].returns is not NOTHING else UNKNOWN
        return self._bind(functions[0], member, (Value(objects=(owner,)),), {}) if functions else member

    def _member(self, owner: Value, key: Value, node: ast.AST) -> Value:
        if not key.known:
            self._effects.hidden_member(owner, node)
        return join_all(self.attribute(owner, text) for text in key.texts()[:16])

    def _function(self, node: Definition | ast.Lambda, scope: Scope) -> Function:
        function = self._functions.get(node)
        arguments = node.args
        if function is None:
            positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
            others = [a.arg for a in arguments.kwonlyargs] + [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
            inner = Scope(
                self._progress, scope.parent if scope.parent and self._class_of(scope) else scope, parameters=frozenset(positional + others)
            )
            function = Function(node, inner, positional, owner=self._class_of(scope))
            inner.function = function
            self._functions[node] = function
            inner.names |= {name: TEMPORARY for name in positional if name in _FIXTURES}
            if function.owner is not None and positional and isinstance(node, Definition):
                inner.names[positional[0]] = Value(objects=(function.owner,))
        positional_defaults = zip(function.positional[len(function.positional) - len(arguments.defaults) :], arguments.defaults, strict=False)
        for name, default in (*positional_defaults, *((a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=False))):
            if default is not None:
                value = self.value(default, scope)
                # a default alone does not say what callers outside the program give
                function.scope.bind(name, value if value.consts or value.names or value.items is not None else UNKNOWN)
        return function

    def _class_of(self, scope: Scope) -> Class | None:
        return next((c for c in self._classes.values() if c.scope is scope), None) if scope.function is None and scope is not self._module else None

    def _returned(self, function: Function, value: Value) -> None:
        joined = value if function.returns is NOTHING else join(function.returns, value)
        if joined != function.returns:
            function.returns = joined
            self._progress.seen = True

    @staticmethod
    def _enclosing(scope: Scope | None) -> Function | None:
        while scope is not None and scope.function is None:
            scope = scope.parent
        return scope.function if scope else None

    def call(self, function: Value, receiver: Value, args: list[Value], keywords: dict[str, Value], node: ast.AST, scope: Scope) -> Value:
        """What a call may give; its effects are handed on."""
        self._progress.spend(1 + 4 * len(function.names) + len(function.objects) + receiver.length // 16)
        found = [self._call_object(each, args, keywords, node, scope) for each in function.objects]
        for name in function.names:
            found.append(self._call_name(name, receiver, args, keywords, node, scope))
        if not found or (function.hidden and not function.names):
            attr = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            found.append(self._call_name(f"?.{attr}" if attr else "?", receiver, args, keywords, node, scope))
        return join_all(found)

    def _call_object(self, target: object, args: list[Value], keywords: dict[str, Value], node: ast.AST, scope: Scope) -> Value:
        if isinstance(target, Bound):
            return self.call(target.function, NOTHING, [*target.args, *args], {**dict(target.keywords), **keywords}, node, scope)
        if isinstance(target, Function):
            self._give(target, args, keywords)
            if isinstance(target.node, Definition) and target.node.args.vararg and len(args) > len(target.positional) and self._within < MAX_WITHIN:
                return self._inlined(target, args, keywords)
            return target.returns if target.returns is not NOTHING else Value(hidden=True, taints=NONE)
        if isinstance(target, Class):
            maker = target.find("__init__")
            for each in maker.objects if maker else ():
                if isinstance(each, Function):
                    self._give(each, [Value(objects=(target,)), *args], keywords)
            if maker is None:
                for name, value in keywords.items():
                    target.scope.bind(name, value)
            extra = [self._call_name(n, NOTHING, args, keywords, node, scope) for base in target.bases for n in base.names]
            if (called := target.find("__call__")) is not None:  # a class and what is made of it are told apart by nothing here
                extra.append(self.call(self._method_of(target, called), NOTHING, args, keywords, node, scope))
            return Value(objects=(target,), taints=NONE.union(*(e.taints for e in extra)) if extra else NONE)
        return UNKNOWN

    def _inlined(self, function: Function, args: Sequence[Value], keywords: dict[str, Value]) -> Value:
        """A call of a function that takes any number of arguments is read as if its body stood there: only that keeps in order
        what each call gives."""
        node = function.node
        assert isinstance(node, Definition)
        assert node.args.vararg
        known = Function(
            node, Scope(self._progress, function.scope.parent, parameters=function.scope.parameters), function.positional, owner=function.owner
        )
        known.scope.function = known
        known.scope.names = {name: value for name, value in function.scope.names.items() if name in function.scope.parameters}
        known.scope.names |= dict(zip(function.positional, args, strict=False))
        known.scope.names |= {name: value for name, value in keywords.items() if name in function.scope.parameters}
        known.scope.names[node.args.vararg.arg] = sequence(args[len(function.positional) :])
        seen = self._progress.seen
        function.inlined = True
        self._within += 1
        try:
            self.block(node.body, known.scope)
        finally:
            self._within -= 1
        self._progress.seen = seen
        return known.returns if known.returns is not NOTHING else Value(hidden=True, taints=NONE)

    def _give(self, function: Function, args: Sequence[Value], keywords: dict[str, Value]) -> None:
        times = max((loop.times for loop in self._loops), default=0)
        if self._loops and (not function.repeated or times > function.times):
            function.repeated, function.times = True, times
            self._progress.seen = True
        bind = function.scope.bind
        positional = function.positional
        for name, value in zip(positional, args, strict=False):
            bind(name, _given(value))
        arguments = function.node.args
        if len(args) > len(positional) and arguments.vararg:
            rest = args[len(positional) :]
            called = Value(hidden=True, names=join_all(rest).names, objects=join_all(rest).objects)
            bind(arguments.vararg.arg, Value(hidden=True, taints=NONE.union(*(a.taints for a in rest)), items=(called,), size=2))
        for name, value in keywords.items():
            if name in function.scope.parameters:
                bind(name, _given(value))
            elif arguments.kwarg:
                bind(arguments.kwarg.arg, mapping([(name, value)]))

    def _call_name(self, name: str, receiver: Value, args: list[Value], keywords: dict[str, Value], node: ast.AST, scope: Scope) -> Value:
        name = names.canonical(name)
        if name in results.HIGHER or name.endswith(results.HIGHER_METHODS):
            return self._higher(name, receiver, args, keywords, node, scope)
        if name in ("sh.Command", "plumbum.local.get"):
            return self._bind(node, Value(names=(processes.WORDS_RUN,)), tuple(args), keywords)
        if name in _GETTERS:
            return self._got(name, args, keywords, node, scope)
        if name == "type" and len(args) == 3:
            return self._made_class(args, node, scope)
        if name.endswith((".__dict__.values", ".__dict__.items", ".__dict__.get", ".__dict__.pop")) and not (args and args[0].known):
            self._effects.hidden_member(Value(names=(name.rpartition(".__dict__")[0],)), node)
        if name == "inspect.getattr_static":
            name = "getattr"
        if name in ("getattr", "object.__getattribute__") or name.endswith((".__getattribute__", ".__getattr__")):
            owner, key = (args[0], args[1]) if name == "getattr" and len(args) > 1 else (receiver, args[0] if args else UNKNOWN)
            return self._member(owner, key, node)
        if name == "setattr" and len(args) > 2:
            for text in args[1].texts():
                for each in args[0].names:
                    self._effects.attribute_set(f"{each}.{text}", args[2], node)
                    self._named_anew(each, text, args[2])
                for made in args[0].objects:
                    if isinstance(made, Class):
                        made.scope.bind(text, args[2])
            return NOTHING
        call = Call(name, names.plain(name), receiver, args, keywords, node, tuple(self._loops))
        told = self._effects.apply(call)
        if (args or keywords) and self._effects.hands_over(name):
            self._hand_over(call, node, scope)
        if told is not None:
            return told
        if name in results.IMPORTERS and args and args[0].consts:
            return join_all(self._global_name(text.replace(":", ".")) for text in args[0].texts())
        return results.result(call)

    def _hand_over(self, call: Call, node: ast.AST, scope: Scope) -> None:
        """What a function that is not known may do with the functions that it is given: call them, or keep them."""
        args = call.args
        if self._effects.reporting:  # what is inside of them is looked at then
            self._progress.spend(sum(each.size for each in call.all()) // 64)
        for index, given in enumerate(args if call.name not in results.HARMLESS else ()):
            self._effects.escaped(given, node, inside=True)
            for dangerous in filter(self._effects.dangerous, given.names):
                rest = args[index + 1 :]
                self._call_name(dangerous, NOTHING, list(rest), {}, node, scope)
                if rest and rest[0].items is not None:
                    self._call_name(dangerous, NOTHING, [element(rest[0])], {}, node, scope)
        for given in call.keywords.values():
            self._effects.escaped(given, node)
            for dangerous in filter(self._effects.dangerous, given.names):
                data = [element(each) if each.items is not None else each for each in (*args, call.receiver) if each is not NOTHING]
                self._call_name(dangerous, NOTHING, [join_all(data)] if data else [], {}, node, scope)

    def _got(self, name: str, args: list[Value], keywords: dict[str, Value], node: ast.AST, scope: Scope) -> Value:
        """`operator.methodcaller` and its relatives, which make a function (whose name ends in brackets), and calls of that."""
        made, kept = _GETTERS[name], args[:-1]
        if made:
            return self._bind(node, Value(names=(made,)), tuple(args), keywords)
        if not kept:
            return UNKNOWN
        if name == "operator.itemgetter()":
            return join_all(results.item(args[-1], key) for key in kept)
        found = [NOTHING]
        for text in (t for each in kept[: 1 if name == "operator.methodcaller()" else None] for t in each.texts()):
            value = args[-1]
            for attr in text.split(".")[:8]:
                value = self.attribute(value, attr)
            found.append(value if name == "operator.attrgetter()" else self.call(value, args[-1], kept[1:], keywords, node, scope))
        return join_all(found)

    def _made_class(self, args: Sequence[Value], node: ast.AST, scope: Scope) -> Value:
        """A class that `type` makes of a name, its bases and its members."""
        made = self._classes.get(node)
        if made is None:
            made = self._classes[node] = Class(args[0].text(), Scope(self._progress, scope))
        made.bases = args[1].items or ()
        for key, value in args[2].entries or ():
            made.scope.bind(text_of(key), value)
        return Value(objects=(made,))

    def _named_anew(self, owner: str, name: str, value: Value) -> bool:
        """Gives the module a name, when that is what setting a member of `owner` does."""
        if owner in ("", "__main__"):
            self._module.bind(name, value)
            return True
        return False

    def _higher(self, name: str, receiver: Value, args: list[Value], keywords: dict[str, Value], node: ast.AST, scope: Scope) -> Value:
        """Functions that call a function that they are given."""
        target, given = results.handed(name, receiver, args, keywords)
        many = name not in results.ONCE
        if name in ("functools.partial", "functools.partialmethod", "partial"):
            return self._bind(node, target, tuple(given), keywords)
        if many:
            self._loops.append(Loop(False, False, 0))
        self._effects.handed(name, target, Call(name, names.plain(name), receiver, args, keywords, node, tuple(self._loops)))
        value = self.call(target, NOTHING, list(given), {k: v for k, v in keywords.items() if k not in results.OWN_KEYWORDS}, node, scope)
        if many:
            self._loops.pop()
        if name == "functools.reduce":
            return value
        if name in ("map", "itertools.starmap", "filter"):
            return Value(hidden=True, taints=value.taints, items=(value,) if name != "filter" else tuple(given), size=1 + value.size)
        return Value(hidden=True, names=(f"{name}()",), taints=value.taints)

    def _bind(self, key: object, function: Value, args: tuple[Value, ...], keywords: dict[str, Value]) -> Value:
        """A function with its first arguments; the same one as long as nothing new is known, so that rounds come to an end."""
        known = self._bound.get(key)
        given = tuple(keywords.items())
        if known is None or known.function != function or known.args != args or known.keywords != given:
            known = Bound(function, args, given)
            self._bound[key] = known
        return Value(objects=(known,))

    # -- what the readers of expressions and statements add ---------------------------------------------------------------

    def value(self, node: ast.AST | None, scope: Scope) -> Value:
        """What an expression may be."""
        raise NotImplementedError

    def block(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        """Reads statements."""
        raise NotImplementedError


def _given(value: Value) -> Value:
    """An argument as a parameter holds it: one that is nothing known may be anything."""
    if value.consts or value.names or value.objects or value.items is not None or value.entries is not None:
        return value
    return Value(hidden=True, taints=value.taints)
