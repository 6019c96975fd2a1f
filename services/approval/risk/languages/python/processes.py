"""Programs that are started, code that is made, and other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.reading import parses
from services.approval.risk.languages.python.results import WORDS
from services.approval.risk.languages.python.values import MAX_OPTIONS, NOTHING, Value, options, text_of
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

if TYPE_CHECKING:
    from services.approval.risk.languages.python.effects import Effects

_SHELLS = frozenset("sh bash dash zsh ksh fish ash cmd cmd.exe powershell powershell.exe pwsh".split())
_INTERPRETERS = frozenset("python python3 python2 perl ruby node php pwsh".split()) | _SHELLS
_PLAIN_WORD = patterns.compile(r"^[\w./=:@%+,~*-]+$")
_FROM_ELSEWHERE = frozenset({"fetched", "socket"})
_READ = frozenset({"decoded", "typed", "file"})
WORDS_RUN = "subprocess.words"  # what starts a program of the words that it is given
_PROGRAM_ROOTS = ("sh.", "pbs.", "plumbum.cmd.", "plumbum.local.cmd.", "git.Repo.git.", "git.Git.", "git.Repo.remote.", "git.Repo.remotes.", "git.Remote.")  # fmt: skip
_MANY_HOSTS = 16  # addresses from which it is no longer a few known ones that are looked at
_SENDERS = frozenset("curl wget nc ncat netcat scp rsync ftp sftp aws gsutil rclone socat telnet mail sendmail dig nslookup host ping".split())


def quoted(text: str) -> str:
    """A word as a shell reads it back."""
    if text and text.isascii() and _PLAIN_WORD.match(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def commands(value: Value) -> list[str]:
    """The command lines that a value may be: a text, or a list of words."""
    if value.items is None or WORDS in value.names:
        return value.texts()[:MAX_OPTIONS]
    lines = [""]
    for index, word in enumerate(value.items):
        texts = word.texts() if len(word.texts()) * len(lines) <= 16 else [word.text()]
        lines = [f"{line} {quoted(text)}" if index else quoted(text) for line in lines for text in texts]
    return [line + (f" {HIDDEN}" if value.hidden and line else "") for line in lines]


def started(effects: Effects, call: Call) -> Value:
    """A program is started: what it does is what its command does; one that is not known is not harmless."""
    given = call.argument(0, "args", "cmd", "command", "program", "file", "cmdline")
    if call.name.startswith("asyncio.create_subprocess_exec") or (
        call.name.startswith("pexpect.") and len(call.args) > 1 and call.args[1].items is not None
    ):
        words = call.args if call.name.startswith("asyncio.") else [call.args[0], *(call.args[1].items or ())]
        given = Value(items=tuple(words), size=1 + len(words))
    elif call.attr.startswith(("exec", "spawn", "posix_spawn")) and call.name.startswith("os."):
        first = 1 if call.attr.startswith("spawn") else 0
        rest = call.args[first + 1 :]
        words_of = rest[0].items if len(rest) >= 1 and rest[0].items is not None else tuple(rest)
        program = call.argument(first, "path", "file")
        given = Value(items=(program, *words_of[1:]), hidden=bool(rest) and rest[0].items is None and "v" in call.attr, size=1 + len(words_of))
    stdin = call.argument(-1, "stdin", "fileobj")
    run(effects, call, given, shell=call.argument(-1, "shell"))
    fed(effects, call, given, call.argument(-1, "input"))
    lines = commands(given)
    if any(is_shell(line) for line in lines) and call.argument(-1, "input") is NOTHING:
        if "socket" in stdin.taints or effects.socket_used or call.name == "pty.spawn":
            effects.flag("code.reverse-shell", HIGH, "Gives a shell to another machine.", call)
        else:
            effects.flag("code.interactive", MEDIUM, "Starts a shell that takes whatever it is given.", call)
    taints = frozenset({"command"}) | (given.taints & {"secret", "environ"})
    return Value(given.consts, True, (f"{call.name}()",), taints, given.items, size=given.size)


def words_started(effects: Effects, call: Call) -> Value:
    """A program is started whose words are the arguments, options by name."""
    return _named_program(effects, call, ())


def named_program(effects: Effects, call: Call) -> Value:
    """A program is started that the name of the function names, maybe with its first arguments: `sh.git.push`, GitPython's `repo.git.push`
    and `repo.remotes.origin.push`."""
    root = next(root for root in _PROGRAM_ROOTS if call.plain.startswith(root))
    names = [name.replace("_", "-") for name in call.plain.removeprefix(root).split(".")]
    if not root.startswith("git."):
        words = tuple(names)
    elif call.attr == "execute":
        words = ()
    else:
        words = ("git", names[-1])
    return _named_program(effects, call, words)


def names_program(plain: str) -> bool:
    """Whether a function starts a program that its name names."""
    return plain.startswith(_PROGRAM_ROOTS) and (".remote" not in plain.lower() or plain.endswith((".push", ".pull", ".fetch")))


def _named_program(effects: Effects, call: Call, words: tuple[str, ...]) -> Value:
    given = [Value((word,)) for word in words]
    for each in call.args:
        given += each.items if each.items is not None else (each,)
    for key, value in call.keywords.items():
        option = f"-{key}" if len(key) == 1 else f"--{key.replace('_', '-')}"
        if key.startswith("_") or value.consts == (False,) or value.consts == (None,):
            continue
        if value.consts == (True,):
            given.append(Value((option,)))
        elif len(key) == 1:
            given += [Value((option,)), value]
        else:
            given.append(options((f"{option}={text}" for text in value.texts()), value.taints))
    run(effects, call, Value(items=tuple(given), size=1 + len(given)))
    return Value(hidden=True, taints=frozenset({"command"}))


def is_shell(line: str) -> bool:
    """Whether a command is a shell without a script."""
    words = line.replace("'", "").split()
    return (
        bool(words)
        and words[0].rpartition("/")[2] in _SHELLS
        and all(
            w.startswith(("-i", "-l", "/k", "-nop", "--norc", "--login", "--noprofile", "-")) and "c" not in w.partition("-")[2][:3]
            for w in words[1:]
        )
    )


def run(effects: Effects, call: Call, given: Value, *, shell: Value = NOTHING) -> None:
    """Judges a command that is known, or one that is not."""
    taints = given.taints
    effects.executes = True
    if taints & _FROM_ELSEWHERE:
        effects.flag("execution.remote", HIGH, "Runs commands that come from the network.", call)
    elif taints & {"decoded"}:
        effects.flag("execution.decoded", SERIOUS, "Runs a command that was encoded.", call)
    hidden = False
    lines = commands(given)
    for line in lines:
        words = line.split()
        plain = words[0].strip("'") if words else ""
        if not plain or HIDDEN in plain.rpartition("/")[2] or plain.startswith(HIDDEN):
            hidden = True
            continue
        effects.shell(line)
        if any(effects.was_fetched(word.strip("'")) for word in words[:3]):
            effects.flag("execution.fetched", HIGH, "Runs what was fetched from the network.", call)
        if plain.rpartition("/")[2] in _SENDERS and ("addresses" in taints or ("looped" in taints and len(lines) >= _MANY_HOSTS)):
            effects.flag("network.scan", SERIOUS, "Looks for hosts, one address after another.", call)
        if plain.rpartition("/")[2] in _SENDERS:
            effects.leaving(call, taints - {"file"} if plain in ("ping", "dig", "host") else taints)
        if plain.rpartition("/")[2] in _INTERPRETERS and any("program.py" in w for w in words[1:]):
            effects.copies_itself(call)
    if hidden:
        effects.flag("code.process", SERIOUS, "Starts a program that is not known before it runs.", call)
    else:
        effects.flag("code.process", NOTE, "Starts other programs.", call)
    effects.burdened(call, "process")


def fed(effects: Effects, call: Call, command: Value, text: Value) -> None:
    """What a shell or an interpreter gets to read is run."""
    names = [line.split()[0].rpartition("/")[2] if line.split() else "" for line in commands(command)]
    if text is NOTHING or not any(
        name in _INTERPRETERS or name in ("crontab", "at", "sudo", "ssh", "batch", "mysql", "psql", "chpasswd", "sqlite3") for name in names
    ):
        return
    for name, line in zip(names, commands(command), strict=True):
        for content in text.texts():
            if content == HIDDEN:
                effects.flag("code.process", SERIOUS, "Gives a program commands that are not known before it runs.", call)
            elif name in _SHELLS:
                effects.shell(content)
            elif name:
                effects.shell(f"printf '%s' {quoted(content)} | {line}")


def communicated(effects: Effects, call: Call) -> Value | None:
    """What is written to a program that was started."""
    fed(
        effects,
        call,
        Value(call.receiver.consts, call.receiver.hidden, items=call.receiver.items, size=call.receiver.size),
        call.argument(0, "input", "s"),
    )
    return Value(hidden=True, taints=frozenset({"command"}), items=(Value(hidden=True, taints=frozenset({"command"})),), size=2)


def evaluated(effects: Effects, call: Call) -> Value:
    """`eval`, `exec` and `compile`: known code is read, any other is not harmless."""
    given = call.argument(0, "source", "object", "stmt", "setup")
    taints = given.taints
    effects.executes = True
    if taints & _FROM_ELSEWHERE or any(effects.was_fetched(text) for text in given.texts()):
        effects.flag("execution.fetched", HIGH, "Runs code that was fetched from the network.", call)
    elif "decoded" in taints or "encrypted" in taints:
        effects.flag("execution.decoded", HIGH, "Runs code that was encoded.", call)
    if (given.hidden or not given.consts or any(HIDDEN in text_of(c) for c in given.consts)) and "compile()" not in given.names:
        effects.flag("code.dynamic", SERIOUS, "Runs code that is made while it runs.", call)
    for each in given.consts:
        effects.nested(text_of(each), call)
    return Value(hidden=True, names=("compile()",) if call.name == "compile" else (), taints=taints)


def timed(effects: Effects, call: Call) -> Value:
    """`timeit`: it runs functions, and texts; what is neither for certain is mostly a function."""
    for given in (call.argument(0, "stmt"), call.argument(1, "setup")):
        if given.consts:
            evaluated(effects, Call(call.name, call.plain, NOTHING, [given], {}, call.node, call.loops))
        elif given.taints & (_FROM_ELSEWHERE | _READ) or any(n.startswith("sys.argv") for n in given.names):
            effects.flag("code.dynamic", SERIOUS, "Runs code that is made while it runs.", call)
    return Value(hidden=True)


def calculated(effects: Effects, call: Call) -> Value | None:
    """A formula that is evaluated as Python: a known one is read as far as it is Python, any other may be any code."""
    given = call.argument(0, "a", "s", "expr", "ex")
    if given.items is not None or given.entries is not None or given.objects:
        return None
    unknown = not given.known and not given.names
    if unknown or given.taints & (_FROM_ELSEWHERE | _READ) or any(n.startswith("sys.argv") for n in given.names):
        effects.flag("code.dynamic", SERIOUS, "Evaluates a formula that is not known before it runs, and that may be any code.", call)
    for each in given.consts:
        text = text_of(each)
        if isinstance(each, str) and HIDDEN not in text and parses(text):
            effects.nested(text, call)
    return None


def ran_file(effects: Effects, call: Call) -> Value | None:
    """A file is run as Python, or imported from its path: as if the interpreter were started with it."""
    given = (
        call.argument(1, "location", "pathname", "path")
        if call.attr in ("spec_from_file_location", "load_source", "SourceFileLoader")
        else call.argument(0, "path_name")
    )
    effects.executes = True
    if given.taints & _FROM_ELSEWHERE or any(effects.was_fetched(text) for text in given.texts()):
        effects.flag("execution.fetched", HIGH, "Runs what was fetched from the network.", call)
    for text in given.texts():
        if text.startswith(HIDDEN):
            weight = SERIOUS if "typed" in given.taints or any(n.startswith("sys.argv") for n in given.names) else MEDIUM
            effects.flag("code.dynamic", weight, "Runs a file that is not known before it runs.", call)
        else:
            effects.shell(f"python3 {quoted(text)}")
    return None


def imported(effects: Effects, call: Call) -> Value | None:
    """Imports by name."""
    given = call.argument(0, "name")
    if any(effects.was_fetched(text) for value in call.all() for text in value.texts()):
        effects.flag("execution.fetched", HIGH, "Imports what was fetched from the network.", call)
    if given.taints & _FROM_ELSEWHERE:
        effects.flag("execution.fetched", HIGH, "Imports what the network names.", call)
    if not given.known:
        known = any(text.split(HIDDEN)[0].strip(".") for text in given.texts())
        weight = MINOR if known or call.attr == "import_module" else SERIOUS
        effects.flag("code.dynamic-import", weight, "Imports what is named while it runs.", call)
    for text in given.texts():
        if text != HIDDEN:
            effects.imported(text)
    return None


def loaded(effects: Effects, call: Call) -> Value:
    """Data that is loaded, and that can say what to run."""
    given = call.argument(0, "file", "data", "f", "filename")
    taints = given.taints
    safe = any(text_of(c) in ("True",) for c in call.argument(-1, "weights_only").consts) and call.plain.startswith("torch.")
    if call.plain.startswith("yaml."):
        loader = call.argument(1, "Loader")
        safe = any("Safe" in n or "Base" in n for n in loader.names)
    if call.plain.startswith("numpy."):
        safe = not any(c is True for c in call.argument(-1, "allow_pickle").consts)
    if safe:
        return Value(hidden=True, taints=taints)
    texts = [t for t in given.texts() if t != HIDDEN and not t.startswith(("/", "~", ".."))]
    own = bool(texts) and "open()" in given.names and all(t in effects.own_data for t in given.texts() if t != HIDDEN)
    if taints & (_FROM_ELSEWHERE | {"decoded", "typed"}) or any("://" in t and not t.startswith("file:") for t in texts):
        weight = HIGH
    elif own:
        weight = NOTE
    elif texts and (call.plain.partition(".")[0] in ("joblib", "torch", "pandas", "numpy", "yaml") or "open()" in given.names):
        weight = MINOR
    else:
        weight = SERIOUS
    effects.flag("code.deserialise", weight, "Runs whatever the data it loads says.", call)
    effects.executes = effects.executes or weight >= SERIOUS
    return Value(hidden=True, taints=taints)


def killed(effects: Effects, call: Call) -> Value:
    """Other processes are ended; its own children are its own."""
    if call.name.startswith("psutil.") or call.plain.startswith("psutil."):
        looked = "process_iter" in call.plain or call.loops or "looped" in call.receiver.taints
        effects.flag("code.kill", SERIOUS if looked else MEDIUM, "Ends other processes.", call)
        return NOTHING
    pid, signal = call.argument(0, "pid", "pgid"), call.argument(1, "sig", "signal")
    own = any("os.getpid" in n or "Popen" in n or "getpgid" in n or "Process" in n for n in pid.names)
    asks = signal.known and signal.consts == (0,)
    everybody = any(c in (-1, 1) for c in pid.consts if isinstance(c, int))
    effects.flag(
        "code.kill",
        HIGH if everybody else NOTE if own or asks else SERIOUS if call.loops or "looped" in pid.taints else MEDIUM,
        "Ends processes.",
        call,
    )
    return NOTHING


def duplicated(effects: Effects, call: Call) -> Value | None:
    """`dup2`: a shell's input and output become a connection."""
    if effects.socket_used or "socket" in call.taints:
        effects.flag("code.reverse-shell", HIGH, "Connects a program of this machine to another one.", call)
    else:
        effects.flag("code.redirect", MINOR, "Gives its own input and output to something else.", call)
    return None


def spawned(effects: Effects, call: Call) -> Value | None:
    """Threads, tasks and processes of its own: many without end use the machine up; a thousand tasks are not many."""
    effects.burdened(call, "process" if "rocess" in call.plain or "fork" in call.plain else "task" if "asyncio" in call.plain else "thread")
    if call.attr in ("fork", "forkpty"):
        effects.flag("code.fork", MEDIUM, "Makes copies of its process.", call)
    return None


# Functions of debuggers, profilers and tracers that run a text.
_DEBUGGERS = [
    f"{owner}.{run}"
    for owner in "pdb pdb.Pdb bdb.Bdb profile profile.Profile cProfile cProfile.Profile trace.Trace doctest".split()
    for run in "run runctx runeval debug_script".split()
]
_STARTERS = (
    "os.system os.popen os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.startfile "
    "subprocess.run subprocess.call subprocess.Popen subprocess.check_call subprocess.check_output subprocess.getoutput subprocess.getstatusoutput asyncio.create_subprocess_shell asyncio.create_subprocess_exec "
    "pty.spawn pexpect.spawn pexpect.run pexpect.spawnu invoke.run invoke.Context.run plumbum.local popen2.popen2 sh.Command webbrowser.get ptyprocess.PtyProcess.spawn winpty.PtyProcess.spawn shellous.sh trio.run_process anyio.run_process "
    "?.system ?.popen ?.getoutput ?.check_output ?.check_call gevent.subprocess.run delegator.run envoy.run fabric.api.local fabric.operations.local"
).split()

HANDLERS: dict[str, Callable[[Effects, Call], Value | None]] = {
    **dict.fromkeys(_STARTERS, started),
    **dict.fromkeys(("subprocess.Popen.communicate", "subprocess.Popen.stdin.write", "asyncio.create_subprocess_shell.communicate", "asyncio.create_subprocess_exec.communicate", "os.popen.write", "pexpect.spawn.sendline", "pexpect.spawn.send"), communicated),
    **dict.fromkeys(("eval", "exec", "compile", "execfile", "code.InteractiveInterpreter.runcode", "code.InteractiveInterpreter.runsource", "code.InteractiveConsole.push", "pandas.eval", *_DEBUGGERS), evaluated),
    **dict.fromkeys(("timeit.timeit", "timeit.repeat", "timeit.Timer"), timed),
    **dict.fromkeys(("sympy.sympify", "sympy.core.sympify.sympify", "sympy.parse_expr", "sympy.parsing.parse_expr", "sympy.parsing.sympy_parser.parse_expr", "numexpr.evaluate"), calculated),
    **dict.fromkeys(("runpy.run_path", "importlib.util.spec_from_file_location", "importlib.load_source", "importlib.machinery.SourceFileLoader"), ran_file),
    WORDS_RUN: words_started,
    **dict.fromkeys(("__import__", "importlib.import_module", "pydoc.locate", "pkgutil.resolve_name"), imported),
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "joblib.load", "torch.load", "pandas.read_pickle", "yaml.load", "yaml.load_all", "numpy.load", "pickle.Unpickler.load"), loaded),
    **dict.fromkeys(("os.kill", "os.killpg", "psutil.Process.kill", "psutil.Process.terminate", "psutil.Process.suspend", "psutil.Process.send_signal", "psutil.process_iter.kill", "psutil.process_iter.terminate", "psutil.process_iter.suspend", "signal.pthread_kill"), killed),
    **dict.fromkeys(("os.dup2", "?.dup2"), duplicated),
    **dict.fromkeys(("os.fork", "os.forkpty", "asyncio.create_task", "asyncio.ensure_future", "threading.Thread.start", "multiprocessing.Process.start", "_thread.start_new_thread"), spawned),
}  # fmt: skip
