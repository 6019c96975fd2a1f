"""`harness demo` and `harness dev` as processes: they prove what they say and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


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
