"""Secrets and personal data as factors: in every field of every kind of action."""

from __future__ import annotations

import json

import pytest

from services.approval.risk import (
    Action,
    ApiCall,
    CodeExecution,
    Command,
    FileDelete,
    FileWrite,
    GitPush,
    Level,
    StepResult,
    StepStart,
    WorkflowCreation,
    assess,
)
from services.approval.risk.detectors import secrets

TOKEN = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"
CARD = "4111 1111 1111 1111"


def fields(value: str) -> dict[str, Action]:
    """One action for every field that text can be in."""
    return {
        "argv": Command(argv=("deploy", value)),
        "script": Command(script=f"deploy '{value}'"),
        "cwd": Command(script="ls", cwd=f"/srv/{value}"),
        "env": Command(script="ls", env={"SETTING": value}),
        "env name": Command(script="ls", env={value: "1"}),
        "write path": FileWrite(f"notes/{value}", "x"),
        "content": FileWrite("notes.txt", f"a\n{value}\n"),
        "bytes": FileWrite("notes.bin", b"\xff " + value.encode() + b" \xfe"),
        "delete path": FileDelete(f"notes/{value}"),
        "code": CodeExecution("python", f"x = {value!r}"),
        "unknown code": CodeExecution("cobol", f"DISPLAY '{value}'"),
        "language": CodeExecution(value, "x"),
        "url": ApiCall("GET", f"https://api.example.com/?q={value}"),
        "header": ApiCall("GET", "https://api.example.com/", {"X-Setting": value}),
        "header name": ApiCall("GET", "https://api.example.com/", {value: "1"}),
        "body": ApiCall("POST", "https://api.example.com/", body=json.dumps({"a": [value]})),
        "body bytes": ApiCall("POST", "https://api.example.com/", body=b"\xff " + value.encode()),
        "remote": GitPush(f"https://git.example.com/{value}/r.git"),
        "refspec": GitPush("origin", f"main:{value}"),
        "workflow name": WorkflowCreation(f"nightly {value}"),
        "definition": WorkflowCreation("nightly", f"on: push\nenv:\n  A: {value}\n"),
        "description": StepStart("coder", f"use {value} for it"),
        "input": StepStart("coder", "look", inputs={"a": [{"b": value}]}),
        "input key": StepStart("coder", "look", inputs={"a": [{value: 1}]}),
        "input argv": StepStart("coder", "look", inputs={"argv": ["deploy", value]}),
        "result": StepResult("coder", "", result={"outputs": {"files": [{"log": value}]}}),
        "result key": StepResult("coder", "", result={"outputs": {value: None}}),
    }


@pytest.mark.parametrize("field", fields(""))
def test_a_secret_is_found_in_every_field(field: str) -> None:
    assessment = assess(fields(TOKEN)[field])
    assert "secret.github-pat" in {factor.id for factor in assessment.factors}
    assert assessment.level >= Level.MEDIUM


@pytest.mark.parametrize("field", fields(""))
def test_a_card_number_is_found_in_every_field(field: str) -> None:
    assessment = assess(fields(CARD.replace(" ", "-"))[field])
    assert "pii.card" in {factor.id for factor in assessment.factors}
    assert assessment.level >= Level.MEDIUM


@pytest.mark.parametrize("value", [TOKEN, CARD])
@pytest.mark.parametrize("field", fields(""))
def test_no_factor_quotes_it(field: str, value: str) -> None:
    for factor in assess(fields(value)[field]).factors:
        assert value not in f"{factor.excerpt} {factor.message} {factor.safer_alternative}"


@pytest.mark.parametrize("length", range(120, 210, 7))
def test_no_factor_quotes_the_beginning_of_it_where_an_excerpt_is_cut(length: int) -> None:
    filler = ("word " * 50)[:length]
    for factor in assess(Command(script=f"sudo rm -rf / {filler}{TOKEN} --force")).factors:
        assert TOKEN[:12] not in factor.excerpt


def test_a_token_is_one_factor_whatever_else_fits_it() -> None:
    assessment = assess(
        Command(script=f"curl -H 'Authorization: Bearer {TOKEN}' https://api.example.com/ # token={TOKEN}")
    )
    assert [factor.id for factor in assessment.factors if factor.category == "secret"] == ["secret.github-pat"]


def test_a_dump_of_a_table_is_a_list_of_people() -> None:
    rows = [{"name": f"p{number}", "mail": f"p{number}@example.com"} for number in range(60)]
    assert "pii.e-mail" in {factor.id for factor in assess(StepResult("analyst", "", result={"rows": rows})).factors}
    assert "pii.e-mail" in {
        factor.id
        for factor in assess(
            ApiCall("POST", "https://api.example.com/", body="\n".join(row["mail"] for row in rows))
        ).factors
    }
    assert assess(StepResult("analyst", "", result={"rows": rows[:10]})).level is Level.LOW


def test_a_password_that_everybody_knows_asks_nobody() -> None:
    assert secrets.detect("psql postgres://postgres:postgres@localhost/app_test") == []
    assert secrets.detect("docker run -e POSTGRES_PASSWORD=mysecretpassword -d postgres") == []
    for text in ("postgres://postgres:postgres@localhost", "POSTGRES_PASSWORD=mysecretpassword"):
        assert secrets.MASK in secrets.redact(text)
