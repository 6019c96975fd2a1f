"""A terminal that a test holds the other end of: what a program writes to it, and keys that are typed into it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE = 120.0
# Escape sequences of terminals (ECMA-48): control sequences, operating system commands, and the short ones.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[ -/]*[0-~]")


class Terminal:
    """Runs a command in a terminal of its own, of 24 lines with 80 columns unless told otherwise."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, columns: int = 80, lines: int = 24
    ) -> None:
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._process = subprocess.Popen(
            command,
            env={**environment, "TERM": "xterm-256color"},
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)
        self.raw = ""
        self._read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._near)

    def type(self, keys: str) -> None:
        """Type keys. What is waited for next must be written after them."""
        self._read_to = len(self.raw)
        os.write(self._near, keys.encode())

    def until(self, wanted: str) -> str:
        """What was written since the last keys, without escape sequences, once `wanted` is in it."""
        deadline = time.monotonic() + PATIENCE
        while wanted not in (seen := _ESCAPES.sub("", self.raw[self._read_to :])):
            assert time.monotonic() < deadline, f"no {wanted!r} in {seen[-3000:]!r}"
            if not self._read(deadline):
                raise AssertionError(f"it ended without {wanted!r}: {seen[-3000:]!r}")
        return seen

    def end(self) -> int:
        """The exit code, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            assert time.monotonic() < deadline, "it does not end"
        return self._process.wait(PATIENCE)

    def hang_up(self) -> int:
        """Close the terminal under the command; how the command ended then."""
        os.close(self._near)
        self._near = os.open(os.devnull, os.O_RDWR)
        return self._process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        """Read what there is; false at the end."""
        ready, _, _ = select.select([self._near], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return True
        try:
            data = os.read(self._near, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
