"""Proving that an archive is whole, to one of four levels. Each includes those before it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from services.backup.archive import ArchiveError, ArchiveReader, Level, counts_of
from services.backup.export import Report
from services.backup.rdb import RdbError, RecordTally
from services.backup.verify_server import compare_on_server

_THREADS: Final = min(4, os.cpu_count() or 1)
_AHEAD: Final = 2 * _THREADS
"""Frames that may be in memory at once, packed or unpacked."""
T = TypeVar("T")


def verify_archive(reader: ArchiveReader, level: Level, report: Report, *, server: str | None = None) -> None:
    """Verify an archive that is open, which is level FOOTER already. ArchiveError at the first difference.

    `server` is the redis-server for level SERVER; else it is looked for on the PATH and beside this Python. JobFailed
    (SCRATCH_SERVER_MISSING, SCRATCH_SERVER_TOO_OLD, SCRATCH_SERVER_FAILED) if that says nothing about the archive.
    """
    if level == Level.FRAMES:
        _verify_frames(reader, report)
    elif level >= Level.CONTENT:
        _verify_content(reader, report)
    if level == Level.SERVER:
        compare_on_server(reader, report, server)


def _each(reader: ArchiveReader, work: Callable[[int], T]) -> Iterator[tuple[int, T]]:
    """The result for every frame, in order, worked out in threads."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
        waiting: deque[tuple[int, Future[T]]] = deque()
        try:
            for number in range(len(reader.manifest.frames)):
                waiting.append((number, threads.submit(work, number)))
                if len(waiting) > _AHEAD:
                    done, job = waiting.popleft()
                    yield done, job.result()
            while waiting:
                done, job = waiting.popleft()
                yield done, job.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _verify_frames(reader: ArchiveReader, report: Report) -> None:
    keys = size = 0
    for number, packed in _each(reader, lambda number: len(reader.packed(number))):
        keys, size = keys + reader.manifest.frames[number].entries, size + packed
        report(keys, size)


def _verify_content(reader: ArchiveReader, report: Report) -> None:
    manifest = reader.manifest

    def count(number: int) -> RecordTally | None:
        data = reader.unpacked(number)
        prefix = manifest.frames[number].prefix
        if prefix is None:
            return None
        tally = RecordTally(manifest.prefixes[prefix].prefix)
        try:
            tally.add_records(data)
        except RdbError as error:
            raise ArchiveError(f"frame {number}: {error}") from None
        return tally

    totals = [RecordTally(counts.prefix) for counts in manifest.prefixes]
    keys = size = 0
    for number, tally in _each(reader, count):
        frame = manifest.frames[number]
        if tally is not None and frame.prefix is not None:
            if tally.keys != frame.entries:
                raise ArchiveError(f"frame {number} holds {tally.keys} entries, not {frame.entries}")
            totals[frame.prefix].merge(tally)
        keys, size = keys + frame.entries, size + frame.raw_length
        report(keys, size)
    for total, claimed in zip(totals, manifest.prefixes, strict=True):
        found = counts_of(total)
        if manifest.format_version == 1:
            found = found.model_copy(update={"digest": None, "first_expiry_ms": None, "last_expiry_ms": None})
        if found != claimed:
            raise ArchiveError(f"the entries under {claimed.prefix!r} are not those that the manifest counts")
