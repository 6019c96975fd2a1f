"""Archives in a local directory. An archive has its name only once it is complete and verified."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from services.backup.archive import ArchiveError, FileSource, KeyRing, Sink, Source
from services.backup.failure import JobFailed
from services.backup.store.repository import BACKUP_ID, SUFFIX, Repository, checked_id


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


class LocalRepository(Repository):
    """A directory of archives, `<backup id>.mhb`, owned by one process at a time.

    A backup is written to `.<backup id>.tmp`, synced, read back and verified, then renamed, and the directory
    is synced. Names that are not backup ids are refused and never listed, symbolic links are not followed.
    """

    def __init__(self, directory: Path, keys: KeyRing | None = None) -> None:
        super().__init__(keys)
        self.directory = directory
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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def location(self) -> str:
        return str(self.directory)

    def _path(self, backup_id: str) -> Path:
        return self.directory / f"{checked_id(backup_id)}{SUFFIX}"

    def list(self) -> Iterator[str]:
        with os.scandir(self.directory) as files:
            for file in files:
                name = file.name.removesuffix(SUFFIX)
                if name != file.name and BACKUP_ID.fullmatch(name) and file.is_file(follow_symlinks=False):
                    yield name

    def sweep(self) -> int:
        left = [file for file in self.directory.glob(".bkp_*.tmp") if not file.is_dir()]
        for file in left:
            file.unlink()
        return len(left)

    def sink(self, backup_id: str) -> Sink:
        return _FileSink(self._path(backup_id), self.directory / f".{backup_id}.tmp")

    @contextlib.contextmanager
    def source(self, backup_id: str) -> Iterator[Source]:
        path = self._path(backup_id)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ArchiveError(f"the archive {path.name} cannot be opened: {error.strerror}") from error
        with os.fdopen(handle, "rb") as file:
            yield FileSource(file)

    def exists(self, backup_id: str) -> bool:
        path = self._path(backup_id)
        return path.is_file() and not path.is_symlink()

    def delete(self, backup_id: str) -> None:
        try:
            self._path(backup_id).unlink(missing_ok=True)
            _sync_directory(self.directory)
        except OSError as error:
            raise JobFailed("STORAGE_FAILED", f"the archive could not be deleted: {error}") from error
