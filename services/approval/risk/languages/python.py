"""Python source, read as a syntax tree: which functions are called, under whatever name they were imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable

from services.approval.risk import normalise
from services.approval.risk.detectors import paths, secrets
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import sql
from services.approval.risk.languages.python_calls import CALLS, METHODS, WILD
from services.approval.risk.model import Factor
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, SERIOUS

MAX_SOURCE = 1 << 17  # characters of one program
_SHELL_CALLS = frozenset(
    "os.system os.popen subprocess.getoutput subprocess.getstatusoutput asyncio.create_subprocess_shell commands.getoutput commands.getstatusoutput pexpect.run pty.spawn".split()
)
_STRING_PATH = re.compile(
    r"^(?:/|~|\.{1,2}/|\.env|[A-Za-z]:[\\/])[^\n]{0,300}$|^[\w.-]+\.(?:pem|key|env|kdbx|p12|pfx)$|(?:^|/)(?:id_rsa|id_ed25519|\.ssh|\.aws|login data|cookies|\.bash_history)(?:/|$)",
    re.I,
)
_SQL_TEXT = re.compile(r"(?i)^\s*(?:drop|delete|truncate|update|alter|grant|copy)\s+\w")
_JOINED = re.compile(r"^(?:os\.path\.(?:join|expanduser|expandvars)|pathlib\.Path)$")


def assess(source: str, run_shell: Callable[[str], object]) -> list[Factor]:
    """Factors of Python source; what cannot be parsed is UNKNOWN, and still searched for what is telling."""
    if refusal := normalise.refusal(source):
        return [refusal]
    if len(source) > MAX_SOURCE:
        return [normalise.unreadable("too-large", f"Source of {len(source)} characters; at most {MAX_SOURCE} are analysed.")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_as_module(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        from services.approval.risk.languages.source import mentions

        return [normalise.unreadable("python-syntax", "Not valid Python: it cannot be read with certainty.", source[:80]), *mentions(source)]
    reader = _Reader(run_shell)
    reader.read(tree)
    return list(reader.factors.values())


def _as_module(source: str) -> str:
    """The source without the prompts and magics of a notebook or an interactive session."""
    if source.lstrip().startswith(">>>"):
        lines = [line.lstrip()[4:] for line in source.split("\n") if line.lstrip().startswith((">>> ", "... "))]
        return "\n".join(lines)
    if re.match(r"^[ \t]+\S", source):
        import textwrap

        return textwrap.dedent(source)
    return source


class _Reader:
    def __init__(self, run_shell: Callable[[str], object]) -> None:
        self.factors: dict[str, Factor] = {}
        self._run_shell = run_shell
        self._names: dict[str, str] = {}  # local name: dotted name that it stands for
        self._texts: dict[str, str] = {}  # local name: constant text
        self._imports: set[str] = set()
        self._reads_secret = self._sends = self._fetches = self._executes = self._decodes = False
        self._roams = self._overwrites = False  # walks over folders outside its own; writes to paths that it found

    def add(self, factor: Factor) -> None:
        known = self.factors.get(factor.id)
        if known is None or known.weight < factor.weight:
            self.factors[factor.id] = factor

    def flag(self, id: str, weight: int, message: str, node: ast.AST | None = None, excerpt: str = "") -> None:
        if node is not None:
            excerpt = excerpt or f"line {getattr(node, 'lineno', 0)}"
        self.add(
            Factor(
                id,
                id.partition(".")[0],
                message,
                weight,
                excerpt=secrets.redact(excerpt)[:200],
                safer_alternative="Propose the effect itself as an action.",
            )
        )

    def read(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
        for node in nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
                self._assigned(node)
            elif isinstance(node, ast.For | ast.comprehension):
                self._looped(node)
        docs = self._docstrings(nodes)
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                self._constant(node.value)
            elif isinstance(node, ast.Attribute | ast.Name):
                self._mention(node)
            elif isinstance(node, ast.While):
                self._loop(node)
        self._combine()

    @staticmethod
    def _docstrings(nodes: list[ast.AST]) -> set[int]:
        return {id(n.value) for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._imports.add(alias.name.split(".")[0])
                self._names[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
        elif node.module:
            self._imports.add(node.module.split(".")[0])
            for alias in node.names:
                self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _looped(self, node: ast.For | ast.comprehension) -> None:
        if isinstance(node.target, ast.Name):
            self._texts.setdefault(node.target.id, HIDDEN)

    def _assigned(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> None:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name) or node.value is None:
            return
        dotted = self._dotted(node.value)
        if dotted and (dotted in CALLS or any(dotted.startswith(w) for w in WILD)):
            self._names[target.id] = dotted
        if isinstance(node.value, ast.Call):
            made = self._dotted(node.value.func)
            if made == "__import__" or made == "importlib.import_module":
                self._names[target.id] = self._text(node.value.args[0]) if node.value.args else ""
            elif made in ("pathlib.Path", "socket.socket", "requests.Session", "psutil.Process", "cryptography.fernet.Fernet", "ftplib.FTP"):
                self._names[target.id] = made
        text = self._text(node.value)
        if text and text != HIDDEN:
            self._texts[target.id] = text if target.id not in self._texts or self._texts[target.id] == text else HIDDEN

    def _dotted(self, node: ast.AST, depth: int = 0) -> str:
        """The dotted name that an expression stands for, imports and aliases followed; empty when it is none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < 12:
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            base = self._names.get(node.id, node.id)
        elif isinstance(node, ast.Call) and depth < 4:
            base = self._dotted(node.func, depth + 1)
            if base in ("__import__", "importlib.import_module", "builtins.__import__") and node.args:
                base = self._text(node.args[0])
            elif base == "getattr" and len(node.args) >= 2:
                base = f"{self._dotted(node.args[0], depth + 1)}.{self._text(node.args[1])}"
            elif base not in ("pathlib.Path", "requests.Session", "psutil.Process", "socket.socket"):
                return ".".join(["()", *reversed(parts)]) if parts else ""
        else:
            return ".".join(["()", *reversed(parts)]) if parts else ""
        return ".".join([base, *reversed(parts)])

    def _text(self, node: ast.AST | None, depth: int = 0) -> str:
        """The text of an expression, HIDDEN where it is not constant."""
        if depth > 12 or node is None:
            return HIDDEN
        if isinstance(node, ast.Constant):
            return (
                node.value
                if isinstance(node.value, str)
                else node.value.decode("utf-8", "replace")
                if isinstance(node.value, bytes)
                else str(node.value)
            )
        if isinstance(node, ast.Name):
            return self._texts.get(node.id, HIDDEN)
        if isinstance(node, ast.JoinedStr):
            return "".join(self._text(v.value if isinstance(v, ast.FormattedValue) else v, depth + 1) for v in node.values)[:65536]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return (self._text(node.left, depth + 1) + self._text(node.right, depth + 1))[:65536]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return re.sub(r"%[sdr]", HIDDEN, self._text(node.left, depth + 1))
        if isinstance(node, ast.List | ast.Tuple):
            return " ".join(_quoted(self._text(e, depth + 1)) for e in node.elts)[:65536]
        if isinstance(node, ast.Call):
            name = self._dotted(node.func)
            if _JOINED.match(name):
                return "/".join(self._text(a, depth + 1) for a in node.args)
            if name.endswith(".format") and isinstance(node.func, ast.Attribute):
                return re.sub(r"\{[^{}]*\}", HIDDEN, self._text(node.func.value, depth + 1))
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("encode", "strip", "split", "decode", "lower"):
                return self._text(node.func.value, depth + 1)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "join" and node.args:
                return self._text(node.args[0], depth + 1)
            if name in ("str", "shlex.split", "shlex.quote", "chr") and node.args:
                return self._text(node.args[0], depth + 1)
        return HIDDEN

    def _call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        if name in ("os.walk", "glob.glob", "glob.iglob", "os.scandir", "os.listdir") or name.endswith(".rglob"):
            start = self._text(
                node.func.value if name.endswith(".rglob") and isinstance(node.func, ast.Attribute) else node.args[0] if node.args else None
            )
            self._roams = self._roams or (paths.outside(start, "") and not paths.is_temporary(start))
        known = CALLS.get(name) or next((what for prefix, what in WILD.items() if name.startswith(prefix)), None)
        if name in ("re.compile", "().compile") or (name.endswith("compile") and name != "compile" and "builtins" not in name):
            known = None
        if known is None and isinstance(node.func, ast.Attribute):
            needed, what = METHODS.get(node.func.attr, ("-", ("", 0, "")))
            if what[1] and (not needed or needed in self._imports):
                known = what
        if known is not None:
            self._known_call(node, name, known)
        if name in ("open", "io.open", "builtins.open", "codecs.open", "pathlib.Path.open") or name.endswith(
            (".read_text", ".read_bytes", ".write_text", ".write_bytes")
        ):
            self._open(node, name)
        elif (
            name in ("shutil.copy", "shutil.copyfile", "shutil.copy2", "os.rename", "os.replace", "shutil.copytree", "os.symlink", "os.link")
            and len(node.args) > 1
        ):
            self._touches(self._text(node.args[1]), write=True)
        elif (
            (name in ("os.environ.copy", "dict", "print", "str", "json.dumps", "list") and node.args and self._dotted(node.args[0]) == "os.environ")
            or name == "os.environ.items"
            or (name.startswith("os.environ.") and name.endswith(("copy", "values")))
        ):
            self.flag("code.environment", MEDIUM, "Reads every variable, secrets included.", node)
            self._reads_secret = True
        elif node.args and isinstance(node.func, ast.Attribute) and node.func.attr in ("execute", "executescript", "executemany", "raw"):
            for factor in sql.assess(self._text(node.args[0])):
                self.add(factor)
        if name in (
            "requests.get",
            "requests.post",
            "httpx.get",
            "httpx.post",
            "urllib.request.urlopen",
            "requests.request",
            "requests.put",
            "requests.delete",
        ):
            self._request(node, name)
        if (
            any(k.arg == "verify" and isinstance(k.value, ast.Constant) and k.value.value is False for k in node.keywords)
            or name == "ssl._create_unverified_context"
        ):
            self.flag("code.tls-off", MINOR, "Skips the check of the server's identity.", node)

    def _known_call(self, node: ast.Call, name: str, known: tuple[str, int, str]) -> None:
        id, weight, message = known
        constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if name in ("eval", "exec", "compile") and constant:
            self._nested(self._text(node.args[0]))
        if name == "__import__" and constant:
            id, weight, message = "code.dynamic-import", MINOR, "Imports what is named while it runs."
        if name == "shutil.move":
            weight, message = MINOR, "Moves files."
            id = "code.move"
        if id == "code.process" and node.args:
            weight = self._process(node, name)
        elif id == "code.delete":
            target = self._text(node.args[0]) if node.args else ""
            if target and target != HIDDEN and paths.is_root(target):
                weight, message = CRITICAL, "Removes the system or a person's files."
            self._touches(target, write=True)
        elif id in ("code.send", "code.socket", "code.fetch"):
            self._sends = self._sends or id in ("code.send", "code.socket")
            self._fetches = self._fetches or id in ("code.fetch", "code.socket")
        elif id == "code.decode":
            self._decodes = True
        elif id == "code.permissions" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            mode = node.args[1].value
            weight = HIGH if isinstance(mode, int) and mode & 0o6000 else MEDIUM if isinstance(mode, int) and mode & 0o002 else MINOR
        if id in ("code.dynamic", "code.deserialise"):
            self._executes = True
        self.flag(id, weight, message, node, f"{name} (line {node.lineno})")

    def _process(self, node: ast.Call, name: str) -> int:
        """Assesses the command that is started; a harmless one weighs less than one that is not known."""
        argument = node.args[0]
        if name.startswith(("os.exec", "os.spawn")):
            text = " ".join(_quoted(self._text(a)) for a in node.args[1:]) or self._text(argument)
            if self._text(argument).rpartition("/")[2] in ("sh", "bash", "dash", "zsh"):
                return HIGH
        else:
            text = self._text(argument)
        self._executes = True
        if text.replace(HIDDEN, "").strip() == "":
            return SERIOUS
        if name in ("pty.spawn",):
            return HIGH
        self._run_shell(text)
        return MINOR if HIDDEN not in text.split(" ")[0] else SERIOUS

    def _nested(self, source: str) -> None:
        for factor in assess(source, self._run_shell) if len(source) < 65536 else []:
            self.add(factor)

    def _open(self, node: ast.Call, name: str) -> None:
        if name.endswith((".write_text", ".write_bytes", ".read_text", ".read_bytes", "Path.open")) and isinstance(node.func, ast.Attribute):
            mode = self._text(node.args[0]) if name.endswith("Path.open") and node.args else "r"
            path, write = self._text(node.func.value), ".write_" in name or bool(set(mode) & set("wax+"))
        else:
            given = next((k.value for k in node.keywords if k.arg == "mode"), None)
            mode = self._text(node.args[1] if len(node.args) > 1 else given) if len(node.args) > 1 or given else "r"
            path, write = self._text(node.args[0]) if node.args else "", bool(set(mode) & set("wax+"))
        self._overwrites = self._overwrites or (write and path.startswith(HIDDEN))
        self._touches(path, write=write)

    def _touches(self, path: str, *, write: bool) -> None:
        if not path or path == HIDDEN:
            return
        found = paths.write_factor(path) if write else paths.read_factor(path)
        if found:
            self.add(found)
            self._reads_secret = self._reads_secret or (not write and found.weight >= MEDIUM)

    def _constant(self, text: str) -> None:
        if len(text) < 400 and _STRING_PATH.search(text) and (found := paths.read_factor(text)) and found.weight >= MEDIUM:
            self.add(found)
            self._reads_secret = True
        elif "/dev/tcp/" in text or "169.254.169.254" in text or "metadata.google.internal" in text:
            self.flag(
                "code.metadata" if "/dev/tcp" not in text else "code.reverse-shell",
                HIGH,
                "Reaches for cloud credentials or a raw connection.",
                excerpt=text,
            )
        elif (
            re.search(
                r"(?i)stratum\+tcp|currentversion\\run|/etc/cron|\.ssh/authorized_keys|/etc/systemd|discord(?:app)?\.com/api/webhooks|api\.telegram\.org",
                text,
            )
            and len(text) < 2000
        ):
            self.flag("code.suspicious-text", SERIOUS, "Names a place that attacks use.", excerpt=text)

    def _request(self, node: ast.Call, name: str) -> None:
        from services.approval.risk.detectors import api

        url = self._text(node.args[0]) if node.args else next((self._text(k.value) for k in node.keywords if k.arg == "url"), "")
        if url and not url.startswith(HIDDEN):
            method = name.rpartition(".")[2].upper()
            method = "GET" if method in ("URLOPEN", "REQUEST") else method
            for factor in api.assess_request(method, url, {}, None, command=True):
                self.add(factor)
        if any(k.arg == "files" for k in node.keywords):
            self.flag("exfiltration.local", MEDIUM, "Sends local files to the network.", node)

    def _mention(self, node: ast.Attribute | ast.Name) -> None:
        if isinstance(node, ast.Attribute) and node.attr in ("__globals__", "__subclasses__", "__builtins__", "__code__", "__reduce__", "__mro__"):
            self.flag("code.introspection", MEDIUM, "Reaches into the interpreter.", node, node.attr)
        elif isinstance(node, ast.Name) and node.id in ("__builtins__",):
            self.flag("code.introspection", MEDIUM, "Reaches into the interpreter.", node, node.id)

    def _loop(self, node: ast.While) -> None:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        if endless and any(isinstance(n, ast.Call) and self._dotted(n.func) in ("os.fork", "multiprocessing.Process") for n in ast.walk(node)):
            self.flag("resource.fork-bomb", CRITICAL, "Starts copies of itself without end.", node)
        elif endless and not any(isinstance(n, ast.Break | ast.Return | ast.Raise | ast.Yield | ast.Await) for n in ast.walk(node)):
            grows = any(
                isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("append", "extend", "write") for n in ast.walk(node)
            )
            if grows:
                self.flag("resource.loop", MEDIUM, "Grows without end.", node)

    def _combine(self) -> None:
        if self._roams and self._overwrites:
            self.flag("code.bulk-write", SERIOUS, "Writes over every file that it finds outside its own folder.")
        if self._reads_secret and self._sends:
            self.flag("exfiltration.sensitive", HIGH, "Reads secrets and sends data to the network.")
        if self._fetches and self._executes and "code.dynamic" in self.factors:
            self.flag("execution.fetched", HIGH, "Runs code fetched from the network.")
        if self._decodes and "code.dynamic" in self.factors:
            self.flag("execution.decoded", HIGH, "Runs code that was encoded.")
        if "code.socket" in self.factors and ("code.process" in self.factors or "code.reverse-shell" in self.factors):
            self.flag("code.reverse-shell", HIGH, "Connects programs of this machine to the network.")


def _quoted(text: str) -> str:
    if text and re.fullmatch(r"[\w./=:@%+,~*-]+", text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"
