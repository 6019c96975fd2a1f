"""Go, read as a syntax tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import tree_sitter_go
from tree_sitter import Tree

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import values
from services.approval.risk.languages.reader import MAX_TRIED, Call, Reader, table
from services.approval.risk.languages.tree import Node
from services.approval.risk.languages.values import FETCHED, INPUT, UNKNOWN, Function, Value, constant, either, tainted
from services.approval.risk.scoring import HIGH
from services.approval.risk.syntax import Grammar

# Names of packages as they are written without an import in sight, such as in a fragment.
_STANDARD = {
    "exec": "os/exec", "http": "net/http", "ioutil": "io/ioutil", "filepath": "path/filepath", "base64": "encoding/base64", "hex": "encoding/hex", "sql": "database/sql", "json": "encoding/json",
    "smtp": "net/smtp", "url": "net/url", "tls": "crypto/tls", "rpc": "net/rpc", "user": "os/user",
}  # fmt: skip
_FORKS = frozenset({"os/exec.Command", "os/exec.Command().Start", "os/exec.Command().Run", "syscall.ForkExec", "os.StartProcess"})
_GROWS = frozenset({"append", "make", "os.WriteFile"})


class Go(Reader):
    LANGUAGE = "Go"
    GRAMMARS = (Grammar(tree_sitter_go.language(), stand_in="_"),)
    CALLS = table(
        list="path/filepath.Walk path/filepath.WalkDir path/filepath.Glob os.ReadDir io/ioutil.ReadDir",
        shell="C.system C.popen",
        program="os/exec.Command C.execlp C.execl",
        program_context="os/exec.CommandContext",
        argv="syscall.Exec syscall.ForkExec os.StartProcess golang.org/x/sys/unix.Exec syscall.StartProcess",
        code="github.com/robertkrimmer/otto.New().Run github.com/dop251/goja.New().RunString github.com/traefik/yaegi/interp.New().Eval",
        delete="os.Remove os.RemoveAll os.Truncate syscall.Unlink syscall.Rmdir C.unlink C.remove C.rmdir golang.org/x/sys/unix.Unlink",
        write="os.WriteFile io/ioutil.WriteFile os.Create os.Mkdir os.MkdirAll os.OpenFile os.MkdirTemp os.CreateTemp",
        copy="os.Rename os.Symlink os.Link",
        read="os.ReadFile io/ioutil.ReadFile os.Open",
        permissions="os.Chmod os.Chown os.Lchown syscall.Chmod",
        fetch="net/http.Get net/http.Head github.com/go-resty/resty/v2.New().R().Get",
        send="net/http.Post net/http.PostForm",
        request="net/http.NewRequest net/http.NewRequestWithContext",
        sent="net.Dial().Write net.DialTimeout().Write net.LookupHost net.LookupTXT net.LookupIP net/smtp.SendMail crypto/tls.Dial().Write",
        socket="net.Dial net.DialTimeout net.DialTCP net.DialUDP net.Listen net.ListenTCP net.ListenPacket net.ListenUDP crypto/tls.Dial crypto/tls.Listen golang.org/x/crypto/ssh.Dial syscall.Socket net/rpc.Dial net.DialUnix",
        listen="net/http.ListenAndServe net/http.ListenAndServeTLS net/http.Serve net/http.Server.ListenAndServe",
        native="plugin.Open syscall.Syscall syscall.Syscall6 syscall.RawSyscall syscall.Mmap syscall.LoadLibrary syscall.LoadDLL syscall.NewLazyDLL golang.org/x/sys/windows.NewLazySystemDLL syscall.Mprotect",
        unsafe="unsafe.Pointer",
        privilege="syscall.Setuid syscall.Setgid syscall.Setreuid syscall.Setresuid syscall.Chroot syscall.Seteuid golang.org/x/sys/unix.Setuid syscall.Mount golang.org/x/sys/unix.Mount syscall.Unshare",
        debug="syscall.PtraceAttach syscall.PtracePokeData golang.org/x/sys/unix.PtraceAttach",
        kill="syscall.Kill os.Process.Kill os.FindProcess().Kill C.kill syscall.Reboot",
        environment="os.Environ",
        print="fmt.Println fmt.Printf fmt.Print fmt.Fprintln fmt.Fprintf log.Println log.Printf log.Print encoding/json.Marshal",
        decode="encoding/base64.StdEncoding.DecodeString encoding/base64.URLEncoding.DecodeString encoding/base64.RawStdEncoding.DecodeString encoding/hex.DecodeString net/url.QueryUnescape",
        home="os.UserHomeDir",
    )  # fmt: skip
    METHODS = table(
        statement="Exec ExecContext Query QueryContext QueryRow QueryRowContext Prepare MustExec Raw NamedExec Select Get", form="FormValue PostFormValue", listen="ListenAndServe ListenAndServeTLS", drop="DropTable Drop",
        flush="FlushAll FlushDB",
    )  # fmt: skip
    TEXTS: ClassVar[Mapping[str, str]] = {
        "strings.Join": "join", "fmt.Sprintf": "format", "fmt.Sprint": "same", "path/filepath.Join": "path", "path.Join": "path", "strings.Replace": "replace", "strings.ReplaceAll": "replace", "strings.ToLower": "lower", "strings.ToUpper": "upper",
        "strings.TrimSpace": "strip", "strings.Split": "split", "strings.Fields": "fields", "string": "same", "[]byte": "same", "os.ExpandEnv": "same", "bytes.NewBuffer": "same", "bytes.NewReader": "same", "bytes.NewBufferString": "same",
        "strings.NewReader": "same", "io.ReadAll": "same", "io/ioutil.ReadAll": "same", ".String": ".same", ".Bytes": ".same", "path/filepath.Clean": "same", "rune": "codes", "C.CString": "same", "append": "append", "strings.Repeat": "same", "encoding/json.Marshal": "same",
    }  # fmt: skip
    NODES: ClassVar[Mapping[str, str]] = {
        "interpreted_string_literal": "string", "interpreted_string_literal_content": "fragment", "raw_string_literal": "string", "raw_string_literal_content": "fragment", "escape_sequence": "escape", "rune_literal": "rune",
        "int_literal": "number", "float_literal": "number", "identifier": "identifier", "selector_expression": "selector", "index_expression": "index", "slice_expression": "inner", "parenthesized_expression": "first",
        "binary_expression": "binary", "unary_expression": "first", "call_expression": "called", "type_conversion_expression": "converted", "composite_literal": "composite", "literal_value": "listed", "literal_element": "first",
        "keyed_element": "first", "expression_list": "listed", "short_var_declaration": "assigned", "assignment_statement": "assigned", "var_spec": "specified", "const_spec": "specified", "import_spec": "imported", "func_literal": "function",
        "function_declaration": "function", "method_declaration": "function", "return_statement": "returned", "block": "block", "statement_list": "block", "if_statement": "block", "expression_statement": "nothing", "for_statement": "loop",
        "source_file": "nothing", "comment": "nothing", "type_declaration": "nothing", "type_assertion_expression": "inner", "nil": "nothing", "variadic_argument": "first", "range_clause": "ranged", "argument_list": "nothing", "parameter_list": "nothing",
        "slice_type": "typed", "defer_statement": "nothing", "go_statement": "nothing",
    }  # fmt: skip
    SPREADS = frozenset({"variadic_argument"})
    BLOCKS = frozenset({"block", "statement_list", "if_statement"})

    def parsed(self) -> tuple[Tree, bool]:
        """Statements without a function around them are read as if there were one."""
        self._source += b"\n"
        tree, whole = super().parsed()
        if whole or 2 * len(self._source) > MAX_TRIED:
            return tree, whole
        plain, self._source = self._source, b"func _() {\n" + self._source + b"}\n"
        wrapped, whole = super().parsed()
        if whole:
            return wrapped, True
        self._source = plain
        return tree, False

    def member_taints(self, full: str, taints: int) -> int:
        if full in ("os.Args",):
            return 0
        if full.endswith((".URL.Query()", ".Form", ".PostForm", ".Body")) and full.startswith(("r.", "req.", "request.")):
            return INPUT
        return taints

    def identifier(self, node: Node) -> Value:
        name = self.source(node)
        return self._names.get(name) or Value(name=_STANDARD.get(name, name))

    def rune(self, node: Node) -> Value:
        text = self.source(node)[1:-1]
        return constant(str(ord(text))) if len(text) == 1 else UNKNOWN

    def inner(self, node: Node) -> Value:
        return self.value(node.children[0]) if node.children else UNKNOWN

    def selector(self, node: Node) -> Value:
        operand, field_ = self.value(node.get("operand")), node.get("field")
        return self.member(operand, self.source(field_)) if field_ is not None else UNKNOWN

    def index(self, node: Node) -> Value:
        return self.element(replace(self.value(node.get("operand")), name=""), self.value(node.get("index")))

    def composite(self, node: Node) -> Value:
        type_, body = node.get("type"), self.value(node.get("body"))
        name = self.source(type_) if type_ is not None else ""
        if name in ("[]byte", "[]rune", "[]uint8") and body.items:
            return values.from_codes(body.items)
        inside = node.get("body")
        if name == "exec.Cmd" and inside is not None:
            return self._command(node, inside)
        self.handed_on(body.items or (), node)
        return replace(body, name=f"{name}()" if not name.startswith(("[", "map")) else "")

    def _command(self, node: Node, body: Node) -> Value:
        """A command given by its fields instead of by a call."""
        fields: dict[str, Value] = {}
        for child in body.children:
            key, value = child.get("key"), child.get("value")
            if key is not None and value is not None:
                fields[self.source(key)] = self.value(value)
        if self._judging:
            words = list(fields["Args"].items or ()) if "Args" in fields else []
            self.effects.program([fields.get("Path", UNKNOWN), *words[1:]], self.excerpt(node))
        return Value(name="os/exec.Command()")

    def typed(self, node: Node) -> Value:
        return Value(name=self.source(node))

    def converted(self, node: Node) -> Value:
        return self.value(node.children[-1]) if node.children else UNKNOWN

    # -- names

    def imported(self, node: Node) -> Value:
        path, name = self.value(node.get("path")).text, node.get("name")
        own = self.source(name) if name is not None else path.rpartition("/")[2]
        if own == ".":
            for full in self.CALLS:
                if full.startswith(f"{path}.") and "(" not in full:
                    self.bind(full[len(path) + 1 :], Value(name=full))
        elif own != "_":
            self.bind(own, Value(name=path))
        if path == "C":
            self.note("code.native", "Works below the language.", node)
        return UNKNOWN

    def assigned(self, node: Node) -> Value:
        left, right, operator = node.get("left"), node.get("right"), node.get("operator")
        self._assign(left.children if left is not None else [], right, append=operator is not None and self.source(operator) == "+=")
        return UNKNOWN

    def specified(self, node: Node) -> Value:
        self._assign(node.all("name"), node.get("value"), append=False)
        return UNKNOWN

    def _assign(self, targets: list[Node], right: Node | None, *, append: bool) -> None:
        given = [self.value(child) for child in right.children] if right is not None else []
        for index, target in enumerate(targets):
            value = given[index] if index < len(given) and len(given) == len(targets) else given[0] if given and index == 0 else UNKNOWN
            if target.type == "identifier":
                name = self.source(target)
                if name != "_":
                    self.bind(name, value, append=append)
            elif target.type == "selector_expression":
                full = self.value(target).name
                if full.endswith((".Args", ".Path")) and full.startswith("os/exec.Command()") and self._judging:
                    self.effects.program(list(value.items or (value,)), self.excerpt(target))
                elif full:
                    self.bind(full, value, append=append)

    def ranged(self, node: Node) -> Value:
        left, value = node.get("left"), self.value(node.get("right"))
        for index, target in enumerate(left.children if left is not None else []):
            if index == 1 and target.type == "identifier":
                self.bind(self.source(target), either(value.items) if value.items else Value(taints=value.taints))
        return UNKNOWN

    def function(self, node: Node) -> Value:
        listed, name = node.get("parameters"), node.get("name")
        parameters = tuple(self.source(own) for child in (listed.children if listed is not None else []) for own in child.all("name"))
        value = Value(function=Function(parameters, self.value(node.get("body"))))
        if name is not None:
            self.bind(self.source(name) if node.type == "function_declaration" else f"method {self.source(name)}", value)
        return value

    def returned(self, node: Node) -> Value:
        given = self.value(node.children[0]) if node.children else UNKNOWN
        return given.items[0] if given.items else given

    # -- calls

    def called(self, node: Node) -> Value:
        function, arguments = node.get("function"), node.get("arguments")
        args: list[Value] = []
        for child in arguments.children if arguments is not None else []:
            value = self.value(child)
            args += value.items if child.type == "variadic_argument" and value.items is not None else [value]
        target = self.value(function)
        if target.function is not None:
            return self.user_call(target.function, args)
        receiver = UNKNOWN
        if function is not None and function.type == "selector_expression":
            receiver = self.value(function.get("operand"))
            field_ = function.get("field")
            own = self._names.get(f"method {self.source(field_)}") if field_ is not None else None
            if own is not None and own.function is not None and "/" not in receiver.name:
                return self.user_call(own.function, args)
            if not target.name and field_ is not None:
                target = Value(name=f"?.{self.source(field_)}")
        return self.call(Call(target.name, args, receiver, node, {}))

    def effect(self, kind: str, call: Call) -> Value | None:
        judging, excerpt = self._judging, self.excerpt(call.node)
        match kind:
            case "program" | "program-context":
                words = call.args if kind == "program" else call.args[1:]
                if judging:
                    self.effects.program(words, excerpt)
                return Value(name="os/exec.Command()")
            case "argv":
                if judging:
                    words = self.words([call.arg(0), replace(call.arg(1), items=(call.arg(1).items or ())[1:]) if call.arg(1).items else UNKNOWN])
                    self.effects.program(words, excerpt)
                return UNKNOWN
            case "request":
                method = call.arg(0).text.upper() if call.name.endswith("NewRequest") else call.arg(1).text.upper()
                rest = call.args[1:] if call.name.endswith("NewRequest") else call.args[2:]
                if judging:
                    known = method if HIDDEN not in method and method.isalpha() else "GET"
                    self.effects.network(known, rest[0] if rest else UNKNOWN, tainted(rest), excerpt, sends=known not in ("GET", "HEAD"))
                return Value(name="net/http.Request()", taints=FETCHED)
            case "write" if call.name == "os.OpenFile":
                flags = self.source(call.node)
                if not any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_APPEND", "O_CREATE", "O_TRUNC")):
                    return super().effect("read", call)
            case "form":
                return Value(taints=INPUT)
            case "print":
                super().effect(kind, call)
                if call.name.startswith("fmt.Fprint") and call.arg(0).name.startswith(("net.Dial", "crypto/tls.Dial")) and judging:
                    self.effects.sent(tainted(call.args[1:]), excerpt)
                return Value(taints=tainted(call.args))
            case "statement" if call.name.startswith(("os/exec", "net/http", "http.")):
                return super().call(call._replace(name="")) if call.name != "http.Get" else None
            case "drop" if call.name.rpartition(".")[2] == "Drop" and not call.name.startswith(("gorm", "db")):
                return UNKNOWN
        return super().effect(kind, call)

    def network(self, kind: str, call: Call) -> Value:
        if self._judging and kind == "send":
            self.effects.network("POST", call.arg(0), tainted(call.args[1:]), self.excerpt(call.node), sends=True)
            return Value(name=f"{call.name}()", taints=FETCHED)
        return super().network(kind, call)

    def decode(self, call: Call) -> Value:
        return values.decoded(call.arg(0), "hex" if "hex" in call.name else "percent" if "url" in call.name else "base64")

    def text(self, how: str, call: Call) -> Value | None:
        if how == "fields":
            subject = call.arg(0)
            return Value(items=tuple(constant(part) for part in subject.text.split()[:1000])) if subject.known else subject
        if how == "append":
            first, rest = call.arg(0), call.args[1:]
            items = (*(first.items or ()), *rest)
            return Value(items=items[:2000], taints=tainted(call.args)) if first.items is not None else Value(taints=tainted(call.args))
        if how == "same" and call.name == "string" and call.arg(0).text.isdigit():
            return values.from_codes([call.arg(0)])
        return super().text(how, call)

    # -- loops

    def loop(self, node: Node) -> Value:
        clauses = [child for child in node.children if child.field != "body" and child.type != "comment"]
        if not clauses or (len(clauses) == 1 and self.source(clauses[0]) == "true"):
            self.endless(node, _FORKS, _GROWS)
            body = node.get("body")
            inside = [
                child
                for each in (body.children if body is not None else [])
                for child in (each.children if each.type == "statement_list" else [each])
            ]
            if self._judging and inside and all(child.type == "go_statement" for child in inside):
                self.effects.flag("resource.fork-bomb", HIGH, "Starts goroutines without end, and waits for none.", self.excerpt(node))
        return self.block(node)
