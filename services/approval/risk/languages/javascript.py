"""JavaScript and TypeScript, read as a syntax tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import tree_sitter_javascript
import tree_sitter_typescript

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import values
from services.approval.risk.languages.javascript_calls import CALLS, METHODS
from services.approval.risk.languages.reader import Call, Reader
from services.approval.risk.languages.tree import Node
from services.approval.risk.languages.values import ENVIRONMENT, FETCHED, INPUT, SECRET, UNKNOWN, Function, Value, constant, either, joined, tainted
from services.approval.risk.scoring import HIGH, MEDIUM, NOTE, SERIOUS
from services.approval.risk.syntax import Grammar

_FORKS = frozenset({"child_process.fork", "cluster.fork", "child_process.spawn", "child_process.exec", "worker_threads.Worker", "Worker"})
_GROWS = frozenset({"push", "Buffer.alloc", "Array", "unshift", "concat", "fs.writeFileSync", "fs.appendFileSync"})
_GLOBALS = ("globalThis.", "global.", "window.", "self.", "process.mainModule.", "module.", "require.main.", "top.", "frames.")
_MODULES = {"fs-extra": "fs", "graceful-fs": "fs", "fs/promises": "fs", "memfs": "memfs", "cross-spawn": "child_process.spawn", "node-fetch": "fetch", "cross-fetch": "fetch",
            "isomorphic-fetch": "fetch", "shelljs/global": "shelljs", "timers/promises": "timers", "stream/promises": "stream", "bun": "Bun"}  # fmt: skip
_OBJECTS = frozenset("globalThis global window child_process fs self".split())  # whose members are named plainly, unless they are to be hidden
_VISITOR = frozenset(f"{who}.{what}" for who in ("req", "request", "ctx", "ctx.request", "event", "c.req") for what in ("query", "body", "params", "headers", "cookies", "queryStringParameters", "url"))  # fmt: skip


_JAVASCRIPT = Grammar(tree_sitter_javascript.language(), stand_in="_")
_TYPESCRIPT = Grammar(tree_sitter_typescript.language_typescript(), stand_in="_")
_TSX = Grammar(tree_sitter_typescript.language_tsx(), stand_in="_")


class JavaScript(Reader):
    LANGUAGE = "JavaScript"
    GRAMMARS = (_JAVASCRIPT, _TYPESCRIPT, _TSX)
    CALLS = CALLS
    METHODS = METHODS
    TEXTS: ClassVar[Mapping[str, str]] = {
        ".join": ".join", ".concat": ".concat", ".reverse": ".reverse", ".split": ".split", ".replace": ".replace", ".replaceAll": ".replace", ".toLowerCase": ".lower",
        ".toUpperCase": ".upper", ".trim": ".strip", ".toString": ".same", ".valueOf": ".same", ".text": ".same", ".json": ".same", ".then": ".then", ".bind": ".same", ".normalize": ".same",
        ".fromCharCode": "codes", ".fromCodePoint": "codes", "path.join": "path", "path.resolve": "path", "String": "same", "path.posix.join": "path",
        "shell-quote.quote": "join", "String.raw": "same", "util.format": "format", "Array.from": "same", "Promise.resolve": "same", "path.normalize": "same", "encodeURIComponent": "same",
    }  # fmt: skip
    NODES: ClassVar[Mapping[str, str]] = {
        "string": "string", "template_string": "string", "string_fragment": "fragment", "escape_sequence": "escape", "template_substitution": "first", "number": "number",
        "identifier": "identifier", "property_identifier": "nothing", "member_expression": "member_of", "subscript_expression": "subscript", "parenthesized_expression": "first",
        "sequence_expression": "first", "await_expression": "first", "as_expression": "inner", "satisfies_expression": "inner", "non_null_expression": "inner",
        "type_assertion": "first", "binary_expression": "binary", "ternary_expression": "alternatives", "array": "listed", "object": "object", "spread_element": "first", "pair": "nothing",
        "call_expression": "called", "new_expression": "made", "variable_declarator": "declared", "assignment_expression": "assigned", "augmented_assignment_expression": "augmented",
        "import_statement": "imported", "arrow_function": "function", "function_expression": "function", "function_declaration": "function", "generator_function_declaration": "function",
        "method_definition": "method", "return_statement": "first", "statement_block": "block", "regex": "nothing", "while_statement": "loop", "for_statement": "loop", "for_in_statement": "each",
        "if_statement": "block", "expression_statement": "nothing", "program": "nothing", "this": "this", "import": "identifier", "shorthand_property_identifier": "identifier", "undefined": "nothing",
        "class_body": "nothing", "comment": "nothing", "field_definition": "field_defined", "public_field_definition": "field_defined", "meta_property": "identifier", "jsx_text": "nothing", "try_statement": "block",
        "catch_clause": "block", "else_clause": "block", "type_annotation": "nothing", "optional_chain": "nothing", "with_statement": "opened", "true": "fragment", "false": "fragment",
    }  # fmt: skip
    MODULES = frozenset({"child_process", "vm"})
    SPREADS = frozenset({"spread_element"})
    BLOCKS = frozenset({"statement_block", "if_statement", "try_statement", "catch_clause", "else_clause"})

    def canonical(self, name: str) -> str:
        for prefix in _GLOBALS:
            if name.startswith(prefix) and name not in ("module.exports", "module._compile"):
                name = name[len(prefix) :]
        if name.endswith(".default"):
            name = name[:-8]
        return name.replace(".promises", "", 1) if ".promises" in name else name

    def member_taints(self, full: str, taints: int) -> int:
        if full == "process.env":
            return ENVIRONMENT
        if full.startswith("process.env."):
            return 0
        if full in _VISITOR:
            return INPUT
        if full in ("document.cookie", "clipboard.readText"):
            return SECRET
        return taints

    def identifier(self, node: Node) -> Value:
        value = super().identifier(node)
        return constant(".") if value.name in ("__dirname", "__filename") else value

    def opened(self, node: Node) -> Value:
        """`with (object)`: names inside may be members of it."""
        self.handed_on([self.value(node.get("object"))], node)
        return UNKNOWN

    def this(self, node: Node) -> Value:
        return Value(name="this")

    def inner(self, node: Node) -> Value:
        return self.value(node.children[0]) if node.children else UNKNOWN

    def member_of(self, node: Node) -> Value:
        receiver, property_ = node.get("object"), node.get("property")
        name = self.source(property_) if property_ is not None else ""
        value = self.value(receiver)
        if name == "constructor":  # of a function it makes functions of text
            return (
                Value(name="Function")
                if value.function or value.name.endswith(("constructor", "Function")) or not value.name
                else Value(name=f"{value.name}.constructor")
            )
        if value.name == "Function.constructor" or value.name.endswith(".constructor.constructor"):
            return Value(name="Function")
        member = self.member(value, name)
        if member.name == "process.env.HOME" or member.name == "process.env.USERPROFILE":
            return constant("~")
        return member

    def subscript(self, node: Node) -> Value:
        receiver, index = self.value(node.get("object")), self.value(node.get("index"))
        if index.known and index.text == "constructor":
            return (
                Value(name="Function")
                if receiver.function or receiver.name.endswith(("constructor", "Function")) or not receiver.name
                else Value(name=f"{receiver.name}.constructor")
            )
        if not index.known and receiver.name in _OBJECTS and self._judging:
            self.effects.flag("code.hidden-name", SERIOUS, "What it calls is not known before it runs.", self.excerpt(node))
        element = self.element(receiver, index)
        return replace(element, name=self.canonical(element.name)) if element.name else element

    def object(self, node: Node) -> Value:
        fields: dict[str, Value] = {}
        taints = 0
        for child in node.children:
            if child.type == "pair":
                key, value = child.get("key"), self.value(child.get("value"))
                name = self._key(key)
                fields[name] = value
                taints |= value.taints if name != "env" else 0
            elif child.type == "spread_element":
                value = self.value(child)
                self.handed_on([value], node)
                taints |= value.taints
                fields.update(value.fields or {})
            elif child.type == "shorthand_property_identifier":
                value = self.value(child)
                fields[self.source(child)] = value
                taints |= value.taints
        return Value(fields=fields, taints=taints)

    def _key(self, key: Node | None) -> str:
        if key is None:
            return ""
        if key.type in ("string", "number"):
            return self.value(key).text
        if key.type == "computed_property_name":
            return self.value(key.children[0]).text if key.children else ""
        return self.source(key)

    # -- names

    def declared(self, node: Node) -> Value:
        target, value = node.get("name"), self.value(node.get("value"))
        if target is not None and node.get("value") is not None:
            self.assign(target, value)
        return UNKNOWN

    def field_defined(self, node: Node) -> Value:
        target = node.get("property") or node.get("name")
        if target is not None:
            self.bind(f"this.{self.source(target)}", self.value(node.get("value")))
        return UNKNOWN

    def augmented(self, node: Node) -> Value:
        target, value = node.get("left"), self.value(node.get("right"))
        if target is not None:
            name = self.source(target) if target.type == "identifier" else self.value(target).name
            self.bind(name, value, append=True)
        return value

    def assign(self, target: Node, value: Value) -> None:
        if target.type == "identifier":
            self.bind(self.source(target), value)
        elif target.type == "object_pattern":
            for child in target.children:
                if child.type == "shorthand_property_identifier_pattern":
                    self.bind(self.source(child), self.member(value, self.source(child)))
                elif child.type == "pair_pattern":
                    key, inner = child.get("key"), child.get("value")
                    if key is not None and inner is not None:
                        self.assign(inner, self.member(value, self._key(key)))
                elif child.type == "object_assignment_pattern" and child.children:
                    name = self.source(child.children[0])
                    self.bind(name, either([self.member(value, name), self.value(child.children[-1])]))
                elif child.type == "rest_pattern" and child.children:
                    self.bind(self.source(child.children[0]), value)
        elif target.type == "array_pattern":
            for index, child in enumerate(target.children):
                self.assign(child, self.element(value, constant(str(index))))
        elif target.type == "assignment_pattern" and target.children:
            self.assign(target.children[0], either([value, self.value(target.children[-1])]))
        elif target.type in ("member_expression", "subscript_expression"):
            self._assign_member(target, value)

    def _assign_member(self, target: Node, value: Value) -> None:
        receiver = self.value(target.get("object"))
        property_ = target.get("property")
        name = self.source(property_) if property_ is not None else self.value(target.get("index")).text
        if receiver.name and HIDDEN not in name:
            self.bind(self.canonical(f"{receiver.name}.{name}"), value)
        if self._judging and receiver.name == "process.env":
            self.effects.variable(name, value, self.excerpt(target))
        if self._judging and name == "src" and receiver.name.endswith("Image()"):
            self.effects.sent(value.taints, self.excerpt(target))
        if self._judging and name in ("innerHTML", "outerHTML") and value.taints & (FETCHED | INPUT):
            self.effects.flag("code.page", MEDIUM, "Writes unchecked text into a page.", self.excerpt(target))

    def imported(self, node: Node) -> Value:
        module = self._module(self.value(node.get("source")).text)
        todo = [child for child in node.children if child.field != "source"]
        while todo:
            child = todo.pop()
            if child.type == "import_specifier":
                name, alias = child.get("name"), child.get("alias")
                if name is not None:
                    imported = self.source(name)
                    value = Value(name=module if imported == "default" else self.canonical(f"{module}.{imported}"))
                    self.bind(self.source(alias or name), value)
            elif child.type == "identifier":
                self.bind(self.source(child), Value(name=module))
            else:
                todo += child.children
        self._brought(module, node)
        return UNKNOWN

    def _module(self, name: str) -> str:
        name = name.removeprefix("node:").removeprefix("npm:")
        return _MODULES.get(name, name)

    def _brought(self, module: str, node: Node) -> None:
        if module in ("child_process", "zx", "execa", "shelljs"):
            self.note("code.process", "Brings in what starts programs.", node)
        if not self._judging:
            return
        self.effects.loads(constant(module), self.excerpt(node))
        if module.startswith(("http://", "https://")):
            self.effects.flag("execution.fetched", HIGH, "Runs code fetched from the network.", self.excerpt(node))
        elif module.startswith("data:"):
            self.effects.flag("code.dynamic", HIGH, "Runs code that stands in an address.", self.excerpt(node))

    def function(self, node: Node) -> Value:
        single = node.get("parameter")
        listed = node.get("parameters")
        parameters = [single] if single is not None else listed.children if listed is not None else []
        names = tuple(self._parameter(each) for each in parameters)
        body = node.get("body")
        function = Function(names, self.value(body))
        value = Value(function=function)
        name = node.get("name")
        if name is not None:
            self.bind(self.source(name), value)
            return UNKNOWN if node.type != "function_expression" else value
        return value

    def method(self, node: Node) -> Value:
        value = self.function(node)
        name = node.get("name")
        if name is not None:
            self.bind(f"this.{self.source(name)}", self._names.get(self.source(name), value))
        return UNKNOWN

    def _parameter(self, node: Node) -> str:
        while node.type in ("assignment_pattern", "rest_pattern", "required_parameter", "optional_parameter") and node.children:
            if node.type == "assignment_pattern":
                self.assign(node.children[0], self.value(node.children[-1]))
            node = node.get("pattern") or node.children[0]
        return self.source(node) if node.type == "identifier" else ""

    # -- calls

    def made(self, node: Node) -> Value:
        constructor, arguments = node.get("constructor"), node.get("arguments")
        return self._called(node, self.value(constructor), UNKNOWN, self._arguments(arguments))

    def called(self, node: Node) -> Value:
        function, arguments = node.get("function"), node.get("arguments")
        if function is None:
            return UNKNOWN
        args = self._arguments(arguments)
        receiver = self.value(function.get("object")) if function.type in ("member_expression", "subscript_expression") else UNKNOWN
        target = self.value(function)
        if target.name == "Reflect.apply" and args:
            target, args = args[0], list(args[2].items or ()) if len(args) > 2 else []
        for suffix, skip in ((".call", 1), (".apply", 1)):
            if target.name.endswith(suffix) and not receiver.function:
                target = replace(receiver, name=target.name.removesuffix(suffix))
                args = args[skip:] if suffix == ".call" else list(args[1].items or args[1:2]) if len(args) > 1 else []
        return self._called(node, target, receiver, args)

    def _arguments(self, node: Node | None) -> list[Value]:
        if node is None:
            return []
        if node.type == "template_string":
            return [self.value(node)]
        args: list[Value] = []
        for child in node.children:
            value = self.value(child)
            args += value.items if child.type == "spread_element" and value.items is not None else [value]
        return args

    def _called(self, node: Node, target: Value, receiver: Value, args: list[Value]) -> Value:
        if target.function is not None:
            return self.user_call(target.function, args)
        name = target.name
        if not name and receiver is not UNKNOWN:
            function = node.get("function")
            property_ = function.get("property") if function is not None else None
            name = f"?.{self.source(property_)}" if property_ is not None else ""
        options = next((arg.fields for arg in reversed(args) if arg.fields), None) or {}
        return self.call(Call(self.canonical(name), args, receiver, node, options))

    def effect(self, kind: str, call: Call) -> Value | None:
        judging, excerpt = self._judging, self.excerpt(call.node)
        match kind:
            case "require":
                return self._required(call)
            case "promisified":
                return call.arg(0)
            case "program":
                if judging:
                    self._program(call)
                return Value(name=f"{call.name}()")
            case "synchronised":
                if judging and call.options.get("force", UNKNOWN).text == "true":
                    self.effects.plain("drop", excerpt)
                return UNKNOWN
            case "destroyed":
                every = call.options.get("where", UNKNOWN).fields == {} or call.options.get("truncate", UNKNOWN).text == "true"
                if judging and every:
                    self.effects.plain("delete-many", excerpt)
                return UNKNOWN
            case "module":
                if judging:
                    self.effects.loads(call.arg(0), excerpt)
                    self.effects.flag(
                        "code.process",
                        SERIOUS if call.arg(0).text.startswith((HIDDEN, "data:")) and call.args else NOTE,
                        "Starts other programs.",
                        excerpt,
                    )
                return Value(name=call.name + "()")
            case "timer":
                first = call.arg(0)
                if judging and first.function is None and any(HIDDEN not in text for text in first.texts):
                    self.effects.code(first, excerpt)
                return UNKNOWN
            case "code":
                if judging:
                    self.effects.code(
                        call.args[-1] if call.name in ("Function", "AsyncFunction", "GeneratorFunction") and call.args else call.arg(0), excerpt
                    )
                return Value(name=call.name + "()")
            case "websocket":
                if judging:
                    self.effects.network("GET", values.mapped(call.arg(0), lambda url: url.replace("ws", "http", 1)), 0, excerpt)
                return Value(name=call.name + "()", taints=FETCHED)
            case "listening":
                if judging and call.receiver.function is None and not call.receiver.name.startswith("net."):
                    self.effects.plain("listen", excerpt)
                return UNKNOWN
            case "keys":
                if call.arg(0).text in ("keydown", "keypress", "keyup", "paste") and call.arg(1).function is not None:
                    self.parameters(call.arg(1).function, [Value(name="event", taints=SECRET)])  # type: ignore[arg-type]
                return UNKNOWN
            case "print":
                super().effect(kind, call)
                return Value(taints=tainted(call.args))
            case "socket":
                for argument in call.args:
                    if argument.function is not None:
                        self.parameters(argument.function, [Value(name="net.connect()", taints=FETCHED)])
        return super().effect(kind, call)

    def _required(self, call: Call) -> Value:
        module = call.arg(0)
        if module.known:
            self._brought(self._module(module.text), call.node)
            return Value(name=self._module(module.text))
        for text in module.texts:
            self._brought(text, call.node)
        if self._judging and call.args:
            if module.taints & FETCHED:
                self.effects.code(module, self.excerpt(call.node))
            elif all(text.startswith(HIDDEN) for text in module.texts):
                self.effects.flag("code.dynamic", SERIOUS, "Loads a module whose name is made while it runs.", self.excerpt(call.node))
        return UNKNOWN

    def _program(self, call: Call) -> None:
        words = self.words([call.arg(0), call.arg(1) if call.arg(1).fields is None else Value(items=())])
        fields = call.options
        if call.name == "Deno.Command" and "args" in fields:
            words = [call.arg(0), *(fields["args"].items or (UNKNOWN,))]
        elif call.name == "Deno.run" and "cmd" in fields:
            words = list(fields["cmd"].items or (UNKNOWN,))
        if len(call.args) < 2 or call.arg(1).function is not None:
            words = self.words(call.args[:1])
        shell = fields.get("shell")
        if shell is not None and shell.text != "false":
            self.effects.command(joined(words, " "), self.excerpt(call.node))
        else:
            self.effects.program(words, self.excerpt(call.node))

    def network(self, kind: str, call: Call) -> Value:
        if kind == "request":
            url, options = call.arg(0), call.options
            if url.fields and "url" in url.fields:
                url = url.fields["url"]
            elif url.fields and (host := url.fields.get("hostname") or url.fields.get("host")):
                url = joined([constant("https://"), host, url.fields.get("path", constant("/"))])
            method = (
                options["method"].text.upper()
                if "method" in options and options["method"].known
                else "POST"
                if {"body", "data"} & options.keys()
                else "GET"
            )
            sends = method not in ("GET", "HEAD", "OPTIONS") or "body" in options
            if self._judging:
                self.effects.network(method, url, tainted(call.args), self.excerpt(call.node), sends=sends)
            for argument in call.args:
                if argument.function is not None:
                    self.parameters(argument.function, [Value(taints=FETCHED)])
            return Value(name=f"{call.name}()", taints=FETCHED)
        return super().network(kind, call)

    def decode(self, call: Call) -> Value:
        if call.name in ("decodeURIComponent", "unescape"):
            return values.decoded(call.arg(0), "percent")
        if call.name in ("Buffer.from", "Buffer", "buffer.Buffer.from"):
            how = call.arg(1).text.lower()
            if how in ("base64", "base64url", "hex"):
                return values.decoded(call.arg(0), how.removesuffix("url"))
            return values.from_codes(call.arg(0).items or ()) if call.arg(0).items else call.arg(0)
        return super().decode(call)

    def text(self, how: str, call: Call) -> Value | None:
        if how == ".then":
            function = call.arg(0).function
            if function is not None:
                self.parameters(function, [call.receiver])
                return replace(function.returns, taints=function.returns.taints | call.receiver.taints)
            if self._judging and call.arg(0).name in ("eval", "Function"):
                self.effects.code(call.receiver, self.excerpt(call.node))
            return Value(taints=call.receiver.taints)
        return super().text(how, call)

    # -- loops

    def loop(self, node: Node) -> Value:
        condition = node.get("condition")
        text = self.source(condition).strip("()! ;") if condition is not None else ""
        if (condition is None or text in ("true", "1", "", "0")) and self.value(condition).taints == 0:
            self.endless(node, _FORKS, _GROWS)
        return self.block(node)

    def each(self, node: Node) -> Value:
        target, value = node.get("left"), self.value(node.get("right"))
        if target is not None:
            self.assign(target, either(value.items) if value.items else Value(taints=value.taints))
        return self.block(node)


class TypeScript(JavaScript):
    LANGUAGE = "TypeScript"
    GRAMMARS = (_TYPESCRIPT, _TSX, _JAVASCRIPT)


class Tsx(JavaScript):
    LANGUAGE = "TypeScript"
    GRAMMARS = (_TSX, _TYPESCRIPT, _JAVASCRIPT)
