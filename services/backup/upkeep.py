"""What happens to backups after they were made: verify, pin, delete, prune."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.exceptions import RedisError

from harness.backup.v1 import backup_pb2 as pb
from services.backup import metrics, views
from services.backup.archive import ArchiveError, Level
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.jobs import JobBoard
from services.backup.retention import Rules, Verdict, judge
from services.backup.store.catalog import Catalog
from services.backup.store.repositories import Repositories
from services.backup.store.repository import Repository
from services.backup.verify import verify_archive
from services.runtime.errors import FailedPrecondition, HarnessError, NotFound, Unavailable

log = structlog.get_logger(__name__)

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


@dataclass(frozen=True)
class Pruned:
    """What retention did, or would do in a dry run."""

    verified: str
    verdicts: list[Verdict]
    deleted: list[pb.Backup] = field(default_factory=list)
    """Oldest first."""
    refused: dict[str, str] = field(default_factory=dict)
    """Backups that are still there, with the reason; they are tried again next time."""


class Upkeep:
    """What happens to backups after they were made."""

    def __init__(self, catalog: Catalog, repositories: Repositories, board: JobBoard) -> None:
        self._catalog = catalog
        self._repositories = repositories
        self._board = board
        self._editing = asyncio.Lock()

    async def stored_backup(self, backup_id: str) -> pb.Backup:
        """The catalog's record. NotFound (BACKUP_NOT_FOUND)."""
        backup = await self._catalog.backups.get(backup_id)
        if backup is None:
            raise NotFound("BACKUP_NOT_FOUND", f"there is no backup {backup_id}; see ListBackups", backup_id=backup_id)
        return backup

    # Verify

    def _read_copy(self, repository: Repository, backup: pb.Backup, level: Level, control: JobControl) -> str:
        """Verify one copy. Returns what is wrong with it, "" if nothing is. JobFailed if it cannot be told."""
        try:
            with repository.open(backup.backup_id) as reader:
                if reader.digest != backup.digest:
                    return "the archive is not the one that was made: its digest differs from the catalog's"
                verify_archive(reader, level, control.report)
        except (ArchiveError, OSError) as error:
            return str(error)
        return ""

    def _read_all(self, backup: pb.Backup, level: Level, control: JobControl) -> list[pb.Copy]:
        """Verify every copy, in a thread. JobFailed if it can be told of none."""
        copies: list[pb.Copy] = []
        failure: JobFailed | None = None
        for name, repository in sorted(self._repositories.holders(backup.backup_id), key=lambda held: held[0]):
            copy = pb.Copy(repository=name, state=pb.COPY_STATE_STORED)
            try:
                if not repository.exists(backup.backup_id):
                    copy.state, copy.problem = pb.COPY_STATE_MISSING, "the archive is not there"
                elif problem := self._read_copy(repository, backup, level, control):
                    copy.state, copy.problem = pb.COPY_STATE_DAMAGED, problem
                self._repositories.found(name, backup.backup_id, damaged=copy.state != pb.COPY_STATE_STORED)
            except JobFailed as error:
                if error.reason != "STORAGE_FAILED":
                    raise
                copy.state, copy.problem, failure = pb.COPY_STATE_UNKNOWN, error.message, error
            copies.append(copy)
        if failure is not None and not any(copy.state == pb.COPY_STATE_STORED for copy in copies):
            raise failure
        return copies

    def _problem(self, copies: list[pb.Copy]) -> str:
        """What is wrong, if a required copy is not whole."""
        wrong = [copy for copy in copies if copy.problem and self._repositories.places[copy.repository].required]
        if not wrong and not any(copy.state == pb.COPY_STATE_STORED for copy in copies):
            wrong = copies
        return "; ".join(f"repository {copy.repository}: {copy.problem}" for copy in wrong)

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
            copies = await self._board.thread(self._read_all, backup, level, self._board.control())
        except JobFailed as failure:
            if failure.reason in _NOT_HERE:
                raise FailedPrecondition(failure.reason, failure.message, backup_id=backup_id) from failure
            raise Unavailable(failure.reason, failure.message) from failure
        seconds = time.monotonic() - begin
        problem = self._problem(copies)
        del backup.copies[:]
        backup.copies.extend(copies)
        if problem:
            metrics.count_damage(backup, level)
        if not any(copy.state == pb.COPY_STATE_STORED for copy in copies):
            await self.mark_corrupt(backup, problem)
            return backup, problem, seconds
        backup.state = pb.BACKUP_STATE_COMPLETED
        backup.ClearField("error")
        backup.verify_time.CopyFrom(views.timestamp(await self._catalog.now_ms()))
        backup.verify_level = views.verify_level(level)
        if not problem:
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
        # It may have been deleted meanwhile, and must not come back; or pinned, which must not be lost.
        async with self._editing:
            stored = await self._catalog.backups.get(backup.backup_id)
            if stored is None:
                return
            backup.ClearField("pin")
            if stored.HasField("pin"):
                backup.pin.CopyFrom(stored.pin)
            await self._catalog.backups.put(backup)

    # Pin

    async def pin(self, backup_id: str, caller: str, note: str) -> pb.Backup:
        """Keep a backup until it is unpinned. Errors as PinBackup."""
        async with self._editing:
            backup = await self.readable_backup(backup_id)
            backup.pin.CopyFrom(
                pb.Pin(pinned_by=caller, pin_time=views.timestamp(await self._catalog.now_ms()), note=note)
            )
            await self._catalog.backups.put(backup)
        return backup

    async def unpin(self, backup_id: str) -> pb.Backup:
        """Let retention have a backup again. NotFound (BACKUP_NOT_FOUND)."""
        async with self._editing:
            backup = await self.stored_backup(backup_id)
            if backup.HasField("pin"):
                backup.ClearField("pin")
                await self._catalog.backups.put(backup)
        return backup

    # Delete

    async def delete(self, backup_id: str, *, force: bool) -> None:
        """Delete a backup. Errors as DeleteBackup."""
        # Nobody pins it between the look and the removal.
        async with self._editing:
            await self._delete(backup_id, force=force)

    async def _delete(self, backup_id: str, *, force: bool) -> None:
        backup = await self.stored_backup(backup_id)
        if self._board.in_use(backup_id):
            raise FailedPrecondition(
                "BACKUP_IN_USE", f"backup {backup_id} is being written or restored", backup_id=backup_id
            )
        if backup.HasField("pin"):
            raise FailedPrecondition(
                "BACKUP_PINNED",
                f"backup {backup_id} was pinned by {backup.pin.pinned_by}; unpin it first",
                backup_id=backup_id,
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
            await self._board.thread(self._repositories.delete, backup.backup_id)
        except JobFailed as failure:
            raise Unavailable(failure.reason, failure.message) from failure
        await self._catalog.backups.delete(backup)
        log.info("backup deleted", backup=backup.backup_id, target=backup.target)

    async def _completed(self, target: str) -> AsyncIterator[pb.Backup]:
        async for backup in self._catalog.backups.walk(target):
            if backup.state == pb.BACKUP_STATE_COMPLETED:
                yield backup

    # Retention

    async def prune(self, target: str, rules: Rules, *, dry_run: bool) -> Pruned:
        """Verify the newest completed backup, then delete what the rules do not keep. Errors as PruneBackups."""
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
        return await self._apply(newest.backup_id, target, rules, dry_run=dry_run)

    async def _apply(self, verified: str, target: str, rules: Rules, *, dry_run: bool) -> Pruned:
        backups = [backup async for backup in self._catalog.backups.walk(target)]
        in_use = {backup.backup_id for backup in backups if self._board.in_use(backup.backup_id)}
        now_ms = await self._catalog.now_ms()
        pruned = Pruned(verified, judge(backups, rules, now_ms=now_ms, verified=verified, in_use=in_use))
        for verdict in reversed(pruned.verdicts):
            if verdict.kept:
                continue
            problem = "" if dry_run else await self._expire(verdict.backup.backup_id)
            if problem:
                log.warning("an archive was not let go", backup=verdict.backup.backup_id, problem=problem)
                pruned.refused[verdict.backup.backup_id] = problem
            else:
                pruned.deleted.append(verdict.backup)
        return pruned

    async def _expire(self, backup_id: str) -> str:
        """Delete a backup that has expired. Returns why it is still there, "" if it is gone."""
        async with self._editing:
            backup = await self._catalog.backups.get(backup_id)
            if backup is None:
                return ""
            if backup.HasField("pin") or self._board.in_use(backup_id):
                return "it was pinned, or is used, since the verdict"
            try:
                await self._remove(backup)
            except Unavailable as error:
                return error.message
        return ""

    async def prune_after(self, made: pb.Backup, rules: Rules) -> None:
        """Retention after a backup that has just been verified. A failure is logged: the backup itself is good."""
        try:
            await self._apply(made.backup_id, made.target, rules, dry_run=False)
        except (HarnessError, RedisError) as error:
            log.warning("retention could not be applied", target=made.target, error=str(error))
