"""Getting a snapshot from a server the way a replica does: PSYNC, and the RDB stream that answers it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from services.backup.failure import JobFailed
from services.backup.store.wire import TIMEOUT_S, Argument, auth_command, open_socket, pack, refusal_reason

_MARK_BYTES: Final = 40
_POLL_S: Final = 1.0


class ReplicationStream:
    """A full synchronisation that has begun: `read` gives the bytes of one RDB stream.

    The server's user needs only `+psync +replconf +ping`. With `diskless` the server may send while it forks,
    without using its disk, but since Redis 7 waits `repl-diskless-sync-delay` (5 s by default) before it
    begins; without, it writes its own dump file first and begins at once.

    JobFailed: SERVER_UNREACHABLE, AUTHENTICATION_FAILED, PERMISSION_MISSING, REPLICATION_REFUSED,
    CONNECTION_LOST, or what `check` raises, which is called at least once a second.
    """

    def __init__(self, url: str, *, diskless: bool, check: Callable[[], None], timeout: float = TIMEOUT_S) -> None:
        self._check = check
        self._timeout = timeout
        self._pending = b""
        self._mark = b""
        self._remaining: int | None = None
        self._ended = False
        self._sock, options = open_socket(url, timeout)
        self._sock.settimeout(_POLL_S)
        self.database = int(options.get("db") or 0)
        try:
            self._handshake(auth_command(options), diskless)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ReplicationStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def _handshake(self, login: list[Argument] | None, diskless: bool) -> None:
        if login is not None:
            self._ask(login)
        self._ask(["PING"])
        # Tells servers that know it not to keep writes for this client; others answer with an error, which
        # does no harm.
        self._ask(["REPLCONF", "rdb-only", 1], may_fail=True)
        if diskless:
            self._ask(["REPLCONF", "capa", "eof"])
        # Sent alone: a server refuses a full synchronisation to a client that has replies pending.
        words = self._ask(["PSYNC", "?", -1]).split()
        if len(words) != 3 or words[0] != "+FULLRESYNC":
            raise JobFailed(
                "REPLICATION_REFUSED", f"the server did not begin a full synchronisation: {' '.join(words)}"
            )
        self.replication_id, self.offset = words[1], int(words[2])
        preamble = self._line()
        if preamble.startswith("$EOF:") and len(preamble) == 5 + _MARK_BYTES:
            self._mark = preamble[5:].encode("latin-1")
        elif preamble.startswith("$") and preamble[1:].isdigit():
            self._remaining = int(preamble[1:])
        else:
            raise JobFailed("REPLICATION_REFUSED", f"the server began its snapshot with {preamble[:80]!r}")

    def _ask(self, args: list[Argument], *, may_fail: bool = False) -> str:
        try:
            self._sock.sendall(pack(args))
        except OSError as error:
            raise self._lost(error) from error
        line = self._line()
        if line.startswith("-"):
            reason = refusal_reason(line[1:])
            if may_fail and reason == "SERVER_REFUSED":
                return line
            raise JobFailed(
                "REPLICATION_REFUSED" if reason == "SERVER_REFUSED" else reason,
                f"the server refused {args[0]!s}: {line[1:]}; the source user needs +psync +replconf +ping",
            )
        return line

    @staticmethod
    def _lost(error: object) -> JobFailed:
        return JobFailed("CONNECTION_LOST", f"the server's snapshot broke off: {error}")

    def _recv(self, size: int) -> bytes:
        deadline = time.monotonic() + self._timeout
        while True:
            self._check()
            try:
                return self._sock.recv(size)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self._lost(f"nothing was received for {self._timeout:.0f} s") from None
            except OSError as error:
                raise self._lost(error) from error

    def _line(self) -> str:
        """The next line.

        Empty lines are skipped: servers send them to keep the link alive while they prepare.
        """
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                if line.strip():
                    return line.strip().decode("latin-1")
                continue
            data = self._recv(1 << 12)
            if not data:
                raise self._lost("the server closed the connection")
            self._pending += data

    def read(self, size: int) -> bytes:
        """1 to `size` bytes of the RDB stream, or b"" behind its end."""
        if self._ended:
            return b""
        return self._read_counted(size) if self._remaining is not None else self._read_marked(size)

    def _read_counted(self, size: int) -> bytes:
        assert self._remaining is not None
        if self._remaining == 0:
            self._ended = True
            return b""
        size = min(size, self._remaining)
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
        else:
            data = self._recv(size)
            if not data:
                raise self._lost("the server closed the connection")
        self._remaining -= len(data)
        return data

    def _read_marked(self, size: int) -> bytes:
        # The stream ends when the mark is the last thing received; nothing follows it until a replica has
        # acknowledged.
        while True:
            if self._pending.endswith(self._mark):
                data, self._pending = self._pending[:-_MARK_BYTES], b""
                self._ended = True
                return data
            if len(self._pending) > _MARK_BYTES:
                data, self._pending = self._pending[:-_MARK_BYTES], self._pending[-_MARK_BYTES:]
                return data
            more = self._recv(size)
            if not more:
                raise self._lost("the server closed the connection")
            self._pending += more
