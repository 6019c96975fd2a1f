"""Judges what a program does: every call and every telling construct becomes a factor, or a fact that later ones build on."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Sequence

from services.approval.risk.detectors import paths, secrets
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python import files, names, network, processes, results, system
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.scopes import Function, Loop
from services.approval.risk.languages.python.tables import CALLS, LEAVING, METHODS, PACKAGES, VERBS, Row
from services.approval.risk.languages.python.values import NONE, NOTHING, Value, parts, text_of
from services.approval.risk.model import Factor
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, SERIOUS

MAX_SCRIPTS = 200  # commands of one program that are assessed
MAX_NESTED = 40  # programs inside a program that are read
_MANY = 500  # threads or processes at once from which a machine suffers
_SAFER = "Propose the effect itself as an action."

Handler = Callable[["Effects", Call], Value | None]
HANDLERS: dict[str, Handler] = {**files.HANDLERS, **processes.HANDLERS, **network.HANDLERS, **system.HANDLERS}
# What must not be handed to a function that is not known either: it may be called there.
DANGEROUS = frozenset(
    {*(n for n, h in HANDLERS.items() if h in (processes.started, processes.evaluated, files.removed, processes.loaded) and not n.startswith("?"))}
)
_HANDED_SAFELY = frozenset(
    "isinstance issubclass hasattr print type id repr unittest.mock.patch.object mock.patch.object monkeypatch.setattr unittest.mock.create_autospec unittest.mock.Mock unittest.mock.MagicMock inspect.signature inspect.getsource help dir vars "
    "functools.wraps functools.update_wrapper callable len bool str repr typing.cast cast inspect.iscoroutinefunction inspect.isfunction inspect.getdoc inspect.getfile inspect.isclass".split()
)
_ORM_DELETES = tuple(
    ".objects.delete .objects.all.delete .objects.filter.delete .objects.exclude.delete .objects.all.update .query.delete .query.filter.delete .query.filter_by.delete".split()
)
_LISTED_KEYS = (".keys()", ".keys()[]", ".scan_iter()", ".scan_iter()[]")
_SPEAKERS = frozenset(
    "print warn warning error info debug exception critical log echo secho format format_usage pprint add_argument parser fail skip Option argument option append".split()
)


class Effects:
    """Collects the factors of one program. Nothing is reported before `reporting` is set: facts are learned first."""

    def __init__(self, run_shell: Callable[[str], object], read_nested: Callable[[str], list[Factor]]) -> None:
        self.factors: dict[str, Factor] = {}
        self.reporting = False
        self.imports: set[str] = set()
        self.walked: set[str] = set()  # folders that it walks through
        self.fetched: set[str] = set()  # files that it fetched from the network
        self.own_data: set[str] = set()  # files that it wrote data to
        self.socket_used = self.connects = self.listens = self.executes = False
        self.reads_unknown = self.copies_unknown = False
        self.sends = self.reads_secret = ""  # where it does so first; empty when it does not
        self._own: set[str] = set()  # files that it made in this round, in the order of reading
        self._contents: dict[str, frozenset[str]] = {}
        self._texts: dict[str, str] = {}
        self._listed: set[str] = set()
        self._looked_into: dict[tuple[int, bool], Value] = {}  # by identity, which is theirs as long as they are kept here
        self._scripts: dict[str, None] = {}
        self._programs: dict[str, None] = {}
        self._run_shell = run_shell
        self._read_nested = read_nested

    def begin(self) -> None:
        """A round of reading begins."""
        self._own.clear()

    # -- what the judges of calls use ---------------------------------------------------------------------------------

    def add(self, factor: Factor) -> None:
        """Keeps the heaviest factor of each id."""
        if self.reporting:
            known = self.factors.get(factor.id)
            if known is None or known.weight < factor.weight:
                self.factors[factor.id] = factor

    def flag(self, id: str, weight: int, message: str, at: Call | ast.AST | None = None, excerpt: str = "") -> None:
        """A factor whose category is the first part of its id; `at` says where, for a person."""
        if not self.reporting:
            return
        known = self.factors.get(id)
        if known is not None and known.weight >= weight:
            return
        where = at.shown if isinstance(at, Call) else f"line {getattr(at, 'lineno', 0)}" if at is not None else ""
        shown = f"{excerpt} ({where})" if excerpt and where else excerpt or where
        self.factors[id] = Factor(id, id.partition(".")[0], message, weight, excerpt=secrets.redact(shown)[:200], safer_alternative=_SAFER)

    def row(self, row: Row, call: Call) -> None:
        self.flag(*row, call)

    def shell(self, line: str) -> None:
        """A command that the program starts is assessed as a command."""
        if self.reporting and line not in self._scripts:
            if len(self._scripts) >= MAX_SCRIPTS:
                self.flag("code.process", SERIOUS, "Starts more programs than are looked at.")
                return
            self._scripts[line] = None
            self._run_shell(line)
            for word in line.split()[:4]:
                known = self._texts.get(word.strip("'"))
                if known is not None:
                    self._ran(line, known)

    def _ran(self, line: str, text: str) -> None:
        if "python" in line or (text.startswith("#!") and "python" in text.split("\n")[0]):
            self.nested(text, None)
        elif text not in self._scripts:
            self._scripts[text] = None
            self._run_shell(text)

    def nested(self, source: str, call: Call | None) -> None:
        """A program inside the program is read too."""
        if self.reporting and source not in self._programs:
            if len(self._programs) >= MAX_NESTED or len(source) > 1 << 16:
                self.flag("code.dynamic", SERIOUS, "Runs more code that is made while it runs than is looked at.", call)
                return
            self._programs[source] = None
            for factor in self._read_nested(source):
                self.add(factor)

    def scripted(self, content: Value, call: Call) -> None:
        """A program is written to a file: what it would do is one step less grave than doing it."""
        if not self.reporting:
            return
        for each in content.consts:
            text = text_of(each)
            if len(text) < 1 << 15 and len(self._programs) < MAX_NESTED:
                self._programs[text] = None
                for factor in self._read_nested(text):
                    if factor.weight >= HIGH:
                        self.flag(f"content.{factor.id}", MEDIUM, f"Writes a program that, when run: {factor.message}", call)

    def touch(self, path: Value, call: Call, *, write: bool) -> bool:
        """A path is read or changed; whether it is one of secrets."""
        secret = False
        for text in path.texts():
            if text == HIDDEN or "://" in text or len(text) > 4096 or not text:
                continue
            if write and "temp" in path.taints:
                continue
            found = paths.write_factor(text) if write else paths.read_factor(text)
            if found is not None:
                if write and found.id == "sensitive-path.outside" and found.weight < MEDIUM:
                    continue
                secret = secret or (not write and found.weight >= MEDIUM)
                shown = f"{text.replace(HIDDEN, '…')} ({call.shown})"
                self.add(
                    Factor(
                        found.id,
                        found.category,
                        found.message.replace(HIDDEN, "…"),
                        found.weight,
                        excerpt=shown[:200],
                        safer_alternative=found.safer_alternative,
                    )
                )
            if write and call.name in ("open", "pathlib.Path.write_text", "pathlib.Path.write_bytes"):
                self.own(text)
        self.reads_secret = self.reads_secret or (call.shown if secret else "")
        return secret

    def own(self, text: str) -> None:
        if text != HIDDEN and not text.startswith(("/", "~", "..")) and HIDDEN not in text:
            self._own.add(text)

    def owns(self, text: str) -> bool:
        return text in self._own

    def remember(self, path: str, taints: frozenset[str]) -> None:
        """What a file holds after something was written to it."""
        if path and path != HIDDEN and taints:
            self._contents[path] = self._contents.get(path, NONE) | taints

    def remember_text(self, path: str, text: str) -> None:
        if path != HIDDEN and len(text) < 1 << 16 and len(self._texts) < 100:
            self._texts[path] = text

    def written_taints(self, path: str) -> frozenset[str]:
        return self._contents.get(path, NONE)

    def list_from(self, call: Call) -> None:
        if isinstance(call.node, ast.Call) and call.node.args:
            self._listed.add(ast.dump(call.node.args[0]))

    def lists(self, node: ast.AST) -> bool:
        """Whether a folder's files were listed from this expression."""
        return bool(self._listed) and ast.dump(node) in self._listed

    def finds(self, path: Value) -> bool:
        """Whether a path is one that walking through folders found, and not a new one made of its name."""
        if "found" in path.taints:
            return True
        return "walked" in path.taints and any(
            posixpath.basename(t) == HIDDEN and paths.normalised(posixpath.dirname(t)) in self.walked for t in path.texts()
        )

    def leaving(self, call: Call, taints: frozenset[str]) -> None:
        """Data leave this machine."""
        for taint in taints:
            if taint in LEAVING:
                self.row(LEAVING[taint], call)
        about = sum(taint.startswith("machine:") for taint in taints)
        if about > 1 or (about and "command" in taints):
            self.flag("exfiltration.machine", MEDIUM, "Sends to the network what machine and whose it is.", call)

    def was_fetched(self, path: str) -> bool:
        """Whether a file, or the folder it is in, came from the network."""
        return bool(self.fetched) and any(path == each or path.startswith(f"{each}/") for each in self.fetched)

    def made_runnable(self, path: Value, call: Call) -> None:
        if any(self.was_fetched(t) for t in path.texts()):
            self.flag("execution.prepared", SERIOUS, "Makes a program of what was fetched from the network.", call)

    def copies_itself(self, call: Call) -> None:
        if call.loops and call.loops[-1].times != 1:
            self.flag(
                "resource.fork-bomb", CRITICAL if any(loop.endless for loop in call.loops) else HIGH, "Starts copies of itself again and again.", call
            )
        else:
            self.flag("code.copies-itself", MINOR, "Starts a copy of itself.", call)

    def burdened(self, call: Call, kind: str) -> None:
        """Something is started: without end, or very often, it uses the machine up."""
        waits = any(loop.waits for loop in call.loops)
        if (
            any(loop.endless for loop in call.loops)
            and not waits
            and call.attr not in ("run", "call", "check_call", "check_output", "system", "getoutput")
        ):
            fork = call.attr in ("fork", "forkpty", "start")
            self.flag("resource.fork-bomb", CRITICAL if kind == "process" and fork else HIGH, "Starts more and more without end.", call)
        elif kind != "task" and any(loop.times >= _MANY for loop in call.loops) and not waits:
            self.flag("resource.many", SERIOUS, "Starts very many at once.", call)

    # -- what the reader tells ----------------------------------------------------------------------------------------

    def imported(self, module: str) -> None:
        """A module is imported."""
        parts = module.split(".")
        self.imports.add(parts[0])
        if row := PACKAGES.get(parts[0]):
            self.flag(row[0], row[1], row[2], None, f"import {module}")

    def apply(self, call: Call) -> Value | None:
        """Judges a call; what it gives, when that is known."""
        plain = call.plain
        system.told(self, call)
        free = plain.startswith("?") or plain.partition(".")[0] not in self.imports
        handler = (
            HANDLERS.get(plain)
            or (processes.named_program if processes.names_program(plain) else None)
            or system.below(call)
            or (HANDLERS.get(f"?.{call.attr}") if free and "." in plain else None)
        )
        if handler is not None and (value := handler(self, call)) is not None:
            return value
        row = CALLS.get(plain) or self._of_client(call, free)
        if (
            row is None
            and (free or plain.partition(".")[0] in system.DATABASES)
            and "." in plain
            and (method := METHODS.get(call.attr))
            and (not method[0] or method[0] in self.imports)
        ):
            row = method[1]
        if row is None and (package := PACKAGES.get(plain.partition(".")[0])) and "." in plain:
            row = package
        if row is None and plain.endswith(_ORM_DELETES):
            row = ("database.delete-all", SERIOUS, "Deletes what a query finds.")
        if row is None and self._deletes_listed(call):
            row = ("database.delete-all", SERIOUS, "Deletes the keys that it lists.")
        if row is None and handler is None:
            self._named(call)
        if row is not None:
            self.row(row, call)
            kind = "recorded" if row[0] == "code.input" else "secret" if row[0] in ("code.credential", "cloud.secrets") else ""
            if kind:
                self.reads_secret = self.reads_secret or call.shown
                return Value(hidden=True, names=(f"{call.name}()",), taints=call.taints | call.receiver.taints | {kind})
        return None

    def _deletes_listed(self, call: Call) -> bool:
        """Whether a client of Redis deletes the keys that it lists."""
        if call.attr not in ("delete", "unlink") or "redis" not in self.imports:
            return False
        return any(name.endswith(_LISTED_KEYS) for value in call.all() for name in value.names)

    def _named(self, call: Call) -> None:
        """A function that is not known gets the path of a secret or of what starts by itself: it may read or change it there."""
        if call.plain in results.HARMLESS or call.attr in _SPEAKERS or call.receiver.consts or call.plain.startswith(("os.path.", "re.", "fnmatch.")):
            return
        for value in call.all():
            for text in value.consts:
                if isinstance(text, str) and 3 < len(text) < 300 and (text[0] in "/~" or text[1:3] in (":/", ":\\")):
                    found = paths.classify(text)
                    if found is not None and (found.read >= SERIOUS or found.write >= HIGH) and found.id not in ("boot", "kernel"):
                        self.flag("sensitive-path.named", MEDIUM, f"Hands {text[:120]} to a function that is not known: {found.what}.", call, text)

    def _of_client(self, call: Call, free: bool) -> Row | None:
        """Methods of clients of clouds, clusters and services."""
        root = call.plain.partition(".")[0]
        roots = [root] if root in VERBS else [r for r in VERBS if r in self.imports and free and r in system.CLOUDS] if free else []
        if not roots or "." not in call.plain:
            return None
        best: Row | None = None
        for each in roots:
            for beginnings, row in VERBS[each]:
                if any(call.attr == b or (call.attr.startswith(b) and (b.endswith("_") or len(b) > 6)) for b in beginnings):
                    if free and root not in VERBS and (call.attr in system.COMMON or "_" not in call.attr):
                        continue
                    if best is None or row[1] > best[1]:
                        best = row
        if best is not None and call.attr in ("run", "update", "insert") and root != "docker":
            return None
        return best

    def looped(self, node: ast.AST, loop: Loop, loops: Sequence[Loop]) -> None:
        """A loop; one without end that does nothing but turn uses the machine up."""
        if (
            loop.endless
            and not loop.waits
            and isinstance(node, ast.While)
            and not any(isinstance(n, ast.Call) for s in node.body for n in ast.walk(s))
        ):
            self.flag("resource.loop", MEDIUM, "Turns without end and without a pause.", node)

    def grown(self, node: ast.AST, given: Value, loops: Sequence[Loop]) -> None:
        """Something is added to in a loop."""
        if (
            any(loop.endless for loop in loops)
            and not any(loop.waits for loop in loops)
            and (given.items is not None or any(isinstance(c, str | bytes) for c in given.consts))
        ):
            self.flag("resource.memory", SERIOUS, "Grows without end.", node)

    def operated(self, node: ast.BinOp, left: Value, right: Value) -> None:
        """An operator; one that makes more than a machine holds is telling."""
        if isinstance(node.op, ast.Mult):
            for many, what in ((left, right), (right, left)):
                if any(isinstance(c, int) and not isinstance(c, bool) and c >= 1 << 28 for c in many.consts) and (
                    what.items is not None or any(isinstance(c, str | bytes) for c in what.consts)
                ):
                    self.flag("resource.memory", MEDIUM, "Takes very much memory.", node)

    def reached(self, node: ast.Attribute, owner: Value) -> None:
        """A member that leads into the interpreter."""
        system.reached(self, node, owner)

    def attribute_set(self, name: str, value: Value, node: ast.AST) -> None:
        """A member of a module is replaced."""
        system.attribute_set(self, names.canonical(name), value, node)

    def item_set(self, owner: Value, key: Value, value: Value, node: ast.AST) -> None:
        """An element is replaced."""
        system.item_set(self, owner, key, node)

    def hidden_member(self, owner: Value, node: ast.AST) -> None:
        """A member is picked by a name that is not known."""
        for name in owner.names:
            if name in names.POWERFUL or name == "":
                self.flag("code.hidden-name", SERIOUS, "Picks a function by a name that is not known before it runs.", node, name or "builtins")

    def reduced(self, node: ast.AST) -> None:
        """`__reduce__`: an object that runs something when it is loaded."""
        self.flag("code.reduce", SERIOUS, "Makes an object that runs something when it is loaded.", node)

    def compared(self, node: ast.AST, values: Sequence[Value], loops: Sequence[Loop]) -> None:
        """A comparison: of the hash of one word after another with a known one."""
        tried = any("looped" in v.taints and any(n.startswith("hashlib.") or "crypt" in n for n in v.names) for v in values)
        if loops and tried and isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
            self.flag("code.crack", MEDIUM, "Tries one word after another against a hash.", node)

    def handed(self, name: str, target: Value, call: Call) -> None:
        """A function is given to one that calls it."""
        if name in ("threading.Thread", "multiprocessing.Process", "_thread.start_new_thread"):
            own = Call(
                call.name,
                call.plain,
                call.receiver,
                call.args,
                call.keywords,
                call.node,
                call.loops,
            )
            self.burdened(own, "process" if "rocess" in name else "thread")
        if name == "signal.signal" and any("SIG_IGN" in n for n in target.names):
            self.flag("code.unstoppable", MINOR, "Does not let itself be stopped.", call)

    def dangerous(self, name: str) -> bool:
        """Whether a function must not be handed on to one that is not known: it may be called there."""
        if name.endswith(("()", "[]")):
            return False  # what it gave, not the function
        plain = names.plain(names.canonical(name))
        row = CALLS.get(plain)
        if plain in DANGEROUS or (row is not None and row[1] >= SERIOUS):
            return True
        if "." not in plain or plain.partition(".")[0] not in VERBS:
            return False
        row = self._of_client(Call(name, plain, NOTHING, [], {}, ast.Pass()), free=False)
        return row is not None and row[1] >= SERIOUS

    @staticmethod
    def hands_over(name: str) -> bool:
        """Whether a function of this name may call a function that it is given."""
        last = name.rpartition(".")[2]
        if last.startswith("assert"):
            return last.startswith(("assertRaises", "assertWarns", "assertLogs"))
        return name not in _HANDED_SAFELY and not name.endswith((".patch.object", ".setattr", ".patch", ".spy")) and last not in _SPEAKERS

    def escaped(self, value: Value, node: ast.AST, *, inside: bool = False) -> None:
        """A value goes to where it is not followed: a dangerous function in it, or one that gives it, may be called there.

        `inside`: only what is in the value; that it is one itself was judged as a call.
        """
        if not self.reporting or (id(value), inside) in self._looked_into:
            return
        self._looked_into[id(value), inside] = value
        for each in (value, *parts(value)):
            own = () if inside and each is value else each.names
            results_of = [function.returns for function in each.objects if isinstance(function, Function)]
            given = (name for result in results_of for part in (result, *parts(result)) for name in part.names)
            found = next(filter(self.dangerous, (*own, *given)), "")
            if found:
                self.flag("code.handed-on", MEDIUM, "Keeps what starts programs, runs code or removes files where it is not followed.", node, found)
                return

    # -- what follows from all of it ----------------------------------------------------------------------------------

    def finish(self, tree: ast.Module) -> None:
        """Draws the conclusions that need the whole program."""
        if self.reads_secret and self.sends:
            self.flag("exfiltration.sensitive", HIGH, "Reads secrets and sends data to the network.", None, f"{self.reads_secret}, {self.sends}")
        process = self.factors.get("code.process")
        if (self.connects or self.listens) and self.socket_used and process is not None and process.weight >= SERIOUS:
            self.flag("code.reverse-shell", HIGH, "Connects programs of this machine to the network.", None, process.excerpt)
        if self.reads_unknown or self.copies_unknown or self.executes:
            self._hunts(tree)

    def _hunts(self, tree: ast.Module) -> None:
        """Paths of secrets that are named as data, in a program that reads or copies paths that are not known."""
        names_hunted = 0
        for text in _data_texts(tree):
            if len(text) > 300 or "\n" in text or "://" in text:
                continue
            if text.startswith(("/", "~", ".")) or "/." in text or "\\" in text:
                found = paths.read_factor(text)
                if found is not None and found.weight >= MEDIUM and (self.reads_unknown or self.copies_unknown):
                    self.add(
                        Factor(found.id, found.category, found.message, found.weight, excerpt=text[:200], safer_alternative=found.safer_alternative)
                    )
                    if self.sends:
                        self.flag("exfiltration.sensitive", HIGH, "Reads secrets and sends data to the network.", None, text)
            elif files.hunted(text) and " " not in text.strip():
                names_hunted += 1
        if names_hunted >= 3 and self.walked and (self.reads_unknown or self.copies_unknown):
            self.flag("code.hunt", SERIOUS, "Looks through folders for files of secrets.")


def _data_texts(tree: ast.Module) -> list[str]:
    """Texts of a program that may be used: no docstrings, nothing that is only said, logged, raised or explained."""
    texts: list[str] = []
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                texts.append(node.value)
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Raise | ast.Assert):
            continue
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
            if name in _SPEAKERS and name != "append":
                continue
        todo += ast.iter_child_nodes(node)
    return texts
