"""A preview for people: what would run with what was found marked in it, what changes, what is lost, what is safer.

Marks and colours are for terminals; through a pipe the same lines come out plain.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from rich.text import Text

from harness.approval.v1 import approval_pb2
from motherharness.cli.output import phrase, short, stdout, when
from motherharness.text import safe

INDENT = "    "
TITLES = {
    "command": "would run",
    "file_write": "would write",
    "file_delete": "would delete",
    "code_execution": "would run code",
    "api_call": "would call",
    "git_push": "would push",
    "workflow_creation": "would create",
    "step_start": "would start",
    "step_result": "brought back",
}
FILE_KINDS = ("file_write", "file_delete")
UNDO = {
    approval_pb2.REVERSIBILITY_REVERSIBLE: ("yes", "green"),
    approval_pb2.REVERSIBILITY_RECOVERABLE: ("with some work", "yellow"),
    approval_pb2.REVERSIBILITY_UNKNOWN: ("not known", "yellow"),
    approval_pb2.REVERSIBILITY_IRREVERSIBLE: ("no", "bold red"),
}
NOTHING_LOST = ("nothing was found that would be lost", "green")
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
# As the levels do: a factor of this weight asks a person, or is high, by itself.
MEDIUM_WEIGHT, HIGH_WEIGHT = 20, 50


def print_preview(preview: approval_pb2.Preview) -> None:
    """Print a preview."""
    for text in preview_lines(preview):
        stdout.print(text, soft_wrap=True)


def preview_lines(preview: approval_pb2.Preview) -> Iterator[Text]:
    """A preview, part by part; what is shown as it is has `no_wrap` set, and may have several lines."""
    yield from doing_lines(preview)
    shown = sum(action.kind in FILE_KINDS for action in preview.actions)
    named = [f"{file.operation} {file.path}" for file in preview.files[shown:]]
    if any(action.kind in ("step_start", "step_result") for action in preview.actions) or not preview.actions:
        named = [*preview.commands, *named, *preview.api_calls, *preview.workflows]
    if named:
        yield phrase("names:" if preview.actions else "would do:")
        for entry in named:
            yield indented([(entry, "bold")])
    for path in preview.paths:
        where = " (outside of the working directory)" if path.outside else ""
        target = path.resolved or "nowhere: its links lead round and round"
        yield phrase(f"path      {path.path} leads to {target}{where}", style="yellow" if path.outside else "")
    if preview.actions:
        yield from consequence_lines(preview)
    for alternative in preview.safer_alternatives:
        yield phrase("safer    ", alternative, style="green")
    for each in preview.similar:
        decision = each.decision
        state = short(approval_pb2.ApprovalState.Name(each.state))
        why = f": {decision.reason}" if decision.reason else ""
        decided = f"{'approved' if decision.approved else 'rejected'} by {decision.decided_by}"
        yield phrase(
            "before   ",
            f"{each.approval_id} of {each.requester}, {decided} {when(decision.decide_time)} ({state}){why}",
        )
    if preview.truncated:
        yield phrase("cut       what is longer than this shows; --json has the whole of the actions", style="dim")


def doing_lines(preview: approval_pb2.Preview) -> Iterator[Text]:
    """What would happen, action by action."""
    files = iter(preview.files)
    for action in preview.actions:
        file = next(files, None) if action.kind in FILE_KINDS else None
        yield from action_lines(action) if file is None else file_lines(file, action)


def action_lines(action: approval_pb2.ActionPreview) -> Iterator[Text]:
    """The text of an action with its marks, and the rest of it."""
    yield phrase(f"{TITLES.get(action.kind, action.kind)}:")
    yield marked(action)
    for detail in action.details:
        yield indented([(detail, "dim")])


def file_lines(file: approval_pb2.FilePreview, action: approval_pb2.ActionPreview) -> Iterator[Text]:
    """What becomes of a file: the diff if there is one, else the beginning of what would be written."""
    yield phrase(f"would {file.operation}:", file.path, f"({', '.join(facts(file))})")
    for detail in action.details:
        if not detail.startswith("path: "):
            yield phrase(f"{INDENT}{detail}", style="dim")
    if file.diff:
        yield coloured(file.diff)
    if file.operation == "write" and (action.marks or not file.diff):
        if file.diff:
            yield phrase(f"{INDENT}as it would be, with what was found in it:", style="dim")
        yield marked(action) if action.text else indented([(file.excerpt, "")])


def facts(file: approval_pb2.FilePreview) -> list[str]:
    """What is known of a file, in words."""
    told = []
    if not file.HasField("existed"):
        told.append("what is there now was not told")
    elif not file.existed:
        told.append("not there now")
    else:
        told.append("stays as it is" if file.unchanged else f"{file.old_size_bytes} bytes now")
        if not (file.diff or file.unchanged or file.truncated):
            told.append("what it holds was not told")
    if file.operation == "write":
        told.append(f"{file.size_bytes} bytes then")
    if file.binary:
        told.append("no text")
    if file.lines_added or file.lines_removed:
        told.append(f"+{file.lines_added} -{file.lines_removed} lines")
    if file.truncated:
        told.append("more than is shown")
    return told


def consequence_lines(preview: approval_pb2.Preview) -> Iterator[Text]:
    """Whether it can be undone, and why."""
    answer, style = UNDO.get(preview.reversibility, NOTHING_LOST)
    yield phrase("undo     ", answer, style=style)
    for each in preview.consequences:
        can, _ = UNDO.get(each.reversibility, NOTHING_LOST)
        yield phrase(f"  - {each.what}: {can}, {each.reason}")


def marked(action: approval_pb2.ActionPreview) -> Text:
    """The text of an action, indented, with the places that factors were found in underlined."""
    edges = {0, len(action.text)}
    for mark in action.marks:
        edges |= {mark.span.start, mark.span.end}
    inside = sorted(edge for edge in edges if 0 <= edge <= len(action.text))
    # Where marks overlap, the heaviest colours.
    marks = sorted(action.marks, key=lambda mark: mark.weight)
    parts = []
    for start, end in pairwise(inside):
        style = "bold"
        for mark in marks:
            if mark.span.start <= start and end <= mark.span.end:
                style = style_of(mark.weight)
        parts.append((action.text[start:end], style))
    return indented(parts)


def style_of(weight: int) -> str:
    """How a mark looks."""
    if weight >= HIGH_WEIGHT:
        return "bold underline red"
    return "bold underline yellow" if weight >= MEDIUM_WEIGHT else "bold underline"


def coloured(diff: str) -> Text:
    """A diff, indented, in the colours that people know."""
    parts, in_hunk = [], False
    for entry in diff.removesuffix("\n").split("\n"):
        in_hunk = in_hunk or entry.startswith("@@ ")
        # Before the first hunk there are headers; in one, `---` is a line that goes.
        parts.append((entry, DIFF_STYLES.get(entry[:1], "") if in_hunk else "bold"))
        parts.append(("\n", ""))
    return indented(parts[:-1])


def indented(parts: Iterable[tuple[str, str]]) -> Text:
    """Styled parts of a text, safe, indented, and not to be broken at spaces."""
    text = Text(INDENT, no_wrap=True)
    for part, style in parts:
        text.append(safe(part).replace("\n", f"\n{INDENT}"), style=style)
    return text
