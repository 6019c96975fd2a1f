"""proto3's JSON form, in and out: against protobuf's own library, and where this one is stricter."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import jsonread, jsonwrite
from services.gateway.texts import Unreadable
from tests.support.patience import ends
from tests.support.shelf import Everything, message

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
pairs = st.fixed_dictionaries(
    {"seconds": st.integers(-62_135_596_800, 253_402_300_799), "nanos": st.integers(0, 999_999_999)}
)
spans = st.integers(0, 315_576_000_000).flatmap(
    lambda seconds: st.sampled_from([
        {"seconds": seconds, "nanos": 5_000_000}, {"seconds": -seconds, "nanos": -1}, {"seconds": 0, "nanos": 120_000},
    ])
)  # fmt: skip
free: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | texts | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
people = st.dictionaries(int32, st.fixed_dictionaries({}, optional={"full_name": texts, "age": int32}), max_size=2)
plain: dict[str, st.SearchStrategy[Any]] = {
    "number": int32,
    "big": int64,
    "small": st.integers(0, 2**32 - 1),
    "huge": st.integers(0, 2**64 - 1),
    "zig": int32,
    "fixed": int64,
    "single": st.floats(width=32, allow_nan=False) | st.just(math.nan),
    "real": st.floats(allow_nan=False) | st.just(math.nan),
    "yes": st.booleans(),
    "text": texts,
    "blob": st.binary(max_size=6),
    "colour": st.integers(0, 3),
    "words": st.lists(texts, max_size=2),
    "numbers": st.lists(int64, max_size=2),
    "colours": st.lists(st.integers(0, 2), max_size=2),
    "labels": st.dictionaries(texts, texts, max_size=2),
    "people": people,
    "counts": st.dictionaries(st.booleans(), int64, max_size=2),
    "time": pairs,
    "span": spans,
    "times": st.lists(pairs, max_size=2),
    "mask": st.lists(st.sampled_from(["a", "a_b", "a_b.c"]), max_size=2).map(lambda paths: {"paths": paths}),
    "empty": st.just({}),
    "string_value": st.builds(lambda value: {"value": value}, texts),
    "int64_value": st.builds(lambda value: {"value": value}, int64),
    "bool_value": st.builds(lambda value: {"value": value}, st.booleans()),
    "double_value": st.builds(lambda value: {"value": value}, st.floats(allow_nan=False)),
    "bytes_value": st.builds(lambda value: {"value": value}, st.binary(max_size=5)),
    "maybe": int32,
}
fields = st.fixed_dictionaries({}, optional=plain)
choices: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"left": "l"}, {"right": 0}, {"other": {"age": 1}}])


@st.composite
def everythings(draw: st.DrawFn) -> Any:
    """A message with any of its fields set."""
    made = Everything(**draw(fields), **draw(choices))
    if draw(st.booleans()):
        made.child.MergeFrom(Everything(**draw(fields)))
    json_format.ParseDict(draw(st.dictionaries(texts, free, max_size=2)), made.struct)
    # Always set: unset it is written as null, and null is a value.
    values = [made.value, made.list.values.add(), *([made.child.value] if made.HasField("child") else [])]
    for target in values:
        json_format.ParseDict(draw(free), target)
    if draw(st.booleans()):
        made.any.Pack(message("Author")(full_name=draw(texts)))
    return made


def read(value: Any) -> Any:
    made = Everything()
    jsonread.fill(made, jsonread.parse(value if isinstance(value, bytes) else json.dumps(value).encode()))
    return made


def same(one: Any, other: Any) -> bool:
    """Equal, NaN being equal to itself."""
    return bool(one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True))


@given(everythings())
def test_what_is_written_is_read_by_protobuf_and_by_ourselves(made: Any) -> None:
    written = jsonwrite.dump(jsonwrite.jsonable(made))
    assert same(json_format.Parse(written, Everything()), made)
    assert same(read(written), made)


@given(everythings(), st.booleans())
def test_what_protobuf_writes_is_read(made: Any, original_names: bool) -> None:
    written = json_format.MessageToJson(made, preserving_proto_field_name=original_names)
    assert same(read(written.encode()), made)


def test_what_is_unset_is_written_out() -> None:
    written = jsonwrite.jsonable(Everything())
    assert {name: written[name] for name in ("number", "big", "yes", "colour", "words", "labels", "child", "time")} == {
        "number": 0, "big": "0", "yes": False, "colour": "COLOUR_UNSPECIFIED", "words": [], "labels": {}, "child": None,
        "time": None,
    }  # fmt: skip
    assert {"maybe", "left", "right", "other"} & set(written) == set()


@pytest.mark.parametrize(
    ("made", "written"),
    [
        ({"big": 2**63 - 1}, {"big": "9223372036854775807"}),
        ({"single": 0.1}, {"single": 0.1}),
        ({"real": 3.0}, {"real": 3}),
        ({"real": math.inf, "single": -math.inf}, {"real": "Infinity", "single": "-Infinity"}),
        ({"real": math.nan}, {"real": "NaN"}),
        ({"blob": b"\xfb\xff"}, {"blob": "+/8="}),
        ({"colour": 2, "colours": [1, 9]}, {"colour": "COLOUR_BLUE", "colours": ["COLOUR_RED", 9]}),
        ({"time": {"seconds": -1, "nanos": 500_000_000}}, {"time": "1969-12-31T23:59:59.500Z"}),
        ({"time": {"seconds": -62_135_596_800}}, {"time": "0001-01-01T00:00:00Z"}),
        ({"span": {"seconds": -1, "nanos": -1_000}}, {"span": "-1.000001s"}),
        ({"mask": {"paths": ["a_b.c_d", "e"]}}, {"mask": "aB.cD,e"}),
        ({"counts": {True: 1}}, {"counts": {"true": "1"}}),
        ({"people": {-1: {"age": 2}}}, {"people": {"-1": {"fullName": "", "age": 2}}}),
        ({"int64_value": {"value": 5}, "bool_value": {}}, {"int64Value": "5", "boolValue": False}),
        ({"maybe": 0, "right": 0}, {"maybe": 0, "right": 0}),
        ({"any": {"type_url": "x/unknown.Type", "value": b"a"}}, {"any": {"@type": "x/unknown.Type", "value": "YQ=="}}),
    ],
)  # fmt: skip
def test_how_values_are_written(made: dict[str, Any], written: dict[str, Any]) -> None:
    got = jsonwrite.jsonable(Everything(**made))
    assert {name: got[name] for name in written} == written


@pytest.mark.parametrize(
    "made", [{"time": {"seconds": 2**60}}, {"span": {"seconds": 1, "nanos": -1}}, {"mask": {"paths": ["A"]}}]
)
def test_what_has_no_json_form(made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a "):
        jsonwrite.jsonable(Everything(**made))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"number": "5"}, {"number": 5}),
        ({"number": 1.0}, {"number": 1}),
        ({"number": 1e2}, {"number": 100}),
        ({"number": "1e2"}, {"number": 100}),
        ({"big": 9007199254740993}, {"big": 9007199254740993}),
        ({"real": "1.5", "single": 2}, {"real": 1.5, "single": 2.0}),
        ({"colour": 2, "colours": ["COLOUR_RED", 77]}, {"colour": 2, "colours": [1, 77]}),
        ({"blob": "-_8"}, {"blob": b"\xfb\xff"}),
        ({"text": None, "words": None, "child": None, "maybe": None}, {}),
        ({"stringValue": "x", "string_value": None}, None),
        ({"time": "2026-01-31T10:00:00.5+01:00"}, {"time": {"seconds": 1769850000, "nanos": 500_000_000}}),
        ({"value": None}, {"value": {"null_value": 0}}),
        ({"nothing": None}, {}),
        ({"text": "\ud83d\ude00"}, {"text": "😀"}),
        ({"counts": {"true": "4"}}, {"counts": {True: 4}}),
    ],
)
def test_how_values_are_read(given: Any, made: Any) -> None:
    if made is None:
        with pytest.raises(Unreadable, match="given twice"):
            read(given)
    else:
        assert read(given) == Everything(**made)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"nope": 1}, "nope"),
        ({"child": {"child": {"nope": 1}}}, "child.child.nope"),
        ({"authors": [{}, {"fullName": 5}]}, "authors[1].fullName"),
        ({"people": {"1": {"age": "x"}}}, 'people["1"].age'),
        ({"people": {"x": {}}}, 'people["x"]'),
        ({"people": {"1": None}}, 'people["1"]'),
        ({"people": {"1": {}, "1.0": {}}}, 'people["1.0"]'),
        ({"counts": {"yes": 1}}, 'counts["yes"]'),
        ({"labels": []}, "labels"),
        ({"labels": {"a": None}}, 'labels["a"]'),
        ({"words": "x"}, "words"),
        ({"words": [None]}, "words[0]"),
        ({"authors": [None]}, "authors[0]"),
        ({"colour": "COLOUR_RED\0"}, "colour"),
        ({"number": 1.5}, "number"),
        ({"number": 2**31}, "number"),
        ({"number": "0x1"}, "number"),
        ({"number": "1_000"}, "number"),
        ({"number": " 1"}, "number"),
        ({"number": "٣"}, "number"),
        ({"number": True}, "number"),
        ({"number": "1" * 5000}, "number"),
        ({"number": "1e999999"}, "number"),
        ({"small": -1}, "small"),
        ({"huge": 2**64}, "huge"),
        ({"single": 1e39}, "single"),
        ({"real": "nan"}, "real"),
        ({"real": 10**400}, "real"),
        ({"real": "1e999"}, "real"),
        ({"yes": "true"}, "yes"),
        ({"yes": 1}, "yes"),
        ({"text": 5}, "text"),
        ({"blob": "*"}, "blob"),
        ({"blob": "YQ="}, "blob"),
        ({"blob": "é"}, "blob"),
        ({"colour": "RED"}, "colour"),
        ({"colour": "2"}, "colour"),
        ({"colour": True}, "colour"),
        ({"colour": 2**31}, "colour"),
        ({"child": []}, "child"),
        ({"child": "x"}, "child"),
        ({"left": "a", "right": 1}, "right"),
        ({"stringValue": "x", "string_value": "y"}, "string_value"),
        ({"time": "2026-01-31"}, "time"),
        ({"time": "2026-02-30T00:00:00Z"}, "time"),
        ({"time": "2026-01-31T00:00:00"}, "time"),
        ({"time": "2026-01-31t00:00:00z"}, "time"),
        ({"time": "2026-01-31T00:00:00.1234567890Z"}, "time"),
        ({"time": "0001-01-01T00:00:00+01:00"}, "time"),
        ({"time": "2026-01-31T00:00:00+25:00"}, "time"),
        ({"time": 5}, "time"),
        ({"span": "1"}, "span"),
        ({"span": "1h"}, "span"),
        ({"span": "315576000001s"}, "span"),
        ({"mask": "a_b"}, "mask"),
        ({"mask": "a,,b"}, "mask"),
        ({"empty": {"x": 1}}, "empty.x"),
        ({"any": {"x": 1}}, "any.@type"),
        ({"any": {"@type": "x/y.Z"}}, "any.@type"),
        ({"any": {"@type": "x/harness.shelf.v1.Author", "fullName": 5}}, "any.fullName"),
        ({"struct": []}, "struct"),
        ([], ""),
        ("x", ""),
        (5, ""),
        (b"null", ""),
    ],
)
def test_what_is_refused_names_its_place(given: Any, path: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(given)
    assert (caught.value.path, bool(caught.value.what)) == (path, True)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"text": "a"} x', "not JSON: Extra data"),
        (b'{"text": "a"}{}', "not JSON: Extra data"),
        (b'{"text": "a",}', "not JSON"),
        (b'{"real": NaN}', "NaN is a string"),
        (b'{"real": -Infinity}', "-Infinity is a string"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
        (b'\xef\xbb\xbf{}', "not JSON"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "\\ud800\\u0041"}', "surrogate"),
        (b'{"struct": {"\\udfff": 1}}', "surrogate"),
        (b'{"text": "a\nb"}', "not JSON"),
        (b'{"text": "a", "text": "b"}', "twice"),
        (b'{"struct": {"a": 1, "a": 1}}', "twice"),
        (b'{"number": 01}', "not JSON"),
        (b'{"number": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"value": ' + b"[" * 100 + b"]" * 100 + b"}", "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 100_000, "deeper"),
    ],
)  # fmt: skip
def test_bodies_that_are_not_json(data: bytes, what: str) -> None:
    with pytest.raises(Unreadable, match=what):
        jsonread.parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 3_000_000, b"[]" * 2_000_000, b"{}[" * 1_000_000, b'"' + b'\\"' * 2_000_000, b'["' + b"\\" * 3_000_001,
        b"[" * 100 + b"[]," * 1_000_000, b"[" * 99 + b"[]" * 1_000_000 + b"]" * 99, b"9" * 4_000_000,
        b'{"a":' * 800_000, b'"' * 4_000_000, b"\\u" * 2_000_000, b'"\\ud83d' * 500_000,
    ],
)  # fmt: skip
def test_hostile_bodies_are_refused_at_once(data: bytes) -> None:
    with ends(), pytest.raises(Unreadable):
        jsonread.parse(data)


def test_depth_is_of_brackets_and_not_of_texts() -> None:
    inside = 'x[{"\\' * 300
    deepest: Any = inside
    for _ in range(jsonread.MAX_DEPTH):
        deepest = [deepest]
    assert jsonread.parse(json.dumps(deepest).encode()) == deepest
    with pytest.raises(Unreadable, match="deeper"):
        jsonread.parse(json.dumps([deepest]).encode())
    wide: Any = [[[]] * 50] * 50
    assert jsonread.parse(json.dumps(wide).encode()) == wide


@given(st.binary(max_size=60) | st.text(st.sampled_from(list('{}[]",:\\u0d8 1etrualsn')), max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except Unreadable:
        return
    json.loads(data)


@given(
    st.dictionaries(st.sampled_from(sorted({field.name for field in Everything.DESCRIPTOR.fields})), free, max_size=3)
)
def test_any_json_is_a_message_or_refused(value: Any) -> None:
    made = Everything()
    try:
        jsonread.fill(made, value)
    except Unreadable:
        return
    written = jsonwrite.jsonable(made)
    again = Everything()
    jsonread.fill(again, written)
    # Not the messages: an unset Value is written as null, which is a value that one can have.
    assert jsonwrite.jsonable(again) == written
