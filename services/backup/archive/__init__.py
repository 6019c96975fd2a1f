"""The archive: how a snapshot lies in one file.

The format is specified in docs/backup-format.md; nothing here knows Redis.
"""

from services.backup.archive.manifest import (
    FORMAT_VERSION,
    ArchiveError,
    Manifest,
    PrefixCounts,
    Snapshot,
    SourceInfo,
)
from services.backup.archive.medium import FileSource, MemorySource, Sink, Source
from services.backup.archive.reader import ArchiveReader
from services.backup.archive.writer import ArchiveWriter

__all__ = [
    "FORMAT_VERSION",
    "ArchiveError",
    "ArchiveReader",
    "ArchiveWriter",
    "FileSource",
    "Manifest",
    "MemorySource",
    "PrefixCounts",
    "Sink",
    "Snapshot",
    "Source",
    "SourceInfo",
]
