"""Ruby, read as a syntax tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import tree_sitter_ruby

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import values
from services.approval.risk.languages.reader import Call, Reader, table
from services.approval.risk.languages.tree import Node
from services.approval.risk.languages.values import ENVIRONMENT, FETCHED, INPUT, UNKNOWN, Function, Value, constant, either, joined, tainted
from services.approval.risk.scoring import HIGH, SERIOUS
from services.approval.risk.syntax import Grammar

_BARE = frozenset("system exec spawn fork eval open load require_relative syscall binding exit! trap".split())
_SENDS = frozenset("send __send__ public_send".split())
_FORKS = frozenset({"fork", "Process.fork", "Kernel.fork", "Process.spawn", "spawn"})
_GROWS = frozenset({"push", "<<", "Thread.new", "Array.new", "concat"})


class Ruby(Reader):
    LANGUAGE = "Ruby"
    GRAMMARS = (Grammar(tree_sitter_ruby.language(), stand_in="_"),)
    CALLS = table(
        list="Dir.glob Dir.entries Dir.children Dir.each_child Dir.foreach Find.find",
        start="system exec spawn Process.spawn Process.exec IO.popen Open3.capture2 Open3.capture2e Open3.capture3 Open3.popen2 Open3.popen2e Open3.popen3 Open3.pipeline Open3.pipeline_r "
              "PTY.spawn PTY.getpty Process.daemon_exec POSIX.Spawn.spawn POSIX::Spawn.spawn TTY::Command.new().run Rake.sh sh os.cmd",
        code="eval Binding.eval instance_eval class_eval module_eval Object.instance_eval RubyVM::InstructionSequence.compile RubyVM::InstructionSequence.eval binding().eval "
             "TOPLEVEL_BINDING.eval binding.eval ERB.new Erubis::Eruby.new Haml::Engine.new IRB.start Code.eval_string",
        open="open URI.open Kernel.open",
        load="load require_relative require Kernel.load autoload",
        delete="File.delete File.unlink File.truncate Dir.rmdir Dir.delete Dir.unlink FileUtils.rm FileUtils.rm_f FileUtils.rm_r FileUtils.rm_rf FileUtils.rmtree FileUtils.remove FileUtils.remove_dir "
               "FileUtils.remove_entry FileUtils.remove_entry_secure FileUtils.remove_file FileUtils.rmdir FileUtils.safe_unlink Pathname.new().delete Pathname.new().unlink Pathname.new().rmtree rm_rf rm_r rm_f rm",
        write="File.write IO.write File.binwrite FileUtils.touch FileUtils.mkdir_p FileUtils.mkdir Dir.mkdir CSV.open YAML::Store.new Pathname.new().write",
        copy="FileUtils.cp FileUtils.cp_r FileUtils.mv FileUtils.copy FileUtils.move FileUtils.ln_s FileUtils.ln FileUtils.ln_sf FileUtils.install File.rename File.symlink File.link IO.copy_stream FileUtils.copy_file",
        read="File.read IO.read File.readlines IO.readlines File.binread File.foreach IO.foreach YAML.load_file JSON.load_file Pathname.new().read",
        file="File.open File.new Kernel.File IO.sysopen",
        mode="FileUtils.chmod FileUtils.chmod_R File.chmod FileUtils.chown FileUtils.chown_R File.chown",
        fetch="Net::HTTP.get Net::HTTP.get_response HTTParty.get RestClient.get Faraday.get HTTP.get Excon.get Typhoeus.get URI.parse().open URI().open URI().read URI.parse().read Mechanize.new().get Down.download",
        send="Net::HTTP.post Net::HTTP.post_form HTTParty.post HTTParty.put RestClient.post RestClient.put Faraday.post Faraday.put HTTP.post Excon.post Typhoeus.post RestClient.delete RestClient::Request.execute",
        sent="TCPSocket.new().puts TCPSocket.new().write TCPSocket.new().print TCPSocket.open().puts TCPSocket.open().write UDPSocket.new().send Net::HTTP.new().request Net::HTTP.start().request "
             "Net::FTP.new().put Net::FTP.open().put Net::FTP.new().putbinaryfile Net::SCP.upload! Resolv.getaddress",
        socket="TCPSocket.new TCPSocket.open UDPSocket.new UDPSocket.open TCPServer.new TCPServer.open Socket.tcp Socket.tcp_server_loop Socket.new Socket.udp UNIXSocket.new OpenSSL::SSL::SSLSocket.new Net::SSH.start Net::FTP.open Net::FTP.new",
        listen="WEBrick::HTTPServer.new Rack::Server.start Rack::Handler::WEBrick.run Puma::Server.new",
        mail="Net::SMTP.start Mail.deliver Pony.mail",
        native="Fiddle.dlopen Fiddle::Function.new Fiddle.Function Fiddle::Handle.new DL.dlopen syscall Kernel.syscall FFI::Library.ffi_lib",
        remote_delete="Net::HTTP.new().delete Net::HTTP.start().delete Net::HTTP::Delete.new Faraday.new().delete",
        task="Rake::Task[].invoke Rake::Task[].execute", gem="Gem.install",
        privilege="Process.setuid Process::Sys.setuid Process::Sys.setgid Process::UID.change_privilege Process::GID.change_privilege Process.euid= Process::UID.eid= Process.uid= Dir.chroot Process::Sys.seteuid",
        kill="Process.kill Process.daemon",
        fork="fork Process.fork Kernel.fork",
        deserialise="Marshal.load Marshal.restore YAML.unsafe_load YAML.load_documents Psych.unsafe_load Oj.object_load",
        decode="Base64.decode64 Base64.strict_decode64 Base64.urlsafe_decode64 CGI.unescape URI.decode_www_form_component Zlib::Inflate.inflate Zlib.inflate Zlib::GzipReader.new",
        environment="ENV.to_h ENV.to_a ENV.to_hash ENV.inspect ENV.each ENV.each_pair ENV.map ENV.values ENV.to_s ENV.collect ENV.select",
        print="puts print p pp $stdout.puts",
        home="Dir.home Etc.getpwuid().dir",
        flush="Redis.new().flushall Redis.new().flushdb Redis.current.flushall Rails.cache.clear",
        drop="ActiveRecord::Base.connection.drop_database",
    )  # fmt: skip
    METHODS = table(
        statement="execute exec_query exec_params exec query find_by_sql select_all exec_update exec_delete async_exec batch execute_batch prepare run exec_sql",
        drop="drop_table drop_database drop_collection", flush="flushall flushdb", delete="rmtree rm_rf", evaluated="instance_eval class_eval module_eval instance_exec",
        delete_many="delete_all destroy_all delete_many",
    )  # fmt: skip
    TEXTS: ClassVar[Mapping[str, str]] = {
        ".join": ".join", ".reverse": ".reverse", ".gsub": ".replace", ".sub": ".replace", ".tr": ".replace", ".downcase": ".lower", ".upcase": ".upper", ".strip": ".strip", ".chomp": ".same", ".to_s": ".same",
        ".to_str": ".same", ".to_sym": ".same", ".freeze": ".same", ".dup": ".same", ".chr": ".codes", "File.join": "path", "File.expand_path": "same", "Pathname.new": "same", "String": "same", "format": "format", "sprintf": "format",
        "Shellwords.escape": "same", "Shellwords.split": "same", ".shellescape": ".same", ".concat": ".concat", ".chars": ".chars", ".to_json": ".same", ".pack": ".pack", ".unpack1": ".unpack", ".unpack": ".unpack",
        ".then": ".then", ".body": ".same", ".read": ".same", "String.new": "same", "URI": "same", "URI.parse": "same", ".call": ".called", ".b": ".same", ".squeeze": ".same", ".inspect": ".same", ".read_body": ".same",
        ".force_encoding": ".same", ".encode": ".same", ".compact": ".same", ".flatten": ".same", "Array": "same",
    }  # fmt: skip
    NODES: ClassVar[Mapping[str, str]] = {
        "string": "string", "bare_string": "string", "bare_symbol": "string", "string_content": "fragment", "heredoc_content": "fragment", "escape_sequence": "escape", "interpolation": "first", "chained_string": "string",
        "simple_symbol": "symbol", "delimited_symbol": "string", "hash_key_symbol": "fragment", "integer": "number", "float": "number", "character": "character", "string_array": "listed", "symbol_array": "listed",
        "array": "listed", "splat_argument": "first", "hash": "hash", "pair": "nothing", "identifier": "name", "constant": "name", "instance_variable": "variable", "global_variable": "variable", "class_variable": "variable",
        "self": "name", "scope_resolution": "scoped", "call": "called", "subshell": "shell", "element_reference": "reference", "assignment": "assigned", "operator_assignment": "augmented", "binary": "binary",
        "conditional": "alternatives", "parenthesized_statements": "last", "method": "method", "singleton_method": "method", "block": "function", "do_block": "function", "lambda": "function",
        "body_statement": "last_statement", "block_body": "last_statement", "then": "last_statement", "return": "first", "argument_list": "nothing", "heredoc_beginning": "heredoc", "heredoc_body": "string", "heredoc_end": "nothing",
        "while": "loop", "until": "loop", "while_modifier": "loop", "program": "nothing", "class": "nothing", "module": "nothing", "begin": "last_statement", "if": "nothing", "regex": "nothing", "comment": "nothing", "begin_block": "nothing",
        "block_argument": "block_argument", "nil": "empty", "true": "fragment", "false": "fragment", "rescue_modifier": "inner", "alias": "aliased",
    }  # fmt: skip
    SPREADS = frozenset({"splat_argument"})
    CONCATENATES = frozenset({"+", "<<"})
    LEAVES = frozenset({"break", "return", "exit", "next_break"})

    def canonical(self, name: str) -> str:
        for prefix in ("Kernel.", "self.", "Object.", "main.", "::"):
            if name.startswith(prefix):
                name = name[len(prefix) :]
        return name

    def aliased(self, node: Node) -> Value:
        """`alias new old`: one more name of a method."""
        new, old = node.get("name"), node.get("alias")
        if new is not None and old is not None:
            self.bind(f"alias {self.source(new).lstrip(':')}", Value(name=self.source(old).lstrip(":")))
        return UNKNOWN

    def symbol(self, node: Node) -> Value:
        return constant(self.source(node)[1:])

    def character(self, node: Node) -> Value:
        return constant(self.source(node)[1:])

    def empty(self, node: Node) -> Value:
        return constant("")

    def inner(self, node: Node) -> Value:
        return self.value(node.children[0]) if node.children else UNKNOWN

    def last(self, node: Node) -> Value:
        return self.value(node.children[-1]) if node.children else UNKNOWN

    def last_statement(self, node: Node) -> Value:
        """Blocks give what their last statement gives, or what they return."""
        given = [self.value(child) for child in node.children if child.type == "return" or child is node.children[-1]]
        return either(given) if given else UNKNOWN

    def heredoc(self, node: Node) -> Value:
        """The body of a here-document comes after the statement that it belongs to: the first one behind this beginning."""
        value = self._heredoc_body(node)
        if self._judging and self.source(node).endswith("`"):  # in backquotes it is a command
            self.effects.command(value, self.excerpt(node))
        return value

    def _heredoc_body(self, node: Node) -> Value:
        body = next((each for each in self._nodes[node.last : node.last + 4000] if each.type == "heredoc_body" and each.start >= node.end), None)
        return self.value(body)

    def variable(self, node: Node) -> Value:
        name = self.source(node)
        return self._names.get(name) or Value(name=name)

    def name(self, node: Node) -> Value:
        """A local name, a constant, or a method called without arguments."""
        name = self.source(node)
        known = self._names.get(name)
        if known is not None and known.function is None:
            return known
        if name == "ENV":
            return Value(name=name, taints=ENVIRONMENT)
        if name in ("params", "cookies"):
            return Value(name=name, taints=INPUT)
        if node.field == "method" or (node.field == "receiver" and name[:1].isupper()):
            return Value(name=name)
        if known is not None and known.function is not None:
            return known.function.returns
        if name == "gets":
            return UNKNOWN
        if name == "fork" and self._judging:
            self.effects.plain("fork", self.excerpt(node))
        return Value(name=name)

    def scoped(self, node: Node) -> Value:
        scope, name = node.get("scope"), node.get("name")
        base = self.value(scope).name if scope is not None else ""
        own = self.source(name) if name is not None else ""
        return (
            self._names.get(own) or Value(name=self.canonical(f"{base}::{own}" if base else own))
            if not base
            else Value(name=self.canonical(f"{base}::{own}"))
        )

    def block_argument(self, node: Node) -> Value:
        """`&:system` is the method of that name."""
        inner = self.value(node.children[0]) if node.children else UNKNOWN
        return Value(name=inner.text) if inner.known else inner

    def hash(self, node: Node) -> Value:
        fields = self._pairs(node)
        return Value(fields=fields, taints=tainted(fields.values()))

    def _pairs(self, node: Node) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        for child in node.children:
            if child.type == "pair":
                fields[self.value(child.get("key")).text] = self.value(child.get("value"))
        return fields

    # -- names

    def augmented(self, node: Node) -> Value:
        target, value = node.get("left"), self.value(node.get("right"))
        if target is not None and target.type in ("identifier", "instance_variable", "global_variable", "class_variable"):
            operator = node.get("operator")
            self.bind(self.source(target), value, append=operator is not None and self.source(operator) == "+=")
        return value

    def assign(self, target: Node, value: Value) -> None:
        if target.type in ("identifier", "constant", "instance_variable", "global_variable", "class_variable"):
            self.bind(self.source(target), value)
        elif target.type == "left_assignment_list":
            for index, child in enumerate(target.children):
                self.assign(child, self.element(value, constant(str(index))))
        elif target.type == "element_reference":
            if self._judging and self.value(target.get("object")).name == "ENV":
                self.effects.variable(self.value(target.children[-1]).text, value, self.excerpt(target))
        elif target.type == "call":  # an attribute: Process.euid = 0
            receiver, method = target.get("receiver"), target.get("method")
            if receiver is not None and method is not None:
                name = f"{self.value(receiver).name}.{self.source(method)}"
                self.bind(name, value)
                if self.CALLS.get(name + "=") == "privilege" and self._judging:
                    self.effects.plain("privilege", self.excerpt(target))

    def binary(self, node: Node) -> Value:
        operator = node.get("operator")
        value = super().binary(node)
        if operator is not None and self.source(operator) == "<<" and len(node.children) > 1:
            target = node.children[0]
            if target.type in ("identifier", "instance_variable"):
                self.bind(self.source(target), self.value(node.children[-1]), append=True)
        if operator is not None and self.source(operator) == "*":
            return Value(taints=value.taints)
        return value

    def method(self, node: Node) -> Value:
        name, body, listed = node.get("name"), node.get("body"), node.get("parameters")
        function = Function(self._parameters(listed), self.value(body))
        if name is not None:
            self.bind(self.source(name), Value(function=function))
        return constant(self.source(name)) if name is not None else UNKNOWN

    def function(self, node: Node) -> Value:
        body = node.get("body")
        return Value(function=Function(self._parameters(node.get("parameters")), self.value(body)))

    def _parameters(self, listed: Node | None) -> tuple[str, ...]:
        names = []
        for child in listed.children if listed is not None else []:
            name = child.get("name") or (child if child.type == "identifier" else None)
            names.append(self.source(name) if name is not None else "")
        return tuple(names)

    # -- calls

    def shell(self, node: Node) -> Value:
        command = joined([self.value(child) for child in node.children])
        if self._judging:
            self.effects.command(command, self.excerpt(node))
        return Value(taints=command.taints & FETCHED)

    def reference(self, node: Node) -> Value:
        receiver = self.value(node.get("object"))
        index = self.value(node.children[-1]) if len(node.children) > 1 else UNKNOWN
        if receiver.name == "ENV":
            return constant("~") if index.text == "HOME" else UNKNOWN
        if receiver.name in self.CALLS:  # a method object, called by brackets
            return self.call(Call(receiver.name, [self.value(child) for child in node.children[1:]], UNKNOWN, node, {}))
        if receiver.name == "Rake::Task":
            return Value(values.mapped(index, lambda task: f"rake {task}").texts, name="Rake::Task[]")
        if receiver.name == "Dir":
            return Value(taints=self.effects.listed(index))
        if receiver.fields or receiver.items:
            return self.element(receiver, index)
        return Value(taints=receiver.taints)

    def called(self, node: Node) -> Value:
        receiver_node, method, listed, block = node.get("receiver"), node.get("method"), node.get("arguments"), node.get("block")
        receiver = self.value(receiver_node) if receiver_node is not None else UNKNOWN
        name = self.source(method) if method is not None else "call"
        args: list[Value] = []
        options: dict[str, Value] = {}
        for child in listed.children if listed is not None else []:
            if child.type == "pair":
                options[self.value(child.get("key")).text] = self.value(child.get("value"))
                continue
            value = self.value(child)
            args += value.items if child.type == "splat_argument" and value.items is not None else [value]
        if block is not None:
            args.append(self.value(block))
        return self._resolved(node, receiver_node is not None, receiver, name, args, options)

    def _resolved(self, node: Node, has_receiver: bool, receiver: Value, name: str, args: list[Value], options: dict[str, Value]) -> Value:
        if name in _SENDS and args:
            if args[0].known:
                return self._resolved(node, has_receiver, receiver, args[0].text, args[1:], options)
            if self._judging and (args[0].taints & INPUT or receiver.name in ("Kernel", "Object", "")):
                self.effects.flag("code.hidden-name", SERIOUS, "What it calls is not known before it runs.", self.excerpt(node))
            return UNKNOWN
        if name in ("bind", "unbind", "to_proc") and receiver.name in self.CALLS:  # the same method, of an object
            return receiver
        if name == "bind_call" and receiver.name in self.CALLS:
            return self._resolved(node, has_receiver, receiver, "call", args[1:], options)
        if name in ("method", "instance_method", "public_method", "singleton_method", "public_instance_method") and args and args[0].known:
            return Value(name=self.canonical(f"{receiver.name}.{args[0].text}" if has_receiver else args[0].text))
        if name == "const_get" and args and args[0].known:
            return Value(name=self.canonical(f"{receiver.name}::{args[0].text}" if receiver.name not in ("Object", "Kernel", "") else args[0].text))
        if name == "constantize" and receiver.known:
            return Value(name=self.canonical(receiver.text))
        if not has_receiver or receiver.name in ("self", "Kernel"):
            other = self._names.get(f"alias {name}")
            full = other.name if other is not None else name
            known = self._names.get(full)
            if known is not None and known.function is not None:
                return self.user_call(known.function, args)
        elif name == "call" and receiver.function is not None:
            return self.user_call(receiver.function, args)
        elif name == "call" and receiver.name in self.CALLS:
            full = receiver.name
        elif receiver.name:
            full = self.canonical(f"{receiver.name}.{name}")
        else:
            full = f"?.{name}"
        if receiver.name.startswith("ENV") and name in ("fetch", "key?", "delete", "include?", "keys", "dig"):
            return UNKNOWN
        if full == "loop" and self._judging:
            self.endless(node, _FORKS, _GROWS)
        for argument in args:
            if argument.function is not None and receiver.items:
                self.parameters(argument.function, [either(receiver.items)])
        return self.call(Call(full, args, receiver, node, options))

    def effect(self, kind: str, call: Call) -> Value | None:
        judging, excerpt = self._judging, self.excerpt(call.node)
        block = next((argument.function for argument in call.args if argument.function is not None), None)
        match kind:
            case "start":
                words = [argument for argument in call.args if argument.function is None and argument.fields is None]
                if judging and words:
                    if len(words) == 1 and words[0].items is None:
                        self.effects.command(words[0], excerpt)
                    else:
                        self.effects.program(self.words(words), excerpt)
                return Value(name=f"{call.name}()")
            case "open":
                return self._open(call)
            case "file":
                mode = call.arg(1).text if len(call.args) > 1 and call.arg(1).function is None else "r"
                writes = any(letter in mode for letter in "wa+") or mode == HIDDEN
                if judging and writes:
                    self.effects.write(call.arg(0), 0, excerpt)
                taints = 0 if writes and mode != HIDDEN else self.effects.read(call.arg(0))
                result = Value(name="File.open()", taints=taints)
                if block is not None:
                    self.parameters(block, [result])
                    return replace(block.returns, taints=block.returns.taints | taints)
                return result
            case "load":
                module = call.arg(0)
                if judging:
                    self.effects.loads(module, excerpt)
                if judging and module.text.startswith(HIDDEN) and call.args and module.taints & (INPUT | FETCHED):
                    self.effects.code(module, excerpt)
                return UNKNOWN
            case "mode":
                if judging:
                    self.effects.permissions(call.arg(0), call.arg(1), excerpt)
                return UNKNOWN
            case "read" | "write" if call.name.startswith("IO.") and call.arg(0).text.startswith("|"):
                return self._open(call)
            case "task":
                if judging:
                    self.effects.command(call.receiver, excerpt)
                return UNKNOWN
            case "gem":
                if judging:
                    self.effects.program([constant("gem"), constant("install"), call.arg(0)], excerpt)
                return UNKNOWN
            case "code":
                first = call.arg(0)
                if judging and call.name == "ERB.new":
                    for text in first.texts:
                        for factor in self._nested(_template_code(text)):
                            self.effects.add(factor)
                if judging and first.function is None and not (call.name in ("ERB.new",) and not first.taints & (INPUT | FETCHED)):
                    self.effects.code(first, excerpt)
                return Value(name=f"{call.name}()", taints=first.taints)
            case "evaluated":
                if judging and call.args and call.arg(0).function is None:
                    self.effects.code(call.arg(0), excerpt)
                return UNKNOWN
            case "environment":
                if judging:
                    self.effects.environment(excerpt)
                return Value(taints=ENVIRONMENT)
            case "socket":
                if block is not None:
                    self.parameters(block, [Value(name=f"{call.name}()", taints=FETCHED)])
            case "delete-many" if call.receiver.name[:1].islower():
                return UNKNOWN
            case "fork":
                super().effect(kind, call)
                return block.returns if block is not None else UNKNOWN
        return super().effect(kind, call)

    def _open(self, call: Call) -> Value:
        """`open` starts a program when its name begins with a bar, and fetches an address."""
        target = call.arg(0)
        if target.text.startswith("|"):
            if self._judging:
                self.effects.command(values.mapped(target, lambda text: text[1:]), self.excerpt(call.node))
            return UNKNOWN
        if "://" in target.text or call.name == "URI.open":
            return self.network("fetch", call)
        if self._judging and target.taints & INPUT:
            self.effects.flag("code.open", HIGH, "Opens what a visitor names, which may be a command.", self.excerpt(call.node))
        return self.effect("file", call) or UNKNOWN

    def decode(self, call: Call) -> Value:
        if call.name.startswith(("CGI", "URI")):
            return values.decoded(call.arg(0), "percent")
        return values.decoded(call.arg(0), "base64" if call.name.startswith("Base64") else "")

    def text(self, how: str, call: Call) -> Value | None:
        subject = call.receiver
        if how == ".chars" and subject.known and len(subject.text) < 4096:
            return Value(items=tuple(constant(char) for char in subject.text))
        if how == ".pack":
            code = call.arg(0).text
            if code.lower().startswith("c") and subject.items:
                return values.from_codes(subject.items)
            return Value(taints=subject.taints) if not code.startswith("H") or not subject.items else values.decoded(subject.items[0], "hex")
        if how == ".unpack":
            return values.decoded(subject, "base64" if call.arg(0).text.startswith("m") else "")
        if how == ".join" and subject.items is not None and not call.args:
            return joined(subject.items)
        if how == ".then":
            block = call.arg(0).function
            if block is not None:
                self.parameters(block, [subject])
            return block.returns if block is not None else subject
        if how == ".called":
            return None
        if how == ".same" and subject.name.startswith("ENV"):
            return None
        return super().text(how, call)

    def loop(self, node: Node) -> Value:
        condition = node.get("condition")
        text = self.source(condition) if condition is not None else ""
        if text in (("true", "1") if node.type != "until" else ("false", "nil")):
            self.endless(node, _FORKS, _GROWS)
        return UNKNOWN


def _template_code(text: str) -> str:
    """The code in a template of ERB: what stands between `<%` or `<%=` and `%>`."""
    parts = (part.partition("%>")[0] for part in text.split("<%")[1:])
    return "\n".join(part.lstrip("=-") for part in parts if not part.startswith("#"))
