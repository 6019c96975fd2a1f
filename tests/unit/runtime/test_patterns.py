"""Our quick way through RE2 gives what the library gives."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import patterns

PATTERNS = ["a+", "^a", "a$", "^$", "", "(a)|(b)", "(?P<x>a)b?", r"(?i)AB", r"\bab\b", "é", "a(?:bé)?", ".", "[^a]"]
TEXTS = st.text("ab é\n", max_size=12)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=TEXTS, pos=st.none() | st.integers(0, 14), endpos=st.none() | st.integers(0, 14))
def test_a_match_is_that_of_the_library(pattern: str, text: str, pos: int | None, endpos: int | None) -> None:
    ours, theirs = patterns.compile(pattern), re2.compile(pattern)
    for way in ("search", "match", "fullmatch"):
        given_ends = () if pos is None else (pos,) if endpos is None else (pos, endpos)
        one, other = getattr(ours, way)(text, *given_ends), getattr(theirs, way)(text, *given_ends)
        assert (one is None) == (other is None)
        if one is not None:
            for ask in ("groups", "span", "start", "end", "group", "groupdict"):
                assert getattr(one, ask)() == getattr(other, ask)()
            assert one.lastgroup == other.lastgroup
    assert [m.span() for m in ours.finditer(text)] == [m.span() for m in theirs.finditer(text)]
    assert ours.sub("_", text) == theirs.sub("_", text)
    assert ours.sub("é", text) == theirs.sub(lambda _: "é", text)


def test_a_bad_pattern_says_why() -> None:
    with pytest.raises(patterns.PatternError, match="look"):
        patterns.compile("(?=look)a")


def test_a_template_that_the_library_would_garble_is_refused() -> None:
    assert patterns.compile("(b)").sub(r"<\1>", "abc") == "a<b>c"
    with pytest.raises(ValueError, match="function"):
        patterns.compile("(b)").sub(r"«\1»", "abc")
