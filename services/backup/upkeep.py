"""Keeping the archives and the catalog true: verify, delete, prune, and put right what a crash has left."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from redis.exceptions import RedisError

from harness.backup.v1 import backup_pb2 as pb
from services.backup import metrics, views
from services.backup.archive import ArchiveError, ArchiveLocked, Level
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.jobs import JobBoard
from services.backup.retention import expired
from services.backup.store.catalog import Catalog
from services.backup.store.repository import Repository
from services.backup.verify import verify_archive
from services.runtime.errors import FailedPrecondition, HarnessError, NotFound, Unavailable

log = structlog.get_logger(__name__)

DAY_MS: Final = 86_400_000
_NOT_HERE: Final = frozenset(
    {
        "ARCHIVE_LOCKED",
        "LEVEL_NOT_POSSIBLE",
        "SCRATCH_SERVER_FAILED",
        "SCRATCH_SERVER_MISSING",
        "SCRATCH_SERVER_TOO_OLD",
    }
)
"""Reasons why an archive cannot be verified here, which say nothing about the archive."""


class Upkeep:
    """What happens to backups after they were made."""

    def __init__(self, catalog: Catalog, repository: Repository, board: JobBoard) -> None:
        self._catalog = catalog
        self._repository = repository
        self._board = board

    async def stored_backup(self, backup_id: str) -> pb.Backup:
        """The catalog's record. NotFound (BACKUP_NOT_FOUND)."""
        backup = await self._catalog.backups.get(backup_id)
        if backup is None:
            raise NotFound("BACKUP_NOT_FOUND", f"there is no backup {backup_id}; see ListBackups", backup_id=backup_id)
        return backup

    # Verify

    def _read_all(self, backup: pb.Backup, level: Level, control: JobControl) -> str:
        """Verify an archive in a thread. Returns what is wrong with it, "" if nothing is."""
        try:
            with self._repository.open(backup.backup_id) as reader:
                if reader.digest != backup.digest:
                    return "the archive is not the one that was made: its digest differs from the catalog's"
                verify_archive(reader, level, control.report)
        except (ArchiveError, OSError) as error:
            return str(error)
        return ""

    async def readable_backup(self, backup_id: str) -> pb.Backup:
        """A backup that has, or had, an archive.

        NotFound (BACKUP_NOT_FOUND), FailedPrecondition (BACKUP_NOT_COMPLETE).
        """
        backup = await self.stored_backup(backup_id)
        if backup.state not in (pb.BACKUP_STATE_COMPLETED, pb.BACKUP_STATE_CORRUPT):
            state = pb.BackupState.Name(backup.state).removeprefix("BACKUP_STATE_")
            raise FailedPrecondition("BACKUP_NOT_COMPLETE", f"backup {backup_id} is {state}", state=state)
        return backup

    async def verify(self, backup_id: str, level: Level = Level.CONTENT) -> tuple[pb.Backup, str, float]:
        """Verify an archive to a level, and record the result.

        Returns the backup, what is wrong ("" if it is whole) and the seconds it took. Errors as VerifyBackup.
        """
        backup = await self.readable_backup(backup_id)
        begin = time.monotonic()
        try:
            problem = await self._board.thread(self._read_all, backup, level, self._board.control())
        except JobFailed as failure:
            if failure.reason in _NOT_HERE:
                raise FailedPrecondition(failure.reason, failure.message, backup_id=backup_id) from failure
            raise Unavailable(failure.reason, failure.message) from failure
        seconds = time.monotonic() - begin
        if problem:
            metrics.count_damage(backup, level)
            await self.mark_corrupt(backup, problem)
            return backup, problem, seconds
        backup.state = pb.BACKUP_STATE_COMPLETED
        backup.ClearField("error")
        backup.verify_time.CopyFrom(views.timestamp(await self._catalog.now_ms()))
        backup.verify_level = views.verify_level(level)
        metrics.count_verification(backup, level)
        await self._put_if_there(backup)
        return backup, problem, seconds

    async def mark_corrupt(self, backup: pb.Backup, problem: str) -> None:
        """Record that an archive is not whole, so that it is neither restored nor counted as good."""
        backup.state = pb.BACKUP_STATE_CORRUPT
        backup.error.CopyFrom(pb.JobError(reason="ARCHIVE_DAMAGED", message=problem))
        log.error("archive is not whole", backup=backup.backup_id, problem=problem)
        await self._put_if_there(backup)

    async def _put_if_there(self, backup: pb.Backup) -> None:
        # It may have been deleted meanwhile, and must not come back.
        if await self._catalog.backups.get(backup.backup_id) is not None:
            await self._catalog.backups.put(backup)

    # Delete

    async def delete(self, backup_id: str, *, force: bool) -> None:
        """Delete a backup. Errors as DeleteBackup."""
        backup = await self.stored_backup(backup_id)
        if self._board.in_use(backup_id):
            raise FailedPrecondition(
                "BACKUP_IN_USE", f"backup {backup_id} is being written or restored", backup_id=backup_id
            )
        if backup.state == pb.BACKUP_STATE_COMPLETED and not force:
            others = [other async for other in self._completed(backup.target) if other.backup_id != backup_id]
            if not others:
                raise FailedPrecondition(
                    "LAST_VERIFIED_BACKUP",
                    f"backup {backup_id} is the last good backup of {backup.target}; make another first, or set force",
                    backup_id=backup_id,
                )
        await self._remove(backup)

    async def _remove(self, backup: pb.Backup) -> None:
        # The archive first: a crash in between leaves an entry without archive, which the next start marks.
        try:
            await self._board.thread(self._repository.delete, backup.backup_id)
        except JobFailed as failure:
            raise Unavailable(failure.reason, failure.message) from failure
        await self._catalog.backups.delete(backup)
        log.info("backup deleted", backup=backup.backup_id, target=backup.target)

    async def _completed(self, target: str) -> AsyncIterator[pb.Backup]:
        async for backup in self._catalog.backups.walk(target):
            if backup.state == pb.BACKUP_STATE_COMPLETED:
                yield backup

    # Retention

    async def prune(self, target: str, max_age_ms: int, *, dry_run: bool) -> tuple[list[pb.Backup], str]:
        """Verify the newest completed backup, then delete those older than `max_age_ms`. Errors as PruneBackups.

        Returns what was (or would be) deleted, oldest first, and the id of the backup that was verified and kept.
        """
        newest = await anext(self._completed(target), None)
        problem = "there is none"
        if newest is not None:
            newest, problem, _ = await self.verify(newest.backup_id)
        if newest is None or problem:
            raise FailedPrecondition(
                "NO_VERIFIED_BACKUP",
                f"the newest backup of {target} does not verify ({problem}): nothing is deleted; make a good one first",
                target=target,
            )
        return await self._delete_older(newest.backup_id, target, max_age_ms, dry_run=dry_run), newest.backup_id

    async def _delete_older(self, keep: str, target: str, max_age_ms: int, *, dry_run: bool) -> list[pb.Backup]:
        backups = [backup async for backup in self._catalog.backups.walk(target)]
        now_ms = await self._catalog.now_ms()
        old = [
            backup
            for backup in expired(backups, now_ms=now_ms, max_age_ms=max_age_ms, keep=keep)
            if not self._board.in_use(backup.backup_id)
        ]
        if not dry_run:
            for backup in old:
                await self._remove(backup)
        return old

    async def prune_after(self, made: pb.Backup, retention_days: int) -> None:
        """Retention after a backup that has just been verified. A failure is logged: the backup itself is good."""
        try:
            await self._delete_older(made.backup_id, made.target, retention_days * DAY_MS, dry_run=False)
        except (HarnessError, RedisError) as error:
            log.warning("retention could not be applied", target=made.target, error=str(error))

    # Start-up

    async def reconcile(self) -> None:
        """Make the catalog agree with the directory, after a crash, a restored directory, or a lost catalog.

        Interrupted backups and restores become FAILED, temporary files are removed, archives without an entry get one,
        entries without an archive become CORRUPT.
        """
        swept = await self._board.thread(self._repository.sweep)
        if swept:
            log.warning("removed what interrupted backups had left", files=swept)
        on_disk = set(await self._board.thread(lambda: list(self._repository.list())))
        known: set[str] = set()
        changed: list[pb.Backup] = []
        async for backup in self._catalog.backups.walk():
            known.add(backup.backup_id)
            if backup.state == pb.BACKUP_STATE_RUNNING:
                found = await self._from_archive(backup.backup_id) if backup.backup_id in on_disk else None
                if found is not None:
                    # It was sealed, which means verified, just before the process ended.
                    found.verify_time.CopyFrom(found.end_time)
                    found.verify_level = pb.VERIFY_LEVEL_FRAMES
                    backup = found
                else:
                    backup.state = pb.BACKUP_STATE_FAILED
                    backup.end_time.CopyFrom(views.timestamp(await self._catalog.now_ms()))
                    backup.error.reason = "INTERRUPTED"
                    backup.error.message = "the backup service was killed during the snapshot; nothing of it is left"
                changed.append(backup)
            elif backup.state == pb.BACKUP_STATE_COMPLETED and backup.backup_id not in on_disk:
                backup.state = pb.BACKUP_STATE_CORRUPT
                backup.error.reason = "ARCHIVE_MISSING"
                backup.error.message = "the archive is not in the directory any more; put it back, then verify"
                changed.append(backup)
        for backup_id in sorted(on_disk - known):
            found = await self._from_archive(backup_id)
            if found is not None:
                changed.append(found)
        for backup in changed:
            await self._catalog.backups.put(backup)
            log.warning("catalog corrected", backup=backup.backup_id, state=pb.BackupState.Name(backup.state))
        await self._fail_interrupted_restores()

    async def _from_archive(self, backup_id: str) -> pb.Backup | None:
        try:
            return views.completed_backup(*await self._board.thread(self._repository.manifest, backup_id))
        except (ArchiveError, ArchiveLocked, OSError) as error:
            log.error("an archive in the directory cannot be read", backup=backup_id, error=str(error))
            return None

    async def _fail_interrupted_restores(self) -> None:
        interrupted = [
            restore async for restore in self._catalog.restores.walk() if restore.state == pb.RESTORE_STATE_RUNNING
        ]
        for restore in interrupted:
            restore.state = pb.RESTORE_STATE_FAILED
            restore.end_time.CopyFrom(views.timestamp(await self._catalog.now_ms()))
            restore.error.reason = "INTERRUPTED"
            restore.error.message = f"the backup service was killed during the restore. {views.aftermath(restore)}"
            await self._catalog.restores.put(restore)
            log.warning("restore was interrupted", restore=restore.restore_id)
