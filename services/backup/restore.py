"""Making the keys under one prefix what an archive holds. Runs in a job's thread.

Nothing is written before the whole archive has verified, the server has shown that it can load every type in
it, and a fresh backup of what is there has been taken and verified. Keys are then written under a staging
prefix, beside the live ones; only when all of them are there they are renamed into place. So a failure before
the switch leaves the live keys untouched, and a failure during it leaves each single key either old or new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import hiredis

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveError, ArchiveReader, Level
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.rdb import Entry, dump_payload, type_name
from services.backup.snapshot import KeyCount, OnStaged, count_keys
from services.backup.store.repository import Repository
from services.backup.store.wire import Argument, Connection, refusal_reason
from services.backup.targets import STAGING, TargetConfig
from services.backup.verify import verify_archive

BATCH_KEYS: Final = 100
BATCH_BYTES: Final = 1 << 20
_COUNT_ATTEMPTS: Final = 3
"""A source that is a replica of the restored server may lag behind; each attempt waits a second longer."""
_OLDER_RDB_VERSIONS: Final = (12, 11, 10, 9)
_PROBE = b"\x05probe"


@dataclass(frozen=True)
class RestoreHooks:
    """What a restore needs from the service around it; all are called in the job's thread."""

    take_pre_restore_backup: Callable[[OnStaged], str]
    """Back up the target as it is now; returns the backup's id.

    Gets a function for the keys that it finds in staging.
    """
    before_switch: Callable[[], None]
    """Record durably that live keys are about to change."""


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.record)
        if len(batch) >= BATCH_KEYS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _refuse(command: str, key: bytes, reply: object) -> JobFailed:
    name = key.decode("utf-8", "backslashreplace")
    return JobFailed(refusal_reason(str(reply)), f"the target's Redis server refused {command} of {name}: {reply}")


class Restorer:
    """One restore.

    `run` either returns a report or raises JobFailed; `outcome` then says what it left behind.
    """

    def __init__(
        self,
        backup_id: str,
        prefix: str,
        config: TargetConfig,
        repository: Repository,
        control: JobControl,
        hooks: RestoreHooks,
    ) -> None:
        self._backup_id = backup_id
        self._prefix = prefix
        self._live = prefix.encode()
        self._staging = (prefix + STAGING).encode()
        self._config = config
        self._repository = repository
        self._control = control
        self._hooks = hooks
        self._rdb_version = 0
        self._switched = KeyCount(0, 0)
        self.outcome: pb.RestoreOutcome.ValueType = pb.RESTORE_OUTCOME_UNTOUCHED
        self.report = pb.RestoreReport()

    def run(self) -> pb.RestoreReport:
        try:
            with self._repository.open(self._backup_id) as reader:
                index = reader.manifest.index_of(self._prefix)
                if index is None:
                    raise JobFailed("PREFIX_NOT_IN_BACKUP", f"the backup does not cover {self._prefix!r}")
                self._control.enter(pb.PHASE_VERIFYING, reader.manifest.keys)
                verify_archive(reader, Level.CONTENT, self._control.report)
                self._restore(reader, index)
        except ArchiveError as error:
            raise JobFailed("ARCHIVE_DAMAGED", f"the archive is not whole, so it is not restored: {error}") from error
        except OSError as error:
            raise JobFailed("STORAGE_FAILED", f"the archive could not be read: {error}") from error
        self._count()
        return self.report

    def _restore(self, reader: ArchiveReader, index: int) -> None:
        url = self._config.restore_url
        assert url is not None
        with Connection(url.get_secret_value()) as redis:
            self._control.enter(pb.PHASE_PREFLIGHT)
            self._preflight(redis, reader, index)
            with self._control.within(pb.PHASE_PRE_RESTORE_BACKUP):
                before_id = self._hooks.take_pre_restore_backup(lambda key: self._discard(redis, key))
            total = reader.manifest.prefixes[index].keys
            try:
                self._control.enter(pb.PHASE_STAGING, total)
                self._stage(redis, reader, index)
                self._check_staged(redis, reader, index)
                self._control.check()
            except (JobFailed, ArchiveError, OSError):
                self._unstage(redis, reader, index)
                raise
            # From here a stop would leave a mixture, so the rest is not interrupted by a shutdown.
            self._control.shield()
            self._hooks.before_switch()
            self.outcome = pb.RESTORE_OUTCOME_MIXED
            self._control.enter(pb.PHASE_SWITCHING, total)
            with self._repository.open(before_id) as before:
                self._remove_extra(redis, before)
            self._switch(redis, reader, index)
            self.outcome = pb.RESTORE_OUTCOME_RESTORED

    def _staged(self, key: bytes) -> bytes:
        return self._staging + key[len(self._live) :]

    def _preflight(self, redis: Connection, reader: ArchiveReader, index: int) -> None:
        """Find the newest dump version that the server takes, and let it load the smallest value of each
        type."""
        probe = self._staging + b"probe"
        archived = reader.manifest.snapshot.source.rdb_version
        for version in (archived, *(older for older in _OLDER_RDB_VERSIONS if older < archived)):
            reply = redis.pipeline([["RESTORE", probe, 0, dump_payload(0, _PROBE, version), "REPLACE"]])[0]
            if not isinstance(reply, hiredis.ReplyError):
                self._rdb_version = version
                break
            if "version or checksum" not in str(reply):
                raise _refuse("RESTORE", probe, reply)
        else:
            raise JobFailed(
                "TYPES_UNKNOWN_TO_TARGET", f"the target's server cannot load values of RDB version {archived}"
            )
        unknown = []
        for kind, entry in reader.samples(index).items():
            payload = dump_payload(kind, entry.value, self._rdb_version)
            reply = redis.pipeline([["RESTORE", probe, 0, payload, "REPLACE"]])[0]
            if isinstance(reply, hiredis.ReplyError):
                if "Bad data format" not in str(reply):
                    raise _refuse("RESTORE", probe, reply)
                unknown.append(f"{type_name(kind)} (RDB type {kind})")
        self._unlink(redis, [probe])
        if unknown:
            raise JobFailed(
                "TYPES_UNKNOWN_TO_TARGET",
                f"the target's server cannot load: {', '.join(unknown)}; "
                f"restore into a server at least as new as {reader.manifest.snapshot.source.server_version}",
            )

    @staticmethod
    def _time_ms(reply: Any) -> int:
        return int(reply[0]) * 1000 + int(reply[1]) // 1000

    @staticmethod
    def _unlink(redis: Connection, keys: Sequence[bytes]) -> int:
        return int(redis.command("UNLINK", *keys)) if keys else 0

    def _discard(self, redis: Connection, key: bytes) -> None:
        self._unlink(redis, [key])

    def _stage(self, redis: Connection, reader: ArchiveReader, index: int) -> None:
        now = self._time_ms(redis.command("TIME"))
        done = size = 0
        for batch in _batches(reader.entries(index)):
            # An expiry in the past would make RESTORE answer OK and store nothing.
            live = [entry for entry in batch if entry.expire_ms is None or entry.expire_ms > now]
            commands: list[list[Argument]] = [
                [
                    "RESTORE",
                    self._staged(entry.key),
                    entry.expire_ms or 0,
                    dump_payload(entry.kind, entry.value, self._rdb_version),
                    "REPLACE",
                    "ABSTTL",
                ]
                for entry in live
            ]
            *replies, clock = redis.pipeline([*commands, ["TIME"]])
            for entry, reply in zip(live, replies, strict=True):
                if isinstance(reply, hiredis.ReplyError):
                    raise _refuse("RESTORE", entry.key, reply)
            now = self._time_ms(clock)
            done += len(batch)
            size += sum(len(entry.record) for entry in batch)
            self._control.report(done, size)

    def _check_staged(self, redis: Connection, reader: ArchiveReader, index: int) -> None:
        """Every key without expiry must still be there: a server that evicts says OK and drops keys."""
        for batch in _batches(reader.entries(index)):
            names = [self._staged(entry.key) for entry in batch if entry.expire_ms is None]
            if names and int(redis.command("EXISTS", *names)) != len(names):
                raise JobFailed(
                    "STAGED_KEYS_LOST",
                    "keys vanished while they were written; check the server's memory, "
                    "and its maxmemory-policy, which must be noeviction",
                )
            self._control.check()

    def _unstage(self, redis: Connection, reader: ArchiveReader, index: int) -> None:
        """Best effort: what cannot be removed now is found and removed by the next restore."""
        try:
            for batch in _batches(reader.entries(index)):
                self._unlink(redis, [self._staged(entry.key) for entry in batch])
        except (JobFailed, ArchiveError, OSError):
            return

    def _remove_extra(self, redis: Connection, before: ArchiveReader) -> None:
        """Remove the live keys that have no staged counterpart: whatever the backup does not hold, or
        holds expired."""
        index = before.manifest.index_of(self._prefix)
        assert index is not None
        self.report.previous_keys = before.manifest.prefixes[index].keys
        for batch in _batches(before.entries(index)):
            staged = redis.pipeline([["EXISTS", self._staged(entry.key)] for entry in batch])
            for entry, reply in zip(batch, staged, strict=True):
                if isinstance(reply, hiredis.ReplyError):
                    raise _refuse("EXISTS", entry.key, reply)
            extra = [entry.key for entry, there in zip(batch, staged, strict=True) if not there]
            self.report.removed_keys += self._unlink(redis, extra)

    def _switch(self, redis: Connection, reader: ArchiveReader, index: int) -> None:
        lasting = expiring = size = 0
        for batch in _batches(reader.entries(index)):
            replies = redis.pipeline([["RENAME", self._staged(entry.key), entry.key] for entry in batch])
            for entry, reply in zip(batch, replies, strict=True):
                if not isinstance(reply, hiredis.ReplyError):
                    lasting += entry.expire_ms is None
                    expiring += entry.expire_ms is not None
                elif entry.expire_ms is not None and "no such key" in str(reply):
                    # It expired before or after it was staged; then the live key is out of date too.
                    self._unlink(redis, [entry.key])
                    self.report.expired_keys += 1
                else:
                    raise _refuse("RENAME", entry.key, reply)
            size += sum(len(entry.record) for entry in batch)
            self._switched = KeyCount(lasting, expiring)
            self.report.restored_keys = lasting + expiring
            self._control.report(lasting + expiring, size)

    def _count(self) -> None:
        """Compare what a new snapshot holds with what was switched into place."""
        expected = self._switched
        for attempt in range(_COUNT_ATTEMPTS):
            time.sleep(attempt)
            with self._control.within(pb.PHASE_COUNTING):
                found = count_keys(self._config, self._control)
            self.report.counted_keys = found.lasting + found.expiring
            if found.lasting == expected.lasting and found.expiring <= expected.expiring:
                return
        self.outcome = pb.RESTORE_OUTCOME_MIXED
        raise JobFailed(
            "COUNT_MISMATCH",
            f"{self.report.counted_keys} keys were counted, not the {self.report.restored_keys} restored; "
            "something else writes under the prefix: stop it, then restore again",
        )
