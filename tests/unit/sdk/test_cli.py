"""What the command line promises: the same rows as the service's own entry point, exit codes, harmless output."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from motherharness.cli import app
from motherharness.cli.assess import RowError, batches, item_of
from motherharness.cli.output import EXIT_CODES, emit
from motherharness.text import UNSAFE, line, safe
from services.approval import assess as service

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
enums = st.sampled_from(["", "development", "PRODUCTION", "nowhere", "file_write", "API_CALL"])
field_values = {
    "command": words,
    "code": words,
    "language": st.sampled_from(["", "python", "Bash", "sh"]),
    "path": words,
    "method": st.sampled_from(["", "GET", "delete"]),
    "url": words,
    "description": words,
    "agent": st.sampled_from(["", "coder"]),
    "environment": enums,
    "approval_type": enums,
    "result": st.none() | words | st.integers() | st.dictionaries(words, words, max_size=2),
}
rows = st.fixed_dictionaries({"id": words}, optional=field_values)


@given(rows | st.fixed_dictionaries({}, optional={**field_values, "command": st.integers() | st.none()}))
def test_rows_mean_what_the_service_says(row: dict[str, Any]) -> None:
    try:
        expected = service.item_of(row)
    except service.RowError:
        # The service refuses more by itself: there is no server behind it that checks the fields' rules.
        return
    assert item_of(row) == expected


@pytest.mark.parametrize("row", [{}, {"id": 1}, {"command": 1}, {"command": "ls", "environment": "mars"}])
def test_rows_that_say_nothing_are_refused_by_both(row: dict[str, Any]) -> None:
    with pytest.raises(RowError):
        item_of(row)
    with pytest.raises(service.RowError):
        service.item_of(row)


def test_batches_keep_every_row_in_order() -> None:
    def lines() -> Iterator[bytes]:
        for number in range(450):
            yield json.dumps({"id": number, "command": "ls"}).encode()
            yield b"\n"
        yield b"not json\n"
        yield b'{"id": "big", "code": "' + b"x" * 1_500_000 + b'", "language": "python"}\n'
        yield b'{"id": "NaN", "result": NaN}\n'

    found = [row_id for batch in batches(lines()) for row_id, _ in batch]
    assert found == [*range(450), None, "big", None]


@given(st.text())
def test_nothing_printed_drives_a_terminal(text: str) -> None:
    assert not UNSAFE.search(safe(text))
    assert "\n" not in line(text)


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"text": "\x1b[31mred\x7f\x9b\u202e ü"})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert not UNSAFE.search(printed)
    assert json.loads(printed) == {"text": "\x1b[31mred\x7f\x9b\u202e ü"}


def test_exit_codes() -> None:
    assert EXIT_CODES[grpc.StatusCode.UNAUTHENTICATED] == EXIT_CODES[grpc.StatusCode.PERMISSION_DENIED] == 3
    assert EXIT_CODES[grpc.StatusCode.NOT_FOUND] == 4
    assert EXIT_CODES[grpc.StatusCode.FAILED_PRECONDITION] == 5
    assert EXIT_CODES[grpc.StatusCode.UNAVAILABLE] == EXIT_CODES[grpc.StatusCode.DEADLINE_EXCEEDED] == 6


def test_wrong_usage_exits_with_2() -> None:
    runner = CliRunner()
    for arguments in (["assess"], ["task", "create"], ["approvals", "list", "--state", "odd"], ["no-such-command"]):
        assert runner.invoke(app, arguments).exit_code == 2, arguments


def test_no_server_exits_with_6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motherharness.cli.session.TIMEOUT", 0.3)
    environment = {"HARNESS_ORCHESTRATOR_ADDRESS": "127.0.0.1:1", "HARNESS_TOKEN": "x"}
    result = CliRunner().invoke(app, ["run", "get", "run_1", "--json"], env=environment)
    assert result.exit_code == 6
    assert json.loads(result.stdout)["error"]["code"] == "UNAVAILABLE"


def test_token_round_trip() -> None:
    arguments = ["token", "--subject", "alice", "--role", "user", "--role", "approver", "--json"]
    result = CliRunner().invoke(app, arguments, env={"HARNESS_JWT_SECRET": "s" * 32})
    assert result.exit_code == 0
    assert json.loads(result.stdout)["roles"] == ["user", "approver"]
    refused = CliRunner().invoke(
        app, ["token", "--subject", "a", "--role", "king"], env={"HARNESS_JWT_SECRET": "s" * 32}
    )
    assert refused.exit_code == 2


def test_a_new_key_is_a_private_file_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = CliRunner().invoke(app, ["keys", "new", str(folder), "--json"])
    assert made.exit_code == 0, made.output
    (file,) = folder.iterdir()
    assert json.loads(made.stdout) == {"file": str(file)}
    assert file.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    assert CliRunner().invoke(app, ["keys", "new", str(tmp_path / "file")]).exit_code == 2
