"""What the inbox shows, before anything draws it: rows in order, groups, lines that fit, votes as asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from harness.approval.v1 import approval_pb2, audit_pb2, remembered_pb2, risk_pb2
from motherharness.cli.inbox import words
from motherharness.cli.inbox.lines import GOES_ON, cut
from motherharness.cli.inbox.rows import BY_RISK, Row, arrange, heading, row_text
from motherharness.cli.preview import INDENT, indented, marked
from motherharness.text import UNSAFE
from tests.support.patience import ends
from tests.unit.sdk.test_cli_detail import HOSTILE, hostile

NOW = 1_000_000
text_of = st.text(st.characters(exclude_categories=["Cs"]))


def approval(
    name: str, *, left: int = 3600, level: str = "HIGH", group: str = "", script: str = "rm -rf build", age: int = 60
) -> approval_pb2.Approval:
    made = approval_pb2.Approval(id=name, requester="alice", group=group, digest=f"sha256:{name}", revision=1)
    made.context.project_id = "prj_0123456789abcdef"
    made.assessment.level = risk_pb2.RiskLevel.Value(f"RISK_LEVEL_{level}")
    made.decide_by.seconds, made.create_time.seconds = NOW + left, NOW - age
    made.preview.actions.add(kind="command", text=script)
    return made


def keys(rows: list[Row]) -> list[str]:
    return [row.key for row in rows]


def test_what_is_due_first_is_first_and_then_what_is_gravest() -> None:
    waiting = [
        approval("late", left=7200, level="CRITICAL"),
        approval("low", left=3610, level="LOW"),
        approval("unknown", left=3605, level="UNKNOWN"),
        approval("older", left=3600, level="LOW", age=90),
    ]
    assert keys(arrange(waiting)) == ["unknown", "older", "low", "late"]
    assert keys(arrange(waiting, order=BY_RISK)) == ["unknown", "late", "older", "low"]


def test_similar_requests_are_one_row_that_opens() -> None:
    waiting = [
        approval("a", group="g", left=600),
        approval("b", left=1200),
        approval("c", group="g", left=1800),
        approval("alone", group="h", left=2400),
    ]
    closed = arrange(waiting)
    assert keys(closed) == ["group:g", "b", "alone"]
    assert [each.id for each in closed[0].approvals] == ["a", "c"]
    assert (closed[0].one, closed[1].one) == (None, waiting[1])
    opened = arrange(waiting, opened={"group:g"})
    assert [(row.key, row.fold) for row in opened] == [
        ("group:g", "open"),
        ("a", "member"),
        ("c", "member"),
        ("b", ""),
        ("alone", ""),
    ]
    assert keys(arrange(waiting, fold=False)) == ["a", "b", "c", "alone"]


def test_a_filter_wants_all_words_anywhere() -> None:
    waiting = [approval("a", script="kubectl delete web"), approval("b", level="LOW")]
    assert keys(arrange(waiting, words="DELETE alice")) == ["a"]
    assert keys(arrange(waiting, words="low")) == ["b"]
    assert arrange(waiting, words="delete low") == []
    assert len(arrange(waiting, words="  ")) == 2


def test_a_row_says_what_matters() -> None:
    first = approval("a", left=3599)
    first.quorum.add(count=2)
    first.votes.add(approved=True)
    first.revision, first.comments = 3, 4
    first.escalate_time.seconds = NOW
    shown = row_text(Row("a", (first,)), width=120, now=NOW, selected={"a"}).plain
    assert shown.startswith("✓   HIGH        59m     1m  alice        …56789abcdef 1/2 rev3 late “4” rm -rf build")
    second = approval("b")
    second.requester = "bob"
    folded = Row("group:g", (first, second), "closed")
    assert row_text(folded, width=80, now=NOW, selected={"a"}).plain.startswith("~▸  HIGH        59m     1m  2 people ")
    assert "2 of a kind: rm -rf build" in row_text(folded, width=80, now=NOW, selected=()).plain


@pytest.mark.parametrize(("left", "style"), [(60, "bold red"), (1000, "yellow"), (7200, "")])
def test_time_that_runs_out_is_seen(left: int, style: str) -> None:
    text = row_text(Row("a", (approval("a", left=left),)), width=80, now=NOW, selected=())
    assert [str(span.style) for span in text.spans if (span.start, span.end) == (13, 19)] == ([style] if style else [])


@given(text_of, st.integers(40, 200))
def test_a_row_is_one_line_of_its_width_and_inert(text: str, width: int) -> None:
    one = approval("a", script=text)
    one.requester = one.context.project_id = text
    shown = row_text(Row("a", (one,)), width=width, now=NOW, selected=())
    assert shown.cell_len == width
    assert not UNSAFE.search(shown.plain)
    assert "\n" not in shown.plain
    assert heading(width).cell_len <= width or width < 60


@given(text_of, st.integers(12, 90))
def test_what_is_shown_as_it_is_loses_nothing(text: str, width: int) -> None:
    whole = indented([(text.replace("\t", " "), "bold")])
    lines = cut([whole], width)
    assert all(line.cell_len <= width for line in lines)
    joined = "".join(
        line.plain.removeprefix(GOES_ON) if line.plain.startswith(GOES_ON) else "\n" + line.plain for line in lines
    )
    assert joined.removeprefix("\n") == whole.plain
    # The sign that a line goes on is where the text itself never is.
    assert all(line.startswith(INDENT) for line in whole.plain.split("\n"))


def test_marks_stay_where_they_are_when_a_line_is_cut() -> None:
    action = approval_pb2.ActionPreview(text="x" * 90 + "EVIL" + "y" * 90)
    action.marks.add(span=risk_pb2.Span(start=90, end=94), weight=60)
    found = [
        line.plain[span.start : span.end]
        for line in cut([marked(action)], 40)
        for span in line.spans
        if str(span.style) == "bold underline red"
    ]
    assert "".join(found) == "EVIL"


def test_sentences_are_broken_between_words_and_keep_them() -> None:
    said = "because   " + "one two three " * 20
    lines = cut([Text(said)], 60)
    assert all(line.cell_len <= 60 for line in lines)
    assert all(line.plain.startswith(" " * 10) for line in lines[1:])
    assert " ".join(line.plain for line in lines).split() == said.split()


def test_a_huge_line_is_cut_in_reasonable_time() -> None:
    with ends():
        assert len(cut([indented([("x" * 262_144, "")])], 80)) > 3000
        assert len(cut([indented([("\n" * 50_000, "")])], 80)) == 50_001
        assert cell_len(
            row_text(Row("a", (approval("a", script="x" * 262_144),)), width=80, now=NOW, selected=()).plain
        )


def test_hostile_text_is_inert_wherever_it_is() -> None:
    one = hostile()
    one.group = HOSTILE
    refused = approval_pb2.DecidedApproval(approval_id=HOSTILE, error_reason=HOSTILE, error_message=HOSTILE)
    decided = approval_pb2.DecidedApproval(approval_id=HOSTILE, approval=one)
    shown = [
        *words.about([one]),
        *words.of_group(Row("g", (one, one), "closed")),
        *words.results([refused, decided]),
        words.title_of(Row("a", (one,)), NOW),
        row_text(Row("a", (one,)), width=80, now=NOW, selected=()),
    ]
    for text in cut(shown, 70):
        assert not UNSAFE.search(text.plain)
        assert not any(
            "bold red" in str(span.style) and text.plain[span.start : span.end] == "x" for span in text.spans
        )


def test_votes_name_what_was_seen_and_what_was_chosen() -> None:
    seen = approval("a")
    codes = words.code_choices()
    assert len(codes) == len(audit_pb2.RejectCode.values())
    for choice, text in enumerate(codes):
        against = words.rejection_of(seen, "no", choice)
        assert (against.approval_id, against.digest, against.reason) == ("a", "sha256:a", "no")
        assert against.verdict == approval_pb2.VERDICT_REJECT
        name = audit_pb2.RejectCode.Name(against.reject_code).removeprefix("REJECT_CODE_").lower().replace("_", " ")
        assert text.startswith(name if choice else "no code")
    once, run, project = (words.approval_of(seen, "", choice) for choice in range(3))
    assert (once.digest, once.verdict, once.remember) == ("sha256:a", approval_pb2.VERDICT_APPROVE, 0)
    assert not once.HasField("remember_until")
    assert run.remember == remembered_pb2.REMEMBER_SCOPE_RUN
    assert project.remember == remembered_pb2.REMEMBER_SCOPE_PROJECT
    assert project.HasField("remember_until")


def test_every_code_is_explained() -> None:
    assert all(": " in choice for choice in words.code_choices()[1:])
