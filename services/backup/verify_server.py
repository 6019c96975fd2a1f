"""Level SERVER of verification: a scratch server loads the archive, and is asked for a snapshot of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.backup.archive import ArchiveError, ArchiveReader
from services.backup.export import Report, export_rdb
from services.backup.failure import JobFailed
from services.backup.rdb import RdbError, RdbSorter, RecordTally
from services.backup.store.replication import ReplicationStream
from services.backup.store.wire import Connection

_DAY_MS: Final = 86_400_000
_LATEST: Final = (1 << 63) - 1
_POLL_S: Final = 0.05
_STOP_S: Final = 10.0


def find_server() -> str:
    """The redis-server or valkey-server on the PATH, or beside this Python. JobFailed if there is none."""
    beside = str(Path(sys.executable).parent)
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name) or shutil.which(name, path=beside)
        if found:
            return found
    raise JobFailed(
        "SCRATCH_SERVER_MISSING",
        "level SERVER needs a redis-server on the service's PATH; install one, or verify to level CONTENT",
    )


def compare_on_server(reader: ArchiveReader, report: Report, server: str | None = None) -> None:
    """Load the archive into a server of its own and compare counts and digests of every prefix. Errors as
    `verify_archive`.

    Expiries are moved into the future first, by the same span for all keys, so that none is missing only because its
    time has come. The server listens on a socket in a temporary folder, and ends with this call.
    """
    binary = server or find_server()
    manifest = reader.manifest
    if manifest.form == "stream":
        raise JobFailed(
            "LEVEL_NOT_POSSIBLE",
            "the archive is the server's stream as it came, and may need the source's modules; verify to level CONTENT",
        )
    with tempfile.TemporaryDirectory(prefix="mhv") as folder:
        path = Path(folder)
        with (path / "dump.rdb").open("wb") as file:
            expected = export_rdb(reader, file.write, report, shift_ms=_shift(reader))
        with _Scratch(binary, path, manifest.snapshot.source.database, lambda: report(0, 0)) as url:
            found = _snapshot(url, [counts.prefix for counts in manifest.prefixes], lambda: report(0, 0))
    for before, after in zip(expected, found, strict=True):
        if before.digest != after.digest or before.keys != after.keys:
            raise ArchiveError(
                f"a server that loaded the archive holds {after.keys} keys under {before.prefix!r} with digest "
                f"{after.digest}, and not the {before.keys} keys with digest {before.digest} in it"
            )


def _shift(reader: ArchiveReader) -> int:
    """How far to move expiries so that the first lies a day ahead."""
    counted = [c for c in reader.manifest.prefixes if c.expiring_keys]
    firsts = [c.first_expiry_ms if c.first_expiry_ms is not None else 0 for c in counted]
    lasts = [c.last_expiry_ms if c.last_expiry_ms is not None else 1 << 62 for c in counted]
    if not counted:
        return 0
    return max(0, min(time.time_ns() // 1_000_000 + _DAY_MS - min(firsts), _LATEST - max(lasts)))


def _snapshot(url: str, prefixes: list[str], check: Callable[[], None]) -> list[RecordTally]:
    with ReplicationStream(url, diskless=True, check=check) as stream:
        sorter = RdbSorter(stream.read, prefixes, lambda _: None, database=stream.database)
        try:
            sorter.run()
        except RdbError as error:
            raise JobFailed(
                "SCRATCH_SERVER_FAILED", f"the scratch server's snapshot cannot be read: {error}"
            ) from error
    return sorter.tallies


class _Scratch:
    """A server that loads dump.rdb of its folder. Entering gives its URL, when it has loaded."""

    def __init__(self, binary: str, folder: Path, database: int, check: Callable[[], None]) -> None:
        self._binary = binary
        self._folder = folder
        self._check = check
        self._database = database
        self._url = f"unix://{folder}/s?db={database}"

    def __enter__(self) -> str:
        options = {
            "port": "0",
            "unixsocket": str(self._folder / "s"),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
            "logfile": str(self._folder / "log"),
            "databases": str(max(16, self._database + 1)),
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
        }
        try:
            self._process = subprocess.Popen(
                [self._binary, *(word for name, value in options.items() for word in (f"--{name}", value))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise JobFailed("SCRATCH_SERVER_FAILED", f"{self._binary} cannot be started: {error}") from error
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self._url

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(_STOP_S)

    def _wait(self) -> None:
        while True:
            self._check()
            if self._process.poll() is not None:
                raise self._why_it_ended()
            try:
                with Connection(self._url) as redis:
                    redis.command("PING")
                    return
            except JobFailed as failure:
                if failure.reason not in ("SERVER_UNREACHABLE", "SERVER_LOADING", "CONNECTION_LOST"):
                    raise
            time.sleep(_POLL_S)

    def _why_it_ended(self) -> Exception:
        try:
            lines = (self._folder / "log").read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        if any("handle RDB format version" in line for line in lines):
            return JobFailed(
                "SCRATCH_SERVER_TOO_OLD",
                f"{self._binary} is older than the archive's source and cannot load it; put a newer one on the PATH",
            )
        if not any("RDB" in line or "rdb" in line or "loading" in line for line in lines):
            last = lines[-1] if lines else "it logged nothing"
            return JobFailed("SCRATCH_SERVER_FAILED", f"the scratch server ended: {last}")
        told = [line for line in lines if "#" in line]
        return ArchiveError(f"a server cannot load the archive: {(told or lines)[-1]}")
