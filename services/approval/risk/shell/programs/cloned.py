"""Programs that run what a folder holds, in a repository that the same script cloned: nobody has seen that yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import scoring
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_ANY: frozenset[str] = frozenset()
_INSTALLS = frozenset("i ci install add test t run run-script start exec rebuild build".split())
# Programs that run code of the folder they work in, and the first words with which they do; no words: always.
_RUNS_A_FOLDER: dict[str, frozenset[str]] = {
    **dict.fromkeys("make gmake just task rake ant mvn gradle bazel ninja tox nox pytest invoke scons waf meson cmake".split(), _ANY),
    **dict.fromkeys(("npm", "pnpm", "bun"), _INSTALLS),
    "yarn": _ANY,
    **dict.fromkeys("pip uv poetry pipenv pdm".split(), frozenset("install sync run build".split())),
    "cargo": frozenset("build run test install bench b r t".split()),
    "go": frozenset("run test generate".split()),
    "composer": frozenset({"install", "update", "run-script"}),
    **dict.fromkeys(("bundle", "bundler"), frozenset({"install", "exec"})),
    "docker": frozenset({"compose"}),
    "docker-compose": frozenset({"up", "run"}),
    "vagrant": frozenset({"up"}),
    "terraform": frozenset({"apply"}),
}
_FOLDER_OPTIONS = ("-C", "--directory", "--prefix", "--cwd", "--project-directory", "--manifest-path", "-f", "--file", "-S", "-p", "--path", "-r")


def enter(walker: Walker, call: Invocation) -> None:
    """Flags a program that runs what is in a cloned folder."""
    if not walker.state.files.has_clones or (words := _RUNS_A_FOLDER.get(call.name)) is None:
        return
    if words and words.isdisjoint(call.positionals[:1]):
        return
    if call.name == "docker" and "up" not in call.positionals[1:]:
        return
    given = [*call.values(*_FOLDER_OPTIONS), *(each for each in call.positionals[1:] if "/" in each or each == ".")]
    flag(walker, call, *(given or ["."]))


def flag(walker: Walker, call: Invocation, *names: str) -> None:
    """Flags a command that runs one of these files or folders, when it is in a cloned repository."""
    if any(walker.state.files.is_cloned(path) for path in names):
        walker.flag(
            "execution.cloned",
            scoring.MEDIUM,
            "Runs code of a repository that the same script cloned, unseen.",
            call.excerpt,
            "Clone it, read what would run, then run it.",
            call.span,
        )
