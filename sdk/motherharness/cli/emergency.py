"""`harness approvals break-glass|review`: approving alone in an emergency, and whether that was right."""

import sys
import time
from typing import Annotated

import typer

from harness.approval.v1 import approval_pb2
from motherharness.cli.detail import detail_lines
from motherharness.cli.output import say, show, stdout, when
from motherharness.cli.session import Json, call
from motherharness.client import Client


def break_glass(
    approval_id: str,
    reason: Annotated[str, typer.Option(help="What the emergency is; at least 10 characters, for whoever reviews it.")],
    digest: Annotated[str, typer.Option(help="Only if the actions still have this digest.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again in a terminal.")] = False,
    json_output: Json = False,
) -> None:
    """Approve alone and at once, as an admin. It can be used for 15 minutes, all who watch are told, and somebody else
    must review it."""

    async def get(client: Client) -> approval_pb2.Approval:
        return await client.get_approval(approval_id)

    seen = call(get, as_json=json_output)
    if not (yes or json_output) and sys.stdin.isatty():
        for text in detail_lines(seen, now=time.time()):
            stdout.print(text, soft_wrap=True)
        typer.confirm("Break the glass?", abort=True)

    async def send(client: Client) -> approval_pb2.Approval:
        return await client.break_glass(approval_id, reason=reason, digest=digest or seen.digest)

    broken = call(send, as_json=json_output)
    if json_output:
        show(broken, as_json=True)
    else:
        say(broken.id, f"approved alone by {broken.broken_glass.broken_by}, to be used by {when(broken.use_by)}")


def review(
    approval_id: str,
    text: Annotated[str, typer.Option("--review", help="What you found.")],
    justified: Annotated[bool, typer.Option("--justified/--not-justified", help="Whether it was right.")],
    json_output: Json = False,
) -> None:
    """Say whether breaking the glass was right. `harness approvals list --needs-review` has what waits for it."""

    async def send(client: Client) -> approval_pb2.Approval:
        return await client.review_break_glass(approval_id, justified=justified, review=text)

    reviewed = call(send, as_json=json_output)
    if json_output:
        show(reviewed, as_json=True)
    else:
        glass = reviewed.broken_glass
        say(reviewed.id, f"{'justified' if glass.justified else 'not justified'}, says {glass.reviewed_by}")


def register(approvals: typer.Typer) -> None:
    """Add the commands."""
    approvals.command("break-glass")(break_glass)
    approvals.command("review")(review)
