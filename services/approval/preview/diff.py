"""A unified diff in bounded time and size.

The search for the shortest one (Myers, "An O(ND) Difference Algorithm and Its Variations", 1986) is given up where the
texts differ too much: then everything between the lines they begin and end with is replaced, which is as true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTEXT = 3
"""Lines around a change, as `diff -u` shows them."""
MAX_EDITS = 300
"""Lines that differ in a shortest diff that is searched for; memory grows with its square."""
MAX_STEPS = 150_000
"""Comparisons of lines in that search: about 40 ms."""
MAX_LINE_CHARS = 1000
NO_NEWLINE = "\\ No newline at end of file\n"

Change = tuple[int, int, int, int]
"""Lines i1 to i2 of the old text become lines j1 to j2 of the new one."""


@dataclass(frozen=True, slots=True)
class Diff:
    """The hunks of a diff (none: the texts are the same). `truncated`: lines, or ends of lines, were left out."""

    text: str
    added: int
    removed: int
    truncated: bool


def lines_of(text: str) -> list[str]:
    """The lines of a text with their line feeds; a carriage return is a character like any other."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def changes(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """What has to change in `old` to become `new`, in order, with an unchanged line or more between two changes."""
    start, end_old, end_new = 0, len(old), len(new)
    while start < end_old and start < end_new and old[start] == new[start]:
        start += 1
    while end_old > start and end_new > start and old[end_old - 1] == new[end_new - 1]:
        end_old -= 1
        end_new -= 1
    if start == end_old == end_new:
        return []
    numbers: dict[str, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old[start:end_old]]
    b = [numbers.setdefault(line, len(numbers)) for line in new[start:end_new]]
    kept = _kept(a, b)
    found: list[Change] = []
    x = y = 0
    for i, j in [*kept, (len(a), len(b))]:
        if i > x or j > y:
            found.append((start + x, start + i, start + y, start + j))
        x, y = i + 1, j + 1
    return found


def _kept(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of equal elements that a shortest diff keeps; none where it is not found within the limits."""
    n, m = len(a), len(b)
    if set(a).isdisjoint(b):
        return []
    middle = MAX_EDITS + 1
    furthest = [0] * (2 * middle + 1)
    trace: list[list[int]] = []
    steps = 0
    for d in range(min(n + m, MAX_EDITS) + 1):
        trace.append(furthest[middle - d - 1 : middle + d + 2])
        for k in range(-d, d + 1, 2):
            down = k == -d or (k != d and furthest[middle + k - 1] < furthest[middle + k + 1])
            x = furthest[middle + k + 1] if down else furthest[middle + k - 1] + 1
            y = x - k
            before = x
            while x < n and y < m and a[x] == b[y]:
                x += 1
                y += 1
            steps += x - before + 1
            furthest[middle + k] = x
            if x >= n and y >= m:
                return _walked_back(trace, n, m)
        if steps > MAX_STEPS:
            return []
    return []


def _walked_back(trace: Sequence[Sequence[int]], x: int, y: int) -> list[tuple[int, int]]:
    """The diagonal steps of the path that ended at (x, y), from its beginning."""
    kept: list[tuple[int, int]] = []
    for d in range(len(trace) - 1, -1, -1):
        furthest, middle = trace[d], d + 1
        k = x - y
        down = k == -d or (k != d and furthest[middle + k - 1] < furthest[middle + k + 1])
        before_k = k + 1 if down else k - 1
        before_x = furthest[middle + before_k] if d else 0
        before_y = before_x - before_k if d else 0
        while x > before_x and y > before_y:
            x -= 1
            y -= 1
            kept.append((x, y))
        x, y = before_x, before_y
    return kept[::-1]


def hunks(
    old: Sequence[str], new: Sequence[str], shown_old: Sequence[str], shown_new: Sequence[str], limit: int
) -> Diff:
    """Compare two texts, and show the lines of two others that have as many; at most about `limit` characters.

    What is left out is counted in `added` and `removed` all the same.
    """
    found = changes(old, new)
    added, removed = sum(j2 - j1 for _, _, j1, j2 in found), sum(i2 - i1 for i1, i2, _, _ in found)
    parts: list[str] = []
    size, cut = 0, False
    for line in _lines(found, shown_old, shown_new):
        if size > limit:
            cut = True
            parts.append("… (more lines)\n")
            break
        if len(line) > MAX_LINE_CHARS:
            cut = True
            line = f"{line[:MAX_LINE_CHARS]}… ({len(line) - MAX_LINE_CHARS} more characters)\n"
        parts.append(line)
        size += len(line)
    return Diff("".join(parts), added, removed, cut)


def _lines(found: Sequence[Change], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in _groups(found):
        first, last = group[0], group[-1]
        before = min(CONTEXT, first[0])
        after = min(CONTEXT, len(old) - last[1])
        i1, i2 = first[0] - before, last[1] + after
        j1, j2 = first[2] - before, last[3] + after
        yield f"@@ -{_range(i1, i2)} +{_range(j1, j2)} @@\n"
        at = i1
        for start, end, new_start, new_end in group:
            for line in old[at:start]:
                yield from _line(" ", line)
            for line in old[start:end]:
                yield from _line("-", line)
            for line in new[new_start:new_end]:
                yield from _line("+", line)
            at = end
        for line in old[at:i2]:
            yield from _line(" ", line)


def _groups(found: Sequence[Change]) -> list[list[Change]]:
    """Changes that are near enough to share their context."""
    groups: list[list[Change]] = []
    for change in found:
        if groups and change[0] - groups[-1][-1][1] <= 2 * CONTEXT:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def _range(start: int, end: int) -> str:
    """Lines as a header names them: counted from 1; an empty range is named by the line before it."""
    return f"{start + (end > start)},{end - start}"


def _line(sign: str, line: str) -> Iterator[str]:
    if line.endswith("\n"):
        yield sign + line
    else:
        yield f"{sign}{line}\n"
        yield NO_NEWLINE
