"""Programs that start a command in another context of this machine, and whose operands before it are no fixed number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.shell import options
from services.approval.risk.shell.invocation import Flow, Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_RUNCON = options.syntax(values="-t -u -r -l --type --user --role --range", flags="-c --compute")


def _runcon(walker: Walker, call: Invocation) -> Flow | None:
    """`runcon CONTEXT cmd`, `runcon -t TYPE cmd`."""
    index = 0
    parts = False
    while index < len(call.words) and options.is_option(call.words[index].text):
        found = options.read(_RUNCON, call.words, index)
        parts = parts or any(option.value is not None for option in found)
        index += found[-1].taken if found else 1
    return walker.run_words(list(call.words[index if parts else index + 1 :]), call.stdin)


def _podman(walker: Walker, call: Invocation) -> Flow | None:
    """`podman unshare cmd`: on this machine, with the rights of a container's root."""
    if call.positionals[:1] != ("unshare",):
        return None
    words = list(call.words[call.args.index("unshare") + 1 :])
    while words and options.is_option(words[0].text):
        del words[0]
    return walker.run_words(words, call.stdin)


HANDLERS = {"runcon": _runcon, "docker": _podman}
