"""Files and disks: removal by target, and raw copies by device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, NOTE, SERIOUS
from services.approval.risk.shell import amounts, caches, flows
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_ELSEWHERE = patterns.compile(r"^[\w.@-]+:")  # "host:path": not a file of this machine
_OPTION = patterns.compile(r"^-{1,2}\w")
PROGRAMS = frozenset("rm rmdir dd rename prename".split())


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Removal by target, and raw copies by device, of one of `PROGRAMS`."""
    if call.name == "rm":
        _rm(walker, call)
    elif call.name == "rmdir":
        _rmdir(walker, call)
    elif call.name == "dd":
        _dd(walker, call)
    elif call.flags.isdisjoint(("-n", "--no-act", "--nono")):
        for target in call.positionals[1:]:
            _write(walker, target)


def _write(walker: Walker, target: str) -> None:
    if target and "://" not in target and not _ELSEWHERE.match(target) and (found := paths.write_factor(target, walker.place)):
        walker.add(found)


def _rm(walker: Walker, call: Invocation) -> None:
    flags = {f.lower() for f in call.flags}
    if "--help" in flags or "--version" in flags:
        return
    if call.positionals and all(walker.state.files.is_own(target) for target in call.positionals):
        walker.flag("destruction.temporary", NOTE, "Removes the temporary files that this script made.", call.excerpt, span=call.span)
        return
    recursive = bool(flags & {"-r", "--recursive"})
    if not recursive and call.positionals and all(walker.state.files.is_overwritten(target) for target in call.positionals):
        # What was there before went when the script wrote the file, and so did what that is worth.
        walker.flag("destruction.own", NOTE, "Removes files that this script wrote.", call.excerpt, span=call.span)
        return
    if recursive and call.positionals and all(walker.state.files.is_own_folder(target) for target in call.positionals):
        walker.flag("destruction.own", NOTE, "Removes folders that this script made.", call.excerpt, span=call.span)
        return
    if call.positionals and all(caches.is_cache(walker, target) for target in call.positionals):
        walker.flag("destruction.cache", NOTE, "Removes caches, which tools make again.", call.excerpt, span=call.span)
        return
    targets = [p for p in call.positionals if not _OPTION.match(p)]
    if not targets:
        if recursive:
            walker.flag("destruction.recursive-delete", MEDIUM, "Removes whole folders.", call.excerpt, span=call.span)
        return
    weight, message = (SERIOUS, "Removes folders with everything in them.") if recursive else (MEDIUM, "Removes files.")
    for target in targets:
        here = walker.moved or (walker.cwd if walker.cwd == "/" else "")
        if (recursive and (paths.is_root(target) or paths.is_root(paths.normalised(target, here)))) or "--no-preserve-root" in flags:
            weight, message = CRITICAL, "Removes the system or a person's files."
            break
        hidden = target.startswith(HIDDEN)
        wide = target in ("*", ".", "..", "./*", "../*", ".*", "./", "../", "$PWD", "./.") or target.startswith("../")
        if recursive and weight < HIGH and (hidden or wide):
            weight = HIGH
            message = "Removes folders that are not known before it runs." if hidden else "Removes everything in the working directory, or above it."
        _write(walker, target)
    kind = "recursive-delete" if recursive else "delete"
    walker.flag(f"destruction.{kind}", weight, message, call.excerpt, "Move it aside, or remove exactly the files that are meant.", call.span)


def _rmdir(walker: Walker, call: Invocation) -> None:
    if not call.positionals:
        return
    own = all(walker.state.files.is_made_folder(target) for target in call.positionals)
    weight, message = (NOTE, "Removes empty folders that this script made.") if own else (MEDIUM, "Removes files or folders.")
    walker.flag("destruction.own" if own else "destruction.delete", weight, message, call.excerpt, span=call.span)


def _dd(walker: Walker, call: Invocation) -> None:
    for arg in call.args:
        key, _, value = arg.partition("=")
        if key == "of":
            kind = paths.classify(value)
            if kind is not None and kind.id == "block-device":
                walker.flag("destruction.overwrite-disk", CRITICAL, "Overwrites a disk.", call.excerpt, "Write into an image file.", call.span)
            else:
                _write(walker, value)
    targets = [arg[3:] for arg in call.args if arg.startswith("of=")]
    endless = any(arg.startswith(("if=/dev/zero", "if=/dev/urandom", "if=/dev/random")) for arg in call.args) or flows.ENDLESS in call.stdin.taints
    if endless and targets and not targets[-1].startswith("/dev/") and amounts.is_large(call):
        walker.flag("resource.fill", MEDIUM, "Takes a great part of a disk.", call.excerpt, "Say how much to write.")
