"""`harness delegations` and `harness remembered`: authority in other hands, and decisions that hold again."""

from typing import Annotated

import typer

from harness.approval.v1 import delegation_pb2, remembered_pb2
from motherharness.cli.options import name_of, seconds_until
from motherharness.cli.output import as_dict, emit, say, show, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

delegations = typer.Typer(no_args_is_help=True, help="Delegations: somebody votes with your authority, for a time.")
remembered = typer.Typer(
    no_args_is_help=True, help="Decisions that a project remembers, so that nobody is asked again."
)


@delegations.command("create")
def create(
    delegate: Annotated[str, typer.Argument(help="Who may vote with your authority.")],
    until: Annotated[str, typer.Option(help="Until when: 4h, 2d or 2026-03-01T18:00; at most 30d.")],
    reason: Annotated[str, typer.Option(help="Why; it is written down.")],
    request_id: Annotated[str, typer.Option(help="Repeat a creation with the same id to get the first result.")] = "",
    json_output: Json = False,
) -> None:
    """Let somebody vote with your approver's role and groups, as your token has them now."""
    seconds = seconds_until(until, "--until")

    async def send(client: Client) -> delegation_pb2.Delegation:
        return await client.create_delegation(delegate, seconds=seconds, reason=reason, request_id=request_id)

    made = call(send, as_json=json_output)
    if json_output:
        show(made, as_json=True)
    else:
        say(made.id, f"{made.delegate} votes for {made.delegator} until {when(made.expire_time)}")


@delegations.command("list")
def list_delegations(
    everybodys: Annotated[bool, typer.Option("--all", help="Everybody's; for admins.")] = False,
    json_output: Json = False,
) -> None:
    """List the delegations that hold: those you gave, and those you were given."""

    async def collect(client: Client) -> list[delegation_pb2.Delegation]:
        return [each async for each in client.list_delegations(everybodys=everybodys)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"delegations": [as_dict(each) for each in found]})
        return
    rows = [
        (each.id, each.delegator, each.delegate, when(each.expire_time), ", ".join(each.groups), each.reason)
        for each in found
    ]
    table(("DELEGATION", "FROM", "TO", "UNTIL", "GROUPS", "WHY"), rows)


@delegations.command("revoke")
def revoke(delegation_id: str, json_output: Json = False) -> None:
    """End a delegation of yours; admins can end any."""

    async def send(client: Client) -> None:
        await client.revoke_delegation(delegation_id)

    call(send, as_json=json_output)
    if json_output:
        emit({"revoked": delegation_id})
    else:
        say(delegation_id, "revoked")


@remembered.command("list")
def list_remembered(
    project: Annotated[str, typer.Argument(help="The project that remembers.")], json_output: Json = False
) -> None:
    """List the decisions that a project remembers, the first to end first."""

    async def collect(client: Client) -> list[remembered_pb2.RememberedDecision]:
        return [each async for each in client.list_remembered(project)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"decisions": [as_dict(each) for each in found]})
        return
    rows = [
        (
            each.id,
            name_of(remembered_pb2.RememberScope, each.scope),
            each.approval_id,
            each.agent,
            when(each.expire_time),
            ", ".join(each.voters),
        )
        for each in found
    ]
    table(("REMEMBERED", "FOR", "APPROVAL", "AGENT", "UNTIL", "DECIDED BY"), rows)


@remembered.command("forget")
def forget(remembered_id: str, json_output: Json = False) -> None:
    """Have the same actions asked about again."""

    async def send(client: Client) -> None:
        await client.forget_decision(remembered_id)

    call(send, as_json=json_output)
    if json_output:
        emit({"forgotten": remembered_id})
    else:
        say(remembered_id, "forgotten")
