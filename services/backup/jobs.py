"""The jobs that are going on in this process: their threads, what they have claimed, and who watches them.

One process owns a directory of archives and the keyspace of its catalog, so this can live in memory: whatever
the catalog calls RUNNING at start-up was interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakSet

import structlog
from redis.exceptions import RedisError

from harness.backup.v1 import backup_pb2 as pb
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.store.catalog import Catalog
from services.runtime.errors import FailedPrecondition, Unavailable

log = structlog.get_logger(__name__)

MAX_THREADS: Final = 8
_SAVE_RETRY_S: Final = 1.0
_CATALOG_TIMEOUT_S: Final = 30.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Job:
    """A backup or a restore that is going on. `record` is what the catalog has, or will have."""

    job_id: str
    record: pb.Backup | pb.Restore
    control: JobControl
    busy: frozenset[str]
    """Targets that no other job may use meanwhile."""
    needs: frozenset[str]
    """Backups that may not be deleted meanwhile."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class JobBoard:
    """Starts jobs, finds them, stops them.

    Every method but `in_loop` is for the event loop's thread.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._jobs: dict[str, Job] = {}
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="backup")
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._controls: WeakSet[JobControl] = WeakSet()

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def in_use(self, backup_id: str) -> bool:
        """Whether a backup is being written, or read for a restore."""
        return any(backup_id == job.job_id or backup_id in job.needs for job in self._jobs.values())

    def check_free(self, targets: frozenset[str]) -> None:
        """FailedPrecondition (BACKUP_IN_PROGRESS) if another job uses one of the targets; Unavailable when stopping."""
        if self._stopping:
            raise Unavailable("DRAINING", "the service is stopping; ask again when it is back")
        for job in self._jobs.values():
            for target in sorted(job.busy & targets):
                raise FailedPrecondition(
                    "BACKUP_IN_PROGRESS",
                    f"target {target} is being backed up or restored by {job.job_id}; wait until that has ended",
                    target=target,
                    job=job.job_id,
                )

    def control(self) -> JobControl:
        """A control whose clock is the service's Redis."""
        control = JobControl(lambda: self.in_loop(self._catalog.now_ms()))
        self._controls.add(control)
        return control

    def start(self, job: Job, run: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
        """Run a job in the background, and then save its record, however long the catalog cannot be
        reached."""
        self._jobs[job.job_id] = job
        job.task = asyncio.create_task(self._finish(job, run), name=job.job_id)

    async def _finish(self, job: Job, run: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
        try:
            await run(job)
            # Until the catalog knows the end, the job stays here: callers see its true state, its target stays claimed.
            # A process that stops gives up: the next start finds the truth in the archives.
            while not await self._saved(job) and not self._stopping:
                job.done.set()
                await asyncio.sleep(_SAVE_RETRY_S)
        finally:
            del self._jobs[job.job_id]
            job.done.set()

    async def _saved(self, job: Job) -> bool:
        try:
            await self.save(job.record)
        except RedisError as error:
            log.warning("the end of a job cannot be saved yet", job=job.job_id, error=str(error))
            return False
        return True

    async def save(self, record: pb.Backup | pb.Restore) -> None:
        if isinstance(record, pb.Backup):
            await self._catalog.backups.put(record)
        else:
            await self._catalog.restores.put(record)

    async def thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work off the event loop."""
        return await self._loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def in_loop(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """For job threads: await something on the event loop.

        JobFailed (CATALOG_UNREACHABLE) if Redis is gone.
        """
        future = asyncio.run_coroutine_threadsafe(awaitable, self._loop)
        try:
            return future.result(_CATALOG_TIMEOUT_S)
        except (RedisError, TimeoutError) as error:
            raise JobFailed(
                "CATALOG_UNREACHABLE", f"the backup service's own Redis cannot be reached: {error}"
            ) from error

    async def stop(self) -> None:
        """Tell all jobs to stop, and wait until they have; a restore that is switching keys goes on to its
        end."""
        self._stopping = True
        for control in list(self._controls):
            control.stop()
        tasks = [job.task for job in self._jobs.values() if job.task]
        if tasks:
            # Unlike gather, this leaves the jobs alone if the caller stops waiting.
            await asyncio.wait(tasks)
        self._threads.shutdown(wait=False)


async def guarded(work: Awaitable[T]) -> T:
    """The result of a job's work; whatever goes wrong becomes JobFailed, a defect with a traceback in the
    log."""
    try:
        return await work
    except JobFailed:
        raise
    except Exception as error:
        log.exception("a job failed unexpectedly")
        raise JobFailed(
            "INTERNAL", f"an unexpected {type(error).__name__}; the service's log has the details"
        ) from error
