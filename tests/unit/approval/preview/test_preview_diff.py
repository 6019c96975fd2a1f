"""A diff says what changes, can be applied, and takes no longer than its limits allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.preview import diff
from services.approval.preview.diff import changes, hunks, lines_of
from tests.support.patience import ends

LIMIT = 1_000_000


def text_of(old: str, new: str, limit: int = LIMIT) -> diff.Diff:
    before, after = lines_of(old), lines_of(new)
    return hunks(before, after, before, after, limit)


def patched(old: str, text: str) -> str:
    """What `patch` makes of a text: every line of a hunk is compared with what is there."""
    source, result, at = lines_of(old), [], 0
    lines = text.split("\n")[:-1]
    number = 0
    while number < len(lines):
        _, removed, _, _ = lines[number].split(" ")
        start, length = map(int, removed[1:].split(","))
        first = start - (length > 0)
        result += source[at:first]
        at = first
        number += 1
        while number < len(lines) and not lines[number].startswith("@@"):
            sign, line = lines[number][:1], lines[number][1:] + "\n"
            if number + 1 < len(lines) and lines[number + 1] + "\n" == diff.NO_NEWLINE:
                line = line[:-1]
                number += 1
            if sign in " -":
                assert source[at] == line
                at += 1
            if sign in " +":
                result.append(line)
            number += 1
    return "".join(result + source[at:])


def test_a_change_with_its_context() -> None:
    old = "".join(f"{n}\n" for n in range(1, 13))
    new = old.replace("6\n", "six\n6b\n").replace("12\n", "12")
    found = text_of(old, new)
    assert (found.added, found.removed, found.truncated) == (3, 2, False)
    assert found.text == (
        "@@ -3,10 +3,11 @@\n 3\n 4\n 5\n-6\n+six\n+6b\n 7\n 8\n 9\n 10\n 11\n-12\n+12\n\\ No newline at end of file\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("same\n", "same\n", ""),
        ("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"),
        ("a\nb", "", "@@ -1,2 +0,0 @@\n-a\n-b\n\\ No newline at end of file\n"),
        ("a\r\n", "a\n", "@@ -1,1 +1,1 @@\n-a\r\n+a\n"),
        ("a\rb\n", "a\rb\nc", "@@ -1,1 +1,2 @@\n a\rb\n+c\n\\ No newline at end of file\n"),
    ],
)
def test_edges(old: str, new: str, expected: str) -> None:
    assert text_of(old, new).text == expected


def test_changes_that_are_far_apart_have_hunks_of_their_own() -> None:
    old = "".join(f"{n}\n" for n in range(50))
    found = text_of(old, old.replace("5\n", "five\n", 1).replace("40\n", "forty\n"))
    assert [line for line in found.text.splitlines() if line.startswith("@@")] == [
        "@@ -3,7 +3,7 @@",
        "@@ -38,7 +38,7 @@",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["x"] * 30_000, ["y"] * 30_000),
        (["a", "b"] * 10_000, ["b", "a"] * 10_000 + ["c"]),
        ([str(n) for n in range(20_000)], [str(n) for n in reversed(range(20_000))]),
        (["a"] * 20_000 + ["b"] * 20_000, ["b"] * 20_000 + ["a"] * 20_000),
    ],
)
def test_what_has_little_in_common_ends(old: list[str], new: list[str]) -> None:
    before, after = [f"{line}\n" for line in old], [f"{line}\n" for line in new]
    with ends():
        found = hunks(before, after, before, after, 100_000_000)
    assert patched("".join(before), found.text) == "".join(after)


def test_a_long_diff_is_cut_and_still_counts() -> None:
    found = text_of("", "line\n" * 1000, limit=100)
    assert found.truncated
    assert len(found.text) < 200
    assert found.text.endswith("… (more lines)\n")
    assert found.added == 1000
    wide = text_of("", "x" * (diff.MAX_LINE_CHARS + 7) + "\n")
    assert wide.truncated
    assert "… (9 more characters)" in wide.text


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "\r\n", "a\rb\n"]), max_size=40)
TEXT = st.builds(lambda lines, last: "".join(lines) + last, LINES, st.sampled_from(["", "end", "a", "\r"]))


@given(old=TEXT, new=TEXT)
def test_patching_the_old_text_gives_the_new_one(old: str, new: str) -> None:
    found = text_of(old, new)
    assert patched(old, found.text) == new
    assert (found.text == "") == (old == new)


@given(old=LINES, new=LINES)
def test_a_small_diff_is_a_shortest_one(old: list[str], new: list[str]) -> None:
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, a in enumerate(old):
        for j, b in enumerate(new):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    found = changes(old, new)
    assert sum(i2 - i1 for i1, i2, _, _ in found) == len(old) - table[-1][-1]
    assert all(first[1] < second[0] for first, second in pairwise(found))
