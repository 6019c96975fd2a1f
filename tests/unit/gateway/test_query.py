"""Query parameters and path variables as fields."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import query
from services.gateway.texts import Unreadable
from tests.support.shelf import Everything


def filled(text: str, *taken: tuple[str, ...]) -> Any:
    made = Everything()
    query.fill(made, query.parse(text.encode()), taken)
    return made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", {}),
        ("number=5&text=a+b%26&yes=T", {"number": 5, "text": "a b&", "yes": True}),
        ("stringValue=x&boolValue=0", {"string_value": {"value": "x"}, "bool_value": {}}),
        ("int64_value=-5", {"int64_value": {"value": -5}}),
        ("number%00=5&child%00.number=1", {}),
        ("words=a&words=&words=a", {"words": ["a", "", "a"]}),
        ("numbers=1&numbers=-2", {"numbers": [1, -2]}),
        ("child.number=1&child.child.text=x", {"child": {"number": 1, "child": {"text": "x"}}}),
        ("child.stringValue=x", {"child": {"string_value": {"value": "x"}}}),
        ("colour=COLOUR_RED&colours=2&colours=COLOUR_RED", {"colour": 1, "colours": [2, 1]}),
        ("labels[a]=b&labels%5Bc+d%5D=", {"labels": {"a": "b", "c d": ""}}),
        ("counts[true]=5&labels[a[b]]=ignored", {"counts": {True: 5}}),
        ("time=2026-01-31T09%3A30%3A00Z", {"time": {"seconds": 1769851800}}),
        ("times=1970-01-01T00:00:01Z&times=1970-01-01T00:00:02Z", {"times": [{"seconds": 1}, {"seconds": 2}]}),
        ("span=1h30m1.5s", {"span": {"seconds": 5401, "nanos": 500_000_000}}),
        ("mask=a_b,c.d", {"mask": {"paths": ["a_b", "c.d"]}}),
        ("mask=", {"mask": {}}),
        ("blob=-_8&bytesValue=YQ", {"blob": b"\xfb\xff", "bytes_value": {"value": b"a"}}),
        ("real=1e3&single=.5", {"real": 1000.0, "single": 0.5}),
        ("doubleValue=Infinity", {"double_value": {"value": float("inf")}}),
        ("number=%2B5&big=-0", {"number": 5}),
        ("maybe=0&right=0", {"maybe": 0, "right": 0}),
        ("other.age=1&other.fullName=f", {"other": {"age": 1, "full_name": "f"}}),
        ("struct=%7B%22a%22:1%7D&value=null", {"struct": {"a": 1}, "value": {"null_value": 0}}),
        ("empty=&unknown=1&child.unknown=2&a.b.c=d&=x&&", {"empty": {}}),
        ("text", {"text": ""}),
        ("text=a=b", {"text": "a=b"}),
    ],
)  # fmt: skip
def test_parameters_become_fields(text: str, made: dict[str, Any]) -> None:
    assert filled(text) == Everything(**made)


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        ("number=x", "number", "not an integer"),
        ("number=", "number", "not an integer"),
        ("number=1.0", "number", "not an integer"),
        ("number=1_0", "number", "not an integer"),
        ("number=2147483648", "number", "between"),
        ("number=1&number=2", "number", "takes one value"),
        ("number=" + "9" * 5000, "number", "not an integer"),
        ("stringValue=a&string_value=b", "string_value", "given twice"),
        ("yes=yes", "yes", "neither true nor false"),
        ("colour=RED", "colour", "not a Colour"),
        ("colour=7", "colour", "not a Colour"),
        ("colour=COLOUR_RED%00", "colour", "not a Colour"),
        ("real=0x1p4", "real", "not a number"),
        ("real=1e999", "real", "too large"),
        ("real=inf", "real", "not a number"),
        ("single=1e39", "single", "too large"),
        ("time=now", "time", "not a time"),
        ("span=1", "span", "not a duration"),
        ("span=s", "span", "not a duration"),
        ("span=9999999999h", "span", "longer"),
        ("blob=%2A", "blob", "base64"),
        ("child=x", "child", "cannot be given in a query"),
        ("authors=x", "authors", "cannot be given in a query"),
        ("authors.age=1", "authors.age", "authors is not a message"),
        ("text.x=1", "text.x", "text is not a message"),
        ("labels=a", "labels", "an entry of a map"),
        ("labels[a]=1&labels[a]=2", "labels[a]", "an entry of a map"),
        ("words[0]=a", "words[0]", "not a map"),
        ("people[1]=x", "people[1]", "cannot be given"),
        ("counts[yes]=1", "counts[yes]", "neither true nor false"),
        ("left=a&right=1", "right", "excludes left"),
        ("struct=[]", "struct", "must be an object"),
        ("value={", "value", "not JSON"),
        ("empty=x", "empty", "not empty"),
        ("text=%zz", "", "no two hex digits"),
        ("text=%f", "", "no two hex digits"),
        ("text=%ff", "", "not UTF-8"),
        ("a=1;b=2", "", "semicolon"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text: str, path: str, what: str) -> None:
    with pytest.raises(Unreadable, match=what) as caught:
        filled(text)
    assert caught.value.path == path


def test_what_path_and_body_set_is_left_alone() -> None:
    text = "number=1&child.number=2&child.text=t&stringValue=s&authors.age=1"
    assert filled(text, ("number",), ("child", "number"), ("string_value",), ("authors",)) == Everything(
        child={"text": "t"}
    )
    assert filled("child.number=2&text=t", ("child",)) == Everything(text="t")
    # A message whose field is taken cannot be set as a whole either.
    assert filled("stringValue=x", ("string_value", "value")) == Everything()


@given(st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=4))
def test_parsing_undoes_encoding(parameters: dict[str, list[str]]) -> None:
    parameters = {
        key: values
        for key, values in _encodable(parameters).items()
        if any((key, value) != ("", "") for value in values)
    }
    text = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, values in parameters.items() for value in values)
    assert query.parse(text.encode()) == parameters


def _encodable(parameters: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        key.encode("utf-8", "ignore").decode(): [value.encode("utf-8", "ignore").decode() for value in values]
        for key, values in parameters.items()
    }


names = st.sampled_from([field.name for field in Everything.DESCRIPTOR.fields])
keys = st.builds(
    "".join, st.tuples(names, st.sampled_from(["", ".number", "[1]", "[true]", ".value", ".seconds", "."]))
)
values = st.sampled_from(
    ["", "1", "-1", "true", "x", "1s", "{}", "null", "COLOUR_RED", "a,b", "%", "1970-01-01T00:00:00Z"]
)


@given(st.dictionaries(keys | st.text(max_size=5), st.lists(values | st.text(max_size=4), min_size=1, max_size=2)))
def test_any_parameters_are_read_or_refused(parameters: dict[str, list[str]]) -> None:
    made = Everything()
    try:
        query.fill(made, _encodable(parameters), ())
    except Unreadable:
        return
    made.SerializeToString()


@given(st.binary(max_size=40))
def test_any_query_is_parsed_or_refused(data: bytes) -> None:
    try:
        parsed = query.parse(data)
    except Unreadable:
        return
    assert all(parsed.values())
