"""The interpreter and the machine around it: patched modules, code below the language, settings, SQL, what is used up."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk.detectors import paths
from services.approval.risk.languages import sql
from services.approval.risk.languages.python import files, processes, results
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.tables import SHELLCODE
from services.approval.risk.languages.python.values import NOTHING, Value, tainted, text_of
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

if TYPE_CHECKING:
    from services.approval.risk.languages.python.effects import Effects

CLOUDS = frozenset("boto3 botocore docker kubernetes googleapiclient google azure".split())
DATABASES = frozenset("pymongo motor redis elasticsearch opensearchpy sqlalchemy cassandra peewee psutil imaplib".split())
COMMON = frozenset("delete_local remove_item update_one delete_one insert_one".split())
_SPEAKS = frozenset(
    "print pprint.pprint logging.info logging.debug logging.warning logging.error sys.stdout.write sys.stderr.write rich.print click.echo".split()
)
_LOADER_VARIABLES = frozenset(
    "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES PYTHONSTARTUP BASH_ENV PROMPT_COMMAND GIT_SSH_COMMAND NODE_OPTIONS PERL5OPT PYTHONINSPECT".split()
)
_CLASS_CHAIN = frozenset("__class__ __base__ __bases__ __mro__ mro".split())
_FRAMES = frozenset("__globals__ func_globals gi_frame cr_frame f_builtins f_globals".split())
_SWITCHES = frozenset(
    "stdout stderr stdin excepthook path argv displayhook unraisablehook ps1 ps2 tracebacklimit dont_write_bytecode exitfunc".split()
)
_LARGE = 1 << 28  # bytes at once


def told(effects: Effects, call: Call) -> None:
    """What is telling in any call."""
    for value in call.args:
        for each in value.consts:
            if isinstance(each, str) and "stratum+" in each and call.name not in _SPEAKS:
                effects.flag("resource.mining", HIGH, "Mines coins.", call)
    if any(c is False for c in call.argument(-1, "verify", "check_hostname", "verify_ssl").consts):
        effects.flag("code.tls-off", MINOR, "Skips the check of the server's identity.", call)
    endless = any(loop.endless for loop in call.loops) and not any(loop.waits for loop in call.loops)
    if endless and call.attr in ("append", "extend", "add", "write", "writelines", "put", "appendleft"):
        effects.flag("resource.disk" if "write" in call.attr else "resource.memory", SERIOUS, "Grows without end.", call)
    if call.name in _SPEAKS and "environ" in call.taints:
        effects.flag("code.environment", MEDIUM, "Shows every variable of its environment, secrets included.", call)
    hashed = call.attr == "startswith" and any(n.startswith("hashlib.") for n in call.receiver.names) and bool(call.loops)
    if hashed and (endless or effects.connects):
        effects.flag("resource.mining", HIGH, "Mines coins.", call)


def queried(effects: Effects, call: Call) -> Value | None:
    """SQL is run."""
    given = call.argument(0, "sql", "statement", "query", "operation")
    for text in given.texts()[:20]:
        for factor in sql.assess(text):
            effects.add(factor)
    return Value(hidden=True, names=(f"{call.name}()",) if not call.name.startswith("?") else (), taints=given.taints & {"fetched"})


def native(effects: Effects, call: Call) -> Value | None:
    """Code below the language."""
    effects.flag("code.native", SERIOUS, "Loads code below the language.", call)
    if any(t in effects.fetched for v in call.args for t in v.texts()):
        effects.flag("execution.fetched", HIGH, "Runs what was fetched from the network.", call)
    return Value(hidden=True, names=("ctypes.cdll.library",))


def mapped(effects: Effects, call: Call) -> Value | None:
    """Memory is mapped; memory that can be run is for code that was made."""
    if any("PROT_EXEC" in n for v in call.all() for n in v.names) or any(isinstance(c, int) and c & 4 for c in call.argument(3, "prot").consts):
        effects.flag("code.shellcode", HIGH, "Makes memory that can be run.", call)
    return None


def searched(effects: Effects, call: Call) -> Value | None:
    """`sys.path` gets one more folder to import from."""
    for text in (t for v in call.args for t in v.texts()):
        if effects.was_fetched(text):
            effects.flag("execution.fetched", HIGH, "Imports what was fetched from the network.", call, text)
        elif paths.is_temporary(text):
            effects.flag("code.search-path", MEDIUM, "Imports from a folder that anyone can write to.", call, text)
    return NOTHING


def unverified(effects: Effects, call: Call) -> Value | None:
    effects.flag("code.tls-off", MINOR, "Skips the check of the server's identity.", call)
    return None


def environment_changed(effects: Effects, call: Call) -> Value | None:
    """`os.putenv` and `os.environ.update`."""
    keys = [text_of(k) for v in call.args for k, _ in (v.entries or ())] + list(call.keywords) + [t for v in call.args[:1] for t in v.texts()]
    if _LOADER_VARIABLES & set(keys):
        effects.flag("code.loader-variable", SERIOUS, "Makes programs load other code.", call)
    return NOTHING


def joined(effects: Effects, call: Call) -> Value | None:
    """A path is put together; of a folder and the name of a file in it, it is a found one."""
    value = results.result(call)
    node = call.node
    if isinstance(node, ast.Call) and len(node.args) > 1 and "walked" in call.args[-1].taints and effects.lists(node.args[0]):
        return tainted(value, {"found"})
    return value


def allocated(effects: Effects, call: Call) -> Value | None:
    """Memory or disk is taken."""
    sizes = [c for v in call.args[:1] for c in v.consts if isinstance(c, int) and not isinstance(c, bool)]
    if any(size >= _LARGE for size in sizes):
        effects.flag(
            "resource.memory" if call.attr in ("bytearray", "bytes", "urandom") else "resource.disk", MEDIUM, "Takes very much memory or disk.", call
        )
    return files.emptied(effects, call) if call.attr == "truncate" else None


def traced(effects: Effects, call: Call) -> Value | None:
    """Hooks into every call of the program."""
    effects.flag("code.introspection", MINOR, "Watches what the program does.", call)
    return None


def reached(effects: Effects, node: ast.Attribute, owner: Value) -> None:
    """Members that lead from any object to everything else."""
    attr = node.attr
    if attr == "__subclasses__" or attr in _FRAMES or attr == "__builtins__":
        inner: ast.AST = node.value
        chained = False
        while isinstance(inner, ast.Attribute | ast.Subscript | ast.Call):
            chained = chained or (isinstance(inner, ast.Attribute) and inner.attr in _CLASS_CHAIN)
            inner = inner.func if isinstance(inner, ast.Call) else inner.value
        if attr == "__subclasses__" and (chained or "object" in owner.names):
            effects.flag("code.introspection", HIGH, "Reaches into the interpreter, past what it was given.", node, attr)
        elif attr != "__subclasses__":
            effects.flag("code.introspection", MEDIUM, "Reaches into the interpreter.", node, attr)


def attribute_set(effects: Effects, name: str, value: Value, node: ast.AST) -> None:
    """Functions of the library that are replaced by others."""
    root, _, attr = name.rpartition(".")
    if name == "ssl._create_default_https_context":
        effects.flag("code.tls-off", MEDIUM, "Skips the check of any server's identity.", node, name)
    elif (attr in ("verify", "check_hostname") and any(c is False for c in value.consts)) or (
        attr == "verify_mode" and any("CERT_NONE" in n for n in value.names)
    ):
        effects.flag("code.tls-off", MINOR, "Skips the check of the server's identity.", node, name)
    elif attr in ("__code__", "__closure__", "__globals__"):
        effects.flag("code.patched", SERIOUS, "Replaces the code of a function.", node, name)
    elif (
        root in ("os", "subprocess", "socket", "shutil", "sys", "ssl", "pickle", "logging", "getpass", "hashlib", "hmac", "requests")
        and attr not in _SWITCHES
        and (value.objects or value.names)
    ):
        effects.flag("code.patched", MEDIUM, "Replaces a function of the library.", node, name)
    elif not root and name in ("open", "print", "input", "exec", "eval", "__import__", "len", "isinstance", "compile"):
        effects.flag("code.patched", SERIOUS, "Replaces a function of the language.", node, name)


def item_set(effects: Effects, owner: Value, key: Value, node: ast.AST) -> None:
    """Variables of the environment, modules and built-ins that are replaced."""
    if "os.environ" in owner.names and _LOADER_VARIABLES & set(key.texts()):
        effects.flag("code.loader-variable", SERIOUS, "Makes programs load other code.", node)
    elif "" in owner.names:
        effects.flag("code.patched", SERIOUS, "Replaces a function of the language.", node)
    elif "sys.modules" in owner.names and any(t in ("os", "subprocess", "socket", "ssl", "hashlib", "builtins", "requests") for t in key.texts()):
        effects.flag("code.patched", MEDIUM, "Replaces a module.", node)


def called_below(effects: Effects, call: Call) -> Value | None:
    """A function of a library below the language."""
    effects.flag("code.native", MEDIUM, "Calls code below the language.", call)
    return None


def shellcode(effects: Effects, call: Call) -> Value | None:
    effects.flag("code.shellcode", HIGH, "Uses functions of the system that run made code or reach into others.", call)
    return None


def contained(effects: Effects, call: Call) -> Value | None:
    """A container is started; with the machine's folders, rights or network it is no container."""
    volumes = call.argument(-1, "volumes", "mounts", "binds")
    given = [*(text_of(k) for k, _ in volumes.entries or ()), *(t for v in volumes.items or () for t in v.texts())]
    hosts = [text.partition(":")[0] for text in given]
    namespaces = [t for k in ("pid_mode", "network_mode", "ipc_mode", "userns_mode", "network") for t in call.argument(-1, k).texts()]
    if (
        any(c is True for c in call.argument(-1, "privileged").consts)
        or "host" in namespaces
        or call.argument(-1, "cap_add", "devices", "security_opt") is not NOTHING
    ):
        effects.flag("container.escape", HIGH, "Starts a container with the rights of the machine.", call)
    if any(h == "/" or (h and paths.classify(h) is not None) for h in hosts):
        effects.flag("container.escape", HIGH, "Gives a container the machine's own files.", call)
    effects.flag("container.run", MINOR, "Starts a container.", call)
    command = call.argument(1, "command")
    for line in processes.commands(command) if command is not NOTHING else ():
        if line and paths.HIDDEN not in line.split()[0]:
            effects.shell(line)
    return Value(hidden=True, names=(f"{call.name}()",), taints=frozenset({"command"}))


HANDLERS: dict[str, Callable[[Effects, Call], Value | None]] = {
    **dict.fromkeys(("?.execute", "?.executescript", "?.executemany", "?.raw", "sqlalchemy.text", "pandas.read_sql", "pandas.read_sql_query", "sqlite3.connect.execute", "sqlite3.connect.cursor.execute", "sqlite3.connect.executescript", "sqlite3.connect.cursor.executescript",
                     "psycopg2.connect.cursor.execute", "pymysql.connect.cursor.execute", "mysql.connector.connect.cursor.execute", "MySQLdb.connect.cursor.execute", "pyodbc.connect.cursor.execute", "psycopg.connect.execute", "psycopg.connect.cursor.execute", "asyncpg.connect.execute",
                     "sqlalchemy.create_engine.connect.execute", "sqlalchemy.create_engine.execute", "sqlalchemy.create_engine.begin.execute", "duckdb.connect.execute", "duckdb.sql", "django.db.connection.cursor.execute", "cx_Oracle.connect.cursor.execute", "oracledb.connect.cursor.execute",
                     "sqlite3.connect.executemany", "sqlite3.connect.cursor.executemany", "psycopg2.connect.cursor.executemany", "snowflake.connector.connect.cursor.execute", "google.cloud.bigquery.Client.query", "clickhouse_driver.Client.execute"), queried),
    **dict.fromkeys(("ctypes.CDLL", "ctypes.cdll.LoadLibrary", "ctypes.WinDLL", "ctypes.OleDLL", "ctypes.windll.LoadLibrary", "cffi.FFI.dlopen", "numpy.ctypeslib.load_library", "ctypes.PyDLL"), native),
    **dict.fromkeys(("docker.from_env.containers.run", "docker.from_env.containers.create", "docker.DockerClient.containers.run", "docker.DockerClient.containers.create", "docker.APIClient.create_container", "docker.APIClient.create_host_config", "docker.client.from_env.containers.run",
                     "podman.PodmanClient.containers.run"), contained),
    "mmap.mmap": mapped,
    **dict.fromkeys(("ssl._create_unverified_context", "urllib3.disable_warnings"), unverified),
    **dict.fromkeys(("os.putenv", "os.environ.update", "os.environ.setdefault"), environment_changed),
    **dict.fromkeys(("sys.path.insert", "sys.path.append", "sys.path.extend", "site.addsitedir"), searched),
    "os.path.join": joined,
    **dict.fromkeys(("bytearray", "os.urandom", "open.truncate", "open.seek", "os.posix_fallocate", "os.fallocate", "secrets.token_bytes"), allocated),
    **dict.fromkeys(("sys.settrace", "threading.settrace"), traced),
    **{f"?.{name}": shellcode for name in SHELLCODE if name[0].isupper() or name in ("mprotect", "ptrace", "memfd_create", "process_vm_writev", "process_vm_readv", "init_module", "finit_module")},
}  # fmt: skip


def below(call: Call) -> Callable[[Effects, Call], Value | None] | None:
    """The judge of a function of a library below the language."""
    if not call.plain.startswith(("ctypes.windll.", "ctypes.cdll.", "ctypes.pythonapi.", "ctypes.CDLL.", "ctypes.WinDLL.", "ctypes.oledll.")):
        return None
    return shellcode if call.attr in SHELLCODE else called_below
