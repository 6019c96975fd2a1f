"""Ends what a killed process would leave running: a process of its own that outlives its owner by a moment.

Whoever gets SIGKILL cannot end what it has started: a worker's commands would go on beside the next attempt of their
step, a development stack would stay. The owner tells the guardian over a pipe which process groups are running
("+123") and which have ended ("-123"); when the pipe closes, for whatever reason, the guardian kills those that are
left.

Run as a script, without this package: it must start fast and need nothing.
"""

import contextlib
import os
import signal
import subprocess
import sys


class Guardian:
    """The owner's end of the pipe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ready(self) -> None:
        """Start the guardian if it does not run: do so before the first group, for starting it takes a moment."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )

    def started(self, group: int) -> None:
        """Say that a process group runs. An owner killed between starting a group and saying so leaves it running."""
        self.ready()
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Say that a process group has ended: its number may be given to somebody else."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guardian, and with it whatever still runs."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, text: str) -> None:
        # A guardian that is gone is replaced with the next group; this one runs unguarded.
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), text.encode())


def guard() -> None:
    """Follow what the owner says until it is gone, then kill what it left."""
    running: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            running.add(group)
        else:
            running.discard(group)
    for group in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    guard()
