"""The files that commands write: where they are, and what they hold afterwards."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.words import NONE

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


@dataclass(frozen=True, slots=True)
class Written:
    """One file that a command writes. `source`: the file whose content it gets, "-" for standard input, or empty. `taints`: what is true of its content besides what the command reads. `shown`: whether the place counts.
    `edited`: it was changed in a way that is not followed."""

    path: str
    source: str = ""
    taints: frozenset[str] = NONE
    append: bool = False
    shown: bool = True
    edited: bool = False


_COPIES = frozenset("cp mv install ln ditto rsync scp".split())
# Options of git's that take a value, of the subcommands that put a tree of files somewhere.
_TREE_OPTIONS = (
    "-b", "-B", "--branch", "--reason", "-o", "--origin", "-u", "--upload-pack", "--template", "--reference", "--depth", "--filter", "-j", "--jobs",
    "--separate-git-dir", "--shallow-since", "--shallow-exclude", "--name", "--initial-branch", "--object-format", "--ref-format",
)  # fmt: skip
_OVERWRITERS = frozenset("tee truncate shred sponge patch ed ex dd".split())
_EXAMPLES = frozenset("example sample template dist defaults".split())  # endings of files of settings that hold no secrets
_MODES = frozenset("chmod chown chgrp chattr setfacl".split())
_FETCHED = frozenset({flows.FETCHED})
_PRINTED = frozenset({flows.PRINTED})
# Programs that put the lines that they read into a file: the options that name it, or else which of their operands does.
_KEEPERS: dict[str, tuple[str, ...] | int] = {
    "sort": ("-o", "--output"),
    "shuf": ("-o", "--output"),
    "iconv": ("-o", "--output"),
    "sponge": 0,
    "uniq": 1,
}
_REMOTE = patterns.compile(r"^(?:[\w.-]+@)?[\w.-]{2,}:|^\w{2,10}://")
_OWNER_ONLY = patterns.compile(r"^0?[0-7]00$")  # rights for the owner alone: that only ever closes
_EXTRACTS = patterns.compile(r"^-?[a-zA-Z]*x|^--extract$|^--get$")
_CREATES = patterns.compile(r"^-?[a-zA-Z]*[cru]|^--create$|^--append$|^--update$")
_SUFFIXES = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst", "lz4": ".lz4", "pigz": ".gz", "compress": ".Z", "gpg": ".gpg"}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".tgz", ".gpg", ".asc")
_CLOUD = frozenset("aws gsutil gcloud az rclone s3cmd mc".split())
_DECODERS = frozenset("openssl gpg gpg2 age sops base64 base32 uudecode ccrypt mcrypt zstd xz gzip bzip2 lz4 brotli".split())
_COMPILERS = frozenset("gcc g++ cc c++ clang clang++ go rustc tcc ghc gfortran nim zig crystal javac".split())
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".s", ".S", ".m", ".go", ".rs", ".java", ".hs", ".zig", ".nim")
_OUTPUT_OPTIONS = ("-o", "-out", "--output", "--out", "--output-file", "-O", "--result-file", "--outfile")


def follow(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Adds factors for where a command writes, and remembers what the files hold. `read`: taints of what it reads."""
    if call.dry_run:
        return
    carried = (call.taints | read | call.stdin.taints) - {flows.REDIRECTED}
    if call.name in ("unzip", "tar", "7z", "cpio") and flows.FETCHED in carried:
        walker.state.files.unpack("".join(call.values("-C", "--directory", "-d")[:1]))
    if call.name == "mv" and flows.MANY in call.taints and _adds_an_ending(call.positionals):
        message = "Renames one file after the other, outside the working directory."
        walker.flag("destruction.rename-many", scoring.MEDIUM, message, call.excerpt, span=call.span)
    if flows.EVERYWHERE in call.taints and _changes_found(call):
        message = "Changes the files that a search of a whole home folder or system finds."
        walker.flag(
            "destruction.overwrite-many", scoring.MEDIUM, message, call.excerpt, "Search one folder, and list what is found first.", call.span
        )
    files = walker.state.files
    moves = call.name == "mv" and not all(files.is_own(path) or files.is_own_folder(path) for path in call.positionals[:-1])
    for each in _written(call, carried):
        path = each.path if call.name == "ln" else files.real(each.path)
        if (
            each.shown
            and path
            and "://" not in path
            and not _REMOTE.match(path)
            and (found := paths.write_factor(path, walker.place))
            and not _fills_in(each.source, path)
        ):
            walker.add(found)
        if call.name == "ln":
            continue
        text, taints = files.text(each.source), carried | each.taints | files.taints(each.source)
        if each.source in flows.STDIN:
            text = call.stdin.text
            taints |= _PRINTED if call.stdin.present and text is None else NONE
        elif each.source:
            files.copy(each.source, path)
        if moves:
            files.disown(path)
        if call.name == "mkdir":
            files.make_folder(path, new=call.flags.isdisjoint({"-p", "--parents"}))
        if each.edited and files.text(path) is not None:  # a script that was put together in two steps
            taints |= {flows.ENCODED}
        files.write(path, taints, text, append=each.append)
    if call.name == "ln":
        _link(walker, call)
    elif call.name in ("git", "gh", "hg", "svn", "glab"):
        files.clone(_cloned(call))


def _changes_found(call: Invocation) -> bool:
    """Whether a program changes what the files hold that it is given by names which are not known before it runs."""
    if call.name in ("sed", "perl"):
        return any(flag.startswith(("-i", "--in-place", "-pi")) for flag in call.flags)
    if call.name in ("cp", "install"):
        return HIDDEN in "".join(call.positionals[-1:])
    return call.name in _OVERWRITERS


def _cloned(call: Invocation) -> str:
    """The folder into which a repository from another machine is put; empty when none is."""
    rest = list(call.positionals)
    for value in call.values(*_TREE_OPTIONS):
        if value in rest[1:]:
            rest.remove(value)
    rest = rest[1:] if rest[:1] == ["repo"] else rest
    if call.name == "git" and _takes_over(rest):
        return "."
    if rest[:1] not in (["clone"], ["checkout"], ["co"]) or (rest[0] != "clone" and call.name != "svn") or len(rest) < 2:
        return ""
    if not (_REMOTE.match(rest[1]) or call.name in ("gh", "glab")):
        return ""
    return rest[2] if len(rest) > 2 else rest[1].rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")


def _takes_over(rest: Sequence[str]) -> bool:
    """Whether the working tree becomes that of another place than the one it was cloned from, whose name nobody has looked at."""
    if rest[:1] == ["pull"]:
        return len(rest) > 1 and bool(_REMOTE.match(rest[1]))
    return rest[:1] in (["checkout"], ["switch"], ["merge"], ["reset"], ["rebase"], ["cherry-pick"]) and "FETCH_HEAD" in rest[1:]


def _adds_an_ending(operands: Sequence[str]) -> bool:
    """Whether a file gets its own name with an ending, as what encrypts or hides files gives it."""
    return len(operands) == 2 and operands[1].startswith(operands[0] + ".")


def _fills_in(source: str, path: str) -> bool:
    """Whether the project's settings are begun from the example that comes with it: `.env` from `.env.example`."""
    folder, _, name = source.rpartition("/")
    settings = posixpath.dirname(path) == folder and path.rpartition("/")[2].startswith(".env") and not folder.startswith(("/", "~"))
    return settings and name.startswith(".env.") and name.rpartition(".")[2] in _EXAMPLES


def _written(call: Invocation, carried: frozenset[str]) -> Iterator[Written]:
    name, rest = call.name, list(call.positionals)
    if name in _COPIES:
        yield from _copied(call, rest)
    elif name == "tee":
        append = bool(call.flags & {"-a", "--append"})
        yield from (Written(path, "-", append=append) for path in rest)
    elif name in ("touch", "mkdir"):
        yield from (Written(path, source=path) for path in rest)
    elif name == "git":
        yield from (Written(path) for path in _checked_out(call, rest))
    elif name in ("shred", "rmdir", "unlink", "truncate"):
        yield from (Written(path) for path in rest)
    elif name in _MODES:
        if not (rest and _OWNER_ONLY.match(rest[0])):
            yield from (Written(path, source=path) for path in rest[1:] if paths.classify(path))
    elif name in ("sed", "perl"):
        if any(flag.startswith(("-i", "--in-place", "-pi")) for flag in call.flags):
            yield from (Written(path, edited=True) for path in rest[1:])
    elif name in ("curl", "wget"):
        yield from _downloaded(call)
    elif name == "dd":
        yield from _converted(call)
    elif name in ("mkfifo", "mknod"):
        yield from (Written(path, taints=_PRINTED) for path in (rest if name == "mkfifo" else rest[:1] if rest[1:2] == ["p"] else ()))
    elif name in _KEEPERS:
        yield from _kept(call, rest)
    elif name in ("tar", "zip", "7z", "rar", "unzip", "cpio"):
        yield from _archive(call, rest)
    elif name in _SUFFIXES or name == "gunzip":
        yield from _compressed(call, rest)
    elif name in _CLOUD:
        yield from _from_cloud(call, rest)
    elif name == "split":
        names = (f"{rest[1] if len(rest) > 1 else 'x'}{suffix}" for suffix in ("*", "aa", "ab", "00", "01"))
        yield from (Written(path, rest[0] if rest else "-", shown=False) for path in names)
    elif name == "xxd" and len(rest) > 1:
        yield Written(rest[1], taints=frozenset({flows.ENCODED}) if "-r" in call.flags else NONE)
    elif name in _COMPILERS:
        built = NONE if any(paths.is_temporary(path) for path in rest if path.endswith(_SOURCES)) else frozenset({flows.BUILT})
        yield from (Written(path, taints=built, shown=False) for path in call.values("-o", "--output"))
    elif carried or name == "openssl":
        decodes = frozenset({flows.ENCODED}) if name in _DECODERS and ("-d" in call.flags or "--decrypt" in call.flags) else NONE
        yield from (Written(path, taints=decodes, shown=False) for path in call.values(*_OUTPUT_OPTIONS) if path != "-")


def _converted(call: Invocation) -> Iterator[Written]:
    """`dd if=A of=B`: all of A, unless more is said."""
    given = {key: value for key, _, value in (arg.partition("=") for arg in call.args)}
    path = given.get("of", "")
    if not path or path.startswith("/dev/"):
        return
    if given.keys() <= {"if", "of", "bs", "ibs", "obs", "status", "oflag", "iflag"}:
        yield Written(path, given.get("if", "-"))
    else:
        yield Written(path, taints=_PRINTED if call.stdin.present and "if" not in given else NONE)


def _kept(call: Invocation, rest: list[str]) -> Iterator[Written]:
    named = _KEEPERS[call.name]
    targets, sources = (rest[named : named + 1], rest[:named]) if isinstance(named, int) else (call.values(*named), rest)
    yield from (Written(path, sources[0] if len(sources) == 1 else "" if sources else "-") for path in targets if path != "-")


def _checked_out(call: Invocation, rest: list[str]) -> list[str]:
    """The folder into which git puts a whole tree of files."""
    for value in call.values(*_TREE_OPTIONS):
        if value in rest[1:]:
            rest.remove(value)
    if rest[:2] == ["worktree", "add"] or rest[:2] == ["submodule", "add"]:
        return rest[2:3] if rest[0] == "worktree" else rest[3:4]
    if rest[:1] == ["clone"]:
        return rest[2:3]
    return rest[1:2] if rest[:1] == ["init"] else []


def _copied(call: Invocation, rest: list[str]) -> Iterator[Written]:
    named = call.values("-t", "--target-directory")
    sources = rest if named else rest[:-1]
    targets = named or rest[-1:]
    if call.name == "install" and "-d" in call.flags:
        yield from (Written(path) for path in rest)
        return
    if not sources:
        return
    for target in targets:
        folder = bool(named) or len(sources) > 1 or target.endswith("/") or target in (".", "..", "~")
        for source in sources:
            remote = _FETCHED if call.name in ("scp", "rsync") and _REMOTE.match(source) else NONE
            name = source.rstrip("/").rpartition("/")[2].rpartition(":")[2]
            if folder and name:
                yield Written(f"{target.rstrip('/')}/{name}", source, taints=remote)
            if not folder or target.endswith(("/", "~", ".")) or len(sources) == 1:
                yield Written(target, "" if folder else source, taints=remote)
            elif source is sources[0]:
                yield Written(target)
    if call.name == "mv":
        yield from (Written(source) for source in sources if paths.classify(source))


def _link(walker: Walker, call: Invocation) -> None:
    """`ln -s TARGET NAME`, `ln TARGET...  FOLDER`: the names stand for the targets from here on."""
    rest = list(call.positionals)
    named = call.values("-t", "--target-directory")
    if not rest:
        return
    name = named[0] if named else (rest[-1] if len(rest) > 1 else ".")
    for target in rest if named or len(rest) == 1 else rest[:-1]:
        base = target.rstrip("/").rpartition("/")[2]
        into = bool(named) or len(rest) != 2 or name.endswith("/") or name in (".", "..")
        walker.state.files.link(f"{name.rstrip('/') or ''}/{base}" if into else name, target)


def _downloaded(call: Invocation) -> Iterator[Written]:
    folder = "".join(f"{path.rstrip('/')}/" for path in call.values("-P", "--directory-prefix", "--output-dir", "-d" if _is_aria(call) else "-P")[:1])
    if call.name == "curl":
        named = call.values("-o", "--output")
        by_address = bool(call.flags & {"-O", "--remote-name", "--remote-name-all", "-J"})
    else:
        named = call.values("-o", "--out", "--output") if _is_aria(call) else call.values("-O", "--output-document")
        by_address = not named
    for path in named:
        if path != "-":
            yield Written(folder + path, taints=_FETCHED)
    if by_address:
        for address in call.positionals:
            name = address.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]
            yield Written(folder + name, taints=_FETCHED, shown=bool(folder))
    if folder and not named:
        yield Written(folder.rstrip("/"), taints=_FETCHED)


def _is_aria(call: Invocation) -> bool:
    """Whether a program that counts as wget is one of those whose -o names the file and not the log."""
    return call.typed.rpartition("/")[2] in ("aria2c", "axel")


def _archive(call: Invocation, rest: list[str]) -> Iterator[Written]:
    if call.name == "unzip":
        yield from (Written(path) for path in call.values("-d"))
    elif call.name == "cpio":
        if call.flags & {"-i", "--extract"}:
            yield from (Written(path) for path in call.values("-D", "--directory"))
    elif call.name == "7z" and rest[:1] in (["x"], ["e"]):
        yield from (Written(arg[2:]) for arg in call.args if arg.startswith("-o") and len(arg) > 2)
    elif call.name in ("zip", "7z", "rar"):
        names = rest if call.name == "zip" else rest[1:] if rest[:1] in (["a"], ["u"]) else []
        target = names[0] if names else ""
        if target:
            yield Written(target)
            yield Written(f"{target}.zip", shown=False)
    elif call.name == "tar" and call.args:
        if any(_EXTRACTS.match(arg) for arg in call.args[:1] + tuple(arg for arg in call.args[1:] if arg[:1] == "-" and arg[1:2] not in "Cf")):
            yield from (Written(path) for path in call.values("-C", "--directory") if paths.classify(path))
        elif _CREATES.match(call.args[0]):
            bundled = "f" in call.args[0] and not call.args[0].startswith("--")
            named = [call.args[1]] if bundled and len(call.args) > 1 else call.values("-f", "--file")
            yield from (Written(path) for path in named if path != "-")


def _compressed(call: Invocation, rest: list[str]) -> Iterator[Written]:
    named = call.values("-o", "--output")
    decodes = call.name == "gunzip" or bool(call.flags & {"-d", "--decompress", "--decrypt"})
    taints = frozenset({flows.ENCODED}) if decodes else NONE
    for path in named:
        yield Written(path, taints=taints)
    if named or (call.flags & {"-c", "--stdout"} and call.name != "gpg"):
        return
    for path in rest:
        suffix = next((s for s in _PACKED if path.endswith(s)), "")
        if decodes and suffix:
            yield Written(path.removesuffix(suffix), taints=taints)
        elif not decodes:
            yield Written(path + _SUFFIXES.get(call.name, ""), shown=False)


def _from_cloud(call: Invocation, rest: list[str]) -> Iterator[Written]:
    """Copies from a bucket: `aws s3 cp s3://b/x x`."""
    for path in call.values("-f", "--file") if call.name == "az" else ():
        yield Written(path, taints=_FETCHED)
    if len(rest) > 1 and {"cp", "sync", "copy", "get", "rsync", "mv"} & set(rest[:3]) and _REMOTE.match(rest[-2]) and not _REMOTE.match(rest[-1]):
        name = rest[-2].rstrip("/").rpartition("/")[2]
        yield Written(rest[-1], taints=_FETCHED)
        yield Written(f"{rest[-1].rstrip('/')}/{name}", taints=_FETCHED, shown=False)
