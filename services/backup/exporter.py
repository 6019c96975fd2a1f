"""Sending a backup as an RDB file, as fast as the caller takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveError, ArchiveLocked
from services.backup.export import export_rdb
from services.backup.failure import JobFailed
from services.backup.jobs import JobBoard
from services.backup.store.repository import Repository
from services.runtime.errors import DataLoss, FailedPrecondition, Unavailable

CHUNK_BYTES: Final = 1 << 20
"""Well below the 4 MiB that a gRPC message may have by default."""
_AHEAD: Final = 4


async def export_chunks(board: JobBoard, repository: Repository, backup: pb.Backup) -> AsyncGenerator[bytes, None]:
    """The pieces of the RDB file. Errors as ExportBackup."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
    control = board.control()

    def write(data: bytes) -> None:
        for begin in range(0, len(data), CHUNK_BYTES):
            control.check()
            asyncio.run_coroutine_threadsafe(chunks.put(data[begin : begin + CHUNK_BYTES]), loop).result()

    def work() -> None:
        try:
            with repository.open(backup.backup_id) as reader:
                export_rdb(reader, write, control.report)
        finally:
            asyncio.run_coroutine_threadsafe(chunks.put(None), loop).result()

    job = asyncio.ensure_future(board.thread(work))
    try:
        while (chunk := await chunks.get()) is not None:
            yield chunk
        await job
    except ArchiveLocked as locked:
        raise FailedPrecondition(locked.reason, locked.message, backup_id=backup.backup_id) from locked
    except ArchiveError as error:
        raise DataLoss("ARCHIVE_DAMAGED", f"the archive is not whole: {error}", backup_id=backup.backup_id) from error
    except JobFailed as failure:
        raise Unavailable(failure.reason, failure.message) from failure
    finally:
        # A caller who left: let the thread go on to its next piece, where it is told to stop.
        control.stop()
        while not job.done():
            if chunks.empty():
                await asyncio.wait({job}, timeout=0.05)
            else:
                chunks.get_nowait()
        if not job.cancelled():
            job.exception()
