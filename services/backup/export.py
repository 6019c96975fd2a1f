"""Making a plain RDB file of an archive, which any server of the source's version or newer loads."""

from __future__ import annotations

from collections.abc import Callable

from services.backup.archive import ArchiveError, ArchiveReader
from services.backup.rdb import RdbError, RdbWriter, RecordTally

Report = Callable[[int, int], None]
"""Called with keys and bytes done so far."""


def export_rdb(
    reader: ArchiveReader, write: Callable[[bytes], object], report: Report, *, shift_ms: int = 0
) -> list[RecordTally]:
    """Write the archive as an RDB file, every frame checked before it is written.

    Expiries are moved by `shift_ms`. Returns what was written under each prefix, counted and hashed; nothing for an
    archive of the form `stream`, which is written as it came. ArchiveError if it is not whole: what was written until
    then has no end mark, and no server loads it.
    """
    manifest = reader.manifest
    done = size = 0
    if manifest.form == "stream":
        for number in range(len(manifest.frames)):
            data = reader.unpacked(number)
            write(data)
            size += len(data)
            report(0, size)
        return []
    tallies = [RecordTally(counts.prefix) for counts in manifest.prefixes]
    rdb = RdbWriter(write, manifest.snapshot.source.rdb_version)
    for number, frame in enumerate(manifest.frames):
        if frame.content == "functions":
            rdb.add(reader.unpacked(number))
    rdb.select(manifest.snapshot.source.database)
    for number, frame in enumerate(manifest.frames):
        if frame.prefix is None:
            continue
        records = bytearray(reader.unpacked(number))
        try:
            tallies[frame.prefix].add_records(records, shift_ms)
        except RdbError as error:
            raise ArchiveError(f"frame {number}: {error}") from None
        rdb.add(records)
        done, size = done + frame.entries, size + len(records)
        report(done, size)
    rdb.finish()
    return tallies
