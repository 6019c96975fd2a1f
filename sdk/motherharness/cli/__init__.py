"""The `harness` command.

Exit codes: 0 done; 1 failed, or the outcome is negative (a run that did not complete, a damaged backup); 2 wrong usage
or input; 3 unauthenticated or not allowed; 4 not found; 5 the state does not permit it; 6 no service answered in time.
"""

import typer

from motherharness.cli.approvals import approvals
from motherharness.cli.assess import assess
from motherharness.cli.audit import audit
from motherharness.cli.backups import backups
from motherharness.cli.delegations import delegations, remembered
from motherharness.cli.doctor import doctor
from motherharness.cli.keys import keys
from motherharness.cli.local import demo, dev, token
from motherharness.cli.policy import policy
from motherharness.cli.webhooks import webhooks
from motherharness.cli.work import projects, runs, tasks

EXIT_CODE_HELP = (
    "Exit codes: 0 done; 1 failed, or a negative outcome; 2 wrong usage or input; 3 unauthenticated or not allowed; "
    "4 not found; 5 the state does not permit it; 6 no service answered in time."
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Durable agent runs with a human at the gate. Addresses and token come from HARNESS_ORCHESTRATOR_ADDRESS, "
    "HARNESS_APPROVAL_ADDRESS, HARNESS_BACKUP_ADDRESS and HARNESS_TOKEN.",
    epilog=EXIT_CODE_HELP,
)
app.command()(dev)
app.command()(demo)
app.command()(token)
app.add_typer(projects, name="project")
app.add_typer(tasks, name="task")
app.add_typer(runs, name="run")
app.add_typer(approvals, name="approvals")
app.add_typer(delegations, name="delegations")
app.add_typer(remembered, name="remembered")
app.add_typer(webhooks, name="webhooks")
app.add_typer(policy, name="policy")
app.command()(assess)
app.add_typer(audit, name="audit")
app.add_typer(backups, name="backup")
app.add_typer(keys, name="keys")
app.command()(doctor)


def main() -> None:
    """Run the command line."""
    app()
