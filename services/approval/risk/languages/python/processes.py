"""Programs that are started, code that is made, and other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.results import WORDS
from services.approval.risk.languages.python.values import MAX_OPTIONS, NOTHING, Value, text_of
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

if TYPE_CHECKING:
    from services.approval.risk.languages.python.effects import Effects

_SHELLS = frozenset("sh bash dash zsh ksh fish ash cmd cmd.exe powershell powershell.exe pwsh".split())
_INTERPRETERS = frozenset("python python3 python2 perl ruby node php pwsh".split()) | _SHELLS
_PLAIN_WORD = patterns.compile(r"^[\w./=:@%+,~*-]+$")
_FROM_ELSEWHERE = frozenset({"fetched", "socket"})
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
    if taints & (_FROM_ELSEWHERE | {"decoded", "typed"}):
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
    """Threads and processes of its own: many without end use the machine up."""
    effects.burdened(call, "process" if "rocess" in call.plain or "fork" in call.plain else "thread")
    if call.attr in ("fork", "forkpty"):
        effects.flag("code.fork", MEDIUM, "Makes copies of its process.", call)
    return None


_STARTERS = (
    "os.system os.popen os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.startfile "
    "subprocess.run subprocess.call subprocess.Popen subprocess.check_call subprocess.check_output subprocess.getoutput subprocess.getstatusoutput asyncio.create_subprocess_shell asyncio.create_subprocess_exec "
    "pty.spawn pexpect.spawn pexpect.run pexpect.spawnu invoke.run invoke.Context.run plumbum.local popen2.popen2 sh.Command webbrowser.get ptyprocess.PtyProcess.spawn winpty.PtyProcess.spawn shellous.sh trio.run_process anyio.run_process "
    "subprocess.list2cmdline_run gevent.subprocess.run delegator.run envoy.run fabric.api.local fabric.operations.local"
).split()

HANDLERS: dict[str, Callable[[Effects, Call], Value | None]] = {
    **dict.fromkeys(_STARTERS, started),
    **dict.fromkeys(("subprocess.Popen.communicate", "subprocess.Popen.stdin.write", "asyncio.create_subprocess_shell.communicate", "asyncio.create_subprocess_exec.communicate", "os.popen.write", "pexpect.spawn.sendline", "pexpect.spawn.send"), communicated),
    **dict.fromkeys(("eval", "exec", "compile", "execfile", "timeit.timeit", "timeit.repeat", "timeit.Timer", "runpy.run_path", "code.InteractiveInterpreter.runcode", "code.InteractiveInterpreter.runsource", "code.InteractiveConsole.push", "pandas.eval", "cProfile.run", "profile.run", "pdb.run", "pdb.runeval", "trace.Trace.run"), evaluated),
    **dict.fromkeys(("__import__", "importlib.import_module", "pydoc.locate", "pkgutil.resolve_name", "importlib.util.spec_from_file_location", "importlib.load_source", "importlib.machinery.SourceFileLoader.load_module", "importlib.machinery.SourceFileLoader"), imported),
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "joblib.load", "torch.load", "pandas.read_pickle", "yaml.load", "yaml.load_all", "numpy.load", "pickle.Unpickler.load"), loaded),
    **dict.fromkeys(("os.kill", "os.killpg", "psutil.Process.kill", "psutil.Process.terminate", "psutil.Process.suspend", "psutil.Process.send_signal", "psutil.process_iter.kill", "psutil.process_iter.terminate", "psutil.process_iter.suspend", "signal.pthread_kill"), killed),
    **dict.fromkeys(("os.dup2", "?.dup2"), duplicated),
    **dict.fromkeys(("os.fork", "os.forkpty", "threading.Thread.start", "multiprocessing.Process.start", "_thread.start_new_thread"), spawned),
}  # fmt: skip
