"""What operators, members and functions of the library give: texts, parts, and where they came from."""

from __future__ import annotations

import ast
import posixpath
import shlex
from collections.abc import Sequence

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python import folding, names
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.values import (
    MAX_NAME,
    MAX_OPTIONS,
    NONE,
    NOTHING,
    UNKNOWN,
    Const,
    Value,
    const,
    element,
    join_all,
    mapping,
    named,
    options,
    sequence,
    tainted,
    text_of,
    without,
)

PATH = "pathlib.Path()"
WORDS = "str.split()"  # the name of the words of one of several texts
FOUND = frozenset({"found"})
MAX_RANGE = 300  # numbers of a range that are looked at one by one
NAMESPACES = frozenset("globals() locals() vars()".split())  # the names of the module, as a dict
IMPORTERS = frozenset("__import__ importlib.import_module pydoc.locate pkgutil.resolve_name".split())

# Functions that call what they are given, and where in their arguments it is: (position of the function, of its arguments)
HIGHER: dict[str, tuple[int, str]] = {
    "map": (0, "elements"), "filter": (0, "elements"), "itertools.starmap": (0, "unpacked"), "functools.reduce": (0, "elements"), "functools.partial": (0, "rest"), "functools.partialmethod": (0, "rest"),
    "threading.Thread": (1, "args"), "threading.Timer": (1, "timer"), "multiprocessing.Process": (1, "args"), "multiprocessing.context.Process": (1, "args"), "_thread.start_new_thread": (0, "second"),
    "thread.start_new_thread": (0, "second"), "atexit.register": (0, "rest"), "signal.signal": (1, "none"), "asyncio.to_thread": (0, "rest"), "contextvars.copy_context().run": (0, "rest"),
    "sched.scheduler().enter": (2, "none"), "weakref.finalize": (1, "tail"), "operator.call": (0, "rest"), "apply": (0, "second"),
    "asyncio.run": (0, "none"), "concurrent.futures.ProcessPoolExecutor": (9, "none"), "schedule.every().do": (0, "rest"),
}  # fmt: skip
HIGHER_METHODS = (".submit", ".apply_async", ".apply", ".imap", ".imap_unordered", ".starmap", ".run_in_executor", ".call_soon", ".call_later", ".add_job", "Pool().map", "Executor().map", ".add_done_callback", ".map_async", ".starmap_async", ".do")  # fmt: skip
ONCE = frozenset(
    "functools.partial functools.partialmethod atexit.register signal.signal asyncio.to_thread weakref.finalize operator.call threading.Thread threading.Timer multiprocessing.Process asyncio.run".split()
)
OWN_KEYWORDS = frozenset("target args kwargs func function daemon name group key initializer chunksize max_workers timeout".split())
_PLAIN = frozenset(
    "len bool isinstance issubclass hasattr callable id hash type os.path.exists os.path.isfile os.path.isdir os.path.getsize os.path.getmtime time.time abs round".split()
)
_DIGESTS = frozenset(
    "hashlib.md5 hashlib.sha1 hashlib.sha256 hashlib.sha512 hashlib.sha224 hashlib.sha384 hashlib.new hashlib.blake2b zlib.crc32 zlib.adler32 hmac.new hashlib.file_digest".split()
)
_SAME = frozenset(
    "os.path.expanduser os.path.expandvars os.path.abspath os.path.realpath os.path.normpath str repr bytes os.fspath pathlib.Path iter copy.copy copy.deepcopy tuple list set sorted reversed".split()
)
_PATH_SAME = frozenset("resolve absolute expanduser as_posix as_uri __str__ __fspath__ readlink samefile".split())
_MACHINE = {
    "socket.gethostname": "machine:host", "platform.node": "machine:host", "socket.getfqdn": "machine:host", "getpass.getuser": "machine:user", "os.getlogin": "machine:user", "platform.platform": "machine:os",
    "platform.system": "machine:os", "platform.uname": "machine:os", "os.uname": "machine:host", "platform.version": "machine:os", "platform.release": "machine:os", "uuid.getnode": "machine:net", "psutil.net_if_addrs": "machine:net",
    "psutil.net_connections": "machine:net", "netifaces.ifaddresses": "machine:net", "psutil.process_iter": "machine:processes", "psutil.users": "machine:user", "pwd.getpwuid": "machine:user", "os.getuid": "machine:user",
    "platform.machine": "machine:os", "platform.processor": "machine:os", "socket.gethostbyname": "machine:net", "psutil.pids": "machine:processes",
}  # fmt: skip
_RANDOM = frozenset("os.urandom secrets.token_bytes random.randbytes random.Random().randbytes numpy.random.bytes ssl.RAND_bytes".split())
_TYPED = frozenset("input getpass.getpass raw_input".split())
_PACKAGES = frozenset(
    "site.getsitepackages site.getusersitepackages sysconfig.get_path sysconfig.get_paths distutils.sysconfig.get_python_lib".split()
)
_NETWORKS = ("ipaddress.ip_network", "ipaddress.IPv4Network", "ipaddress.IPv6Network", "netaddr.IPNetwork", "netaddr.iter_iprange")
_ENCRYPTS = frozenset("encrypt encrypt_and_digest encryptor encrypt_file".split())


HARMLESS = (
    _PLAIN
    | _DIGESTS
    | _SAME
    | frozenset(
        "os.access os.stat os.lstat os.path.join pathlib.Path pathlib.Path.exists pathlib.Path.is_file pathlib.Path.is_dir pathlib.Path.relative_to pathlib.Path.stat str.startswith dict zip enumerate shutil.disk_usage shutil.which any all sum min max".split()
    )
)


def iterated(value: Value) -> Value:
    """A value as the sequence that a loop goes through."""
    if value.items is not None or value.names:
        return value
    if value.entries is not None:
        return Value(
            hidden=value.hidden,
            taints=value.taints,
            items=tuple(const(k) if k is not None else UNKNOWN for k, _ in value.entries),
            size=1 + len(value.entries),
        )
    if value.known and len(value.consts) == 1:
        whole = value.consts[0]
        if isinstance(whole, str) and len(whole) <= 4096:
            return sequence(const(c, value.taints) for c in whole) if HIDDEN not in whole else value
        if isinstance(whole, bytes) and len(whole) <= 4096:
            return sequence(const(c, value.taints) for c in whole)
    return value


def unpacked(value: Value, index: int, part: Value) -> Value:
    """One of the parts that a value of unknown parts is taken apart to."""
    if "os.walk()[]" in value.names:
        if index == 0:
            return (
                options((f"{t}/{HIDDEN}" for t in (text_of(c) for c in value.consts)), value.taints | {"found"})
                if value.consts
                else Value(hidden=True, taints=value.taints | {"found"})
            )
        return Value(hidden=True, taints=value.taints, items=(Value(hidden=True, taints=value.taints),), size=2)
    return part


def attribute(name: str, owner: Value, attr: str) -> Value | None:
    """A member of an object of the library that is known; None for one that is not."""
    if name == PATH:
        if attr == "parent":
            return named(
                PATH,
                owner.taints - {"found"},
                tuple((posixpath.dirname(text_of(c)) or ".") if HIDDEN not in posixpath.basename(text_of(c)) else text_of(c) for c in owner.consts),
            )
        if attr in ("name", "stem"):
            found = options((posixpath.basename(text_of(c)) for c in owner.consts), owner.taints - {"found"}) if owner.consts else UNKNOWN
            return found if attr == "name" else options((text_of(c).rpartition(".")[0] or c for c in found.consts), found.taints, hidden=found.hidden)
        if attr in ("suffix", "parts", "parents", "anchor"):
            return Value(hidden=True, taints=owner.taints - {"found"})
    if attr == "__file__" and "()" not in name:
        return Value(hidden=True, taints=frozenset({"packages"}))
    if name == "os.DirEntry()" and attr in ("path", "name"):
        return Value(owner.consts, owner.hidden, (), owner.taints if attr == "path" else owner.taints - {"found"})
    return None


def item(owner: Value, key: Value) -> Value:
    """`owner[key]`."""
    if "os.environ" in owner.names:
        return variable(key, NOTHING)
    if owner.items is not None and owner.entries is not None:  # a list, and what was put in its places later
        later = [v for k, v in owner.entries if k is None or not key.known or k in key.consts]
        return join_all([item(Value(hidden=owner.hidden, taints=owner.taints, items=owner.items, size=owner.size), key), *later])
    if owner.items is not None:
        if key.known and len(key.consts) == 1 and isinstance(key.consts[0], int) and not owner.hidden:
            index = key.consts[0]
            return owner.items[index] if -len(owner.items) <= index < len(owner.items) else UNKNOWN
        return element(owner)
    if owner.entries is not None:
        exact = [v for k, v in owner.entries if key.known and k in key.consts]
        loose = [v for k, v in owner.entries if k is None or not key.known]
        if not exact and not loose:
            return Value(hidden=True, taints=owner.taints)
        found = join_all([*(exact or loose), Value(hidden=True)] if owner.hidden else exact or loose)
        return found if exact else tainted(found, owner.taints)
    if owner.known and key.known and len(owner.consts) == 1 and len(key.consts) == 1:
        whole, at = owner.consts[0], key.consts[0]
        if isinstance(whole, str | bytes) and isinstance(at, int) and -len(whole) <= at < len(whole):
            return const(whole[at], owner.taints)
    return element(owner) if owner.names else Value(hidden=True, taints=owner.taints | key.taints)


def sliced(owner: Value, lower: Value | None, upper: Value | None, step: Value | None) -> Value:
    """`owner[lower:upper:step]`."""
    bounds: list[int | None] = []
    for each in (lower, upper, step):
        known = each.consts[0] if each is not None and each.known and len(each.consts) == 1 else None
        if each is not None and not (isinstance(known, int) or (known is None and each.known)):
            return Value(hidden=True, names=owner.names, taints=owner.taints, items=owner.items, size=owner.size)
        bounds.append(known if isinstance(known, int) else None)
    cut = slice(*bounds) if bounds[2] != 0 else slice(None)
    if owner.items is not None and not owner.hidden:
        return tainted(sequence(owner.items[cut]), owner.taints)
    if owner.consts and not owner.hidden:
        return options((c[cut] for c in owner.consts if isinstance(c, str | bytes)), owner.taints)
    return Value(hidden=True, names=owner.names, taints=owner.taints, items=owner.items, size=owner.size)


def as_text(value: Value) -> Value:
    """What formatting a value gives."""
    return options((text_of(c) for c in value.consts), value.taints, hidden=value.hidden) if value.consts else Value(hidden=True, taints=value.taints)


def operated(operator: ast.operator, left: Value, right: Value) -> Value:
    """What an operator gives."""
    if isinstance(operator, ast.Div) and (PATH in left.names or PATH in right.names):
        return joined_path([left, right])
    if isinstance(operator, ast.Add) and (left.items is not None or right.items is not None):
        parts = [*(left.items if left.items is not None else (element(left),)), *(right.items if right.items is not None else (element(right),))]
        return sequence(parts)
    if isinstance(operator, ast.Mult) and (left.items is not None or right.items is not None):
        return left if left.items is not None else right
    if isinstance(operator, ast.BitOr) and left.entries is not None and right.entries is not None:
        return mapping((*left.entries, *right.entries), left.taints | right.taints)
    found = folding.binary(operator, left, right)
    if found is not None:
        return without(found, FOUND) if isinstance(operator, ast.Add) else found
    taints = left.taints | right.taints
    if isinstance(operator, ast.BitXor) and taints:
        taints |= {"encrypted"}
    return Value(hidden=True, taints=taints)


def joined_path(parts: Sequence[Value]) -> Value:
    """Parts of a path, put together; holes kept."""
    taints = NONE.union(*(p.taints for p in parts))
    if len(parts) > 1 and "found" not in parts[0].taints and "found" not in parts[-1].taints:
        taints -= {"found"}
    texts = [""]
    for index, part in enumerate(parts):
        texts = [_under(a, b) if index else b for a in texts for b in part.texts()[:MAX_OPTIONS]][:MAX_OPTIONS]
    return named(PATH, taints, tuple(dict.fromkeys(texts)))


def _under(base: str, part: str) -> str:
    if part.startswith(("/", "~")):
        return part
    return f"{base.rstrip('/')}/{part}" if base else part


def variable(key: Value, default: Value) -> Value:
    """A variable of the environment."""
    texts = key.texts() if key.consts else []
    known = [names.ENVIRONMENT[t] for t in texts if t in names.ENVIRONMENT]
    taints = frozenset({"variable"} | {"credential" for t in texts if names.is_credential(t)} | (key.taints & {"environ"}))
    if known:
        return options(known, taints)
    return Value(default.consts, True, default.names, default.taints | taints)


def handed(name: str, receiver: Value, args: list[Value], keywords: dict[str, Value]) -> tuple[Value, list[Value]]:
    """The function that a function is given to call, and the arguments that it is called with."""
    position, how = HIGHER.get(name, (1 if name.endswith((".run_in_executor", ".call_later", ".do")) and not name.endswith(".do") else 0, "rest"))
    if name.endswith(("map", "map_unordered", ".map_async", "starmap", "starmap_async")):
        how = "elements"
    target = keywords.get("target", keywords.get("func", keywords.get("function", args[position] if position < len(args) else NOTHING)))
    tuple_given = keywords.get("args")
    if tuple_given is None and how == "args":
        tuple_given = args[3] if len(args) > 3 else None
    if tuple_given is None and how == "second" and len(args) > 1:
        tuple_given = args[1]
    if tuple_given is None and how == "timer" and len(args) > 2:
        tuple_given = args[2]
    if tuple_given is not None:
        return target, list(tuple_given.items) if tuple_given.items is not None and not tuple_given.hidden else [element(tuple_given)]
    rest = args[position + 1 :]
    if name == "functools.reduce" and rest:
        each = tainted(element(iterated(rest[0])), {"looped"})
        return target, [rest[1] if len(rest) > 1 else each, each]
    if how == "elements":
        return target, [tainted(element(iterated(a)), {"looped"}) for a in rest]
    if how in ("rest", "tail"):
        return target, rest
    return target, [UNKNOWN] if how == "unpacked" else []


def result(call: Call) -> Value:
    """What a call gives, when no judge said so."""
    name, args = call.name, call.args
    receiver_taints = call.receiver.taints
    taints = call.taints | receiver_taints
    if name in _PLAIN or name in _DIGESTS or call.plain.startswith("hashlib."):
        return Value(hidden=True, names=(f"{name}()",) if name not in _PLAIN else (), taints=call.taints & {"looped"} | receiver_taints & {"looped"})
    if call.receiver is not NOTHING:
        found = _method(call, taints)
        if found is not None:
            return found
    if name in ("os.path.join", "pathlib.Path", "os.path.normpath") and args:
        found = joined_path(args)
        return found if name == "pathlib.Path" else Value(found.consts, False, (), found.taints)
    if name in _SAME and args:
        return (
            args[0]
            if name not in ("str", "bytes", "repr")
            else folding.function(name, args) or as_text(args[0])
            if args[0].items is None
            else args[0]
            if name != "str"
            else Value(hidden=True, taints=taints)
        )
    if (folded := folding.function(name, args)) is not None:
        return folded
    if name in folding.DECODERS:
        return Value(hidden=True, taints=taints | {"decoded"})
    if name in ("bytes", "bytearray") and args and args[0].items is not None:
        numbers = [v.consts[0] for v in args[0].items if v.known and len(v.consts) == 1]
        if len(numbers) == len(args[0].items) and not args[0].hidden and all(isinstance(n, int) and 0 <= n < 256 for n in numbers):
            return const(bytes(n for n in numbers if isinstance(n, int)), taints)
        return Value(hidden=True, taints=taints)
    if name == "range":
        return _range(args, taints)
    if name in ("zip", "enumerate", "dict.items"):
        return _paired(name, args, taints)
    if name in ("os.path.basename", "os.path.relpath", "os.path.split", "os.path.splitext", "os.path.dirname") and args:
        cut = posixpath.dirname if name == "os.path.dirname" else posixpath.basename
        text = (
            options((cut(text_of(c)) for c in args[0].consts), taints - {"found"}, hidden=args[0].hidden)
            if args[0].consts
            else Value(hidden=True, taints=taints - {"found"})
        )
        if name == "os.path.splitext":
            return sequence([without(args[0], frozenset({"found"})), Value(hidden=True, taints=taints - {"found"})])
        return text
    if name in ("os.getcwd", "pathlib.Path.cwd"):
        return const(".") if name == "os.getcwd" else named(PATH, NONE, (".",))
    if name == "pathlib.Path.home":
        return named(PATH, NONE, ("~",))
    if name == "os.getenv" and args:
        return variable(args[0], args[1] if len(args) > 1 else NOTHING)
    if name in ("tempfile.gettempdir",):
        return const("/tmp")
    if name.startswith("tempfile.") and name.count(".") == 1:
        made = Value((f"/tmp/{HIDDEN}",), False, (f"{name}()",), taints | {"temp"})
        return sequence([Value(hidden=True, taints=NONE), made]) if name == "tempfile.mkstemp" else made
    if name.startswith(_NETWORKS):
        return Value(hidden=True, names=(f"{name}()",), taints=taints | {"addresses"})
    if name in _RANDOM:
        return Value(hidden=True, taints=taints | {"random"})
    if name == "next" and args:
        return join_all([element(iterated(args[0])), *args[1:]])
    if name in ("vars", "inspect.getmembers") and args:
        return Value(hidden=True, names=tuple(f"{n}.__dict__" for n in args[0].names), taints=taints)
    if name == "shlex.split" and args:
        return _words(args[0], [_shell_words(text_of(c)) for c in args[0].consts] if args[0].known else None, True) or Value(
            hidden=True, taints=taints
        )
    if name in _PACKAGES:
        return Value(
            hidden=True, names=(f"{name}()",), taints=taints | {"packages"}, items=(Value(hidden=True, taints=frozenset({"packages"})),), size=2
        )
    if name in _TYPED:
        return Value(hidden=True, taints=frozenset({"typed"}))
    if name == "dict":
        if args and any(n.endswith(".__dict__") for n in args[0].names):
            return args[0]
        if args and (listed := _pairs(args[0])):
            return mapping([*listed, *call.keywords.items()], taints)
        base = args[0] if args and args[0].entries is not None else None
        pairs: list[tuple[Const, Value]] = [*(base.entries or () if base else ()), *call.keywords.items()]
        return Value(hidden=bool(args), taints=taints, entries=tuple(pairs), size=1 + sum(v.size for _, v in pairs))
    if machine := _MACHINE.get(call.plain):
        return Value(hidden=True, names=(f"{name}()",), taints=taints | {machine})
    if call.attr in _ENCRYPTS:
        return Value(hidden=True, names=(f"{name}()",), taints=taints | {"encrypted"})
    kept = (f"{name}()",) if len(name) < MAX_NAME and not name.startswith("?") and (name not in names.BUILTINS or f"{name}()" in NAMESPACES) else ()
    return Value(hidden=True, names=kept, taints=taints)


def _pairs(value: Value) -> list[tuple[Const, Value]]:
    """The keys and values of a sequence of pairs, empty when it is not known to be one."""
    rows = [each.items for each in value.items or ()]
    return [(row[0].consts[0] if row[0].known and len(row[0].consts) == 1 else None, row[1]) for row in rows if row is not None and len(row) == 2]


def _method(call: Call, taints: frozenset[str]) -> Value | None:
    receiver, attr, args = call.receiver, call.attr, call.args
    if "os.environ" in receiver.names and attr in ("get", "pop", "setdefault") and args:
        return variable(args[0], args[1] if len(args) > 1 else NOTHING)
    if PATH in receiver.names:
        return _path_method(call, receiver, attr, args, taints)
    if receiver.entries is not None and attr in ("items", "values", "keys", "get", "copy", "pop"):
        entries = receiver.entries
        if attr == "items":
            return tainted(sequence(sequence([const(k) if k is not None else UNKNOWN, v]) for k, v in entries), receiver.taints)
        if attr == "values":
            return tainted(sequence(v for _, v in entries), receiver.taints)
        if attr == "keys":
            return iterated(receiver)
        if attr == "copy":
            return receiver
        return join_all([item(receiver, args[0]), *args[1:]]) if args else UNKNOWN
    if receiver.items is not None and attr in ("copy", "pop", "popleft", "__getitem__"):
        return receiver if attr == "copy" else element(receiver)
    if attr == "format":
        return folding.formatted(receiver, args, call.keywords) if receiver.consts else None
    if attr in ("split", "splitlines", "rsplit") and receiver.consts:
        lists = folding.split(receiver, args if attr == "split" else [const("\n")])
        return _words(receiver, lists, attr == "split" and not args)
    if receiver.names and not receiver.consts:
        return None
    return folding.method(receiver, attr, args)


def _words(text: Value, lists: list[list[str]] | None, plain: bool) -> Value | None:
    """The words of a text; those of one of several texts keep the texts, as which words belong together is known by them only."""
    if lists is None:
        return None
    if len(lists) == 1:
        return tainted(sequence(const(t) for t in lists[0]), text.taints)
    words = (options(t for each in lists for t in each),)
    if plain:
        return Value(text.consts, False, (WORDS,), text.taints, items=words, size=2)
    return Value(hidden=True, taints=text.taints, items=words, size=2)


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _path_method(call: Call, receiver: Value, attr: str, args: list[Value], taints: frozenset[str]) -> Value | None:
    if attr in _PATH_SAME or (attr == "rename" and not args):
        return receiver
    if attr == "joinpath":
        return joined_path([receiver, *args])
    if attr in ("with_suffix", "with_name", "with_stem"):
        given = args[0].text() if args else HIDDEN
        made = []
        for text in receiver.texts():
            base, _, last = text.rpartition("/")
            new = given if attr == "with_name" else (last.rpartition(".")[0] or last) + given if attr == "with_suffix" else given
            made.append(f"{base}/{new}" if base else new)
        return named(PATH, taints - {"found"}, tuple(made))
    return None


def _range(args: list[Value], taints: frozenset[str]) -> Value:
    bounds = [a.consts[0] if a.known and len(a.consts) == 1 else None for a in args[:3]]
    numbers = [b for b in bounds if isinstance(b, int)]
    if len(numbers) != len(bounds) or not numbers or (len(numbers) == 3 and numbers[2] == 0):
        return Value(hidden=True, names=("range()",), taints=taints)
    found = range(*numbers)
    if len(found) <= MAX_RANGE:
        return tainted(sequence(const(n) for n in found), taints)
    return Value((len(found),), True, ("range()",), taints)


def _paired(name: str, args: list[Value], taints: frozenset[str]) -> Value:
    rows = [iterated(a) for a in args[: 1 if name == "enumerate" else None]]
    if rows and all(r.items is not None and not r.hidden for r in rows):
        columns = [r.items or () for r in rows]
        if name == "enumerate":
            return sequence(sequence([const(i), v]) for i, v in enumerate(columns[0]))
        return sequence(sequence(parts) for parts in zip(*columns, strict=False))
    parts = [element(r) for r in rows]
    return Value(
        hidden=True, taints=taints, items=(sequence([UNKNOWN, *parts] if name == "enumerate" else parts),), size=2 + sum(p.size for p in parts)
    )
