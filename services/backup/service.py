"""What the backup service does for its callers: starts backups and restores, and answers about them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from redis.exceptions import RedisError

from harness.backup.v1 import backup_pb2 as pb
from services.backup import metrics, views
from services.backup.archive import Level
from services.backup.exporter import export_chunks
from services.backup.failure import JobFailed
from services.backup.jobs import Job, JobBoard, guarded
from services.backup.reconcile import Reconciler
from services.backup.restore import RestoreHooks, Restorer
from services.backup.retention import Rules
from services.backup.snapshot import BackupOrder, OnStaged, take_backup
from services.backup.store import keys
from services.backup.store.catalog import Catalog, Request
from services.backup.store.repositories import Repositories
from services.backup.targets import TargetConfig
from services.backup.upkeep import Upkeep
from services.runtime.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from services.runtime.ids import new_id

log = structlog.get_logger(__name__)

_WATCH_S: Final = 0.25
"""How often a watcher looks; faster than a person reads."""

R = TypeVar("R", pb.Backup, pb.Restore)


class BackupManager:
    """Starts backups and restores, one at a time a target, and follows them.

    Retention that keeps all turns off the pruning that follows each backup. Every backup is verified to
    `level` before it counts.
    """

    def __init__(
        self,
        catalog: Catalog,
        repositories: Repositories,
        targets: Mapping[str, TargetConfig],
        retention: Rules,
        level: Level = Level.FRAMES,
    ) -> None:
        self._catalog = catalog
        self._repositories = repositories
        self.targets = targets
        self.retention = retention
        self._level = level
        self._board = JobBoard(catalog)
        self.upkeep = Upkeep(catalog, repositories, self._board)
        self.reconciler = Reconciler(catalog, repositories, self._board)
        self._admission = asyncio.Lock()

    async def stop(self) -> None:
        """Stop all jobs and give the directory up."""
        await self._board.stop()
        self._repositories.release()

    def target(self, name: str) -> TargetConfig:
        """NotFound (TARGET_NOT_FOUND) if there is none of that name."""
        config = self.targets.get(name)
        if config is None:
            raise NotFound(
                "TARGET_NOT_FOUND",
                f"there is no target {name}; the targets are: {', '.join(sorted(self.targets)) or 'none configured'}",
                target=name,
            )
        return config

    async def _repeated(self, request: Request | None) -> str | None:
        known = await self._catalog.known(request) if request is not None else None
        if known is None:
            return None
        item_id, same = known
        if not same:
            raise AlreadyExists(
                "REQUEST_ID_REUSED", f"this request_id has already led to {item_id}, by a different request", id=item_id
            )
        return item_id

    async def list_repositories(self) -> list[pb.Repository]:
        """The repositories, and what each of them has."""
        survey = await self._board.thread(self._repositories.survey)
        return [
            pb.Repository(
                name=name,
                location=place.repository.location,
                required=place.required,
                archives=sum(name in holders for holders in survey.archives.values()),
                problem=survey.unreachable.get(name, ""),
            )
            for name, place in self._repositories.places.items()
        ]

    # Backups

    async def create_backup(self, target: str, caller: str, request_id: str = "") -> pb.Backup:
        """Start a backup, or find the one that this request has already started. Errors as CreateBackup."""
        config = self.target(target)
        request = Request(keys.request(caller, "CreateBackup", request_id), target) if request_id else None
        async with self._admission:
            known = await self._repeated(request)
            if known is not None:
                return await self.get_backup(known)
            self._board.check_free(frozenset({target}))
            record = await self._new_backup(target, caller)
            await self._catalog.backups.put(record, request)
            job = Job(record.backup_id, record, self._board.control(), frozenset({target}), frozenset())
            self._board.start(job, lambda job: self._run_backup(record, config, job))
        return await self.get_backup(record.backup_id)

    async def _new_backup(self, target: str, caller: str, restore_id: str = "") -> pb.Backup:
        return pb.Backup(
            backup_id=new_id("bkp"),
            target=target,
            state=pb.BACKUP_STATE_RUNNING,
            create_time=views.timestamp(await self._catalog.now_ms()),
            created_by=caller,
            restore_id=restore_id,
        )

    async def _run_backup(self, record: pb.Backup, config: TargetConfig, job: Job) -> None:
        try:
            await guarded(self._board.thread(self._fill, record, config, job))
        except JobFailed as failure:
            await self._failed(record, failure)
        else:
            log.info("backup completed", backup=record.backup_id, target=record.target, keys=record.keys)
            if not self.retention.keeps_all:
                await self.upkeep.prune_after(record, self.retention)

    def _fill(self, record: pb.Backup, config: TargetConfig, job: Job, on_staged: OnStaged | None = None) -> None:
        """Take the backup that the record stands for. Runs in a job's thread."""
        order = BackupOrder(
            record.backup_id, record.target, record.created_by, record.create_time.ToMilliseconds(), record.restore_id
        )
        sealed = take_backup(order, config, self._repositories, job.control, on_staged, self._level)
        record.CopyFrom(views.completed_backup(sealed.manifest, sealed.archive_bytes, sealed.digest))
        failures = self._repositories.failures(record.backup_id)
        record.copies.extend(views.copies(self._repositories.places, failures))
        record.verify_time.CopyFrom(record.end_time)
        record.verify_level = views.verify_level(self._level)
        metrics.count_verification(record, self._level)

    async def _failed(self, record: pb.Backup, failure: JobFailed) -> None:
        log.warning("backup failed", backup=record.backup_id, target=record.target, reason=failure.reason)
        record.state = pb.BACKUP_STATE_FAILED
        record.error.CopyFrom(views.job_error(failure))
        record.end_time.CopyFrom(await self._end_time())

    async def _end_time(self) -> Timestamp:
        try:
            return views.timestamp(await self._catalog.now_ms())
        except RedisError:
            # It decides nothing, so this host's clock will do.
            return views.timestamp(time.time_ns() // 1_000_000)

    async def get_backup(self, backup_id: str) -> pb.Backup:
        """A backup as it is now. NotFound (BACKUP_NOT_FOUND)."""
        return self._now(await self.upkeep.stored_backup(backup_id))

    async def list_backups(
        self, target: str, state: pb.BackupState.ValueType, after: str, limit: int
    ) -> tuple[list[pb.Backup], str]:
        """At most `limit` backups, newest first, after the id `after`; and the id to go on after, "" at
        the end."""
        found: list[pb.Backup] = []
        async for record in self._catalog.backups.walk(target, after):
            backup = self._now(record)
            if state in (pb.BACKUP_STATE_UNSPECIFIED, backup.state):
                if len(found) == limit:
                    return found, found[-1].backup_id
                found.append(backup)
        return found, ""

    def _now(self, record: R) -> R:
        """The record with what only this process knows: progress, and an end that is not saved yet."""
        job_id = record.backup_id if isinstance(record, pb.Backup) else record.restore_id
        job = self._board.get(job_id)
        shown = type(record)()
        shown.CopyFrom(record if job is None else job.record)  # type: ignore[arg-type]
        running = pb.RESTORE_STATE_RUNNING if isinstance(shown, pb.Restore) else pb.BACKUP_STATE_RUNNING
        if job is not None and shown.state == running:
            shown.progress.CopyFrom(job.control.progress())
        if isinstance(shown, pb.Restore) and shown.state == running:
            shown.outcome = pb.RESTORE_OUTCOME_UNSPECIFIED
        return shown

    async def wait(self, job_id: str) -> None:
        """Return when a backup or a restore has ended."""
        job = self._board.get(job_id)
        if job is not None:
            await job.done.wait()

    async def watch_backup(self, backup_id: str, draining: asyncio.Event) -> AsyncIterator[pb.Backup]:
        """The backup now, whenever it changes, and at its end."""
        async for backup in self._watch(backup_id, lambda: self.get_backup(backup_id), draining):
            yield backup

    async def watch_restore(self, restore_id: str, draining: asyncio.Event) -> AsyncIterator[pb.Restore]:
        """The restore now, whenever it changes, and at its end."""
        async for restore in self._watch(restore_id, lambda: self.get_restore(restore_id), draining):
            yield restore

    async def _watch(
        self, job_id: str, read: Callable[[], Coroutine[Any, Any, R]], draining: asyncio.Event
    ) -> AsyncIterator[R]:
        last: R | None = None
        while True:
            job = self._board.get(job_id)
            ended = job is None or job.done.is_set()
            current = await read()
            if current != last:
                yield current
                last = current
            if ended:
                return
            if draining.is_set():
                raise Unavailable("DRAINING", "the service is stopping; watch again when it is back")
            assert job is not None
            try:
                async with asyncio.timeout(_WATCH_S):
                    await job.done.wait()
            except TimeoutError:
                continue

    async def export_backup(self, backup_id: str) -> AsyncGenerator[bytes, None]:
        """The pieces of a backup as an RDB file. Errors as ExportBackup."""
        backup = await self.upkeep.readable_backup(backup_id)
        async with contextlib.aclosing(export_chunks(self._board, self._repositories, backup)) as chunks:
            async for chunk in chunks:
                yield chunk

    # Restores

    async def restore_backup(
        self, backup_id: str, target: str, confirm_target: str, caller: str, request_id: str = ""
    ) -> pb.Restore:
        """Start a restore, or find the one that this request has already started. Errors as RestoreBackup."""
        fingerprint = f"{backup_id} {target}"
        request = Request(keys.request(caller, "RestoreBackup", request_id), fingerprint) if request_id else None
        async with self._admission:
            known = await self._repeated(request)
            if known is not None:
                return await self.get_restore(known)
            backup = await self.get_backup(backup_id)
            name = target or backup.target
            config = self.target(name)
            self._check_restorable(backup, name, config, confirm_target)
            busy = frozenset(other for other, its in self.targets.items() if its.overlaps(config))
            self._board.check_free(busy)
            record = pb.Restore(
                restore_id=new_id("rst"),
                backup_id=backup_id,
                target=name,
                prefix=config.prefixes[0],
                state=pb.RESTORE_STATE_RUNNING,
                outcome=pb.RESTORE_OUTCOME_UNTOUCHED,
                create_time=views.timestamp(await self._catalog.now_ms()),
                created_by=caller,
            )
            await self._catalog.restores.put(record, request)
            await self._catalog.trim_restores()
            job = Job(record.restore_id, record, self._board.control(), busy, frozenset({backup_id}))
            self._board.start(job, lambda job: self._run_restore(record, config, job))
        return await self.get_restore(record.restore_id)

    def _check_restorable(self, backup: pb.Backup, name: str, config: TargetConfig, confirm_target: str) -> None:
        if confirm_target != name:
            raise InvalidArgument(
                "CONFIRMATION_MISMATCH",
                f"this replaces the present keys of target {name}; repeat its name in confirm_target to go on",
                violations=[("confirm_target", f"must be {name}")],
                target=name,
            )
        if not config.restorable:
            raise FailedPrecondition(
                "TARGET_NOT_RESTORABLE",
                f"target {name} has several prefixes or no restore_url; name the target of one service",
                target=name,
            )
        if backup.state != pb.BACKUP_STATE_COMPLETED:
            state = pb.BackupState.Name(backup.state).removeprefix("BACKUP_STATE_")
            raise FailedPrecondition(
                "BACKUP_NOT_COMPLETE", f"backup {backup.backup_id} is {state}, not COMPLETED", state=state
            )
        if not self._repositories.exists(backup.backup_id):
            raise FailedPrecondition(
                "ARCHIVE_MISSING",
                f"the archive of {backup.backup_id} is in no repository any more; nothing was touched",
                backup_id=backup.backup_id,
            )
        if config.prefixes[0] not in [summary.prefix for summary in backup.prefixes]:
            raise FailedPrecondition(
                "PREFIX_NOT_IN_BACKUP",
                f"backup {backup.backup_id} does not cover {config.prefixes[0]!r}",
                prefix=config.prefixes[0],
            )

    async def _run_restore(self, record: pb.Restore, config: TargetConfig, job: Job) -> None:
        hooks = RestoreHooks(
            take_pre_restore_backup=lambda on_staged: self._pre_restore_backup(record, config, job, on_staged),
            before_switch=lambda: self._before_switch(record),
        )
        restorer = Restorer(record.backup_id, record.prefix, config, self._repositories, job.control, hooks)
        try:
            await guarded(self._board.thread(restorer.run))
        except JobFailed as failure:
            record.state = pb.RESTORE_STATE_FAILED
            record.outcome = restorer.outcome
            record.report.CopyFrom(restorer.report)
            record.error.reason = failure.reason
            record.error.message = f"{failure.message}. {views.aftermath(record)}"
            if failure.reason == "ARCHIVE_DAMAGED":
                await self._distrust(record.backup_id, failure.message)
            log.warning("restore failed", restore=record.restore_id, reason=failure.reason, outcome=record.outcome)
        else:
            record.state = pb.RESTORE_STATE_COMPLETED
            record.outcome = restorer.outcome
            record.report.CopyFrom(restorer.report)
            log.info("restore completed", restore=record.restore_id, keys=record.report.restored_keys)
        record.progress.CopyFrom(job.control.progress())
        record.progress.phase = pb.PHASE_DONE
        record.end_time.CopyFrom(await self._end_time())

    async def _distrust(self, backup_id: str, problem: str) -> None:
        try:
            await self.upkeep.mark_corrupt(await self.upkeep.stored_backup(backup_id), problem)
        except (RedisError, NotFound) as error:
            log.warning("a damaged archive could not be marked", backup=backup_id, error=str(error))

    def _before_switch(self, record: pb.Restore) -> None:
        # Saved first: if the process dies from here on, the next start knows that live keys may have changed.
        record.outcome = pb.RESTORE_OUTCOME_MIXED
        self._board.in_loop(self._catalog.restores.put(record))

    def _pre_restore_backup(self, restore: pb.Restore, config: TargetConfig, job: Job, on_staged: OnStaged) -> str:
        """Back up what is there before a restore. Runs in the restore's thread."""
        backup = self._board.in_loop(self._new_backup(restore.target, restore.created_by, restore.restore_id))
        self._board.in_loop(self._catalog.backups.put(backup))
        job.needs |= {backup.backup_id}
        try:
            self._fill(backup, config, job, on_staged)
        except JobFailed as failure:
            self._board.in_loop(self._failed(backup, failure))
            raise JobFailed(
                failure.reason, f"what is there now could not be backed up first: {failure.message}"
            ) from failure
        finally:
            self._board.in_loop(self._catalog.backups.put(backup))
        restore.pre_restore_backup_id = backup.backup_id
        return backup.backup_id

    async def get_restore(self, restore_id: str) -> pb.Restore:
        """A restore as it is now. NotFound (RESTORE_NOT_FOUND)."""
        record = await self._catalog.restores.get(restore_id)
        if record is None:
            raise NotFound(
                "RESTORE_NOT_FOUND", f"there is no restore {restore_id}; see ListRestores", restore_id=restore_id
            )
        return self._now(record)

    async def list_restores(self, target: str, after: str, limit: int) -> tuple[list[pb.Restore], str]:
        """At most `limit` restores, newest first, after the id `after`; and the id to go on after, "" at
        the end."""
        page, more = await self._catalog.restores.page(target, after, limit)
        return [self._now(record) for record in page], more
