"""However much is written, what is kept is bounded and says what is missing."""

import json

from hypothesis import given
from hypothesis import strategies as st

from motherharness.agents.output import CappedOutput, fit


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(2, 200))
def test_keeps_head_and_tail(chunks: list[bytes], limit: int) -> None:
    output = CappedOutput(limit)
    for chunk in chunks:
        output.feed(chunk)
    whole = b"".join(chunks)
    assert output.total == len(whole)
    assert output.truncated == (len(whole) > limit)
    if not output.truncated:
        assert output.text() == whole.decode("utf-8", "replace")
    else:
        assert f"{len(whole) - limit} bytes left out" in output.text()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), st.integers(200, 2000))
def test_fit_bounds_the_json(text: str, limit: int) -> None:
    fitted = fit(text, limit)
    assert len(json.dumps(fitted, ensure_ascii=False).encode()) <= limit
    if len(json.dumps(text, ensure_ascii=False).encode()) <= limit:
        assert fitted == text
