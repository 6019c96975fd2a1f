"""`harness demo` and `harness dev` as processes: they prove what they say and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


@pytest.mark.timeout(120)
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
        assert set(told["addresses"]) == {"orchestrator", "approval", "backup", "gateway"}
        assert set(told["tokens"]) == {"alice", "bob", "root", "worker"}
        process.send_signal(number)
        assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_outlives_a_stack_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import json, pathlib, time\n"
        "from motherharness.devstack import Stack\n"
        f"stack = Stack(pathlib.Path({str(tmp_path)!r}))\n"
        "stack.start()\n"
        "names = ('redis', 'orchestrator', 'approval', 'backup', 'worker')\n"
        "print(json.dumps([stack.pid(name) for name in names]), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        left = json.loads(owner.stdout.readline())
        assert len(left) == 5
        owner.kill()
    give_up = time.monotonic() + 10
    while any(lives(pid) for pid in left):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
