"""Texts with their secrets masked, and where a place of the original stands in what is shown."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from services.runtime.redaction import MASK, masked_ranges


class Masked:
    """A text as it is shown. `text` is what `redact` makes of `original`."""

    def __init__(self, original: str) -> None:
        self.original = original
        self._ranges = masked_ranges(original)
        self._starts = [start for start, _ in self._ranges]
        self._ends = [end for _, end in self._ranges]
        # How far what stands behind each range is moved.
        self._shifts = [0]
        for start, end in self._ranges:
            self._shifts.append(self._shifts[-1] + len(MASK) - (end - start))
        self.text = self._with(lambda secret: MASK)

    @property
    def is_changed(self) -> bool:
        """Whether anything is masked."""
        return bool(self._ranges)

    def line_by_line(self) -> str:
        """The masked text with as many lines as the original: a secret of several lines gives a mask in each."""
        return self._with(lambda secret: "\n".join(MASK if line else "" for line in secret.split("\n")))

    def place(self, start: int, end: int) -> tuple[int, int] | None:
        """A range of the original in `text`; None if it is empty, outside, or one end is inside of what is masked.

        A range that holds a secret from end to end, or is one, keeps its place.
        """
        if not 0 <= start < end <= len(self.original):
            return None
        first, last = self._boundary(start), self._boundary(end)
        return None if first is None or last is None else (first, last)

    def _boundary(self, position: int) -> int | None:
        before = bisect_right(self._ends, position)
        inside = bisect_left(self._starts, position) > before
        return None if inside else position + self._shifts[before]

    def _with(self, mask: Callable[[str], str]) -> str:
        if not self._ranges:
            return self.original
        parts: list[str] = []
        position = 0
        for start, end in self._ranges:
            parts += [self.original[position:start], mask(self.original[start:end])]
            position = end
        return "".join([*parts, self.original[position:]])
