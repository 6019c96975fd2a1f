"""What the inbox says: its keys, what it asks, and what came of what was sent."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.approval.v1 import approval_pb2, audit_pb2, remembered_pb2
from motherharness.approvals import until
from motherharness.cli.deciding import outcome
from motherharness.cli.detail import LEVEL_STYLES, edition, level_of, span, summary
from motherharness.cli.inbox.rows import Row
from motherharness.cli.options import name_of, names_of, number_of
from motherharness.cli.output import phrase
from motherharness.cli.preview import INDENT, doing_lines

DAY = 86400.0

KEYS = "a approve  r reject  c comment  e edit  space select  → unfold  / filter  ? help"
HELP = (
    ("↑ ↓  k j", "the request above, below; in a request that fills the terminal: scroll"),
    ("PgUp PgDn", "scroll what is shown of the request"),
    ("Enter Esc", "have the request fill the terminal; back to the list"),
    ("n p", "the next, the previous request, also while one fills the terminal"),
    ("a", "approve: with a reason, and for how long the same actions pass again"),
    ("r", "reject: with a reason, and what the agent may do about it"),
    ("c", "say something about the request, for all who look at it"),
    ("e", "edit the action in $EDITOR; you may not vote on the result"),
    ("space", "select a request, or all of a folded row; a and r are then about all that are selected"),
    ("x", "select nothing"),
    ("→ ←  f", "show what is folded into a row; fold it again; fold or unfold everything"),
    ("o", "order by time left, or by risk"),
    ("/", "show only what has these words; Esc shows all again"),
    ("m", "what is mine to decide, or all that waits"),
    ("u", "read everything again, and show a request as it is now"),
    ("q", "leave; Ctrl+C leaves from wherever"),
)

REMEMBER = (
    ("only this once", remembered_pb2.REMEMBER_SCOPE_UNSPECIFIED, 0.0),
    ("the same actions pass in this run, for a day", remembered_pb2.REMEMBER_SCOPE_RUN, DAY),
    ("the same actions pass in this project, for a day", remembered_pb2.REMEMBER_SCOPE_PROJECT, DAY),
    ("the same actions pass in this project, for a week", remembered_pb2.REMEMBER_SCOPE_PROJECT, 7 * DAY),
    # Not the whole of the 30 days that are allowed: our clock may be ahead of the service's.
    ("the same actions pass in this project, for 29 days", remembered_pb2.REMEMBER_SCOPE_PROJECT, 29 * DAY),
)
CODES = {
    "unsafe": "it would do harm; the run ends",
    "needs_changes": "the agent may change it, and ask again",
    "wrong_target": "it is about the wrong thing or place; the run ends",
    "needs_information": "the agent may say more, and ask again",
    "bad_timing": "not now; the run ends",
    "not_needed": "nobody needs it; the run ends",
    "against_rules": "the organisation's rules forbid it; the run ends",
}


def help_lines() -> Iterator[Text]:
    """What each key does."""
    for keys, meaning in HELP:
        text = Text(f"{keys:<10}", style="bold")
        text.append(meaning, style="not bold")
        yield text
    yield Text()
    yield Text("✓ selected   ▸ folded   1/2 votes so far   rev2 edited   late: half the time has gone")
    yield Text("What is underlined is where something was found. A decision is about what was shown, to the last byte.")


def code_choices() -> list[str]:
    """What a rejection can tell the agent."""
    named = [
        f"{name.replace('_', ' ')}: {CODES[name]}" if name in CODES else name for name in names_of(audit_pb2.RejectCode)
    ]
    return ["no code; the run ends", *named]


def approval_of(seen: approval_pb2.Approval, reason: str, choice: int) -> approval_pb2.DecideApprovalRequest:
    """A vote for what was seen; `choice` is of REMEMBER."""
    _, scope, seconds = REMEMBER[choice]
    return approval_pb2.DecideApprovalRequest(
        approval_id=seen.id,
        digest=seen.digest,
        verdict=approval_pb2.VERDICT_APPROVE,
        reason=reason,
        remember=scope,
        remember_until=until(seconds) if seconds else None,
    )


def rejection_of(seen: approval_pb2.Approval, reason: str, choice: int) -> approval_pb2.DecideApprovalRequest:
    """A vote against what was seen; `choice` is of code_choices."""
    code = number_of(audit_pb2.RejectCode, ["", *names_of(audit_pb2.RejectCode)][choice], "code")
    return approval_pb2.DecideApprovalRequest(
        approval_id=seen.id,
        digest=seen.digest,
        verdict=approval_pb2.VERDICT_REJECT,
        reason=reason,
        reject_code=audit_pb2.RejectCode.ValueType(code),
    )


def about(approvals: Sequence[approval_pb2.Approval]) -> list[Text]:
    """What a decision would be about: every action of every request, as it would run."""
    lines: list[Text] = []
    for approval in approvals:
        level = level_of(approval.assessment)
        lines.append(
            phrase(
                level.upper(),
                f"{approval.id}{edition(approval)}, of {approval.requester}",
                style=LEVEL_STYLES.get(level, ""),
            )
        )
        lines += doing_lines(approval.preview)
        if not approval.preview.actions:
            lines.append(phrase(f"{INDENT}{summary(approval)}"))
    return lines


def of_group(row: Row) -> Iterator[Text]:
    """What is shown of a folded row."""
    count = len(row.approvals)
    yield phrase(f"{count} similar requests: of one project and agent, with the same findings", style="bold")
    yield phrase("a and r decide all of them, each by itself; → shows them one by one", style="dim")
    yield from about(row.approvals)


def results(decided: Sequence[approval_pb2.DecidedApproval]) -> list[Text]:
    """What came of each decision."""
    return [result(each) for each in decided]


def result(decided: approval_pb2.DecidedApproval) -> Text:
    """What came of a decision, in words."""
    if decided.error_reason:
        refusal = f"not decided: {decided.error_message} [{decided.error_reason}]"
        return phrase(f"{decided.approval_id}", refusal, style="bold red")
    approval = decided.approval
    style = "yellow" if approval.state == approval_pb2.APPROVAL_STATE_PENDING else "green"
    return phrase(decided.approval_id, outcome(approval), style=style)


def title_of(row: Row | None, now: float) -> Text:
    """What the lower part of the inbox is about, and for how long."""
    if row is None:
        return Text()
    if row.one is None:
        return phrase(f" {len(row.approvals)} similar requests", style="bold")
    left = row.one.decide_by.seconds - now
    seconds = f" {int(left % 60):02}s" if 60 <= left < 3600 else ""
    until_when = f"{span(left)}{seconds} to decide" if left > 0 else "the time to decide has passed"
    level = level_of(row.one.assessment)
    text = phrase(f" {row.one.id}  ", style="bold")
    text.append(level.upper(), style=LEVEL_STYLES.get(level, ""))
    code = name_of(audit_pb2.RejectCode, row.one.decision.reject_code)
    text.append(f"  {until_when}{f'  {code}' if code else ''}")
    return text
