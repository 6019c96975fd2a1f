"""An approval for people: what would happen, how risky it is and why, who has agreed, and until when."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.text import Text

from harness.approval.v1 import approval_pb2, audit_pb2, risk_pb2
from harness.common.v1 import access_pb2, action_pb2
from motherharness.cli.options import name_of
from motherharness.cli.output import phrase, short, when
from motherharness.cli.preview import preview_lines, style_of
from motherharness.text import line

LEVEL_STYLES = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red", "unknown": "bold magenta"}
LONG_LINES = 20
"""More of what would happen does not fit into a terminal together with the rest."""


def detail_lines(
    approval: approval_pb2.Approval, comments: Sequence[approval_pb2.Comment] = (), *, now: float
) -> Iterator[Text]:
    """An approval, part by part, as preview_lines gives them.

    Args:
        comments: its thread, oldest first.
        now: Unix seconds.
    """
    state = short(approval_pb2.ApprovalState.Name(approval.state))
    yield phrase("approval ", approval.id, f"({state}{edition(approval)})")
    level = level_of(approval.assessment)
    yield phrase("risk     ", f"{level} (score {approval.assessment.score})", style=LEVEL_STYLES.get(level, ""))
    context = approval.context
    where = short(action_pb2.Environment.Name(context.environment))
    yield phrase("asked by ", approval.requester, f"{span(now - approval.create_time.seconds)} ago", others(approval))
    place = f"step {context.step_id} of {context.run_id}, agent {context.agent}, {where}"
    yield phrase("for      ", f"{place}, project {context.project_id}" if context.project_id else place)
    if approval.reason:
        yield phrase("because  ", approval.reason)
    doing, found = list(preview_lines(approval.preview)), list(found_lines(approval))
    # What was found comes first where it would be far below.
    is_long = sum(text.plain.count("\n") + 1 for text in doing) > LONG_LINES
    yield from (*found, *doing) if is_long else (*doing, *found)
    if approval.preview.similar_pending > 1:
        count = approval.preview.similar_pending
        yield phrase("alike    ", f"{count} of this kind wait: harness approvals list --group {approval.group}")
    yield phrase("policy   ", approval.policy_reason, f"[{approval.policy_rule}]" if approval.policy_rule else "")
    yield from quorum_lines(approval)
    yield from clock_lines(approval, now)
    if approval.HasField("decision"):
        yield decision_line(approval.decision)
    if approval.HasField("broken_glass"):
        yield from glass_lines(approval.broken_glass)
    if approval.remembered_from:
        yield phrase("as before", f"the decision on {approval.remembered_from} was remembered")
    for comment in comments:
        yield phrase("comment  ", when(comment.create_time), f"{comment.author}: {comment.text}")
    yield phrase("digest   ", approval.digest, style="dim")


def edition(approval: approval_pb2.Approval) -> str:
    """Which edition of its actions an approval has, where it is not the first."""
    return f", revision {approval.revision}" if approval.revision > 1 else ""


def others(approval: approval_pb2.Approval) -> str:
    """Who else may not vote."""
    named = [name for name in approval.initiators if name != approval.requester]
    return f"(also of {', '.join(map(line, named))})" if named else ""


def found_lines(approval: approval_pb2.Approval) -> Iterator[Text]:
    """The reasons for its level."""
    if approval.assessment.factors:
        yield phrase("found:")
    for factor in approval.assessment.factors:
        yield factor_line(factor)


def factor_line(factor: risk_pb2.RiskFactor) -> Text:
    """One reason for a level."""
    text = phrase(f"  - {factor.explanation}", f"[{factor.id}, weight {factor.weight}]")
    if factor.excerpt:
        text.append(" in: ")
        text.append(line(factor.excerpt), style=style_of(factor.weight))
    return text


def quorum_lines(approval: approval_pb2.Approval) -> Iterator[Text]:
    """Who has to agree, and who has."""
    if not approval.quorum:
        return
    wanted = sum(seat.count for seat in approval.quorum)
    given = sum(vote.approved for vote in approval.votes)
    yield phrase(
        "must agree", f"{seats(approval.quorum)}; {given} of {wanted} {'has' if given == 1 else 'have'} so far"
    )
    for vote in approval.votes:
        whose = f" on behalf of {vote.on_behalf_of}" if vote.on_behalf_of else ""
        why = f": {vote.reason}" if vote.reason else ""
        verdict = "for" if vote.approved else "against"
        yield phrase(f"  - {vote.voter}{whose} {verdict} it, {when(vote.vote_time)}{why}")


def seats(quorum: Sequence[approval_pb2.Seat]) -> str:
    """A quorum in words: "2 of approver and 1 of group security"."""
    named = [
        f"{seat.count} of {f'group {seat.group}' if seat.group else name_of(access_pb2.Role, seat.role)}"
        for seat in quorum
    ]
    return " and ".join(named)


def clock_lines(approval: approval_pb2.Approval, now: float) -> Iterator[Text]:
    """Until when it can be decided, or used."""
    if approval.state == approval_pb2.APPROVAL_STATE_PENDING:
        left = approval.decide_by.seconds - now
        yield phrase("decide by", when(approval.decide_by), f"({span(left)} left)" if left > 0 else "(it has passed)")
        if approval.HasField("escalate_time"):
            yield phrase("escalated", when(approval.escalate_time), style="yellow")
    elif approval.HasField("use_by"):
        yield phrase("use by   ", when(approval.use_by))


def decision_line(decision: approval_pb2.Decision) -> Text:
    """Who decided, and why."""
    code = name_of(audit_pb2.RejectCode, decision.reject_code)
    verdict = "approved" if decision.approved else f"not approved{f' ({code})' if code else ''}"
    why = f": {decision.reason}" if decision.reason else ""
    return phrase("decided  ", f"{when(decision.decide_time)} by {decision.decided_by}, {verdict}{why}")


def glass_lines(glass: approval_pb2.BrokenGlass) -> Iterator[Text]:
    """Who approved alone, why, and what was said of it."""
    yield phrase("the glass was broken by", f"{glass.broken_by}: {glass.reason}", style="bold red")
    if glass.reviewed_by:
        verdict = "justified" if glass.justified else "not justified"
        yield phrase("reviewed ", f"{when(glass.review_time)} by {glass.reviewed_by}, {verdict}: {glass.review}")
    else:
        yield phrase("reviewed ", "not yet; somebody else has to", style="yellow")


def level_of(assessment: risk_pb2.Assessment) -> str:
    """The level of an assessment in lower case."""
    return short(risk_pb2.RiskLevel.Name(assessment.level))


def summary(approval: approval_pb2.Approval) -> str:
    """What would happen, on one line of at most 200 characters and some escapes."""
    preview = approval.preview
    files = iter(f"{file.operation} {file.path}" for file in preview.files)
    calls, workflows = iter(preview.api_calls), iter(preview.workflows)
    named = {"file_write": files, "file_delete": files, "api_call": calls, "workflow_creation": workflows}
    parts = [next(named.get(action.kind, iter(())), action.text) for action in preview.actions]
    if not any(parts):
        parts = [*preview.commands, *files, *calls, *workflows]
    return line(("; ".join(parts) or f"start of step {approval.context.step_id}")[:200])


def span(seconds: float) -> str:
    """A length of time in two units at most: 45s, 12m, 3h59m, 2d4h."""
    whole = timedelta(seconds=max(0, int(seconds)))
    hours, rest = divmod(whole.seconds, 3600)
    minutes, left = divmod(rest, 60)
    if whole.days:
        return f"{whole.days}d{hours}h" if hours else f"{whole.days}d"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m" if minutes else f"{left}s"
