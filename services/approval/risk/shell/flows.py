"""Where data comes from and where it goes: files, variables, pipes and the network.

Taints: "sensitive" (read from a place that holds secrets), "local" (read from an ordinary file), "fetched" (came from the
network), "encoded" (decoded or decompressed), "environment" (a dump of variables), "redirected" (a file, through `<` and nothing
else: running it is running the file), "printed" (the output of a program, in a file), "endless" (a source without end), "built" (what a compiler made),
"many" (names, one by one, of the files of a place outside the working directory), "everywhere" (names that a search of a whole home folder
or system found), "secret" (a variable of the environment that is
named as one for secrets), "listed" (what is on this machine, as a program prints it), "identity" (what this machine or its user is called).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.approval.risk import scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import amounts
from services.approval.risk.shell.invocation import Flow, Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

SENSITIVE, LOCAL, FETCHED, ENCODED, ENVIRONMENT = "sensitive", "local", "fetched", "encoded", "environment"
REDIRECTED, PRINTED, ENDLESS, BUILT, MANY = "redirected", "printed", "endless", "built", "many"
SECRET, LISTED, IDENTITY, EVERYWHERE = "secret", "listed", "identity", "everywhere"

MAX_PRINTED = 65536  # characters that commands one after the other are known to print
MAX_NAMES = 1000  # names in one list of files that are looked at; a longer one is UNKNOWN
STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})  # names of what comes in
_SOCKETS = ("/dev/tcp/", "/dev/udp/")
_ENDLESS_FILES = frozenset({"/dev/zero", "/dev/urandom", "/dev/random"})
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


_SECRET_PARTS = frozenset("TOKEN SECRET PASSWORD PASSWD PASSPHRASE CREDENTIAL CREDENTIALS APIKEY".split())
_SECRET_ENDS = ("API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "SECRET_KEY", "AUTH_KEY", "ENCRYPTION_KEY", "SIGNING_KEY", "MASTER_KEY")


def is_secret_name(name: str) -> bool:
    """Whether a variable of the environment is named as one for a secret: DB_PASSWORD, AWS_SECRET_ACCESS_KEY."""
    upper = name.upper()
    return not _SECRET_PARTS.isdisjoint(upper.split("_")) or upper.endswith(_SECRET_ENDS)


def is_elsewhere(path: str) -> bool:
    """Whether a path is absolute or in a home folder, and not in one for temporary files."""
    return path.startswith(("/", "~")) and not paths.is_temporary(path)


def reads(walker: Walker, path: str, taints: frozenset[str] = frozenset()) -> Flow:
    """What reading a file gives."""
    if path.startswith(_SOCKETS):
        walker.flag("network.raw-socket", scoring.HIGH, "Opens a raw network connection from the shell.", path)
        return Flow(taints=frozenset({FETCHED}), present=True)
    real = walker.state.files.real(path)
    found = paths.read_factor(real, walker.place)
    known = walker.file_taint(real)
    if found:
        walker.add(found)
        known |= {SENSITIVE}
    elif path in _ENDLESS_FILES:
        return Flow(taints=taints | known | {ENDLESS}, present=True)
    elif path.startswith("/dev/") and not path.startswith("/dev/fd/"):
        return Flow("" if path == "/dev/null" else None, taints | known, present=True)
    elif HIDDEN not in path and not paths.is_temporary(path):
        known |= {REDIRECTED}
    return Flow(walker.file_text(real), taints | known | {LOCAL}, present=True)


def writes(walker: Walker, path: str, flow: Flow, *, append: bool = False) -> None:
    """What writing a flow into a file does."""
    if path.startswith(_SOCKETS):
        if flow.present and flow.text is not None and not flow.text.strip():
            walker.flag("network.port-check", scoring.MINOR, "Looks whether a port is open: a connection that carries nothing.", path)
            return
        walker.flag(
            "network.raw-socket",
            scoring.HIGH,
            "Opens a raw network connection from the shell.",
            path,
            "Use a client whose destination and data can be seen.",
        )
        return
    if ENDLESS in flow.taints and not path.startswith("/dev/"):
        walker.flag("resource.fill", scoring.MEDIUM, "Writes until the disk is full.", path, "Say how much to write.")
    real = walker.state.files.real(path)
    if found := paths.write_factor(real, walker.place):
        walker.add(found)
    elif path.startswith(HIDDEN) and path != HIDDEN and ("/." in path or "/etc" in path):
        walker.flag("sensitive-path.hidden", scoring.MEDIUM, "Writes to a path that is not known before it runs.", path)
    if not append:
        walker.state.files.overwrite(real)
    taints = flow.taints | {PRINTED} if flow.present and flow.text is None else flow.taints
    walker.state.files.write(real, taints - {REDIRECTED}, flow.text, append=append)


def both(flow: Flow, produced: Flow) -> Flow:
    """What two commands print one after the other."""
    if not produced.present:
        return flow
    text = produced.text
    if flow.present:
        known = flow.text is not None and text is not None and len(flow.text) + len(text) <= MAX_PRINTED
        text = f"{flow.text}{text}" if known else None
    return Flow(text, flow.taints | produced.taints, present=True)


def any_of(found: Sequence[Flow]) -> Flow:
    """What one of several branches prints."""
    flow = Flow()
    for each in found:
        flow = both(flow, each)
    return flow


# Programs of which the first operand is a pattern or a program, and those whose operands name a place within another machine.
_PATTERN_FIRST = frozenset("grep egrep fgrep rg ag sed awk jq yq".split())
_MACHINE_FIRST = frozenset("socat docker ssh gpg tar kubectl".split())
_COMMA_ENDS = frozenset("socat qemu-img curl".split())
# Programs that read the names of the files they take from standard input, and the arguments that make them do so.
_NAMES_FROM_INPUT = {
    "cpio": frozenset({"-o", "-p", "--create", "--pass-through"}), "pax": frozenset({"-w"}), "zip": frozenset({"-@"}), "tar": frozenset({"-T", "--files-from"}),
    "rsync": frozenset({"--files-from"}), "wget": frozenset({"-i"}), "shred": frozenset({"-"}), "bsdtar": frozenset({"-T"}),
}  # fmt: skip
_LOGS_IN = frozenset("ssh scp sftp sshfs autossh mosh".split())  # their `-i` names the key to log in with
_REPLACERS = frozenset("cp mv install".split())
_SELECTORS = frozenset("grep egrep fgrep cut awk".split())
# Programs that take whole folders along.
_COLLECTORS = frozenset("tar zip 7z rsync scp cp cpio rar rclone restic borg".split())
_EVERYTHING = frozenset({"/", "~", "/root", "/home", "/users", "/etc"})


def scan_reads(walker: Walker, call: Invocation) -> frozenset[str]:
    """Adds factors for the sensitive files that a command's arguments name; gives the taints of what it reads."""
    if call.name in SPEAKERS:
        return frozenset()
    taints: frozenset[str] = frozenset()
    skip_pattern = call.name in _PATTERN_FIRST and call.flags.isdisjoint({"-e", "-f", "--regexp"})
    files = walker.state.files
    moved = bool(walker.moved)
    args = _without_keys(call) if call.name in _LOGS_IN else _without_shell(call) if call.name == "rsync" else call.args
    if (
        call.name in _REPLACERS
        and len(call.positionals) > 1
        and call.args[-1] == call.positionals[-1]
        and not call.values("-t", "--target-directory")
    ):
        args = call.args[:-1]  # the last one is written
    for arg in [*args, *_names_read(walker, call)]:
        if skip_pattern and not arg.startswith("-"):
            skip_pattern = False
            if len(call.args) > 1 and not _plain_path(arg):
                continue
        text = _file_in(call.name, arg)
        if not text or text.startswith("-") or len(text) > 4096:
            continue
        text = files.real(text)
        taints |= files.taints(text)
        if call.name in _COLLECTORS and text[:1] in ("/", "~") and (text.rstrip("/*") or "/").lower() in _EVERYTHING:
            taints |= {SENSITIVE}
        if moved or "/" in text or "." in text or "~" in text or "id_" in text or "authorized_keys" in text or "\\" in text:
            taints |= _named(walker, call, text, arg)
    return taints


def _without_keys(call: Invocation) -> list[str]:
    """The arguments without the person's own key that a program logs in with: it is read, and does not leave the machine."""
    kept: list[str] = []
    for before, arg in zip(("", *call.args), call.args, strict=False):
        key = arg if before == "-i" else arg[2:] if arg.startswith("-i") else arg.partition("=")[2] if "IdentityFile=" in arg else ""
        if not key or not (key.startswith("~/") or (key[0] not in "/~" and ".." not in key)):
            kept.append(arg)
    return kept


def _without_shell(call: Invocation) -> list[str]:
    """The arguments of rsync without the command line that it logs in through, which is read as one of its own."""
    options = ("-e", "--rsh")
    return [
        arg
        for before, arg in zip(("", *call.args), call.args, strict=False)
        if not (arg.startswith("--rsh=") or before in options or (before[:1] == "-" and before[1:2].isalpha() and before.endswith("e")))
    ]


def _names_read(walker: Walker, call: Invocation) -> list[str]:
    """The names of files that a program takes from a list: standard input, or a file that this script wrote."""
    options = _NAMES_FROM_INPUT.get(call.name)
    if options is None or options.isdisjoint(call.flags):
        return []
    texts = [walker.file_text(name) for name in call.values("-T", "--files-from", "-i") if name != "-"]
    names = [line for text in [call.stdin.text, *texts] if text is not None for line in text.splitlines()]
    if len(names) > MAX_NAMES:
        walker.unreadable("too-many", f"A list of {len(names)} files; at most {MAX_NAMES} are analysed.", call.excerpt)
    return names[:MAX_NAMES]


# Programs that stop by themselves before what they read does.
_STOPPING = frozenset("head dd od xxd hexdump".split())
# Programs made for disks: rules say what each of their uses does, and what they print is about a disk, not from it.
_DEVICE_TOOLS = frozenset("blkid smartctl lsblk udevadm mke2fs vgcreate dumpe2fs findmnt wipefs".split())


def _file_in(program: str, arg: str) -> str:
    """The file that an argument may name: `f=@x`, `<x`, `file://x`, `host:x`."""
    text = arg.partition("=")[2] if "=" in arg else arg
    text = text.removeprefix("@").removeprefix("<")
    if text.startswith(("file://", "file:/")):
        text = text[5:]
    if "," in text and program in _COMMA_ENDS:
        text = text.partition(",")[0]
    if ":" in text:
        if program in _MACHINE_FIRST and "/" in text and not text.startswith(("/", "~", ".")):
            text = text.partition(":")[2]
        if program == "docker":
            text = text.partition(":")[0]
    return text


def _named(walker: Walker, call: Invocation, path: str, arg: str) -> frozenset[str]:
    if path in _ENDLESS_FILES:
        passes = call.name in FILTERS and (call.name not in _STOPPING or (call.name == "head" and amounts.is_large(call)))
        return frozenset({ENDLESS}) if passes else frozenset()
    found = paths.read_factor(path, walker.place)
    if found is None:
        return frozenset()
    if call.name in LOOKERS:
        if found.weight >= scoring.SERIOUS:
            walker.flag("discovery.secrets", scoring.NOTE, "Looks where secrets are kept.", arg)
        return frozenset()
    if (call.name in _DEVICE_TOOLS or call.name.startswith("mkfs")) and found.id == "sensitive-path.read-block-device":
        return frozenset()
    if call.name in ("git", "gh") and call.args[:1] != ("add",) and "--no-index" not in call.args:
        return frozenset()
    if call.name in ("source", ".") and _is_settings(path):
        # It is made to be loaded. What comes of its variables is what counts.
        walker.flag("execution.settings", scoring.NOTE, "Loads the project's own settings.", arg)
        walker.state.loaded = frozenset({SENSITIVE})
        return frozenset()
    if found.id == "sensitive-path.read-accounts" and call.name in _SELECTORS:
        # Everybody may read the list of accounts, and looking one up is ordinary. Where it goes is what counts.
        walker.flag("discovery.accounts", scoring.NOTE, "Looks up accounts of this machine.", arg)
        return frozenset({SENSITIVE})
    walker.add(found)
    return frozenset({SENSITIVE}) if found.weight >= scoring.MEDIUM else frozenset()


def _is_settings(path: str) -> bool:
    """Whether a path is `.env`, or `.env.test`, in the working directory or below it."""
    return path[:1] not in ("/", "~") and ".." not in path and HIDDEN not in path and path.rpartition("/")[2].startswith(".env")


def _plain_path(text: str) -> bool:
    return text.startswith(("/", "~/", "./")) and " " not in text and text.count("/") > 1 and not text.endswith("/")
