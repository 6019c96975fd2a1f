"""The archive: how a snapshot lies in one file.

The format is specified in docs/backup-format.md; nothing here knows Redis.
"""

from services.backup.archive.cipher import ArchiveCipher, ArchiveLocked, BadKeys, KeyRing
from services.backup.archive.level import Level
from services.backup.archive.manifest import (
    FORMAT_VERSION,
    ArchiveError,
    Manifest,
    PrefixCounts,
    Snapshot,
    SourceInfo,
    counts_of,
)
from services.backup.archive.medium import FileSource, MemorySource, Sink, Source
from services.backup.archive.reader import ArchiveReader
from services.backup.archive.writer import ArchiveWriter

__all__ = [
    "FORMAT_VERSION",
    "ArchiveCipher",
    "ArchiveError",
    "ArchiveLocked",
    "ArchiveReader",
    "ArchiveWriter",
    "BadKeys",
    "FileSource",
    "KeyRing",
    "Level",
    "Manifest",
    "MemorySource",
    "PrefixCounts",
    "Sink",
    "Snapshot",
    "Source",
    "SourceInfo",
    "counts_of",
]
