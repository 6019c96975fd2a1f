"""Options that mean the same to any program: the name of one to run (a pager, an editor, a hook), or a database's statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import sql
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

# Only names that mean a command line to every program that has them.
_OPTIONS = frozenset(
    "--pager --editor --browser --pre-hook --post-hook --deploy-hook --renew-hook --manual-auth-hook --manual-cleanup-hook --ssh-command --shell-command "
    "--proxy-command --askpass --use-askpass --on-change --on-error --on-success --on-failure --pre-command --post-command --password-command "
    "--preview-command --exec-command --git-command --prepare-command --run-command".split()
)
_STATEMENTS = frozenset("--sql --sqls --sql-statement --sql-query --sql-command --query-string --ddl --ddl-statement --statement".split())


def enter(walker: Walker, call: Invocation) -> None:
    """Assesses the command lines and the statements that a program's options hold."""
    if "--" not in call.joined:
        return
    for index, arg in enumerate(call.args):
        if arg[:2] != "--":
            continue
        name, equals, value = arg.partition("=")
        if name in _OPTIONS or name in _STATEMENTS:
            text = value if equals else call.args[index + 1] if index + 1 < len(call.args) else ""
            if name in _STATEMENTS:
                walker.add(*sql.assess(text))
            elif text.strip() and HIDDEN not in text:
                walker.run_text(text)
