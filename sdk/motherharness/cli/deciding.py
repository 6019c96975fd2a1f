"""`harness approvals approve|reject`: one, with what the service says of it; several, with a result line each."""

import sys
import time
from collections.abc import Sequence
from typing import Annotated

import grpc
import typer

from harness.approval.v1 import approval_pb2, audit_pb2, remembered_pb2
from motherharness.approvals import MAX_DECISIONS, until
from motherharness.cli.detail import detail_lines
from motherharness.cli.options import names_of, number_of, seconds_until
from motherharness.cli.output import FAILED, as_dict, emit, say, short, show, stdout
from motherharness.cli.session import Json, call
from motherharness.client import Client
from motherharness.errors import HarnessError

Ids = Annotated[list[str], typer.Argument(help="One or several; several get a result line each.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]
Digest = Annotated[str, typer.Option(help="Decide only if the actions still have this digest; for one approval.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again in a terminal.")]
Code = Annotated[
    str, typer.Option(help=f"What the agent may do about it: {', '.join(names_of(audit_pb2.RejectCode))}.")
]
Remember = Annotated[str, typer.Option(help="How far it reaches for the same actions: once, run or project.")]
Until = Annotated[
    str,
    typer.Option(
        "--until", help="Until when it is remembered: 4h, 2d, 2026-03-01T18:00; a project needs it, at most 30d."
    ),
]


def approve(
    approval_ids: Ids,
    reason: Reason = "",
    digest: Digest = "",
    remember: Remember = "",
    remember_until: Until = "",
    yes: Yes = False,
    json_output: Json = False,
) -> None:
    """Approve exactly what the requests hold. In a terminal they are shown and asked for first."""
    scope = number_of(remembered_pb2.RememberScope, remember, "--remember")
    if remember_until and scope < remembered_pb2.REMEMBER_SCOPE_RUN:
        raise typer.BadParameter("says how long to remember; give --remember run or project", param_hint="--until")
    template = approval_pb2.DecideApprovalRequest(
        verdict=approval_pb2.VERDICT_APPROVE,
        reason=reason,
        remember=remembered_pb2.RememberScope.ValueType(scope),
        remember_until=until(seconds_until(remember_until, "--until")) if remember_until else None,
    )
    decide(approval_ids, template, digest, yes=yes, json_output=json_output)


def reject(
    approval_ids: Ids,
    reason: Reason = "",
    code: Code = "",
    digest: Digest = "",
    yes: Yes = False,
    json_output: Json = False,
) -> None:
    """Reject requests. Unless the code lets the agent try again, the run ends: what depends on the step is skipped."""
    template = approval_pb2.DecideApprovalRequest(
        verdict=approval_pb2.VERDICT_REJECT,
        reason=reason,
        reject_code=audit_pb2.RejectCode.ValueType(number_of(audit_pb2.RejectCode, code, "--code")),
    )
    decide(approval_ids, template, digest, yes=yes, json_output=json_output)


def register(approvals: typer.Typer) -> None:
    """Add the commands."""
    approvals.command("approve")(approve)
    approvals.command("reject")(reject)


def decide(
    approval_ids: Sequence[str],
    template: approval_pb2.DecideApprovalRequest,
    digest: str,
    *,
    yes: bool,
    json_output: bool,
) -> None:
    """Decide, naming the digests of what was seen: never of something that took its place meanwhile."""
    if len(approval_ids) > 1:
        if digest:
            raise typer.BadParameter("is of one approval, and several are given", param_hint="--digest")
        decide_several(list(dict.fromkeys(approval_ids)), template, yes=yes, json_output=json_output)
        return
    (approval_id,) = approval_ids

    async def get(client: Client) -> approval_pb2.Approval:
        return await client.get_approval(approval_id)

    seen = call(get, as_json=json_output)
    confirm([seen], template, yes=yes or json_output)

    async def send(client: Client) -> approval_pb2.Approval:
        return await client.decide(of(template, approval_id, digest or seen.digest))

    decided = call(send, as_json=json_output)
    if json_output:
        show(decided, as_json=True)
    else:
        say(decided.id, outcome(decided))


def decide_several(
    approval_ids: Sequence[str], template: approval_pb2.DecideApprovalRequest, *, yes: bool, json_output: bool
) -> None:
    """Decide each by itself, and say what came of each; exit with 1 if one could not be decided."""
    results: dict[str, approval_pb2.DecidedApproval] = {}

    async def get(client: Client) -> list[approval_pb2.Approval]:
        found = []
        for approval_id in approval_ids:
            try:
                found.append(await client.get_approval(approval_id))
            except HarnessError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
                results[approval_id] = approval_pb2.DecidedApproval(
                    approval_id=approval_id, error_reason=error.reason, error_message=error.message
                )
        return found

    seen = call(get, as_json=json_output)
    if seen:
        confirm(seen, template, yes=yes or json_output)

    async def send(client: Client) -> None:
        for start in range(0, len(seen), MAX_DECISIONS):
            part = seen[start : start + MAX_DECISIONS]
            for result in await client.decide_approvals([of(template, each.id, each.digest) for each in part]):
                results[result.approval_id] = result

    if seen:
        call(send, as_json=json_output)
    for approval_id in approval_ids:
        result = results[approval_id]
        if json_output:
            emit(as_dict(result))
        elif result.error_reason:
            say(approval_id, f"not decided: {result.error_message} [{result.error_reason}]", style="bold red")
        else:
            say(approval_id, outcome(result.approval))
    if any(result.error_reason for result in results.values()):
        raise typer.Exit(FAILED)


def of(
    template: approval_pb2.DecideApprovalRequest, approval_id: str, digest: str
) -> approval_pb2.DecideApprovalRequest:
    """The decision on one approval, as it was seen."""
    decision = approval_pb2.DecideApprovalRequest()
    decision.CopyFrom(template)
    decision.approval_id, decision.digest = approval_id, digest
    return decision


def confirm(seen: Sequence[approval_pb2.Approval], template: approval_pb2.DecideApprovalRequest, *, yes: bool) -> None:
    """In a terminal, show what is about to be decided and ask."""
    if yes or not sys.stdin.isatty():
        return
    for approval in seen:
        for text in detail_lines(approval, now=time.time()):
            stdout.print(text, soft_wrap=True)
        say()
    verb = "Approve" if template.verdict == approval_pb2.VERDICT_APPROVE else "Reject"
    typer.confirm(f"{verb} these {len(seen)}?" if len(seen) > 1 else f"{verb}?", abort=True)


def outcome(approval: approval_pb2.Approval) -> str:
    """What a vote has led to, in words."""
    state = short(approval_pb2.ApprovalState.Name(approval.state))
    if approval.state != approval_pb2.APPROVAL_STATE_PENDING:
        return f"{state} by {approval.decision.decided_by}"
    wanted = sum(seat.count for seat in approval.quorum)
    return f"pending: {sum(vote.approved for vote in approval.votes)} of {wanted} have voted for it"
