"""Taking a snapshot: from the replication stream into a verified archive. Runs in a job's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveReader, ArchiveWriter, Manifest, Snapshot, Source, SourceInfo
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.rdb import Entry, RdbError, RdbStream, RdbUnsupported
from services.backup.store.replication import ReplicationStream
from services.backup.store.repository import Repository
from services.backup.targets import STAGING, TargetConfig

_REPORT_EVERY = 0x3FF


@dataclass(frozen=True)
class BackupOrder:
    """What identifies a backup before it is made."""

    backup_id: str
    target: str
    created_by: str
    create_time_ms: int
    restore_id: str = ""


@dataclass(frozen=True)
class Sealed:
    """An archive that is in place."""

    manifest: Manifest
    archive_bytes: int
    digest: str


OnStaged = Callable[[bytes], None]
"""Called with each key that an interrupted restore left in staging."""


class _Source:
    """One pass over a target's snapshot."""

    def __init__(self, config: TargetConfig, control: JobControl) -> None:
        self._config = config
        self._control = control
        self._prefixes = [prefix.encode() for prefix in config.prefixes]
        self._staging = [(prefix + STAGING).encode() for prefix in config.prefixes]
        self.other_keys = 0

    def _place(self, entry: Entry) -> int | None:
        if entry.db == self.replication.database:
            for index, prefix in enumerate(self._prefixes):
                if entry.key.startswith(prefix):
                    return index
        return None

    def entries(self, on_staged: OnStaged | None = None) -> Iterator[tuple[int, Entry]]:
        """Prefix index and entry of every key of the target; staged keys go to `on_staged`, other keys are
        counted."""
        config, control = self._config, self._control
        control.enter(pb.PHASE_CONNECTING)
        url = config.url.get_secret_value()
        with ReplicationStream(url, diskless=config.diskless, check=control.check) as stream:
            self.replication = stream
            self.rdb = RdbStream(stream.read)
            control.enter(pb.PHASE_STREAMING)
            keys = 0
            try:
                for entry in self.rdb.entries():
                    keys += 1
                    if not keys & _REPORT_EVERY:
                        control.report(keys, self.rdb.bytes_read)
                    place = self._place(entry)
                    if place is None:
                        self.other_keys += 1
                    elif not entry.key.startswith(self._staging[place]):
                        yield place, entry
                    elif on_staged is not None:
                        on_staged(entry.key)
            except RdbUnsupported as error:
                raise JobFailed("UNSUPPORTED_SERVER", f"the server's snapshot cannot be read: {error}") from error
            except RdbError as error:
                raise JobFailed("SNAPSHOT_DAMAGED", f"the server's snapshot is damaged: {error}") from error
            control.report(keys, self.rdb.bytes_read)

    def info(self) -> SourceInfo:
        """Where it came from; known after the pass."""
        aux = self.rdb.aux
        return SourceInfo(
            server_version=aux.get("valkey-ver") or aux.get("redis-ver") or "unknown",
            replication_id=self.replication.replication_id,
            replication_offset=self.replication.offset,
            database=self.replication.database,
            rdb_version=self.rdb.version,
            rdb_bytes=self.rdb.bytes_read,
            crc_checked=self.rdb.crc_checked,
        )


def take_backup(
    order: BackupOrder,
    config: TargetConfig,
    repository: Repository,
    control: JobControl,
    on_staged: OnStaged | None = None,
) -> Sealed:
    """Snapshot a target into the repository. When this returns, the archive is in place, synced and verified.

    Raises JobFailed; then there is no archive.
    """
    source = _Source(config, control)
    with repository.create(order.backup_id) as sink:
        writer = ArchiveWriter(sink.write, config.prefixes)
        for prefix, entry in source.entries(on_staged):
            writer.add(prefix, entry)
        manifest = writer.finish(
            Snapshot(
                backup_id=order.backup_id,
                target=order.target,
                created_by=order.created_by,
                restore_id=order.restore_id,
                create_time_ms=order.create_time_ms,
                end_time_ms=control.now_ms(),
                source=source.info(),
                other_keys=source.other_keys,
            )
        )
        control.enter(pb.PHASE_VERIFYING, manifest.keys)
        readers: list[ArchiveReader] = []

        def check(source: Source) -> None:
            reader = ArchiveReader(source)
            reader.verify(control.report)
            readers.append(reader)

        sink.seal(check)
        return Sealed(manifest, readers[0].size, readers[0].digest)


@dataclass(frozen=True)
class KeyCount:
    """Keys under one prefix: those without and those with an expiry."""

    lasting: int
    expiring: int


def count_keys(config: TargetConfig, control: JobControl) -> KeyCount:
    """Count the keys of a target with one prefix by a snapshot of their own, without keeping it.

    Raises JobFailed.
    """
    lasting = expiring = 0
    for _, entry in _Source(config, control).entries():
        if entry.expire_ms is None:
            lasting += 1
        else:
            expiring += 1
    return KeyCount(lasting, expiring)
