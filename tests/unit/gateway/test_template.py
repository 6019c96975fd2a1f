"""Path templates: what they are, and what they match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.template import Template, TemplateError, parse


def match(template: str, path: str) -> dict[str, str] | None:
    return parse(template).match(path[1:].split("/"))


@pytest.mark.parametrize(
    ("template", "path", "captured"),
    [
        ("/", "/", {}),
        ("/", "/a", None),
        ("/v1/a", "/v1/a", {}),
        ("/v1/a", "/v1/a/", None),
        ("/v1/a", "/v1/A", None),
        ("/v1/*", "/v1/x", {}),
        ("/v1/{id}", "/v1/x", {"id": "x"}),
        ("/v1/{id}", "/v1/", {"id": ""}),
        ("/v1/{id}", "/v1", None),
        ("/v1/{id}", "/v1/x/y", None),
        ("/v1/{id}", "/v1/x:go", {"id": "x:go"}),
        ("/v1/{a.b}/c/{d}", "/v1/1/c/2", {"a.b": "1", "d": "2"}),
        ("/v1/{name=projects/*}", "/v1/projects/p", {"name": "projects/p"}),
        ("/v1/{name=projects/*}", "/v1/tasks/p", None),
        ("/v1/{name=projects/*/tasks/*}:run", "/v1/projects/p/tasks/t:run", {"name": "projects/p/tasks/t"}),
        ("/v1/{id}:run", "/v1/x:run", {"id": "x"}),
        ("/v1/{id}:run", "/v1/x:y:run", {"id": "x:y"}),
        ("/v1/{id}:run", "/v1/x:stop", None),
        ("/v1/{id}:run", "/v1/x", None),
        ("/v1/{id}:run", "/v1/:run", None),
        ("/v1/{id}:run", "/v1/run", None),
        ("/v1/agents:lease", "/v1/agents:lease", {}),
        ("/v1/agents:lease", "/v1/agents", None),
        ("/v1/a:b:c", "/v1/a:b:c", {}),
        ("/v1/{id}:a:b", "/v1/x:a:b", {"id": "x"}),
        ("/v1/**", "/v1", {}),
        ("/v1/**", "/v1/a/b", {}),
        ("/v1/{rest=**}", "/v1", {"rest": ""}),
        ("/v1/{rest=**}", "/v1/", {"rest": ""}),
        ("/v1/{rest=**}", "/v1/a//b", {"rest": "a//b"}),
        ("/v1/{rest=**}/end", "/v1/a/b/end", {"rest": "a/b"}),
        ("/v1/{rest=**}/end", "/v1/end", {"rest": ""}),
        ("/v1/{rest=**}/end", "/v1/a/b", None),
        ("/v1/{rest=a/**/b}:go", "/v1/a/x/y/b:go", {"rest": "a/x/y/b"}),
        ("/**", "/", {}),
        ("/v1/a%20b", "/v1/a%20b", {}),
    ],
)
def test_matching(template: str, path: str, captured: dict[str, str] | None) -> None:
    assert match(template, path) == captured


@pytest.mark.parametrize(
    "text",
    [
        "", "v1", "/v1/", "//", "/v1//a", "/v1/{", "/v1/}", "/v1/{}", "/v1/{a", "/v1/a}", "/v1/{a}{b}", "/v1/{a}b",
        "/v1/{a=}", "/v1/{a=*/}", "/v1/{a={b}}", "/v1/{a=**/**}", "/v1/**/**", "/v1/{1a}", "/v1/{a..b}", "/v1/{a.}",
        "/v1/{a-b}", "/v1/a b", "/v1/é", "/v1/%zz", "/v1/a?b", "/v1/a#b", "/v1/{a}:", "/v1/{a}:b c", "/v1/{a}/{a}",
        "/v1/{a}/x/{a=b/*}",
    ],
)  # fmt: skip
def test_what_is_not_a_template(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


def test_templates_of_one_shape_match_the_same() -> None:
    assert parse("/v1/{a}/{b=x/*}:go").shape == parse("/v1/{c}/x/{d}:go").shape == "/v1/*/x/*:go"


literals = st.text("abcxyz019-_~.", min_size=1, max_size=6)
values = st.text(st.characters(exclude_characters="/:", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["literal", "one", "named"]), literals, values), min_size=1, max_size=6))
def test_a_path_made_from_a_template_gives_back_what_it_was_made_of(parts: list[tuple[str, str, str]]) -> None:
    template, path, expected = "", [], {}
    for index, (kind, literal, value) in enumerate(parts):
        template += "/" + {"literal": literal, "one": "*", "named": f"{{f{index}}}"}[kind]
        path.append(literal if kind == "literal" else value)
        if kind == "named":
            expected[f"f{index}"] = value
    assert parse(template).match(path) == expected


@given(st.text(st.sampled_from(list("/{}=*.:ab%2")), max_size=14))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        parsed = parse(text)
    except TemplateError:
        return
    assert isinstance(parsed, Template)
    # What it captures it captures from a path of its own shape.
    components = ["x" if segment in ("*", "**") else segment for segment in parsed.segments]
    if parsed.verb:
        components[-1] += f":{parsed.verb}"
    captured = parsed.match(components)
    if components[-1] != f":{parsed.verb}":
        assert captured is not None
        assert set(captured) == {variable.field_path for variable in parsed.variables}


@given(st.lists(values, min_size=1, max_size=6))
def test_any_path_is_matched_or_not(components: list[str]) -> None:
    for template in ("/{a}", "/{a}:go", "/{a=**}", "/{a=**}:go", "/v1/{a=*/**}/b"):
        captured = parse(template).match(components)
        assert captured is None or list(captured) == ["a"]
