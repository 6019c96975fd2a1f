"""The `harness` command as a process: what it prints and how it exits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from motherharness.devstack import Stack
from tests.e2e.flows import shell

ROWS: list[dict[str, Any]] = [
    {"id": 1, "command": "ls -la"},
    {"id": "two", "command": "rm -rf /", "environment": "production"},
    {"id": 3, "code": "import os; os.remove('/etc/passwd')", "language": "python"},
    {"id": 4, "path": "/etc/shadow"},
    {"id": 5, "method": "DELETE", "url": "https://api.example.com/users/1"},
    {"id": 6, "description": "Delete the production database", "agent": "coder"},
    {"id": 7, "command": "git status", "result": {"stdout": "clean"}},
    {"id": 8, "command": "git push --force", "approval_type": "git_push"},
    {"id": 9},
    {"id": 10, "command": ""},
    {"id": 11, "command": "if then fi ((("},
]


def harness(stack: Stack, *arguments: str, subject: str = "alice", given: str = "") -> tuple[int, str]:
    """Run the command as somebody; return its exit code and what it printed on stdout."""
    program = "from motherharness.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input=given,
        capture_output=True,
        text=True,
        env={**os.environ, **(stack.client_environment(subject))},
        check=False,
        timeout=60,
    )
    assert "Traceback" not in answer.stderr, answer.stderr
    return answer.returncode, answer.stdout


def read(stack: Stack, *arguments: str, subject: str = "alice", code: int = 0, given: str = "") -> Any:
    """Run the command with --json; return what it printed, checked to have exited with a code."""
    exit_code, printed = harness(stack, *arguments, "--json", subject=subject, given=given)
    assert exit_code == code, printed
    assert printed.isascii()
    return json.loads(printed)


def test_a_task_from_start_to_end(stack: Stack) -> None:
    project = read(stack, "project", "create", "cli \x1b[31m")["id"]
    assert "\x1b" not in harness(stack, "project", "list")[1]
    plan = json.dumps({"steps": [shell("gone", "rm -rf nothing; echo done")]})
    task = read(stack, "task", "create", "remove nothing", "--project", project, "--plan", "-", given=plan)["id"]
    assert read(stack, "task", "get", task)["plan"]["steps"][0]["id"] == "gone"
    assert task in [entry["id"] for entry in read(stack, "task", "list", "--project", project)["tasks"]]
    run = read(stack, "run", "start", task)["id"]
    waiting: list[Any] = []
    for _ in range(100):
        waiting = read(stack, "approvals", "list", "--run", run, subject="bob")["approvals"]
        if waiting:
            break
    approval = waiting[0]["id"]
    assert "rm -rf nothing" in harness(stack, "approvals", "show", approval, subject="bob")[1]
    assert read(stack, "approvals", "approve", approval, code=3)["error"]["code"] == "PERMISSION_DENIED"
    decided = read(stack, "approvals", "approve", approval, "--reason", "fine", subject="bob")
    assert decided["decision"]["decided_by"] == "bob"
    assert read(stack, "approvals", "reject", approval, subject="bob", code=5)["error"]["reason"]
    code, printed = harness(stack, "run", "watch", run, "--json")
    assert code == 0
    events = [json.loads(text) for text in printed.splitlines()]
    assert events[-1]["type"] == "EVENT_TYPE_RUN_TERMINATED"
    code, printed = harness(stack, "run", "history", run, "--json")
    assert [json.loads(text) for text in printed.splitlines()] == events
    assert read(stack, "run", "cancel", run, code=5)["error"]["code"] == "FAILED_PRECONDITION"


def test_exit_codes(stack: Stack) -> None:
    assert read(stack, "run", "get", "run_none", code=4)["error"]["code"] == "NOT_FOUND"
    assert read(stack, "backup", "list", code=3)["error"]["code"] == "PERMISSION_DENIED"
    project = read(stack, "project", "create", "codes")["id"]
    cycle = json.dumps({"steps": [shell("a", "ls", depends_on=["a"])]})
    refused = read(stack, "task", "create", "x", "--project", project, "--plan", "-", given=cycle, code=2)
    assert refused["error"]["code"] == "INVALID_ARGUMENT"
    plan = json.dumps({"steps": [shell("a", "exit 7")]})
    task = read(stack, "task", "create", "fail", "--project", project, "--plan", "-", given=plan)["id"]
    code, _ = harness(stack, "run", "start", task, "--watch")
    assert code == 1


def test_assess_answers_the_same_with_and_without_a_server(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in ROWS) + "\nnot json\n\n")
    answers = []
    for where in ([], ["--server"]):
        code, printed = harness(stack, "assess", "--jsonl", str(file), *where)
        assert code == 0
        rows = [json.loads(text) for text in printed.splitlines()]
        for row in rows:
            # Why a row cannot be read is put in the words of whoever read it.
            row.pop("error", None)
        answers.append(rows)
    local, remote = answers
    assert local == remote
    assert [row["id"] for row in local] == [row["id"] for row in ROWS] + [None]
    assert {frozenset(row) for row in local} == {frozenset(("id", "level", "score", "auto_approved", "factors"))}
    assert local[0]["auto_approved"]
    assert local[1]["level"] == "CRITICAL"
    assert [row["level"] for row in local[-4:]] == ["UNKNOWN"] * 4
    assert not any(row["auto_approved"] for row in local if row["level"] in ("UNKNOWN", "CRITICAL"))
    assert harness(stack, "assess", "ls")[0] == 0


def test_backups(stack: Stack) -> None:
    backup = read(stack, "backup", "create", "approval", subject="root")
    assert backup["state"] == "BACKUP_STATE_COMPLETED"
    assert read(stack, "backup", "verify", backup["backup_id"], subject="root")["whole"]
    assert backup["backup_id"] in harness(stack, "backup", "list", subject="root")[1]
    read(stack, "backup", "restore", backup["backup_id"], "--confirm", "orchestrator", subject="root", code=2)
    read(stack, "backup", "delete", backup["backup_id"], subject="root", code=5)
    read(stack, "backup", "prune", "approval", "--dry-run", subject="root")


def test_doctor(stack: Stack) -> None:
    assert read(stack, "doctor")["ok"]
    stack.terminate("backup")
    try:
        checks = {entry["check"]: entry for entry in read(stack, "doctor", code=1)["checks"]}
    finally:
        stack.launch("backup")
    assert not checks["backup"]["ok"]
    assert "services.backup" in checks["backup"]["advice"]
    assert checks["orchestrator"]["ok"]


def test_the_demo_proves_every_claim(tmp_path: Path) -> None:
    program = "from motherharness.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program, "demo", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
        timeout=90,
    )
    result = json.loads(answer.stdout)
    assert [claim for claim in result["claims"] if not claim["ok"]] == []
    assert answer.returncode == 0
    assert result["passed"]
    assert len(result["claims"]) > 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    program = "from motherharness.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "dev", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told["addresses"]) == {"orchestrator", "approval", "backup"}
        assert set(told["tokens"]) == {"alice", "bob", "root", "worker"}
        process.send_signal(number)
        assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []
