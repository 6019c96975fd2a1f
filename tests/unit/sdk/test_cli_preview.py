"""What `harness approvals show` prints of a preview: marks and colours in a terminal, the same lines without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.approval.v1 import approval_pb2, risk_pb2
from motherharness.cli.output import stdout
from motherharness.cli.preview import coloured, marked, print_preview
from motherharness.text import UNSAFE, safe


def action(text: str, *marks: tuple[int, int, int], kind: str = "command") -> approval_pb2.ActionPreview:
    shown = approval_pb2.ActionPreview(kind=kind, text=text)
    for start, end, weight in marks:
        shown.marks.add(span=risk_pb2.Span(start=start, end=end), factor_id="f", weight=weight)
    return shown


def printed(preview: approval_pb2.Preview) -> str:
    with stdout.capture() as capture:
        print_preview(preview)
    return capture.get()


def test_what_was_found_is_underlined() -> None:
    text = marked(action("ls; rm -rf \x1b[8m build\nls", (4, 20, 55), (4, 6, 25)))
    assert text.plain == "    ls; rm -rf \\u001b[8m build\n    ls"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["rm"] == "bold underline red"
    assert styles[" -rf \\u001b[8m buil"] == "bold underline red"
    assert styles["ls; "] == "bold"
    assert str(marked(action("ab", (0, 1, 3))).spans[0].style) == "bold underline"


def test_a_diff_has_colours_and_its_headers_are_none_of_its_lines() -> None:
    text = coloured("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- was a line\n+new\r\n same\n")
    styles = {text.plain[span.start : span.end].strip(): str(span.style) for span in text.spans if span.style}
    assert styles == {
        "--- a/x": "bold",
        "+++ b/x": "bold",
        "@@ -1,2 +1,2 @@": "cyan",
        "--- was a line": "red",
        "+new\\u000d": "green",
    }


def test_a_preview_through_a_pipe() -> None:
    preview = approval_pb2.Preview(
        actions=[action("rm -rf out", (0, 10, 40)), action("new\n", kind="file_write")],
        files=[
            approval_pb2.FilePreview(
                path="a.txt",
                operation="write",
                size_bytes=4,
                existed=True,
                old_size_bytes=3,
                lines_added=1,
                lines_removed=1,
                diff="--- a/a.txt\n+++ b/a.txt\n@@ -1,1 +1,1 @@\n-ol\n+new\n",
            )
        ],
        paths=[approval_pb2.ResolvedPath(path="out", resolved="/etc", outside=True)],
        reversibility=approval_pb2.REVERSIBILITY_IRREVERSIBLE,
        consequences=[
            approval_pb2.Consequence(
                what="files", reversibility=approval_pb2.REVERSIBILITY_IRREVERSIBLE, reason="what is removed is gone"
            )
        ],
        safer_alternatives=["Move it aside."],
    )
    preview.actions[0].details.append("working directory: src")
    assert printed(preview) == (
        "would run:\n"
        "    rm -rf out\n"
        "    working directory: src\n"
        "would write: a.txt (3 bytes now, 4 bytes then, +1 -1 lines)\n"
        "    --- a/a.txt\n"
        "    +++ b/a.txt\n"
        "    @@ -1,1 +1,1 @@\n"
        "    -ol\n"
        "    +new\n"
        "path      out leads to /etc (outside of the working directory)\n"
        "undo      no\n"
        "  - files: no, what is removed is gone\n"
        "safer     Move it aside.\n"
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "what is there now was not told, 4 bytes then"),
        ({"existed": False}, "not there now, 4 bytes then"),
        ({"existed": True, "old_size_bytes": 9}, "9 bytes now, what it holds was not told, 4 bytes then"),
        ({"existed": True, "unchanged": True}, "stays as it is, 4 bytes then"),
        ({"existed": True, "truncated": True}, "0 bytes now, 4 bytes then, more than is shown"),
    ],
)
def test_what_is_not_known_of_a_file_is_said(fields: dict[str, object], expected: str) -> None:
    file = approval_pb2.FilePreview(path="a", operation="write", size_bytes=4, excerpt="text", **fields)  # type: ignore[arg-type]
    preview = approval_pb2.Preview(actions=[action("text", kind="file_write")], files=[file])
    assert printed(preview).startswith(f"would write: a ({expected})\n    text\n")


def test_what_a_step_names() -> None:
    preview = approval_pb2.Preview(actions=[action("Clean up", kind="step_start")], commands=["rm -rf build"])
    assert "would start:\n    Clean up\nnames:\n    rm -rf build\n" in printed(preview)


@given(st.text(), st.lists(st.tuples(st.integers(-2, 30), st.integers(-2, 30), st.integers(0, 95))))
def test_nothing_drives_the_terminal_and_nothing_is_lost(text: str, marks: list[tuple[int, int, int]]) -> None:
    shown = marked(action(text.encode("utf-8", "replace").decode(), *marks)).plain
    assert not UNSAFE.search(shown)
    assert shown.replace("\n    ", "\n") == "    " + safe(text.encode("utf-8", "replace").decode())
