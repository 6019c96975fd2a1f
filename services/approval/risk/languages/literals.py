"""Where a text of a language without a parser surely holds data: strings of which nothing could be read as code.

Quotes are counted from the start of the text. That goes wrong behind a regular expression, a here-document, an escaped quote or a
comment with an apostrophe in it, and then code would look like data; so from the first sign of any of them on, nothing is data.
"""

from __future__ import annotations

from bisect import bisect_right

from services.approval.risk import patterns

MAX_STRINGS = 500  # strings of a text that are told apart; behind them, nothing is data

# What makes quotes uncertain: patterns and quote-like operators (a slash, =~, q(..)), here-documents, escaped quotes, comments,
# backquotes, variables named by a quote, characters between apostrophes.
_DOUBTFUL = r"""/|=~|<<|\\['"]|#|`|\$['"]|--|\bq[qwrx]?\b|\bm\W|\by\W|\btr\W|%[({\[<]|\[\[|\[=|@['"]|\"\"\""""
_DOUBTFUL_IN_C = r"""/[/*]|\\"|'|`|[LuUR@$]"|\"\"\"|r#"""
_STRINGS = r"""(?P<double>"(?:[^"\n\\]|\\[^'"\n])*")|(?P<single>'[^'\n\\]*')|(?P<open>['"])"""
_SCAN = patterns.compile(f"(?P<doubt>{_DOUBTFUL})|{_STRINGS}")
_SCAN_C = patterns.compile(f"(?P<doubt>{_DOUBTFUL_IN_C})|{_STRINGS}")
_C_LIKE = frozenset({"c", "java", "rust"})  # an apostrophe makes no string there
_INTERPOLATES = ("@{", "${", "$(", "#{", "{{")  # code inside a string


def strings(text: str, language: str) -> tuple[list[int], list[int]]:
    """Starts and ends of the strings that are surely data, in order."""
    starts: list[int] = []
    ends: list[int] = []
    for match in (_SCAN_C if language in _C_LIKE else _SCAN).finditer(text):
        if match.lastgroup in ("doubt", "open") or len(starts) >= MAX_STRINGS:
            break
        if not any(sign in match.group() for sign in _INTERPOLATES):
            starts.append(match.start())
            ends.append(match.end())
    return starts, ends


def is_data(spans: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """Whether a part of the text lies in one of the strings."""
    starts, ends = spans
    at = bisect_right(starts, start) - 1
    return at >= 0 and end <= ends[at]
