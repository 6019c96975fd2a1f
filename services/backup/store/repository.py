"""Archives on local disk. An archive has its name only once it is complete and verified."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from services.backup.archive import ArchiveError, ArchiveReader, FileSource, KeyRing, Manifest, Sink, Source
from services.backup.failure import JobFailed

SUFFIX: Final = ".mhb"
_ID: Final = re.compile(r"bkp_[0-9a-z]{1,64}")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _FileSink:
    """A temporary file that gets its name when it is sealed."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self._path = path
        self._temporary = temporary
        self._file = temporary.open("x+b", buffering=1 << 20)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def seal(self, check: Callable[[Source], None]) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        check(FileSource(self._file))
        if self._path.exists():
            raise JobFailed("STORAGE_FAILED", f"{self._path.name} exists already")
        self._temporary.rename(self._path)
        _sync_directory(self._path.parent)

    def abort(self) -> None:
        self._temporary.unlink(missing_ok=True)
        # What the buffer still holds may not fit on the disk, and is not wanted.
        with contextlib.suppress(OSError):
            self._file.close()


class Repository:
    """A directory of archives, `<backup id>.mhb`, owned by one process at a time.

    A backup is written to `.<backup id>.tmp`, synced, read back and verified, then renamed, and the directory
    is synced. Names that are not backup ids are refused and never listed, symbolic links are not followed.
    """

    def __init__(self, directory: Path, keys: KeyRing | None = None) -> None:
        self.directory = directory
        self.keys = keys
        """What new archives are encrypted with, and what opens them; None: new archives are not encrypted."""
        self._lock: int | None = None

    def claim(self) -> None:
        """Create the directory if needed and take it for this process until it ends.

        JobFailed if another process has it.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise JobFailed(
                "DIRECTORY_IN_USE",
                f"another backup service uses {self.directory}; give each its own directory",
            ) from None

    def release(self) -> None:
        """Give the directory up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, backup_id: str) -> Path:
        if not _ID.fullmatch(backup_id):
            raise JobFailed("INVALID_BACKUP_ID", f"{backup_id!r} is not a backup id")
        return self.directory / f"{backup_id}{SUFFIX}"

    def list(self) -> Iterator[str]:
        """The ids of the archives that are there."""
        with os.scandir(self.directory) as files:
            for file in files:
                name = file.name.removesuffix(SUFFIX)
                if name != file.name and _ID.fullmatch(name) and file.is_file(follow_symlinks=False):
                    yield name

    def sweep(self) -> int:
        """Remove what interrupted backups left. Returns how many files."""
        left = [file for file in self.directory.glob(".bkp_*.tmp") if not file.is_dir()]
        for file in left:
            file.unlink()
        return len(left)

    @contextlib.contextmanager
    def create(self, backup_id: str) -> Iterator[Sink]:
        """Write a new archive, and seal it. Whatever ends the block before that removes what was written.

        JobFailed: STORAGE_FAILED for an error of the disk, ARCHIVE_NOT_VERIFIED if the check finds it not whole.
        """
        path = self._path(backup_id)
        try:
            sink = _FileSink(path, self.directory / f".{backup_id}.tmp")
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
        path = self._path(backup_id)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ArchiveError(f"the archive {path.name} cannot be opened: {error.strerror}") from error
        with os.fdopen(handle, "rb") as file:
            reader = ArchiveReader(FileSource(file), self.keys)
            if reader.manifest.snapshot.backup_id != backup_id:
                raise ArchiveError(
                    f"the archive {path.name} holds another backup, {reader.manifest.snapshot.backup_id!r}"
                )
            yield reader

    def exists(self, backup_id: str) -> bool:
        path = self._path(backup_id)
        return path.is_file() and not path.is_symlink()

    def manifest(self, backup_id: str) -> tuple[Manifest, int, str]:
        """Manifest, size in bytes and digest of an archive. ArchiveError if it cannot be read."""
        with self.open(backup_id) as reader:
            return reader.manifest, reader.size, reader.digest

    def delete(self, backup_id: str) -> None:
        """Remove an archive; nothing if it is not there.

        JobFailed (STORAGE_FAILED) if it cannot be removed.
        """
        try:
            self._path(backup_id).unlink(missing_ok=True)
            _sync_directory(self.directory)
        except OSError as error:
            raise JobFailed("STORAGE_FAILED", f"the archive could not be deleted: {error}") from error
