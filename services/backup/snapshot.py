"""Taking a snapshot: from the replication stream into a verified archive. Runs in a job's thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveReader, ArchiveWriter, Level, Manifest, Snapshot, Source, SourceInfo
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.rdb import (
    BUFFER_BYTES,
    Batch,
    BufferPool,
    RdbCopy,
    RdbError,
    RdbSorter,
    RdbUnsupported,
    library_name,
)
from services.backup.store.replication import ReplicationStream
from services.backup.store.repository import Repository
from services.backup.targets import STAGING, TargetConfig
from services.backup.verify import verify_archive

log = structlog.get_logger(__name__)

WHOLE_STREAM: Final = "WHOLE_STREAM"
"""The archive is the server's stream as it came: for export and an offline restore only."""
MODULE_DATA_LEFT_OUT: Final = "MODULE_DATA_LEFT_OUT"
"""A module keeps data beside its keys, which is not in the archive."""
NO_SOURCE_CHECKSUM: Final = "NO_SOURCE_CHECKSUM"
"""The server is configured to write no checksum, so its stream could not be checked."""


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
        self.rdb: RdbSorter | None = None

    @contextlib.contextmanager
    def _stream(self) -> Iterator[ReplicationStream]:
        config, control = self._config, self._control
        control.enter(pb.PHASE_CONNECTING)
        url = config.url.get_secret_value()
        with ReplicationStream(url, diskless=config.diskless, check=control.check) as stream:
            self.replication = stream
            control.enter(pb.PHASE_STREAMING)
            try:
                yield stream
            except RdbUnsupported:
                raise
            except RdbError as error:
                raise JobFailed("SNAPSHOT_DAMAGED", f"the server's snapshot is damaged: {error}") from error

    def sort(
        self, emit: Callable[[Batch], None], on_staged: OnStaged | None = None, pool: BufferPool | None = None
    ) -> RdbSorter:
        """Give every key of the target to `emit`; staged keys go to `on_staged`, other keys are counted.

        RdbUnsupported if something in the stream is not known.
        """
        with self._stream() as stream:
            self.rdb = RdbSorter(
                stream.read,
                self._config.prefixes,
                emit,
                database=stream.database,
                staging=STAGING,
                on_staged=on_staged,
                progress=self._control.report,
                pool=pool,
            )
            self.rdb.run()
            return self.rdb

    def copy(self, emit: Callable[[bytearray], None]) -> RdbCopy:
        """Give the whole stream to `emit`, in pieces, as it is."""
        with self._stream() as stream:
            copy = RdbCopy(stream.read, emit, progress=self._control.report)
            copy.run()
            return copy

    def info(self, rdb: RdbSorter | RdbCopy) -> SourceInfo:
        """Where it came from; known after a pass."""
        aux = self.rdb.aux if self.rdb is not None else {}
        engine = "valkey" if "valkey-ver" in aux else "redis"
        return SourceInfo(
            engine=engine,
            server_version=aux.get(f"{engine}-ver", "unknown"),
            replication_id=self.replication.replication_id,
            replication_offset=self.replication.offset,
            database=self.replication.database,
            rdb_version=rdb.version,
            rdb_bytes=rdb.bytes_read,
            crc_checked=rdb.crc_checked,
            info=dict(sorted(aux.items())),
        )


def take_backup(
    order: BackupOrder,
    config: TargetConfig,
    repository: Repository,
    control: JobControl,
    on_staged: OnStaged | None = None,
    level: Level = Level.FRAMES,
) -> Sealed:
    """Snapshot a target into the repository. When this returns, the archive is in place, synced, and verified
    to `level`.

    If something in the server's stream is not known (a module's value, a newer server) the whole stream is kept
    instead, by a second snapshot. Raises JobFailed; then there is no archive.
    """
    source = _Source(config, control)
    try:
        with _sealing(order, repository, control, level) as (writer, pool, seal):
            rdb = source.sort(writer.add, on_staged, pool)
            if rdb.functions:
                writer.add_bytes("functions", bytearray(b"".join(item for _, item in rdb.functions)))
            flags = [MODULE_DATA_LEFT_OUT] if rdb.has_module_data else []
            manifest = writer.finish(
                _snapshot_of(order, control, source.info(rdb), rdb.other_keys),
                rdb.tallies,
                flags=flags if rdb.crc_checked else [*flags, NO_SOURCE_CHECKSUM],
                functions=sorted(library_name(code) for code, _ in rdb.functions),
            )
            return seal(manifest)
    except RdbUnsupported as error:
        log.warning("the whole stream is kept, for it cannot be sorted", target=order.target, reason=str(error))
    with _sealing(order, repository, control, level) as (writer, _, seal):
        copy = source.copy(lambda data: writer.add_bytes("stream", data))
        flags = [WHOLE_STREAM] if copy.crc_checked else [WHOLE_STREAM, NO_SOURCE_CHECKSUM]
        snapshot = _snapshot_of(order, control, source.info(copy), 0)
        return seal(writer.finish(snapshot, [], form="stream", flags=flags))


def _snapshot_of(order: BackupOrder, control: JobControl, info: SourceInfo, other_keys: int) -> Snapshot:
    return Snapshot(
        backup_id=order.backup_id,
        target=order.target,
        created_by=order.created_by,
        restore_id=order.restore_id,
        create_time_ms=order.create_time_ms,
        end_time_ms=control.now_ms(),
        consistency="point-in-time",
        source=info,
        other_keys=other_keys,
    )


Seal = Callable[[Manifest], Sealed]


@contextlib.contextmanager
def _sealing(
    order: BackupOrder, repository: Repository, control: JobControl, level: Level
) -> Iterator[tuple[ArchiveWriter, BufferPool, Seal]]:
    """A writer into a new archive, the buffers that it gives back, and what makes it an archive that counts."""
    keys = repository.keys
    cipher = keys.new_cipher(order.backup_id) if keys is not None else None
    pool = BufferPool(BUFFER_BYTES)
    with repository.create(order.backup_id) as sink, ArchiveWriter(sink.write, cipher=cipher, pool=pool) as writer:

        def seal(manifest: Manifest) -> Sealed:
            readers: list[ArchiveReader] = []

            def check(source: Source) -> None:
                control.enter(pb.PHASE_VERIFYING, manifest.keys)
                reader = ArchiveReader(source, keys)
                verify_archive(reader, level, control.report)
                readers.append(reader)

            sink.seal(check)
            return Sealed(manifest, readers[0].size, readers[0].digest)

        yield writer, pool, seal


@dataclass(frozen=True)
class KeyCount:
    """Keys under one prefix: those without and those with an expiry."""

    lasting: int
    expiring: int


def count_keys(config: TargetConfig, control: JobControl) -> KeyCount:
    """Count the keys of a target with one prefix by a snapshot of their own, without keeping it.

    Raises JobFailed.
    """
    pool = BufferPool(BUFFER_BYTES)
    try:
        rdb = _Source(config, control).sort(lambda batch: pool.put(batch.buffer), pool=pool)
    except RdbUnsupported as error:
        raise JobFailed("UNSUPPORTED_SERVER", f"the server's snapshot cannot be read: {error}") from error
    keys, expiring = (sum(getattr(t, name) for t in rdb.tallies) for name in ("keys", "expiring"))
    return KeyCount(keys - expiring, expiring)
