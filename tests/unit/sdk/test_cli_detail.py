"""What is shown of an approval, and what options mean."""

import re
from datetime import UTC, datetime

import pytest
import typer

from harness.approval.v1 import approval_pb2, audit_pb2, risk_pb2, webhook_pb2
from harness.common.v1 import access_pb2
from motherharness.cli.deciding import outcome
from motherharness.cli.detail import detail_lines, span, summary
from motherharness.cli.options import name_of, names_of, number_of, seconds_until
from motherharness.text import UNSAFE

HOSTILE = "\x1b[2J\x9b31m\u202eevil\u2066\r\x07[bold red]x[/bold red]\nrisk      low"


def test_names_for_people() -> None:
    assert names_of(webhook_pb2.WebhookFormat) == ["plain", "slack"]
    assert name_of(audit_pb2.RejectCode, audit_pb2.REJECT_CODE_BAD_TIMING) == "bad_timing"
    assert (name_of(audit_pb2.RejectCode, 0), name_of(audit_pb2.RejectCode, 99)) == ("", "99")
    assert number_of(audit_pb2.RejectCode, "Bad-Timing", "--code") == audit_pb2.REJECT_CODE_BAD_TIMING
    assert number_of(audit_pb2.RejectCode, "", "--code") == 0
    with pytest.raises(typer.BadParameter, match="is none of unsafe, needs_changes"):
        number_of(audit_pb2.RejectCode, "unspecified", "--code")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("4h", 14400), ("2d", 172800), ("2026-03-01T18:00", 3600), ("2026-03-02", 25200)],
)
def test_times_to_come(text: str, seconds: float) -> None:
    assert seconds_until(text, "--until", now=datetime(2026, 3, 1, 17, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "0s", "4w", "2026-02-01", "²h"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds_until(text, "--until", now=datetime(2026, 3, 1, 17, tzinfo=UTC))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (45, "45s"), (60, "1m"), (3599, "59m"), (3660, "1h01m"), (86400, "1d"), (180000, "2d2h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_summary_names_every_action_in_its_order() -> None:
    kinds = [("file_write", "content"), ("command", "ls\nrm"), ("api_call", "https://x"), ("git_push", "origin main")]
    preview = approval_pb2.Preview(
        actions=[approval_pb2.ActionPreview(kind=kind, text=text) for kind, text in kinds],
        files=[approval_pb2.FilePreview(operation="write", path="a.txt")],
        api_calls=["POST https://x"],
    )
    approval = approval_pb2.Approval(preview=preview)
    assert summary(approval) == "write a.txt; ls\\nrm; POST https://x; origin main"
    approval.preview.actions[1].text = "x" * 5000
    assert len(summary(approval)) == 200
    empty = approval_pb2.Approval(context=risk_pb2.ActionContext(step_id="clean"))
    assert summary(empty) == "start of step clean"


def hostile() -> approval_pb2.Approval:
    """An approval in which every text is hostile."""
    vote = approval_pb2.Vote(voter=HOSTILE, approved=True, on_behalf_of=HOSTILE, reason=HOSTILE)
    approval = approval_pb2.Approval(
        id=HOSTILE,
        requester=HOSTILE,
        reason=HOSTILE,
        policy_reason=HOSTILE,
        policy_rule=HOSTILE,
        initiators=[HOSTILE],
        digest=HOSTILE,
        remembered_from=HOSTILE,
        revision=2,
        state=approval_pb2.APPROVAL_STATE_PENDING,
        context=risk_pb2.ActionContext(agent=HOSTILE, run_id=HOSTILE, step_id=HOSTILE, project_id=HOSTILE),
        assessment=risk_pb2.Assessment(
            factors=[risk_pb2.RiskFactor(id=HOSTILE, explanation=HOSTILE, excerpt=HOSTILE, weight=60)]
        ),
        decision=approval_pb2.Decision(decided_by=HOSTILE, reason=HOSTILE),
        broken_glass=approval_pb2.BrokenGlass(broken_by=HOSTILE, reason=HOSTILE, reviewed_by=HOSTILE, review=HOSTILE),
        quorum=[approval_pb2.Seat(group=HOSTILE, count=1), approval_pb2.Seat(role=access_pb2.ROLE_APPROVER, count=2)],
        votes=[vote],
    )
    preview = approval.preview
    preview.actions.add(kind="command", text=HOSTILE, details=[HOSTILE]).marks.add(
        span=risk_pb2.Span(start=0, end=8), weight=60
    )
    preview.actions.add(kind="file_write", text=HOSTILE, details=[HOSTILE])
    preview.actions.add(kind=HOSTILE, text=HOSTILE)
    preview.files.add(path=HOSTILE, operation="write", diff=HOSTILE, existed=True)
    preview.paths.add(path=HOSTILE, resolved=HOSTILE, outside=True)
    preview.consequences.add(what=HOSTILE, reason=HOSTILE)
    preview.safer_alternatives.append(HOSTILE)
    preview.similar.add(approval_id=HOSTILE, requester=HOSTILE).decision.reason = HOSTILE
    return approval


def test_hostile_text_is_shown_inert() -> None:
    comment = approval_pb2.Comment(author=HOSTILE, text=HOSTILE)
    shown = list(detail_lines(hostile(), [comment], now=0.0))
    for text in shown:
        assert not UNSAFE.search(text.plain)
        # What is shown as it is, is indented: it does not look like a line of ours.
        assert not re.search(r"(?m)^risk      low", text.plain)
        assert "evil" not in text.plain or "[bold red]x[/bold red]" in text.plain
        assert {str(span.style) for span in text.spans} <= {
            "",
            "bold",
            "dim",
            "bold underline",
            "bold underline red",
        }
    assert not UNSAFE.search(summary(hostile()))


def test_a_vote_that_is_not_the_last_is_counted() -> None:
    approval = approval_pb2.Approval(
        state=approval_pb2.APPROVAL_STATE_PENDING,
        quorum=[approval_pb2.Seat(count=2), approval_pb2.Seat(count=1)],
        votes=[approval_pb2.Vote(approved=True)],
    )
    assert outcome(approval) == "pending: 1 of 3 have voted for it"


@pytest.mark.parametrize(("lines", "first"), [(3, "would run:"), (40, "found:")])
def test_what_was_found_is_above_what_is_long(lines: int, first: str) -> None:
    approval = approval_pb2.Approval(assessment=risk_pb2.Assessment(factors=[risk_pb2.RiskFactor(explanation="Bad.")]))
    approval.preview.actions.add(kind="command", text="\n".join(["ls"] * lines))
    shown = [text.plain for text in detail_lines(approval, now=0.0)]
    assert min(("would run:", "found:"), key=shown.index) == first
