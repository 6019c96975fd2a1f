"""Takes off what keeps a secret from being seen but not from being used: empty quotes, continued lines, invisible and look-alike letters."""

from __future__ import annotations

from collections.abc import Sequence

from services.runtime import patterns

# One for one: Cyrillic and Greek letters that look like Latin ones, as far as they occur in names such as "password".
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u03b1\u03bf\u03c1\u03b9",
    "aeopcyxisjdABEKMHOPCTXaopi",
)
_INVISIBLE = r"\x{ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}"
# A shell joins what stands on both sides of empty quotes and of a line's end after a backslash.
_BETWEEN = patterns.compile(rf"(?:\"\"|''|\\\r?\n|[{_INVISIBLE}])+")


def without(text: str) -> tuple[str, Sequence[int]]:
    """The text as it is used, and where each of its characters stands in the one given."""
    whole: Sequence[int] = range(len(text))
    ascii_only = text.isascii()
    if ascii_only and '""' not in text and "''" not in text and "\\\n" not in text and "\\\r\n" not in text:
        return text, whole
    alike = text if ascii_only else text.translate(_ALIKE)
    parts: list[str] = []
    places: list[int] = []
    position = 0
    for match in _BETWEEN.finditer(alike):
        start, end = match.span()
        if alike[max(0, start - 1) : start].isalnum() and alike[end : end + 1].isalnum():
            parts.append(alike[position:start])
            places += range(position, start)
            position = end
    if not parts:
        return alike, whole
    return "".join([*parts, alike[position:]]), [*places, *range(position, len(alike))]
