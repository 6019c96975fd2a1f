"""`harness approvals`: what waits for a decision, looking at it, and talking about it."""

import time
from typing import Annotated

import typer

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from motherharness.cli import deciding, editing, emergency
from motherharness.cli.detail import detail_lines, level_of, summary
from motherharness.cli.options import number_of
from motherharness.cli.output import as_dict, emit, say, short, show, stdout, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

approvals = typer.Typer(
    no_args_is_help=True,
    help="Requests for approval: an inbox for people, and a command for each thing that can be done with them.",
)

State = Annotated[str, typer.Option(help="pending, approved, rejected, expired, consumed, denied, withdrawn or all")]
Level = Annotated[str, typer.Option(help="low, medium, high, critical or unknown")]
Type = Annotated[
    str, typer.Option("--type", help="file_write, code_execution, git_push, workflow_creation or api_call")
]
Mine = Annotated[bool, typer.Option("--mine", help="Only what is pending and you can vote on now.")]
NeedsReview = Annotated[
    bool, typer.Option("--needs-review", help="Only where the glass was broken and nobody reviewed.")
]


@approvals.command("inbox")
def inbox(
    everything: Annotated[bool, typer.Option("--all", help="Also what waits for others.")] = False,
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
) -> None:
    """Look at what waits for you, live, in the whole terminal, and decide it there. `?` shows the keys."""
    # Here, so that commands that draw nothing need not wait for what draws.
    from motherharness.cli.inbox import open_inbox

    open_inbox(everything=everything, project=project)


@approvals.command("list")
def list_approvals(
    state: State = "pending",
    run: str = "",
    level: Level = "",
    approval_type: Type = "",
    project: str = "",
    requester: str = "",
    group: Annotated[str, typer.Option(help="Only of this group of similar requests.")] = "",
    mine: Mine = False,
    needs_review: NeedsReview = False,
    json_output: Json = False,
) -> None:
    """List requests, newest first; pending ones unless asked otherwise."""
    # What needs a review is pending no more.
    wanted = "" if state == "all" or (needs_review and state == "pending") else state
    state_number = number_of(approval_pb2.ApprovalState, wanted, "--state")
    level_number = number_of(risk_pb2.RiskLevel, level, "--level")
    type_number = number_of(action_pb2.ApprovalType, approval_type, "--type")

    async def collect(client: Client) -> list[approval_pb2.Approval]:
        found = client.list_approvals(
            state=approval_pb2.ApprovalState.ValueType(state_number),
            level=risk_pb2.RiskLevel.ValueType(level_number),
            approval_type=action_pb2.ApprovalType.ValueType(type_number),
            run_id=run,
            project_id=project,
            requester=requester,
            group=group,
            mine_to_decide=mine,
            needs_review=needs_review,
        )
        return [approval async for approval in found]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"approvals": [as_dict(approval) for approval in found]})
        return
    rows = [
        (
            approval.id,
            short(approval_pb2.ApprovalState.Name(approval.state)),
            level_of(approval.assessment),
            approval.requester,
            when(approval.decide_by),
            summary(approval),
        )
        for approval in found
    ]
    table(("APPROVAL", "STATE", "RISK", "REQUESTER", "DECIDE BY", "WHAT"), rows)


@approvals.command("show")
def show_approval(
    approval_id: str,
    revision: Annotated[int, typer.Option(min=0, help="An earlier edition of its actions; 0 is the latest.")] = 0,
    json_output: Json = False,
) -> None:
    """Show a request: what would happen, how risky it is and why, who has agreed, and what was said about it."""

    async def get(client: Client) -> tuple[approval_pb2.Approval, list[approval_pb2.Comment]]:
        approval = await client.get_approval(approval_id, revision=revision)
        wanted = approval.comments and not json_output
        return approval, [comment async for comment in client.list_comments(approval_id)] if wanted else []

    approval, thread = call(get, as_json=json_output)
    if json_output:
        show(approval, as_json=True)
        return
    for text in detail_lines(approval, thread, now=time.time()):
        stdout.print(text, soft_wrap=True)


@approvals.command("comment")
def comment(
    approval_id: str, text: Annotated[str, typer.Argument(help="What to say.")], json_output: Json = False
) -> None:
    """Say something about a request, for all who look at it."""

    async def add(client: Client) -> approval_pb2.Comment:
        return await client.add_comment(approval_id, text)

    added = call(add, as_json=json_output)
    if json_output:
        show(added, as_json=True)
    else:
        say("said by", added.author)


@approvals.command("comments")
def comments(approval_id: str, json_output: Json = False) -> None:
    """List what was said about a request, oldest first."""

    async def collect(client: Client) -> list[approval_pb2.Comment]:
        return [each async for each in client.list_comments(approval_id)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"comments": [as_dict(each) for each in found]})
    else:
        table(("SAID", "BY", "WHAT"), [(when(each.create_time), each.author, each.text) for each in found])


deciding.register(approvals)
editing.register(approvals)
emergency.register(approvals)
