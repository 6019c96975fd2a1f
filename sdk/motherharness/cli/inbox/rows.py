"""The rows of the inbox: what waits, in order, similar requests folded into one, each a line."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rich.text import Text

from harness.approval.v1 import approval_pb2, risk_pb2
from motherharness.cli.detail import LEVEL_STYLES, level_of, span, summary
from motherharness.text import line

BY_TIME, BY_RISK = "time left", "risk"
SOON_SECONDS, LATE_SECONDS = 1800, 600
"""When the time left is shown as running out: half an hour, ten minutes."""
REQUESTER_WIDTH, PROJECT_WIDTH = 12, 12
WIDE = 100
"""Columns from which on the project has one of its own."""


@dataclass(frozen=True)
class Row:
    """A request, or several of a group behind one row.

    Attributes:
        key: of the request, or of the group.
        approvals: what an action on the row is about, in order.
        fold: "closed" for a row that stands for all of its group, "open" for one with its members below, "member" for
            one of those, empty for any other.
    """

    key: str
    approvals: tuple[approval_pb2.Approval, ...]
    fold: str = ""

    @property
    def one(self) -> approval_pb2.Approval | None:
        """The request, where the row is one."""
        return self.approvals[0] if self.fold in ("", "member") else None


def arrange(
    approvals: Iterable[approval_pb2.Approval],
    *,
    order: str = BY_TIME,
    words: str = "",
    fold: bool = True,
    opened: Collection[str] = (),
) -> list[Row]:
    """What waits as rows, in order.

    Args:
        order: BY_TIME has what must be decided soonest first, to the minute, then what is gravest; BY_RISK the other
            way.
        words: only what has all of these somewhere, in any case.
        fold: whether groups of two or more are one row.
        opened: keys of groups whose members are shown.
    """
    wanted = words.lower().split()
    found = [each for each in approvals if all(word in haystack(each) for word in wanted)]
    found.sort(key=lambda each: _rank(each, order))
    # In the order of the first of each; the service says what is similar.
    groups: dict[str, list[approval_pb2.Approval]] = {}
    for approval in found:
        groups.setdefault(f"group:{approval.group}" if fold and approval.group else approval.id, []).append(approval)
    rows: list[Row] = []
    for key, members in groups.items():
        if len(members) == 1:
            rows.append(Row(members[0].id, (members[0],)))
            continue
        rows.append(Row(key, tuple(members), "open" if key in opened else "closed"))
        if key in opened:
            rows += [Row(each.id, (each,), "member") for each in members]
    return rows


def haystack(approval: approval_pb2.Approval) -> str:
    """What a filter looks through, in lower case."""
    context = approval.context
    parts = [
        approval.id,
        approval.requester,
        approval.reason,
        context.project_id,
        context.run_id,
        context.step_id,
        context.agent,
        level_of(approval.assessment),
        summary(approval),
    ]
    return "\n".join(parts).lower()


def _rank(approval: approval_pb2.Approval, order: str) -> tuple[float, ...]:
    minute = approval.decide_by.seconds // 60
    # UNKNOWN, which could not be read, is the gravest, as its number says.
    grave = -int(approval.assessment.level or risk_pb2.RISK_LEVEL_UNKNOWN)
    first = (grave, minute) if order == BY_RISK else (minute, grave)
    return (*first, approval.create_time.seconds, approval.create_time.nanos)


def heading(width: int) -> Text:
    """The names of the columns."""
    return Text(_columns("", "RISK", "LEFT", "AGE", "REQUESTER", "PROJECT", width) + "WHAT", style="bold", no_wrap=True)


def _columns(mark: str, level: str, left: str, age: str, requester: str, project: str, width: int) -> str:
    shown = f"{mark:<4.4}{level:<9.9}{left:>6.6} {age:>6.6}  {_cut(requester, REQUESTER_WIDTH)} "
    return f"{shown}{_cut(project, PROJECT_WIDTH, tail=True)} " if width >= WIDE else shown


def row_text(row: Row, *, width: int, now: float, selected: Collection[str]) -> Text:
    """A row on one line, exactly as wide as asked for."""
    first = row.approvals[0]
    level, left = level_of(first.assessment), first.decide_by.seconds - now
    chosen = sum(each.id in selected for each in row.approvals)
    mark = "✓" if chosen == len(row.approvals) else "~" if chosen else " "
    fold = {"closed": "▸", "open": "▾", "member": " └"}.get(row.fold, " ")
    requesters = list(dict.fromkeys(each.requester for each in row.approvals))
    requester = requesters[0] if len(requesters) == 1 else f"{len(requesters)} people"
    age = span(now - first.create_time.seconds)
    text = Text(no_wrap=True)
    columns = _columns(
        mark + fold, level.upper(), span(left), age, line(requester), line(first.context.project_id), width
    )
    text.append(columns)
    text.stylize(LEVEL_STYLES.get(level, ""), 4, 13)
    if left < SOON_SECONDS:
        text.stylize("bold red" if left < LATE_SECONDS else "yellow", 13, 19)
    for note, style in notes(row):
        text.append(f"{note} ", style=style)
    text.append(summary(first))
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def notes(row: Row) -> list[tuple[str, str]]:
    """What is worth knowing about a row before what it is about."""
    first = row.approvals[0]
    if row.one is None:
        return [(f"{len(row.approvals)} of a kind:", "bold")]
    found = []
    wanted = sum(seat.count for seat in first.quorum)
    if wanted > 1:
        found.append((f"{sum(vote.approved for vote in first.votes)}/{wanted}", "cyan"))
    if first.revision > 1:
        found.append((f"rev{first.revision}", "yellow"))
    if first.HasField("escalate_time"):
        found.append(("late", "bold yellow"))
    if first.comments:
        found.append((f"“{first.comments}”", "cyan"))
    return found


def _cut(value: str, width: int, *, tail: bool = False) -> str:
    """A value in exactly so many cells; of ids the end is shown, for it is what differs."""
    text = Text(value)
    if text.cell_len <= width:
        return value + " " * (width - text.cell_len)
    if tail and value.isascii():
        return "…" + value[-(width - 1) :]
    text.truncate(width, overflow="ellipsis", pad=True)
    return text.plain
