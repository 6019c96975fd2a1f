"""Version control: settings, options and hooks that name a program to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.shell import flows, options
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.programs.shells import SHELLS

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_GIT_RUNS = patterns.compile(
    r"(?i)^(?:alias\..+|core\.(?:pager|editor|sshcommand|fsmonitor|hookspath|gitproxy|askpass)|pager\..+|credential\.(?:.*\.)?helper|diff\.external"
    r"|diff\..+\.(?:command|textconv)|filter\..+\.(?:clean|smudge|process)|merge\..+\.driver|sequence\.editor|uploadpack\.packobjectshook"
    r"|protocol\.ext\.allow|(?:merge|diff)tool\..+\.cmd|gpg\..*program|browser\..+\.cmd|interactive\.difffilter|include(?:if\..+)?\.path)$"
)
_PLAIN_PROGRAM = patterns.compile(r"^[\w -]{1,40}$")
# Options of subcommands whose value is a program.
_PROGRAM_OPTIONS = ("--upload-pack", "--receive-pack", "--extcmd")
_WITH_PROGRAMS = frozenset("difftool fetch clone ls-remote pull push archive fetch-pack send-pack".split())
_WORKTREE = options.syntax(values="-b -B --reason", flags="-f -d -q --force --detach --quiet --lock --orphan --track --guess-remote")
_FILTERS = ("--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--parent-filter", "--tag-name-filter", "--setup")


def _git(walker: Walker, call: Invocation) -> None:
    for setting in call.values("-c", "--config", "--config-env"):
        key, _, value = setting.partition("=")
        _setting(walker, call, key, value)
    sub = call.positionals[:1]
    args = list(call.args)
    if sub == ("config",):
        given = [p for p in call.positionals[1:] if p not in ("set", "get", "add", "unset", "list")]
        if len(given) >= 2:
            _setting(walker, call, given[0], given[1])
    elif sub == ("bisect",) and call.positionals[1:2] == ("run",):
        walker.run_words(list(call.words[args.index("run") + 1 :]))
    elif sub == ("submodule",) and "foreach" in call.args:
        code.shell_text(walker, code.joined([w for w in call.words[args.index("foreach") + 1 :] if w.text not in ("--recursive", "-q", "--quiet")]))
    elif sub == ("grep",):
        for value in call.values("-O", "--open-files-in-pager"):
            walker.run_text(value)
    elif sub == ("rebase",):
        for value in call.values("--exec", "-x"):
            walker.run_text(value)
    if sub and sub[0] in _WITH_PROGRAMS:
        for value in [*call.values(*_PROGRAM_OPTIONS), *(call.values("-x") if sub[0] == "difftool" else ()), *call.values("--exec")]:
            walker.flag("escape.git", scoring.MEDIUM, "A git option names a program to run.", call.excerpt)
            walker.run_text(value)
    elif sub == ("worktree",):
        _worktree(walker, call)
    for value in [*call.values("--output"), *(call.values("-o") if sub == ("archive",) else ())]:
        flows.writes(walker, value, Flow())
    for value in call.values(*_FILTERS):
        walker.run_text(value)
    for value in call.values("--exec-path", "--template"):
        if value and not value.startswith("/usr/"):
            walker.flag("escape.git", scoring.MEDIUM, "Git takes programs or hooks from a folder of the caller's.", call.excerpt)
    for value in call.positionals[1:]:
        if value.startswith("ext::"):
            walker.flag("escape.git", scoring.HIGH, "The remote is a command.", call.excerpt)
            walker.run_text(value.removeprefix("ext::").partition(" %")[0])


def _worktree(walker: Walker, call: Invocation) -> None:
    """`git worktree add FOLDER`, `git worktree remove FOLDER`: nobody else's work is in one that this script made."""
    words = call.words[call.args.index("worktree") + 1 :]
    _, operands = options.split(_WORKTREE, words)
    verb, folder = [*(word.text for word in operands), "", ""][:2]
    files = walker.state.files
    if verb == "add" and folder:
        files.make_folder(folder)
    elif verb == "remove" and not (files.is_made_folder(folder) or files.is_own(folder)):
        walker.flag("history.worktree", scoring.MEDIUM, "Removes a working tree.", call.excerpt, span=call.span)


def _setting(walker: Walker, call: Invocation, key: str, value: str) -> None:
    name = key.lower()
    if name.startswith("url.") and name.endswith(("insteadof", "pushinsteadof")) and "@" not in key:
        walker.flag("escape.git-address", scoring.MEDIUM, "Git fetches from another place than the one it is told.", call.excerpt)
        return
    if not value or not _GIT_RUNS.match(key):
        return
    if name.startswith("alias."):
        if value.startswith("!"):
            walker.run_text(value[1:])
            walker.flag("escape.git-alias", scoring.MEDIUM, "A git alias runs a shell command.", call.excerpt)
        return
    if name.endswith(("helper", "pager", "editor")) and _PLAIN_PROGRAM.match(value) and value.split()[:1] and value.split()[0] not in SHELLS:
        return
    if name.endswith(".path"):
        if walker.file_taint(value) & {flows.FETCHED, flows.ENCODED}:
            walker.flag("escape.git-setting", scoring.HIGH, "Git takes its settings from a fetched file.", call.excerpt)
        return
    walker.flag("escape.git-setting", scoring.MEDIUM, f"The git setting {key[:60]} runs a program.", call.excerpt)
    if name not in ("core.hookspath", "protocol.ext.allow"):
        walker.run_text(value.removeprefix("!"))


def _mercurial(walker: Walker, call: Invocation) -> None:
    for setting in call.values("--config"):
        key, _, value = setting.partition("=")
        section = key.partition(".")[0].lower()
        if section == "alias" and value.startswith("!"):
            walker.flag("escape.hg", scoring.MEDIUM, "A Mercurial alias runs a shell command.", call.excerpt)
            walker.run_text(value[1:])
        elif section in ("hooks", "extdiff", "merge-tools") or key.lower() in ("ui.ssh", "ui.editor", "pager.pager", "ui.merge"):
            walker.flag("escape.hg", scoring.MEDIUM, f"The Mercurial setting {key[:60]} runs a program.", call.excerpt)
            walker.run_text(value)
        elif section == "extensions" and ("/" in value or "." in value):
            walker.flag("escape.hg", scoring.HIGH, "Loads code from a file into Mercurial.", call.excerpt)


def _subversion(walker: Walker, call: Invocation) -> None:
    for value in [*call.values("--diff-cmd", "--diff3-cmd", "--editor-cmd"), *(v.partition("=")[2] for v in call.values("--config-option"))]:
        if value and not value.startswith(("yes", "no")):
            walker.flag("escape.svn", scoring.MEDIUM, "A Subversion option names a program to run.", call.excerpt)
            walker.run_text(value)


HANDLERS = {"git": _git, "hg": _mercurial, "svn": _subversion}
