"""`harness approvals`: what waits for a decision, and deciding it."""

import sys
from typing import Annotated

import typer

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from motherharness.cli.output import as_dict, emit, say, short, show, table, when
from motherharness.cli.preview import print_preview
from motherharness.cli.session import Json, call
from motherharness.client import Client

approvals = typer.Typer(no_args_is_help=True, help="Requests for approval: list, show, approve, reject.")

State = Annotated[str, typer.Option(help="pending, approved, rejected, expired, consumed, denied, withdrawn or all")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]
Digest = Annotated[str, typer.Option(help="Decide only if the actions still have this digest.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again in a terminal.")]

LEVEL_STYLES = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red", "unknown": "bold red"}


@approvals.command("list")
def list_approvals(state: State = "pending", run: str = "", json_output: Json = False) -> None:
    """List requests, newest first; pending ones unless asked otherwise."""
    try:
        name = "UNSPECIFIED" if state == "all" else state.upper()
        wanted = approval_pb2.ApprovalState.Value(f"APPROVAL_STATE_{name}")
    except ValueError:
        raise typer.BadParameter(f"{state!r} is not a state", param_hint="--state") from None

    async def collect(client: Client) -> list[approval_pb2.Approval]:
        return [approval async for approval in client.list_approvals(state=wanted, run_id=run)]

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
def show_approval(approval_id: str, json_output: Json = False) -> None:
    """Show a request: what would happen, how risky it is and why."""
    approval = fetch(approval_id, json_output)
    if json_output:
        show(approval, as_json=True)
    else:
        describe(approval)


@approvals.command("approve")
def approve(
    approval_id: str, reason: Reason = "", digest: Digest = "", yes: Yes = False, json_output: Json = False
) -> None:
    """Approve exactly what the request holds. In a terminal it is shown and asked for first."""
    decide(approval_id, reason, digest, approved=True, yes=yes, json_output=json_output)


@approvals.command("reject")
def reject(
    approval_id: str, reason: Reason = "", digest: Digest = "", yes: Yes = False, json_output: Json = False
) -> None:
    """Reject a request: its run ends, and what depends on the step is skipped."""
    decide(approval_id, reason, digest, approved=False, yes=yes, json_output=json_output)


def decide(approval_id: str, reason: str, digest: str, *, approved: bool, yes: bool, json_output: bool) -> None:
    """Decide, naming the digest of what was seen: never of something that took its place meanwhile."""
    seen = fetch(approval_id, json_output)
    if not (yes or json_output) and sys.stdin.isatty():
        describe(seen)
        typer.confirm("Approve?" if approved else "Reject?", abort=True)

    async def send(client: Client) -> approval_pb2.Approval:
        act = client.approve if approved else client.reject
        return await act(approval_id, reason=reason, digest=digest or seen.digest)

    decided = call(send, as_json=json_output)
    if json_output:
        show(decided, as_json=True)
    else:
        say(decided.id, short(approval_pb2.ApprovalState.Name(decided.state)), "by", decided.decision.decided_by)


def fetch(approval_id: str, json_output: bool) -> approval_pb2.Approval:
    """Return one approval."""

    async def get(client: Client) -> approval_pb2.Approval:
        return await client.get_approval(approval_id)

    return call(get, as_json=json_output)


def describe(approval: approval_pb2.Approval) -> None:
    """Print a request for people."""
    say("approval ", approval.id, f"({short(approval_pb2.ApprovalState.Name(approval.state))})")
    say("requester", approval.requester)
    context = approval.context
    where = short(action_pb2.Environment.Name(context.environment))
    say("for      ", f"step {context.step_id} of {context.run_id}, agent {context.agent}, {where}")
    if approval.reason:
        say("reason   ", approval.reason)
    level = level_of(approval.assessment)
    say("risk     ", f"{level} (score {approval.assessment.score})", style=LEVEL_STYLES.get(level, ""))
    for factor in approval.assessment.factors:
        say(f"  - {factor.explanation}", f"[{factor.id}]", f"in: {factor.excerpt}" if factor.excerpt else "")
    say("policy   ", approval.policy_reason)
    print_preview(approval.preview)
    say("digest   ", approval.digest)
    say("decide by", when(approval.decide_by))
    if approval.HasField("decision"):
        decision = approval.decision
        say("decided  ", when(decision.decide_time), "by", decision.decided_by, decision.reason)


def level_of(assessment: risk_pb2.Assessment) -> str:
    """Return the level of an assessment in lower case."""
    return short(risk_pb2.RiskLevel.Name(assessment.level))


def summary(approval: approval_pb2.Approval) -> str:
    """Return what would happen, on one line."""
    preview = approval.preview
    files = [f"{file.operation} {file.path}" for file in preview.files]
    parts = [*preview.commands, *files, *preview.api_calls, *preview.workflows]
    return ("; ".join(parts) or f"start of step {approval.context.step_id}")[:80]
