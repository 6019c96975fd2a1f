"""What a command prints: its text where that is a constant, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN, STARTED
from services.approval.risk.scoring import MEDIUM
from services.approval.risk.shell import amounts
from services.approval.risk.shell.flows import (
    ENCODED,
    ENDLESS,
    ENVIRONMENT,
    EVERYWHERE,
    FETCHED,
    FETCHERS,
    FILTERS,
    IDENTITY,
    LISTED,
    LOCAL,
    MANY,
    REDIRECTED,
    SECRET,
    STDIN,
    is_elsewhere,
    is_secret_name,
)
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.words import decoded

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_HOLES = patterns.compile(r"%[sb]")
_OCTAL = patterns.compile(r"(?s)\\0([0-7]{1,3})|\\.")
_PERCENT = "\ue010"  # a percent sign that printf prints
MAX_PLACES = 20  # places of one search that are looked at
MAX_TEXT = 1 << 16  # characters that one command is known to print


def output_of(walker: Walker, call: Invocation, read: frozenset[str]) -> Flow:
    """What a command prints. `read` are the taints of the files that its arguments name."""
    name = call.name
    taints = (call.taints | read) - {REDIRECTED}
    if name == "yes":
        return Flow(taints=taints | {ENDLESS}, present=True)
    if name in ("echo", "printf"):
        return Flow(spoken(name, call.args), taints, present=True)
    if name in ("locate", "plocate", "mlocate"):
        return Flow(taints=taints | {MANY, EVERYWHERE}, present=True)
    if name in ("find", "fd") and any(is_elsewhere(path) for path in call.positionals[:MAX_PLACES]):
        whole = {EVERYWHERE} if any(map(paths.is_root, call.positionals[:MAX_PLACES])) else _NOTHING
        return Flow(taints=taints | {MANY} | whole, present=True)
    if name in FETCHERS:
        return Flow(taints=taints | {FETCHED}, present=True)
    if name in _ENVIRONMENT and (not call.positionals or name in ("history", "fc")):
        return Flow(taints=taints | {ENVIRONMENT}, present=True)
    if name == "printenv" and any(map(is_secret_name, call.positionals)):
        return Flow(taints=taints | {SECRET}, present=True)
    if name in FILTERS:
        return _filtered(walker, call, taints)
    if name in _LISTERS or (name == "git" and _LISTS_CONTENT.intersection(call.positionals[:1])):
        taints |= {LISTED}
    elif name in _IDENTITY or (name == "uname" and not call.flags.isdisjoint(_NODE)):
        taints |= {IDENTITY}
    if name in ("which", "type", "whereis") and len(call.positionals) == 1:
        return Flow(found(walker, call.positionals[0]) if name == "which" else call.positionals[0], taints, present=True)
    if name == "pwd":
        return Flow(".", taints, present=True)
    if (name == "jobs" and "-p" in call.flags) or (name == "docker" and _starts_container(call)):
        return Flow(f"{STARTED}\n", taints, present=True)
    if name == "mktemp":
        return Flow(walker.state.files.temporary(), taints, present=True)
    if not _SETTINGS.get(name, _NOTHING).isdisjoint(call.positionals[:2]) or name in _PRINTS_SETTINGS or "completion" in call.positionals[:2]:
        return Flow(":\n", taints, present=True)
    if name in _SILENT:
        return Flow(taints=taints, present=True)
    return Flow(taints=taints | (call.stdin.taints - {REDIRECTED, ENDLESS}), present=True)


def found(walker: Walker, program: str) -> str:
    """Where a program is that `which` or `command -v` looks for: a path that stands for wherever the system keeps it."""
    return f"/usr/bin/{program}" if program.isascii() and "/" not in program and not walker.resolve_defined(program) else program


def _starts_container(call: Invocation) -> bool:
    """`docker run -d`, `docker create`: what is printed is the name of a container that did not exist before."""
    words = call.positionals[1:] if call.positionals[:1] == ("container",) else call.positionals
    if len(words) < 2 or words[0] not in ("run", "create"):
        return False
    own = call.args[: call.args.index(words[1])]  # what follows the image is for the program in it
    return words[0] == "create" or any(arg in ("-d", "--detach", "-dit", "-itd", "-td", "-dt") for arg in own)


# Programs that print what is on this machine or in its project, at some length.
_LISTERS = frozenset("ls find tree ps ifconfig ip netstat ss lsof id w who last dmesg ipconfig systeminfo lscpu lsblk".split())
_IDENTITY = frozenset("whoami hostname hostnamectl logname hostid".split())
_NODE = frozenset("-a -n --all --nodename".split())  # options with which uname says the name of the machine, and not only what kind it is
_LISTS_CONTENT = frozenset("diff show format-patch archive bundle stash grep blame cat-file".split())  # subcommands of git
_NOTHING: frozenset[str] = frozenset()
# Programs that print settings for the shell which is to evaluate them, and the first operands with which they do.
_PRINTS_SETTINGS = frozenset("ssh-agent dircolors gpg-agent register-python-argcomplete lesspipe lesspipe.sh keychain".split())
_SETTINGS = {
    **dict.fromkeys(("pyenv", "rbenv", "nodenv", "goenv", "jenv", "plenv", "phpenv", "starship", "zoxide", "atuin", "mcfly", "navi"), frozenset({"init"})),
    "brew": frozenset({"shellenv"}), "direnv": frozenset({"hook", "export"}), "mise": frozenset({"activate", "env"}), "fnm": frozenset({"env"}),
    "conda": frozenset({"shell.bash", "shell.zsh", "shell.posix"}), "mamba": frozenset({"shell"}), "micromamba": frozenset({"shell"}),
    "opam": frozenset({"env"}), "minikube": frozenset({"docker-env", "podman-env"}), "docker-machine": frozenset({"env"}), "podman": frozenset({"env"}),
    "pipx": frozenset({"completions"}), "pip": frozenset({"completion"}), "rustup": frozenset({"completions"}), "hub": frozenset({"alias"}),
    "luarocks": frozenset({"path"}), "pixi": frozenset({"shell-hook"}), "poetry": frozenset({"completions"}),
}  # fmt: skip
_ENVIRONMENT = frozenset("env printenv set export declare typeset compgen history fc".split())
# Programs whose output says nothing of what they read, or that print none.
_SILENT = frozenset("wc test [ [[ cd mkdir rm cp mv chmod touch true false sleep kill md5sum sha1sum sha256sum sha512sum cksum b2sum sum cmp".split())


def spoken(name: str, arguments: Sequence[str]) -> str | None:
    """What echo or printf prints for constant arguments; None when that is not known."""
    args = list(arguments)
    if name == "echo":
        escapes, end = False, "\n"
        while args and len(args[0]) > 1 and args[0][0] == "-" and not args[0][1:].strip("neE"):
            option = args.pop(0)
            escapes = escapes or "e" in option
            end = "" if "n" in option else end
        text = " ".join(args)
        return ((_plain(text) if escapes else text) or "") + end
    if args and args[0] == "--":
        args.pop(0)
    if not args:
        return ""
    layout = decoded(args[0], "printf") or ""
    rest = args[1:]
    if "%" not in layout:
        return layout
    layout = layout.replace("%%", _PERCENT)
    if "%b" in layout:
        rest = [_plain(each) or "" for each in rest]
    pieces = _HOLES.split(layout)
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
        if len(text) > MAX_TEXT:
            return None
    return text.replace(_PERCENT, "%")


def _plain(text: str) -> str | None:
    """What `echo -e` makes of its escapes: an octal number has a zero before it there."""
    return decoded(_OCTAL.sub(lambda m: f"\\{m.group(1):0>3}" if m.group(1) else m.group(), text) if "\\0" in text else text, "printf")


def _filtered(walker: Walker, call: Invocation, taints: frozenset[str]) -> Flow:
    """What a program prints that passes on what it reads, from its one file or from standard input."""
    source = _source(walker, call)
    taints |= source.taints - {REDIRECTED}
    if call.name in ("head", "dd") and (call.name == "dd" or not amounts.is_large(call)):
        taints -= {ENDLESS}
    elif ENDLESS in taints and call.name in ("tail", "tac", "sort", "sponge"):
        walker.flag("resource.memory", MEDIUM, "Keeps all of an endless input in memory.", call.excerpt, "Say how much to read.", call.span)
    if source.text == f"{STARTED}\n" and call.name in ("cat", "tee"):
        return Flow(source.text, taints, present=True)
    if source.text is not None and HIDDEN not in source.text and len(source.text) <= MAX_TEXT:
        text, changed = _changed(call, source.text)
        return Flow(text, taints | {ENCODED} if changed else taints, present=True)
    return Flow(taints=taints | {ENCODED} if _decodes(call) else taints, present=True)


def _source(walker: Walker, call: Invocation) -> Flow:
    """What a filter reads: standard input, or the one file among its operands."""
    skip = 1 if call.name in ("sed", "awk", "grep", "egrep", "fgrep", "rg", "jq", "yq") and not call.flags & {"-e", "-f"} else 0
    files = [p for p in call.positionals[skip:] if p not in STDIN]
    if call.name in ("tee", "tr") or not files:
        return call.stdin
    if call.name in ("base64", "base32", "openssl", "xxd", "gzip", "gunzip", "xz", "bzip2", "zstd", "gpg", "sed", "rev", "cat") and len(files) == 1:
        return Flow(walker.file_text(files[0]), walker.file_taint(files[0]) | {LOCAL}, present=True)
    return Flow(taints=call.stdin.taints | {LOCAL}, present=True)


def _decodes(call: Invocation) -> str:
    """How a filter makes plain what was not, as `words.decoded` names it; "unknown" for a way that is not followed, or empty."""
    name = call.name
    if name in ("base64", "base32", "uudecode"):
        return (name if name != "uudecode" else "unknown") if name == "uudecode" or call.flags & {"-d", "-D", "--decode", "-di"} else ""
    if name == "openssl":
        if "-d" not in call.args:
            return ""
        plain = {"base64", "-base64", "-a", "-A"} & set(call.args) and not any(a.startswith(("-aes", "-des", "-k", "-pass")) for a in call.args)
        return "base64" if plain else "unknown"
    if name == "xxd":
        return ("hex" if call.flags & {"-p", "-ps", "-plain"} else "unknown") if "-r" in call.flags else ""
    if name == "rev":
        return "rev"
    if name in ("gunzip", "gpg") or (name in ("gzip", "xz", "bzip2", "zstd", "lz4", "pigz") and call.flags & {"-d", "--decompress", "-dc", "-cd"}):
        return "unknown"
    return ""


def _changed(call: Invocation, text: str) -> tuple[str | None, bool]:
    """What a filter makes of a known text, None when that is not followed; and whether it was encoded before."""
    if how := _decodes(call):
        return (decoded(text, how) if how != "unknown" else None), True
    if call.name == "cat":
        return text, False
    if call.name == "tee":
        return text, False
    if call.name == "tr":
        if call.flags & {"-d", "--delete"} and len(call.positionals) == 1:
            gone = _spread(call.positionals[0])
            return text.translate(dict.fromkeys(map(ord, gone))), False
        if len(call.positionals) == 2 and not call.flags:
            return _translated(text, *call.positionals), False
    if call.name == "sed" and not call.flags and len(call.positionals) == 1:
        return _substituted(text, call.positionals[0]), False
    return None, False


def _translated(text: str, old: str, new: str) -> str | None:
    """What `tr OLD NEW` makes of a text."""
    old, new = _spread(old), _spread(new)
    if not new:
        return None
    return text.translate({ord(a): b for a, b in zip(old, new.ljust(len(old), new[-1]), strict=False)})


def _substituted(text: str, script: str) -> str | None:
    """What `sed s/OLD/NEW/` makes of a text, when OLD and NEW are plain letters."""
    if len(script) < 4 or script[0] != "s":
        return None
    parts = script[1:].split(script[1])[1:]
    if len(parts) != 3 or parts[2] not in ("", "g") or not parts[0] or any(letter in parts[0] + parts[1] for letter in ".*[]^$\\&+?(){}|"):
        return None
    if len(text) + text.count(parts[0]) * len(parts[1]) > MAX_TEXT:
        return None
    if parts[2]:
        return text.replace(parts[0], parts[1])
    return "\n".join(line.replace(parts[0], parts[1], 1) for line in text.split("\n"))


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
