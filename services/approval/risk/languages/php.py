"""PHP, read as a syntax tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import tree_sitter_php

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import values
from services.approval.risk.languages.reader import Call, Reader, table
from services.approval.risk.languages.tree import Node
from services.approval.risk.languages.values import ENVIRONMENT, FETCHED, INPUT, UNKNOWN, Function, Value, constant, either, joined, tainted
from services.approval.risk.scoring import HIGH, MINOR, SERIOUS
from services.approval.risk.syntax import Grammar

_VISITOR = frozenset("_GET _POST _REQUEST _COOKIE _FILES HTTP_RAW_POST_DATA".split())
_WHOLE = Grammar(tree_sitter_php.language_php(), stand_in="_", bytes_a_report=60)
_ONLY = Grammar(tree_sitter_php.language_php_only(), stand_in="_", bytes_a_report=60)


class Php(Reader):
    LANGUAGE = "PHP"
    SEPARATOR = "::"
    CALLS = table(
        list="glob scandir opendir dir",
        shell="system exec shell_exec passthru popen proc_open expect_popen Process::fromShellCommandline",
        program="pcntl_exec Process",
        code="eval assert create_function runkit_function_add",
        pattern="preg_replace mb_ereg_replace",
        callback="call_user_func call_user_func_array array_map array_filter array_walk usort uasort uksort array_reduce register_shutdown_function preg_replace_callback forward_static_call "
                 "array_walk_recursive iterator_apply ob_start register_tick_function set_error_handler spl_autoload_register is_callable ReflectionFunction",
        delete="unlink rmdir ftruncate Storage::delete Storage::deleteDirectory File::delete File::deleteDirectory File::cleanDirectory",
        write="file_put_contents touch mkdir Storage::put File::put error_log",
        copy="copy rename symlink link",
        file="fopen SplFileObject gzopen",
        read="file_get_contents file readfile parse_ini_file highlight_file show_source fpassthru",
        permissions="chmod chown chgrp lchown",
        fetch="curl_init Http::get",
        send="Http::post Http::put wp_remote_post",
        sent="fwrite fputs socket_write socket_send stream_socket_sendto ftp_put ftp_fput",
        socket="fsockopen pfsockopen stream_socket_client stream_socket_server socket_create socket_connect socket_bind ftp_connect ssh2_connect socket_create_listen",
        mail="mail mb_send_mail wp_mail Mail::send",
        native="FFI::cdef FFI::load dl",
        privilege="posix_setuid posix_seteuid posix_setgid posix_setegid",
        kill="posix_kill proc_terminate",
        fork="pcntl_fork",
        deserialise="unserialize yaml_parse igbinary_unserialize",
        decode="base64_decode hex2bin str_rot13 gzinflate gzuncompress gzdecode strrev urldecode rawurldecode convert_uudecode bzdecompress zlib_decode",
        environment="getenv get_defined_vars phpinfo",
        upload="move_uploaded_file",
        settings="ini_set ini_alter putenv set_time_limit",
        extract="extract parse_str",
        define="define",
        print="print_r var_dump echo json_encode serialize var_export implode",
        statement="mysqli_query mysqli_multi_query mysql_query pg_query pg_send_query pg_query_params sqlite_query sqlite_exec mssql_query sqlsrv_query odbc_exec oci_parse DB::statement DB::unprepared DB::select DB::delete DB::update DB::raw DB::insert",
        flush="Redis::flushAll Redis::flushall",
        drop="Schema::drop Schema::dropIfExists Schema::dropAllTables",
    )  # fmt: skip
    METHODS = table(
        statement="query exec execute prepare multi_query real_query executeStatement executeQuery get_results get_var unprepared statement",
        flush="flushAll flushDb flushdb", delete_many="truncate", drop="dropDatabase dropIfExists", started="mustRun",
    )  # fmt: skip
    TEXTS: ClassVar[Mapping[str, str]] = {
        "implode": "join-last", "join": "join-last", "str_replace": "replace-in", "strtolower": "lower", "strtoupper": "upper", "trim": "strip", "chr": "codes", "sprintf": "format", "strval": "same",
        "escapeshellarg": "same", "escapeshellcmd": "same", "addslashes": "same", "stripslashes": "same", "rtrim": "strip", "ltrim": "strip", "str_split": "chars", "array_reverse": "reverse", "substr": "part", "explode": "explode",
        "file_get_contents": "same", "dirname": "directory", "realpath": "same", "html_entity_decode": "same", "htmlspecialchars": "same", "intval": "number", "array_values": "same", "mb_convert_encoding": "same", "nl2br": "same",
        "pack": "packed", "strtr": "same", "ucfirst": "same", "Closure::fromCallable": "same",
    }  # fmt: skip
    NODES: ClassVar[Mapping[str, str]] = {
        "string": "string", "encapsed_string": "string", "string_content": "fragment", "escape_sequence": "escape", "heredoc": "heredoc", "nowdoc": "heredoc", "heredoc_body": "string", "nowdoc_body": "string", "nowdoc_string": "fragment",
        "string_value": "fragment", "integer": "number", "float": "number", "name": "named", "qualified_name": "qualified", "relative_name": "qualified", "variable_name": "variable", "dynamic_variable_name": "dynamic",
        "binary_expression": "binary", "parenthesized_expression": "first", "conditional_expression": "alternatives", "cast_expression": "first", "error_suppression_expression": "first", "assignment_expression": "assigned",
        "reference_assignment_expression": "assigned", "augmented_assignment_expression": "augmented", "array_creation_expression": "array", "array_element_initializer": "nothing", "argument": "first", "arguments": "nothing",
        "subscript_expression": "subscript", "member_access_expression": "member_of", "nullsafe_member_access_expression": "member_of", "class_constant_access_expression": "constant_of", "scoped_property_access_expression": "constant_of",
        "function_call_expression": "called", "member_call_expression": "method_called", "nullsafe_member_call_expression": "method_called", "scoped_call_expression": "scoped_called", "object_creation_expression": "made",
        "shell_command_expression": "shell", "include_expression": "included", "include_once_expression": "included", "require_expression": "included", "require_once_expression": "included", "print_intrinsic": "echoed",
        "echo_statement": "echoed", "function_definition": "function", "method_declaration": "function", "anonymous_function": "function", "anonymous_function_creation_expression": "function", "arrow_function": "function",
        "compound_statement": "block", "if_statement": "block", "else_clause": "block", "return_statement": "first", "while_statement": "loop", "for_statement": "loop", "foreach_statement": "each", "expression_statement": "nothing", "program": "nothing",
        "const_element": "constant_declared", "namespace_use_declaration": "used", "property_element": "property_declared", "text": "nothing", "comment": "nothing", "variadic_unpacking": "first", "class_declaration": "nothing", "throw_expression": "nothing",
        "unary_op_expression": "first", "clone_expression": "first", "match_expression": "matched", "match_block": "matched", "match_conditional_expression": "first", "match_default_expression": "first", "exit_statement": "nothing", "boolean": "fragment",
    }  # fmt: skip
    CONCATENATES = frozenset({"."})
    BLOCKS = frozenset({"compound_statement", "if_statement", "else_clause"})

    def grammars(self) -> Iterable[Grammar]:
        """Code without its tag is code: as a page it would be nothing but text."""
        return (_WHOLE,) if "<?" in self._text_of_source else (_ONLY,)

    def canonical(self, name: str) -> str:
        return name.rpartition("\\")[2]

    def named(self, node: Node) -> Value:
        name = self.source(node)
        known = self._names.get(f"const {name}") if node.field != "function" else None
        return known or Value(name=name)

    def qualified(self, node: Node) -> Value:
        return Value(name=self.source(node).rpartition("\\")[2])

    def heredoc(self, node: Node) -> Value:
        return self.value(node.get("value"))

    def variable(self, node: Node) -> Value:
        name = self.source(node).lstrip("$")
        if name in _VISITOR:
            return Value(name=name, taints=INPUT)
        if name in ("_ENV", "_SERVER"):
            return Value(name=name, taints=ENVIRONMENT if name == "_ENV" else 0)
        return self._names.get(f"${name}") or Value(name=f"${name}")

    def dynamic(self, node: Node) -> Value:
        """`$$name` and `${'name'}`: the variable of that name."""
        inner = self.value(node.children[0]) if node.children else UNKNOWN
        if not inner.known:
            return Value(taints=inner.taints)
        if inner.text in _VISITOR:
            return Value(name=inner.text, taints=INPUT)
        return self._names.get(f"${inner.text}") or Value(name=f"${inner.text}")

    def binary(self, node: Node) -> Value:
        operator = node.get("operator")
        if operator is not None and self.source(operator) == "^":  # two constant strings are a third one
            sides = [self.value(child) for child in node.children if child is not operator]
            if len(sides) == 2 and all(side.known for side in sides):
                return Value(("".join(chr(ord(a) ^ ord(b)) for a, b in zip(sides[0].text, sides[1].text, strict=False)),), taints=values.DECODED)
        return super().binary(node)

    def array(self, node: Node) -> Value:
        items: list[Value] = []
        fields: dict[str, Value] = {}
        for child in node.children:
            parts = [self.value(each) for each in child.children]
            if len(parts) == 2:
                fields[parts[0].text] = parts[1]
            if parts:
                items.append(parts[-1])
        return Value(items=tuple(items), fields=fields or None, taints=tainted(items))

    def subscript(self, node: Node) -> Value:
        receiver = self.value(node.children[0]) if node.children else UNKNOWN
        index = self.value(node.children[1]) if len(node.children) > 1 else UNKNOWN
        if receiver.name == "_SERVER":
            asked = index.text
            return Value(taints=INPUT) if asked.startswith(("HTTP_", "QUERY", "REQUEST_URI", "PHP_AUTH")) else UNKNOWN
        if receiver.name == "_ENV":
            return UNKNOWN
        if receiver.items is not None or receiver.fields:
            return self.element(receiver, index)
        stored = self._names.get(f"{receiver.name}[{index.text}]") if receiver.name and index.known else None
        if stored is not None:
            return stored
        if receiver.known and index.text.isdigit():
            return self.element(receiver, index)
        return Value(taints=receiver.taints)

    def member_of(self, node: Node) -> Value:
        receiver, name = self.value(node.get("object")), node.get("name")
        return self.member(receiver, self._member_name(name)) if name is not None else UNKNOWN

    def _member_name(self, node: Node) -> str:
        """The name of a member, also when it is given as a text: `$o->{'name'}`."""
        value = self.value(node)
        return value.text if node.type != "name" and value.known else self.source(node)

    def constant_of(self, node: Node) -> Value:
        if len(node.children) < 2:
            return UNKNOWN
        own = self.source(node.children[-1]).lstrip("$")
        return self._names.get(f"this::{own}") or Value(name=f"{self.value(node.children[0]).name}::{own}")

    # -- names

    def augmented(self, node: Node) -> Value:
        target, operator, value = node.get("left"), node.get("operator"), self.value(node.get("right"))
        if target is not None:
            self.assign(target, value, append=operator is not None and self.source(operator) in (".=", "+="))
        return value

    def assign(self, target: Node, value: Value, *, append: bool = False) -> None:
        if target.type == "variable_name":
            self.bind(self.source(target), value, append=append)
        elif target.type == "member_access_expression":
            receiver, name = self.value(target.get("object")), target.get("name")
            if name is not None and receiver.name:
                self.bind(f"{receiver.name}::{self._member_name(name)}", value, append=append)
        elif target.type == "subscript_expression" and target.children:
            receiver = self.value(target.children[0])
            index = self.value(target.children[1]) if len(target.children) > 1 else UNKNOWN
            if receiver.name and index.known:
                self.bind(f"{receiver.name}[{index.text}]", value, append=append)
            elif receiver.name.startswith("$"):
                self.bind(receiver.name, Value(taints=value.taints))
        elif target.type in ("list_literal", "array_creation_expression"):
            for index_, child in enumerate(target.children):
                self.assign(
                    child.children[-1] if child.children and child.type == "array_element_initializer" else child,
                    self.element(value, constant(str(index_))),
                    append=False,
                )

    def constant_declared(self, node: Node) -> Value:
        if len(node.children) == 2:
            for kind in ("this::", "const "):
                self.bind(f"{kind}{self.source(node.children[0])}", self.value(node.children[1]))
        return UNKNOWN

    def used(self, node: Node) -> Value:
        """`use function full\\name as other`: one more name of a function."""
        if self.source(node)[3:].lstrip().lower().startswith("function"):
            for child in node.children:
                alias = child.get("alias")
                if alias is not None and child.children:
                    self.bind(f"use {self.source(alias).lower()}", Value(name=self.canonical(self.source(child.children[0]))))
        return UNKNOWN

    def property_declared(self, node: Node) -> Value:
        if len(node.children) == 2:
            for kind in ("$this::", "this::"):
                self.bind(f"{kind}{self.source(node.children[0]).lstrip('$')}", self.value(node.children[1]))
        return UNKNOWN

    def matched(self, node: Node) -> Value:
        return either([self.value(child) for child in node.children]) if node.children else UNKNOWN

    def function(self, node: Node) -> Value:
        listed, body, name = node.get("parameters"), node.get("body"), node.get("name")
        names = []
        for child in listed.children if listed is not None else []:
            own = child.get("name")
            names.append(self.source(own) if own is not None else "")
            if own is not None and child.get("default_value") is not None:
                self.bind(self.source(own), self.value(child.get("default_value")))
        value = Value(function=Function(tuple(names), self.value(body)))
        if name is not None:
            self.bind(f"{'method ' if node.type == 'method_declaration' else ''}{self.source(name).lower()}()", value)
        return value

    # -- calls

    def _arguments(self, node: Node | None) -> list[Value]:
        return [self.value(child) for child in node.children] if node is not None else []

    def called(self, node: Node) -> Value:
        function = node.get("function")
        target = self.value(function)
        args = self._arguments(node.get("arguments"))
        if target.function is not None:
            return self.user_call(target.function, args)
        return self._named_call(node, target, args)

    def _named_call(self, node: Node, target: Value, args: list[Value]) -> Value:
        """A call by name, or by a text that is a name: `$f = 'system'; $f(..)`."""
        names = [text for text in target.texts if HIDDEN not in text]
        if target.name and not target.name.startswith("$"):
            names.append(target.name)
        if not names:
            if target.items:
                return UNKNOWN
            if self._judging and (target.taints & INPUT or any(argument.taints & INPUT for argument in args)):
                self.effects.flag("code.dynamic", HIGH, "Calls what is made while it runs, with what a visitor sends.", self.excerpt(node))
            elif self._judging and any(child.type == "dynamic_variable_name" for child in node.children):
                self.effects.flag("code.hidden-name", SERIOUS, "What it calls is not known before it runs.", self.excerpt(node))
            elif self._judging and target.taints & (FETCHED | values.DECODED):
                self.effects.flag("code.dynamic", HIGH, "Calls what is decoded or fetched.", self.excerpt(node))
            return Value(taints=tainted(args))
        result = UNKNOWN
        for given in names[:8]:
            alias = self._names.get(f"use {given.lower()}")
            name = alias.name if alias is not None else given
            own = self._names.get(f"{name.lower()}()")
            if own is not None and own.function is not None:
                result = self.user_call(own.function, args)
            else:
                plain = self.canonical(name) if "::" in name else self.canonical(name).lower()
                result = self.call(Call(plain, args, UNKNOWN, node, {}))
        return result

    def method_called(self, node: Node) -> Value:
        receiver, name, args = self.value(node.get("object")), node.get("name"), self._arguments(node.get("arguments"))
        if name is None:
            return UNKNOWN
        if name.type != "name":
            return self._named_call(node, self.value(name), args) if self.value(name).known else Value(taints=tainted(args))
        own = self._names.get(f"method {self.source(name).lower()}()")
        if receiver.name == "$this" and own is not None and own.function is not None:
            return self.user_call(own.function, args)
        if receiver.name.startswith("Process") and self.source(name) in ("run", "start", "mustRun"):
            return UNKNOWN
        return self.call(Call(f"{receiver.name or '?'}::{self.source(name)}", args, receiver, node, {}))

    def scoped_called(self, node: Node) -> Value:
        scope, name, args = self.value(node.get("scope")), node.get("name"), self._arguments(node.get("arguments"))
        own = self.source(name) if name is not None else ""
        function = self._names.get(f"method {own.lower()}()")
        if scope.name in ("self", "static", "parent", "") and function is not None and function.function is not None:
            return self.user_call(function.function, args)
        return self.call(Call(f"{scope.name}::{own}", args, UNKNOWN, node, {}))

    def made(self, node: Node) -> Value:
        class_ = self.value(node.children[0]).name if node.children else ""
        args = next((self._arguments(child) for child in node.children if child.type == "arguments"), [])
        if self._judging and node.children and self.value(node.children[0]).taints & INPUT:
            self.effects.flag("code.dynamic", HIGH, "Makes an object of a class that a visitor names.", self.excerpt(node))
        if class_ == "Process":
            return self.call(Call("Process", args, UNKNOWN, node, {}))
        if class_ in ("SplFileObject", "ReflectionFunction"):
            return self.call(Call(class_, args, UNKNOWN, node, {}))
        return Value(name=f"{class_}", taints=tainted(args) & INPUT)

    def shell(self, node: Node) -> Value:
        command = joined([self.value(child) for child in node.children])
        if self._judging:
            self.effects.command(command, self.excerpt(node))
        return UNKNOWN

    def included(self, node: Node) -> Value:
        target = self.value(node.children[-1]) if node.children else UNKNOWN
        if not self._judging:
            return UNKNOWN
        if target.taints & INPUT:
            self.effects.flag("execution.input", HIGH, "Runs what a visitor sends.", self.excerpt(node))
        elif any(text.lower().startswith(("http:", "https:", "ftp:", "php://input", "data:")) for text in target.texts):
            self.effects.flag("execution.fetched", HIGH, "Runs code fetched from the network.", self.excerpt(node))
        elif target.text == HIDDEN and not target.name.startswith(("__", "ABS")):
            self.effects.flag("code.include", MINOR, "Runs a file whose name is made while it runs.", self.excerpt(node))
        return UNKNOWN

    def echoed(self, node: Node) -> Value:
        if self._judging and tainted([self.value(child) for child in node.children]) & ENVIRONMENT:
            self.effects.environment(self.excerpt(node))
        return UNKNOWN

    def effect(self, kind: str, call: Call) -> Value | None:
        judging, excerpt = self._judging, self.excerpt(call.node)
        match kind:
            case "callback":
                return self._callback(call)
            case "pattern":
                if (
                    judging
                    and call.arg(0).known
                    and call.arg(0).text[-8:].rpartition(call.arg(0).text[:1])[2].count("e")
                    and call.name == "preg_replace"
                ):
                    self.effects.code(call.arg(1), excerpt)
                return Value(taints=tainted(call.args))
            case "code" if call.name == "assert":
                if judging and (call.arg(0).texts != (HIDDEN,) or call.arg(0).taints or call.arg(0).name.startswith("$")):
                    self.effects.code(call.arg(0), excerpt)
                return UNKNOWN
            case "code" if call.name == "create_function":
                if judging:
                    self.effects.code(call.arg(1), excerpt)
                return UNKNOWN
            case "file":
                mode = call.arg(1).text if len(call.args) > 1 else "r"
                return self._opened(call, mode)
            case "read":
                target = call.arg(0)
                if target.text.startswith(("http://", "https://", "ftp://")):
                    return self.network("fetch", call)
                if target.text.startswith("php://input"):
                    return Value(taints=INPUT)
                return super().effect(kind, call)
            case "define":
                if call.arg(0).known:
                    self.bind(f"const {call.arg(0).text}", call.arg(1))
                return UNKNOWN
            case "permissions":
                super().effect(kind, call)
                return UNKNOWN
            case "delete-many" if call.args:  # of a file, to a length
                return UNKNOWN
            case "environment":
                if call.name == "getenv" and call.args:
                    return constant("~") if call.arg(0).text == "HOME" else UNKNOWN
                if judging and call.name == "phpinfo":
                    self.effects.environment(excerpt)
                return Value(taints=ENVIRONMENT)
            case "extract":
                if judging and call.arg(0).taints & INPUT:
                    self.effects.flag("code.overwrite", SERIOUS, "Lets a visitor set the program's variables.", excerpt)
                return UNKNOWN
            case "sent":
                if judging and call.arg(0).name.startswith(("fsockopen", "pfsockopen", "stream_socket", "socket_", "ftp_")):
                    self.effects.sent(tainted(call.args[1:]), excerpt)
                return UNKNOWN
            case "print":
                super().effect(kind, call)
                how = self.TEXTS.get(call.name)
                return self.text(how, call) if how else Value(taints=tainted(call.args))
        return super().effect(kind, call)

    def _opened(self, call: Call, mode: str) -> Value:
        target = call.arg(0)
        if any(letter in mode for letter in "wax+c"):
            if self._judging:
                self.effects.write(target, 0, self.excerpt(call.node))
            return Value(name="fopen()")
        if target.text.startswith(("http://", "https://", "ftp://")):
            return self.network("fetch", call)
        return Value(name="fopen()", taints=self.effects.read(target))

    def _callback(self, call: Call) -> Value:
        """Functions that call what they are given by name."""
        by_position = {
            "preg_replace_callback": 1,
            "usort": 1,
            "uasort": 1,
            "uksort": 1,
            "array_walk": 1,
            "array_filter": 1,
            "array_reduce": 1,
            "iterator_apply": 1,
        }
        position = by_position.get(call.name, 0)
        target = call.arg(position)
        rest = [argument for index, argument in enumerate(call.args) if index != position]
        if call.name == "iterator_apply":  # the iterator itself is not handed on
            rest = call.args[2:]
        if target.function is not None:
            self.parameters(target.function, [Value(taints=tainted(rest))] * len(target.function.parameters))
            return Value(taints=tainted(rest))
        if target.texts != (HIDDEN,) or target.taints:
            inner = [each for argument in rest for each in (argument.items or [argument])]
            return self._named_call(call.node, target, inner)
        return Value(taints=tainted(rest))

    def decode(self, call: Call) -> Value:
        how = {
            "base64_decode": "base64",
            "hex2bin": "hex",
            "str_rot13": "rot13",
            "strrev": "reverse",
            "urldecode": "percent",
            "rawurldecode": "percent",
        }
        return values.decoded(call.arg(0), how.get(call.name, ""))

    def text(self, how: str, call: Call) -> Value | None:
        subject = call.arg(0)
        match how:
            case "join-last" if call.arg(1).items is None and subject.items is not None:
                return joined(subject.items)
            case "replace-in":
                return super().text("replace", call._replace(args=[call.arg(2), call.arg(0), call.arg(1)]))
            case "chars" if subject.known and len(subject.text) < 4096:
                return Value(items=tuple(constant(char) for char in subject.text))
            case "explode":
                return super().text("split", call._replace(args=[call.arg(1), call.arg(0)]))
            case "part":
                return self._part(call)
            case "directory":
                return constant(".") if subject.texts == (HIDDEN,) else subject
            case "number":
                return Value(taints=0)
            case "packed":
                return values.decoded(call.arg(1), "hex") if subject.text == "H*" else Value(taints=tainted(call.args))
        return super().text(how, call)

    def _part(self, call: Call) -> Value:
        subject, numbers = call.arg(0), [argument.text for argument in call.args[1:3]]
        if subject.known and numbers and all(number.lstrip("-").isdigit() and len(number) < 6 for number in numbers):
            start = int(numbers[0])
            text = subject.text[start:] if start >= 0 else subject.text[max(0, len(subject.text) + start) :]
            return constant(text[: int(numbers[1])] if len(numbers) > 1 else text)
        return Value(taints=subject.taints)

    # -- loops

    def loop(self, node: Node) -> Value:
        condition = node.get("condition")
        text = self.source(condition).strip("() ;").lower() if condition is not None else ""
        if text in ("true", "1", ""):
            self.endless(node, frozenset({"pcntl_fork"}), frozenset({"str_repeat", "array_push", "array_fill", "file_put_contents"}))
        return self.block(node)

    def each(self, node: Node) -> Value:
        if len(node.children) >= 2:
            value = self.value(node.children[0])
            target = node.children[1].children[-1] if node.children[1].type == "pair" and node.children[1].children else node.children[1]
            self.assign(target, either(value.items) if value.items else Value(taints=value.taints), append=False)
        return self.block(node)
