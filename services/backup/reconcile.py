"""Making the catalog agree with the archives: after a crash, a restored directory, or a lost catalog."""

from __future__ import annotations

import structlog

from harness.backup.v1 import backup_pb2 as pb
from services.backup import views
from services.backup.archive import ArchiveError, ArchiveLocked
from services.backup.failure import JobFailed
from services.backup.jobs import JobBoard
from services.backup.store.catalog import Catalog
from services.backup.store.repositories import Repositories, Survey

log = structlog.get_logger(__name__)


class Reconciler:
    """Compares the catalog with what the repositories hold. A repository that does not answer changes nothing."""

    def __init__(self, catalog: Catalog, repositories: Repositories, board: JobBoard) -> None:
        self._catalog = catalog
        self._repositories = repositories
        self._board = board

    async def start(self) -> None:
        """Put right what a crash has left, before the first job.

        Interrupted backups and restores become FAILED, what they had written is removed, archives without an entry get
        one, entries without an archive become CORRUPT.
        """
        swept = await self._board.thread(self._repositories.sweep)
        if swept:
            log.warning("removed what interrupted backups had left", files=swept)
        await self.rebuild()
        await self._fail_interrupted_restores()

    async def rebuild(self) -> list[pb.Backup]:
        """Correct the catalog. Returns the entries that were added or changed. Running jobs are left alone."""
        survey = await self._board.thread(self._repositories.survey)
        known: set[str] = set()
        changed: list[pb.Backup] = []
        async for backup in self._catalog.backups.walk():
            known.add(backup.backup_id)
            if not self._board.in_use(backup.backup_id):
                corrected = await self._corrected(backup, survey)
                if corrected != backup:
                    changed.append(corrected)
        for backup_id in sorted(survey.archives.keys() - known):
            if not self._board.in_use(backup_id):
                found = await self._from_archive(backup_id, survey)
                if found is not None:
                    changed.append(found)
        for backup in changed:
            await self._catalog.backups.put(backup)
            log.warning("catalog corrected", backup=backup.backup_id, state=pb.BackupState.Name(backup.state))
        return changed

    async def _corrected(self, stored: pb.Backup, survey: Survey) -> pb.Backup:
        backup = pb.Backup()
        backup.CopyFrom(stored)
        if backup.state == pb.BACKUP_STATE_RUNNING:
            return await self._interrupted(backup, survey)
        if backup.state in (pb.BACKUP_STATE_COMPLETED, pb.BACKUP_STATE_CORRUPT):
            self._place(backup, survey)
        there = backup.backup_id in survey.archives
        if backup.state == pb.BACKUP_STATE_COMPLETED and not there and not survey.unreachable:
            backup.state = pb.BACKUP_STATE_CORRUPT
            backup.error.reason = "ARCHIVE_MISSING"
            backup.error.message = "the archive is in no repository any more; put it back, then verify"
        return backup

    async def _interrupted(self, backup: pb.Backup, survey: Survey) -> pb.Backup:
        backup_id = backup.backup_id
        holders = survey.archives.get(backup_id, [])
        lacking = [
            name
            for name, place in self._repositories.places.items()
            if place.required and name not in holders and name not in survey.unreachable
        ]
        found = await self._from_archive(backup_id, survey) if holders and not lacking else None
        if found is not None:
            # It was sealed, which means verified, just before the process ended.
            found.verify_time.CopyFrom(found.end_time)
            found.verify_level = pb.VERIFY_LEVEL_FRAMES
            return found
        if holders:
            try:
                await self._board.thread(self._repositories.delete, backup_id)
            except JobFailed as failure:
                log.warning("what an interrupted backup left is still there", backup=backup_id, error=failure.message)
        backup.state = pb.BACKUP_STATE_FAILED
        backup.end_time.CopyFrom(views.timestamp(await self._catalog.now_ms()))
        backup.error.reason = "INTERRUPTED"
        backup.error.message = "the backup service was killed during the snapshot; nothing of it is left"
        return backup

    async def _from_archive(self, backup_id: str, survey: Survey) -> pb.Backup | None:
        try:
            backup = views.completed_backup(*await self._board.thread(self._repositories.manifest, backup_id))
        except (ArchiveError, ArchiveLocked, JobFailed, OSError) as error:
            log.error("an archive cannot be read", backup=backup_id, error=str(error))
            return None
        self._place(backup, survey)
        return backup

    def _place(self, backup: pb.Backup, survey: Survey) -> None:
        """Say where the copies are. What verification has found out about one that is still there stays."""
        before = {copy.repository: copy for copy in backup.copies}
        del backup.copies[:]
        for name in self._repositories.places:
            copy = before.get(name, pb.Copy(repository=name))
            if name in survey.unreachable:
                copy.state, copy.problem = pb.COPY_STATE_UNKNOWN, survey.unreachable[name]
            elif name not in survey.archives.get(backup.backup_id, []):
                copy.state = pb.COPY_STATE_MISSING
                copy.problem = copy.problem or "the archive is not there"
            elif copy.state != pb.COPY_STATE_DAMAGED:
                copy.state, copy.problem = pb.COPY_STATE_STORED, ""
            backup.copies.append(copy)

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
