"""Where data comes from and where it goes: files, variables, pipes and the network.

Taints: "sensitive" (read from a place that holds secrets), "local" (read from an ordinary file), "fetched" (came from the
network), "encoded" (decoded or decompressed), "environment" (a dump of variables).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.words import Value, decoded

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

SENSITIVE, LOCAL, FETCHED, ENCODED, ENVIRONMENT = "sensitive", "local", "fetched", "encoded", "environment"

_PRELOAD = frozenset("LD_PRELOAD LD_AUDIT DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH".split())
_RUNS_ITS_VALUE = frozenset(
    "BASH_ENV ENV PROMPT_COMMAND PS4 GIT_SSH_COMMAND GIT_SSH GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_ASKPASS PAGER MANPAGER "
    "EDITOR VISUAL LESSOPEN LESSCLOSE BROWSER SSH_ASKPASS SUDO_ASKPASS SUDO_EDITOR SYSTEMD_EDITOR RSYNC_RSH CVS_RSH FCEDIT PSQL_EDITOR".split()
)
_LOADED_FROM = frozenset("LD_LIBRARY_PATH DYLD_LIBRARY_PATH GCONV_PATH PERL5LIB".split())
_OWN_PROGRAMS = patterns.compile(r"^(?::|\.|/tmp/|/var/tmp/|/dev/shm/|\w)")
_HISTORY_OFF = {"HISTFILE": ("/dev/null", ""), "HISTSIZE": ("0",), "HISTFILESIZE": ("0",), "SAVEHIST": ("0",)}
_SOCKETS = ("/dev/tcp/", "/dev/udp/")
_HOLES = patterns.compile(r"%[sb]")
_PERCENT = "\ue010"  # a percent sign that printf prints
# Settings of Git and make that name programs to run, without a word of it on the command line.
_HIDDEN_SETTINGS = patterns.compile(r"^(?:GIT_CONFIG(?:_\w+)?|GIT_EXEC_PATH|GIT_PROXY_COMMAND|GIT_TEMPLATE_DIR|MAKEFILES)$")
_LOADS_CODE = patterns.compile(r"-e|-M|-r|-d|--require|--import|--eval|agent|/|BEGIN")
_STARTUP_VARIABLES = patterns.compile(r"^(?:PERL5OPT|PERL5DB|RUBYOPT|NODE_OPTIONS|PYTHONSTARTUP|PYTHONINSPECT|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS)$")

# Programs that pass on what they read, changed or not.
FILTERS = frozenset(
    "cat grep egrep fgrep rg sed awk sort uniq head tail tr cut tee tac nl wc paste join comm fold fmt column jq yq gzip gunzip bzip2 xz zstd lz4 pigz "
    "base64 base32 xxd od hexdump openssl gpg strings iconv rev split zip tar 7z cpio dd pv less more bat uuencode uudecode "
    "expand unexpand hd envsubst perl python ruby node".split()
)
FETCHERS = frozenset("curl wget fetch http https xh lynx w3m links aria2c nc socat ftp tftp scp dig nslookup".split())
# Programs that only look at whether a file is there, or at its name, size and times.
LOOKERS = frozenset(
    "ls stat test [ [[ file du find locate realpath readlink basename dirname which tree exa eza lsattr namei pushd cd mkdir popd".split()
)
# Programs whose arguments are text, not files.
SPEAKERS = frozenset(
    "echo printf : true false export declare local typeset readonly alias let expr seq yes sleep logger notify-send figlet cowsay say".split()
)


def check_assignment(walker: Walker, name: str, value: Value) -> None:
    """Variables that change what later programs do."""
    if name in _PRELOAD and value.text:
        walker.flag("persistence.preload", scoring.HIGH, f"{name} loads code into every program started from here.", f"{name}={value.text}")
    elif name in _HISTORY_OFF and value.text in _HISTORY_OFF[name]:
        walker.flag("evasion.history-off", scoring.MEDIUM, "Turns off the record of commands.", f"{name}={value.text}")
    elif name in _RUNS_ITS_VALUE and value.text:
        if name in ("BASH_ENV", "PROMPT_COMMAND"):
            walker.flag("persistence.shell-hook", scoring.MEDIUM, f"{name} runs code in every shell.", f"{name}={value.text}")
        if HIDDEN not in value.text:
            walker.run_text(value.text)
    elif name in _LOADED_FROM and value.text:
        walker.flag("persistence.preload", scoring.MEDIUM, f"{name} says where programs load code from.", f"{name}={value.text}")
    elif name == "PATH" and _OWN_PROGRAMS.match(value.text):
        walker.flag("evasion.path", scoring.MEDIUM, "Puts a folder of its own before the system's programs.", f"PATH={value.text}")
    elif name.startswith("BASH_FUNC_"):
        # bash imports such a variable as a function, which then runs under the name of any program.
        walker.flag("persistence.shell-hook", scoring.HIGH, f"{name} replaces a program by shell code.", f"{name}={value.text}")
    elif _HIDDEN_SETTINGS.match(name) or (name in ("MAKEFLAGS", "GNUMAKEFLAGS") and "eval" in value.text):
        if value.text not in ("/dev/null", ""):
            walker.flag("escape.hidden-setting", scoring.MEDIUM, f"{name} can make the program run other programs.", f"{name}={value.text}")
    elif _STARTUP_VARIABLES.match(name) and _LOADS_CODE.search(value.text):
        walker.flag("persistence.interpreter-hook", scoring.MEDIUM, f"{name} makes an interpreter run more code.", f"{name}={value.text}")


def reads(walker: Walker, path: str, taints: frozenset[str] = frozenset()) -> Flow:
    """What reading a file gives."""
    if path.startswith(_SOCKETS):
        walker.flag("network.raw-socket", scoring.HIGH, "Opens a raw network connection from the shell.", path)
        return Flow(taints=frozenset({FETCHED}), present=True)
    found = paths.read_factor(path, walker.place)
    known = walker.file_taint(path)
    if found:
        walker.add(found)
        known |= {SENSITIVE}
    elif path.startswith("/dev/") and not path.startswith("/dev/fd/"):
        return Flow("" if path == "/dev/null" else None, taints | known, present=True)
    return Flow(walker.file_text(path), taints | known | {LOCAL}, present=True)


def writes(walker: Walker, path: str, flow: Flow) -> None:
    """What writing a flow into a file does."""
    if path.startswith(_SOCKETS):
        walker.flag(
            "network.raw-socket",
            scoring.HIGH,
            "Opens a raw network connection from the shell.",
            path,
            "Use a client whose destination and data can be seen.",
        )
        return
    if found := paths.write_factor(path, walker.place):
        walker.add(found)
    elif path.startswith(HIDDEN) and path != HIDDEN and ("/." in path or "/etc" in path):
        walker.flag("sensitive-path.hidden", scoring.MEDIUM, "Writes to a path that is not known before it runs.", path)
    walker.written(path, flow)


def scan_reads(walker: Walker, call: Invocation) -> frozenset[str]:
    """Adds factors for the sensitive files that a command's arguments name; gives the taints of what it reads."""
    taints: set[str] = set()
    if call.name in SPEAKERS:
        return frozenset()
    looks = call.name in LOOKERS
    skip_pattern = call.name in ("grep", "egrep", "fgrep", "rg", "ag", "sed", "awk", "jq") and not call.flags & {"-e", "-f", "--regexp"}
    for arg in call.args:
        text = arg
        if skip_pattern and not text.startswith("-"):
            skip_pattern = False
            if len(call.args) > 1 and not _plain_path(text):
                continue
        if "=" in text:
            text = text.partition("=")[2]
        text = text.removeprefix("@").removeprefix("<")
        if text.startswith(("file://", "file:/")):
            text = text[5:]
        if not text or text.startswith("-") or len(text) > 4096:
            continue
        if "," in text and call.name in ("socat", "qemu-img", "curl"):
            text = text.split(",")[0]
        if ":" in text and "/" in text and not text.startswith(("/", "~", ".")):
            text = text.partition(":")[2] if call.name in ("socat", "docker", "ssh", "gpg", "tar") else text
        if call.name == "docker" and ":" in text:
            text = text.partition(":")[0]
        if walker.state.file_taints:
            taints |= walker.file_taint(text)
        if "/" in text or "." in text or "~" in text or "id_" in text or "authorized_keys" in text or "\\" in text:
            found = paths.read_factor(text, walker.place)
            if found and looks:
                if found.weight >= scoring.SERIOUS:
                    walker.flag("discovery.secrets", scoring.NOTE, "Looks where secrets are kept.", arg)
            elif found and not (call.name in ("git", "gh") and call.args[:1] != ("add",) and "--no-index" not in call.args):
                walker.add(found)
                if found.weight >= scoring.MEDIUM:
                    taints.add(SENSITIVE)
    return frozenset(taints)


def _plain_path(text: str) -> bool:
    return text.startswith(("/", "~/", "./")) and " " not in text and text.count("/") > 1 and not text.endswith("/")


def output_of(walker: Walker, call: Invocation, read: frozenset[str]) -> Flow:
    """What a command prints: its text when that is a constant, and where it came from."""
    name = call.name
    taints = call.taints | read
    if name in ("echo", "printf"):
        return Flow(spoken(name, call.args), taints, present=True)
    if name in FETCHERS:
        return Flow(taints=taints | {FETCHED}, present=True)
    if name in ("env", "printenv", "set", "export", "declare") and not call.positionals:
        return Flow(taints=taints | {ENVIRONMENT}, present=True)
    if name in ("history", "fc"):
        return Flow(taints=taints | {ENVIRONMENT}, present=True)
    if name in FILTERS:
        return _filtered(walker, call, taints)
    if name in ("which", "type", "whereis") and len(call.positionals) == 1:
        return Flow(call.positionals[0], taints, present=True)
    if name in ("pwd",):
        return Flow(".", taints, present=True)
    return Flow(taints=taints, present=True)


def spoken(name: str, arguments: Sequence[str]) -> str | None:
    """What echo or printf prints for constant arguments; None when that is not known."""
    args = list(arguments)
    if name == "echo":
        escapes = False
        while args and len(args[0]) > 1 and args[0][0] == "-" and not args[0][1:].strip("neE"):
            escapes = "e" in args.pop(0)
        text = " ".join(args)
        return (decoded(text, "printf") if escapes else text) or ""
    if args and args[0] == "--":
        args.pop(0)
    if not args:
        return ""
    layout = decoded(args[0], "printf") or ""
    rest = args[1:]
    if "%" not in layout:
        return layout
    pieces = _HOLES.split(layout.replace("%%", _PERCENT))
    if any("%" in piece for piece in pieces):
        return None
    if not rest:
        return "".join(pieces).replace(_PERCENT, "%")
    holes = len(pieces) - 1
    if not holes:
        return pieces[0].replace(_PERCENT, "%")
    text = ""
    while rest:
        group, rest = rest[:holes], rest[holes:]
        group += [""] * (holes - len(group))
        text += "".join(a + b for a, b in zip(pieces, [*group, ""], strict=True))
        if len(text) > 65536:
            return None
    return text.replace(_PERCENT, "%")


def _filtered(walker: Walker, call: Invocation, taints: frozenset[str]) -> Flow:
    files = call.positionals
    source = call.stdin
    if call.name == "cat" and len(files) == 1 and files[0] != "-":
        return Flow(walker.file_text(files[0]), taints | walker.file_taint(files[0]) | {LOCAL}, present=True)
    how = ""
    if call.name in ("base64", "base32") and call.flags & {"-d", "-D", "--decode"}:
        how = call.name
    elif call.name == "openssl" and "-d" in call.args and {"base64", "-base64", "-a", "enc"} & set(call.args):
        how = "base64"
    elif call.name == "xxd" and "-r" in call.flags and "-p" in call.flags:
        how = "hex"
    elif call.name == "rev":
        how = "rev"
    taints |= source.taints
    if how:
        text = decoded(source.text, how) if source.text is not None and HIDDEN not in source.text else None
        return Flow(text, taints | {ENCODED}, present=True)
    if call.name in ("gunzip", "gzip", "xz", "bzip2", "zstd", "uudecode", "gpg", "openssl"):
        return Flow(taints=taints | {ENCODED}, present=True)
    if call.name in ("cat", "tee") and source.present and (call.name == "tee" or not files or files == ("-",)):
        return Flow(source.text, taints, present=True)
    if call.name == "tr" and source.text is not None and len(call.positionals) == 2 and not call.flags:
        return Flow(_translated(source.text, *call.positionals), taints, present=True)
    if files and not source.present:
        taints |= {LOCAL}
    return Flow(taints=taints, present=True)


def _translated(text: str, old: str, new: str) -> str | None:
    """What `tr OLD NEW` makes of a text."""
    old, new = _spread(old), _spread(new)
    if not new:
        return None
    return text.translate({ord(a): b for a, b in zip(old, new.ljust(len(old), new[-1]), strict=False)})


def _spread(letters: str) -> str:
    """The letters of a set of tr: `a-e` is abcde."""
    found: list[str] = []
    position = 0
    while position < len(letters):
        if (
            letters[position + 1 : position + 2] == "-"
            and position + 2 < len(letters)
            and letters[position].isalnum()
            and letters[position + 2].isalnum()
        ):
            found += map(chr, range(ord(letters[position]), min(ord(letters[position + 2]), ord(letters[position]) + 128) + 1))
            position += 3
        else:
            found.append(letters[position])
            position += 1
    return "".join(found)
