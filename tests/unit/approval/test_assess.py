"""Rows of JSON: what they mean, and that one bad row stops nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict

from services.approval.assess import answers, item_of, run

ROOT_CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"command": "ls"}, {"command": {"script": "ls"}}),
    ({"command": "ls", "language": "bash", "risky": False}, {"command": {"script": "ls"}}),
    ({"code": "ls", "language": "SH"}, {"command": {"script": "ls"}}),
    ({"code": "1", "language": "python"}, {"code_execution": {"language": "python", "code": "1"}}),
    ({"code": "1"}, {"code_execution": {"language": "unknown", "code": "1"}}),
    ({"path": "a"}, {"file_write": {"path": "a"}}),
    ({"method": "POST", "url": "u"}, {"api_call": {"method": "POST", "url": "u"}}),
    ({"description": "d", "agent": "coder"}, {"step_start": {"agent": "coder", "description": "d"}}),
    ({"result": {"a": 1.0}, "command": None}, {"step_result": {"result": {"a": 1.0}}}),
    ({"result": [1.0]}, {"step_result": {"result": {"value": [1.0]}}}),
]


@pytest.mark.parametrize(("row", "expected"), ROOT_CASES)
def test_what_a_row_means(row: dict[str, Any], expected: dict[str, Any]) -> None:
    (action,) = item_of(row).actions
    assert MessageToDict(action, preserving_proto_field_name=True) == expected


def test_a_result_is_assessed_beside_what_it_came_from() -> None:
    kinds = [action.WhichOneof("kind") for action in item_of({"command": "ls", "result": {}}).actions]
    assert kinds == ["command", "step_result"]


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"id": 7}',
        b'{"id": 7, "command": ""}',
        b'{"id": 7, "command": 5}',
        b'{"id": 7, "command": "ls", "environment": "moon"}',
        b'{"id": 7, "command": "ls", "approval_type": "UNSPECIFIED"}',
        b'{"id": 7, "command": "ls", "agent": {"a": 1}}',
        b'{"id": 7, "method": "P O S T", "url": "u"}',
    ],
)
def test_a_bad_row_is_unknown_and_the_rest_goes_on(line: bytes) -> None:
    bad, good = answers([line, b"\n", b'{"id": "next", "command": "echo hello"}'])
    assert (bad["level"], bad["auto_approved"], bad["factors"]) == ("UNKNOWN", False, [])
    assert bad["error"]
    assert bad["id"] in (7, None)
    assert (good["id"], good["level"], good["auto_approved"]) == ("next", "LOW", True)


def test_rows_are_answered_one_by_one() -> None:
    read = 0

    def lines() -> Iterator[bytes]:
        nonlocal read
        for n in range(3):
            read += 1
            yield orjson.dumps({"id": n, "command": "echo hello"})

    for n, answer in enumerate(answers(lines())):
        assert (answer["id"], read) == (n, n + 1)


def test_output_is_one_object_a_line() -> None:
    sink = io.BytesIO()
    run(io.BytesIO(b'{"id": 1, "command": "rm -rf /"}\n{"id": 2, "command": "echo a"}\n'), sink)
    risky, harmless = (orjson.loads(line) for line in sink.getvalue().splitlines())
    assert set(risky) == {"id", "level", "score", "auto_approved", "factors"}
    assert risky["auto_approved"] is False
    assert harmless["auto_approved"] is True


def test_factors_say_where_they_were_found() -> None:
    (answer,) = answers([b'{"id": 1, "command": "ls; rm -rf /srv"}'])
    spans = {factor["id"]: factor["span"] for factor in answer["factors"]}
    assert spans["destruction.recursive-delete"] == [4, 15]
    assert None in spans.values()


def test_the_environment_of_a_row_changes_its_assessment_and_not_the_policy() -> None:
    row = b'{"id": 1, "command": "make", "environment": "production"}'
    (answer,) = answers([row])
    assert answer["auto_approved"] is (answer["level"] == "LOW")


def test_as_a_process() -> None:
    command = [sys.executable, "-m", "services.approval.assess"]
    done = subprocess.run(command, input=b'{"id": "a", "command": "echo hello"}\n', capture_output=True, check=True)
    assert orjson.loads(done.stdout)["id"] == "a"
    missing = subprocess.run([*command, "no-such-file"], capture_output=True, check=False)
    assert missing.returncode == 2
    assert b"no-such-file" in missing.stderr


def test_with_a_root_paths_start_there_and_its_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "src" / "deep").symlink_to("../out")
    (tmp_path / "loop").symlink_to("loop")

    def level(row: dict[str, Any]) -> str:
        (answer,) = answers([orjson.dumps({"id": 1} | row)], root=tmp_path)
        return str(answer["level"])

    assert level({"path": "src/a.py"}) == "LOW"
    assert level({"path": str(tmp_path / "src/a.py")}) == "LOW"
    assert level({"path": "out/shadow"}) == "HIGH"
    assert level({"path": "src/deep/shadow"}) == "HIGH"
    assert level({"command": "cat 'src/deep/shadow'"}) == "HIGH"
    assert level({"result": {"files": ["out/cron.d/x"]}}) == "HIGH"
    assert level({"path": "/home/a/elsewhere"}) != "LOW"
    assert level({"path": "loop/x"}) == "UNKNOWN"


def test_a_row_that_names_more_links_than_are_told_is_unknown(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"l{number}").symlink_to("/tmp")
    row = orjson.dumps({"id": 1, "command": "ls " + " ".join(f"l{n}" for n in range(300))})
    (answer,) = answers([row], root=tmp_path)
    assert (answer["level"], answer["auto_approved"]) == ("UNKNOWN", False)
    many = orjson.dumps({"id": 1, "command": "ls " + " ".join(map(str, range(6000)))})
    (answer,) = answers([many], root=tmp_path)
    assert answer["level"] == "UNKNOWN"


def test_a_root_that_is_no_folder_is_refused() -> None:
    command = [sys.executable, "-m", "services.approval.assess", "--root", "/no/such/folder"]
    assert subprocess.run(command, input=b"", capture_output=True, check=False).returncode == 2
