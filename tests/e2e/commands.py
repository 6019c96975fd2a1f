"""The command line as its user has it: a process, its output, its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motherharness.devstack import Stack

HARNESS = str(Path(sys.executable).parent / "harness")
LIMIT = 40.0


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with nothing of ours in it but what is given."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")} | dict(variables)


class Cli:
    """Runs `harness` as somebody."""

    def __init__(self, stack: Stack, subject: str, *roles: str) -> None:
        self.variables = environment(stack.client_environment(subject, *roles))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command whose output is read while it runs."""
        return subprocess.Popen([HARNESS, *arguments], env=self.variables, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command and return its output, once it has ended with this exit code."""
        done = subprocess.run(
            [HARNESS, *arguments], env=self.variables, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout

    def lines(self, *arguments: str, code: int = 0) -> list[Any]:
        """Return the JSON values that a command prints, one a line."""
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).splitlines()]

    def one(self, *arguments: str, code: int = 0) -> Any:
        """Return the one JSON value that a command prints."""
        values = self.lines(*arguments, code=code)
        assert len(values) == 1, values
        return values[0]
