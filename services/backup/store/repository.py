"""What every place that keeps archives can do. An archive is there only once it is complete and verified."""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from services.backup.archive import ArchiveError, ArchiveReader, KeyRing, Manifest, Sink, Source
from services.backup.failure import JobFailed

SUFFIX: Final = ".mhb"
BACKUP_ID: Final = re.compile(r"bkp_[0-9a-z]{1,64}")


def checked_id(backup_id: str) -> str:
    """The id, if it is one; it becomes a part of names. JobFailed (INVALID_BACKUP_ID) if not."""
    if not BACKUP_ID.fullmatch(backup_id):
        raise JobFailed("INVALID_BACKUP_ID", f"{backup_id!r} is not a backup id")
    return backup_id


class Repository(ABC):
    """A place that keeps archives by the ids of their backups, for one service.

    Every method may be called from any thread. JobFailed (STORAGE_FAILED) if the place cannot be reached or refuses.
    """

    def __init__(self, keys: KeyRing | None = None) -> None:
        self.keys = keys
        """What new archives are encrypted with, and what opens them; None: new archives are not encrypted."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where it is, for people; holds no secrets."""

    @abstractmethod
    def claim(self) -> None:
        """Take it for this process, as far as the place can tell. JobFailed if another process has it."""

    @abstractmethod
    def release(self) -> None:
        """Give it up."""

    @abstractmethod
    def list(self) -> Iterator[str]:
        """The ids of the archives that are there."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what interrupted backups left. Returns how many files or objects."""

    @abstractmethod
    def sink(self, backup_id: str) -> Sink:
        """Where a new archive goes. Prefer `create`, which cleans up."""

    @abstractmethod
    def source(self, backup_id: str) -> AbstractContextManager[Source]:
        """The bytes of an archive. ArchiveError if it is missing."""

    @abstractmethod
    def exists(self, backup_id: str) -> bool:
        """Whether the archive is there."""

    @abstractmethod
    def delete(self, backup_id: str) -> None:
        """Remove an archive; nothing if it is not there."""

    @contextlib.contextmanager
    def create(self, backup_id: str) -> Iterator[Sink]:
        """Write a new archive, and seal it. Whatever ends the block before that removes what was written.

        JobFailed: STORAGE_FAILED for an error of the storage, ARCHIVE_NOT_VERIFIED if the check finds it not whole.
        """
        try:
            sink = self.sink(backup_id)
            try:
                yield sink
            finally:
                sink.abort()
        except OSError as error:
            raise JobFailed("STORAGE_FAILED", f"the archive could not be written: {error}") from error
        except ArchiveError as error:
            raise JobFailed("ARCHIVE_NOT_VERIFIED", f"the archive did not read back whole: {error}") from error

    @contextlib.contextmanager
    def open(self, backup_id: str) -> Iterator[ArchiveReader]:
        """Open an archive: footer and manifest checked, and the archive is the one it is named after.

        ArchiveError if not; also if it is missing.
        """
        with self.source(backup_id) as source:
            reader = ArchiveReader(source, self.keys)
            found = reader.manifest.snapshot.backup_id
            if found != backup_id:
                raise ArchiveError(f"the archive of {backup_id} holds another backup, {found!r}")
            yield reader

    def manifest(self, backup_id: str) -> tuple[Manifest, int, str]:
        """Manifest, size in bytes and digest of an archive. ArchiveError if it cannot be read."""
        with self.open(backup_id) as reader:
            return reader.manifest, reader.size, reader.digest
