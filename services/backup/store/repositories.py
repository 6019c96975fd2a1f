"""Several repositories as one: a backup goes to each of them."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from services.backup.archive import ArchiveError, ArchiveReader, KeyRing, Sink, Source
from services.backup.failure import JobFailed
from services.backup.store.repository import Repository

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Place:
    """A repository, and whether a backup that is not in it has failed."""

    repository: Repository
    required: bool = True


@dataclass(frozen=True)
class Survey:
    """Which archives are where, and which repositories could not say so, with the reason."""

    archives: Mapping[str, list[str]]
    unreachable: Mapping[str, str]


def _tolerable(error: Exception) -> bool:
    """Whether it is the storage that failed, and not the job."""
    return not isinstance(error, JobFailed) or error.reason == "STORAGE_FAILED"


class _EverySink:
    """Writes to all; goes on without one that fails, unless it is required or the last."""

    def __init__(self, places: Mapping[str, Place], backup_id: str, failures: dict[str, str]) -> None:
        self._places = places
        self._backup_id = backup_id
        self._failures = failures
        self._open: dict[str, Sink] = {}
        self._sealed: list[str] = []
        try:
            for name, place in places.items():
                with self._tolerated(name):
                    self._open[name] = place.repository.sink(backup_id)
            self._need_one()
        except BaseException:
            self.abort()
            raise

    @contextlib.contextmanager
    def _tolerated(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, JobFailed, ArchiveError) as error:
            if not _tolerable(error):
                raise
            log.warning("a repository failed", repository=name, backup=self._backup_id, error=str(error))
            sink = self._open.pop(name, None)
            if sink is not None:
                sink.abort()
            self._failures[name] = str(error)
            if self._places[name].required:
                reason = "ARCHIVE_NOT_VERIFIED" if isinstance(error, ArchiveError) else "STORAGE_FAILED"
                raise JobFailed(reason, f"repository {name}: {error}") from error

    def _need_one(self) -> None:
        if not self._open and not self._sealed:
            problems = "; ".join(f"{name}: {problem}" for name, problem in self._failures.items())
            raise JobFailed("STORAGE_FAILED", f"no repository has the backup: {problems}")

    def write(self, data: bytes) -> None:
        for name, sink in list(self._open.items()):
            with self._tolerated(name):
                sink.write(data)
        self._need_one()

    def seal(self, check: Callable[[Source], None]) -> None:
        try:
            # What is required comes first: what fails there need not be taken back elsewhere.
            for name in sorted(self._open, key=lambda name: not self._places[name].required):
                with self._tolerated(name):
                    self._open[name].seal(check)
                    self._open.pop(name)
                    self._sealed.append(name)
            self._need_one()
        except BaseException:
            for name in self._sealed:
                with contextlib.suppress(JobFailed):
                    self._places[name].repository.delete(self._backup_id)
            raise

    def abort(self) -> None:
        for sink in self._open.values():
            sink.abort()
        self._open.clear()


class Repositories(Repository):
    """All repositories of the service, by name, in the order in which they are asked for an archive."""

    def __init__(self, places: Mapping[str, Place], keys: KeyRing | None = None) -> None:
        super().__init__(keys)
        self.places = dict(places)
        self._failures: dict[str, dict[str, str]] = {}
        self._damaged: set[tuple[str, str]] = set()

    @property
    def location(self) -> str:
        return ", ".join(place.repository.location for place in self.places.values())

    def claim(self) -> None:
        for place in self.places.values():
            place.repository.claim()

    def release(self) -> None:
        for place in self.places.values():
            place.repository.release()

    def survey(self) -> Survey:
        """Ask every repository what it has."""
        archives: dict[str, list[str]] = {}
        unreachable: dict[str, str] = {}
        for name, place in self.places.items():
            try:
                found = builtins.list(place.repository.list())
            except (JobFailed, OSError) as error:
                log.error("a repository cannot be listed", repository=name, error=str(error))
                unreachable[name] = str(error)
            else:
                for backup_id in found:
                    archives.setdefault(backup_id, []).append(name)
        return Survey(archives, unreachable)

    def list(self) -> Iterator[str]:
        yield from self.survey().archives

    def sweep(self) -> int:
        removed = 0
        for name, place in self.places.items():
            try:
                removed += place.repository.sweep()
            except (JobFailed, ArchiveError, OSError) as error:
                log.warning("a repository could not be swept", repository=name, error=str(error))
        return removed

    def sink(self, backup_id: str) -> Sink:
        failures = self._failures[backup_id] = {}
        return _EverySink(self.places, backup_id, failures)

    def failures(self, backup_id: str) -> dict[str, str]:
        """Why which repository does not have a backup that this process has just made. Told once."""
        return self._failures.pop(backup_id, {})

    def holders(self, backup_id: str) -> Iterator[tuple[str, Repository]]:
        """The repositories that may have an archive; those where it was found damaged come last."""
        names = sorted(self.places, key=lambda name: (name, backup_id) in self._damaged)
        return ((name, self.places[name].repository) for name in names)

    def found(self, name: str, backup_id: str, *, damaged: bool) -> None:
        """Remember whether a copy was found damaged, so that another is read first."""
        (self._damaged.add if damaged else self._damaged.discard)((name, backup_id))

    @contextlib.contextmanager
    def source(self, backup_id: str) -> Iterator[Source]:
        with self._first(backup_id) as repository, repository.source(backup_id) as source:
            yield source

    @contextlib.contextmanager
    def open(self, backup_id: str) -> Iterator[ArchiveReader]:
        with self._first(backup_id) as repository, repository.open(backup_id) as reader:
            yield reader

    @contextlib.contextmanager
    def _first(self, backup_id: str) -> Iterator[Repository]:
        """The first repository whose archive opens; the last one's error if none does."""
        problem: Exception = ArchiveError("no repository is configured")
        for _, repository in self.holders(backup_id):
            try:
                with repository.open(backup_id):
                    break
            except (ArchiveError, JobFailed, OSError) as error:
                # A storage that does not answer matters more than one that does not have it.
                if not isinstance(problem, JobFailed):
                    problem = error
        else:
            raise problem
        yield repository

    def exists(self, backup_id: str) -> bool:
        unknown: JobFailed | None = None
        for _, repository in self.holders(backup_id):
            try:
                if repository.exists(backup_id):
                    return True
            except JobFailed as failure:
                unknown = failure
        if unknown is not None:
            raise unknown
        return False

    def delete(self, backup_id: str) -> None:
        problems = []
        for name, repository in self.holders(backup_id):
            try:
                repository.delete(backup_id)
            except (JobFailed, OSError) as error:
                problems.append(f"repository {name}: {error}")
        if problems:
            raise JobFailed("STORAGE_FAILED", "; ".join(problems))
