"""Archivers: options that run a command for an archive's files, and archives that are unpacked over the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_COMPRESSORS = patterns.compile(r"^(?:pigz|unpigz|zstd|unzstd|zstdmt|xz|lz4|lbzip2|pbzip2|gzip|bzip2|brotli|pixz|lzip|plzip|lzop)(?:\s+-[\w=,-]+)*$")
_RUNS = ("--to-command", "--use-compress-program", "--info-script", "--new-volume-script", "--rsh-command", "--rmt-command")


def _archive(walker: Walker, call: Invocation) -> None:
    runs = [v.partition("exec=")[2] for v in call.values("--checkpoint-action") if "exec=" in v]
    runs += call.values(*_RUNS)
    if call.name == "tar":
        runs += [v for v in call.values("-I", "-F") if v and v.strip()]
    elif call.name == "zip":
        runs += call.values("-TT", "--unzip-command")
    for script in runs:
        if _COMPRESSORS.match(script):
            continue
        walker.flag(
            "escape.archive-command", scoring.HIGH, "An archive option runs a command.", call.excerpt, "Pack and unpack without it.", call.span
        )
        walker.run_text(script)
    _unpacked(walker, call)


def _unpacked(walker: Walker, call: Invocation) -> None:
    """What comes out of an archive may replace any file of the folder that it is unpacked into, or any at all."""
    if not unpacks(call) or call.dry_run:
        return
    options = ("-C", "--directory", "--cd") if call.name == "tar" else ("-D", "--directory") if call.name == "cpio" else ("-d",)
    folders = call.values(*options) or [walker.cwd]
    if any(folder and paths.normalised(folder, walker.cwd) == "/" for folder in folders):
        walker.flag(
            "sensitive-path.unpack",
            scoring.HIGH,
            "Unpacks an archive over the system, any file of which it may replace.",
            call.excerpt,
            "Unpack it into a new folder, and look at it.",
            call.span,
        )
    elif call.name == "tar" and _has(call, "P", "--absolute-names", "--absolute-paths"):
        walker.flag(
            "sensitive-path.unpack",
            scoring.SERIOUS,
            "Unpacks files to wherever the archive says.",
            call.excerpt,
            "Unpack it into a new folder, without -P.",
            call.span,
        )


def unpacks(call: Invocation) -> bool:
    """Whether files come out of an archive."""
    if call.name == "tar":
        return _has(call, "x", "--extract", "--get")
    if call.name == "cpio":
        return bool(call.flags & {"-i", "--extract"}) and call.flags.isdisjoint(("-t", "--list"))
    return call.name == "unzip" and call.flags.isdisjoint(("-l", "-t", "-Z", "-v", "-z", "-p", "-c"))


def _has(call: Invocation, letter: str, *names: str) -> bool:
    """Whether tar was given an option: by a name, in joined letters, or in its first argument, which needs no dash."""
    first = call.args[0] if call.args else ""
    bundled = first if first[:1] != "-" and first.isalpha() else ""
    joined = [bundled, *(arg for arg in call.args if arg[:1] == "-" and arg[1:2] != "-" and arg[1:2] not in _TAKES)]
    return not call.flags.isdisjoint(names) or any(letter in part for part in joined)


_TAKES = frozenset("CfTXIFbgKLNV")  # options of tar's of which the rest of the argument is the value


HANDLERS = {"tar": _archive, "zip": _archive, "cpio": _archive, "star": _archive, "unzip": _archive}
