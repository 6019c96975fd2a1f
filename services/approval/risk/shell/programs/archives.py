"""Archivers: options that run a command for an archive's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
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


HANDLERS = {"tar": _archive, "zip": _archive, "cpio": _archive, "star": _archive}
