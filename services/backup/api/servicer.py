"""BackupService: from messages to `BackupManager` and back. Shapes and roles are checked before a call gets here."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from harness.backup.v1 import backup_pb2 as pb
from harness.backup.v1 import backup_pb2_grpc
from services.backup import views
from services.backup.retention import DAY_MS, Rules
from services.backup.service import BackupManager
from services.runtime.context import current_caller, draining
from services.runtime.errors import InvalidArgument
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class BackupServicer(backup_pb2_grpc.BackupServiceServicer):
    """Serves harness.backup.v1.BackupService."""

    def __init__(self, manager: BackupManager) -> None:
        self._manager = manager

    async def ListTargets(self, request: pb.ListTargetsRequest, context: Context) -> pb.ListTargetsResponse:
        targets = [
            pb.Target(name=name, prefixes=config.prefixes, restorable=config.restorable)
            for name, config in sorted(self._manager.targets.items())
        ]
        return pb.ListTargetsResponse(targets=targets)

    async def CreateBackup(self, request: pb.CreateBackupRequest, context: Context) -> pb.CreateBackupResponse:
        backup = await self._manager.create_backup(request.target, current_caller().subject, request.request_id)
        if request.wait:
            await self._manager.wait(backup.backup_id)
            backup = await self._manager.get_backup(backup.backup_id)
        return pb.CreateBackupResponse(backup=backup)

    async def GetBackup(self, request: pb.GetBackupRequest, context: Context) -> pb.GetBackupResponse:
        return pb.GetBackupResponse(backup=await self._manager.get_backup(request.backup_id))

    async def ListBackups(self, request: pb.ListBackupsRequest, context: Context) -> pb.ListBackupsResponse:
        page = page_for(request)
        backups, after = await self._manager.list_backups(request.target, request.state, page.cursor, page.size)
        return pb.ListBackupsResponse(backups=backups, next_page_token=page.next_token(after))

    async def WatchBackup(
        self, request: pb.WatchBackupRequest, context: Context
    ) -> AsyncIterator[pb.WatchBackupResponse]:
        async for backup in self._manager.watch_backup(request.backup_id, draining()):
            yield pb.WatchBackupResponse(backup=backup)

    async def VerifyBackup(self, request: pb.VerifyBackupRequest, context: Context) -> pb.VerifyBackupResponse:
        backup, problem, seconds = await self._manager.upkeep.verify(
            request.backup_id, views.requested_level(request.level)
        )
        duration = Duration()
        duration.FromMilliseconds(round(seconds * 1000))
        return pb.VerifyBackupResponse(whole=not problem, problem=problem, backup=backup, duration=duration)

    async def ExportBackup(
        self, request: pb.ExportBackupRequest, context: Context
    ) -> AsyncIterator[pb.ExportBackupResponse]:
        async with contextlib.aclosing(self._manager.export_backup(request.backup_id)) as chunks:
            async for chunk in chunks:
                yield pb.ExportBackupResponse(data=chunk)

    async def DeleteBackup(self, request: pb.DeleteBackupRequest, context: Context) -> pb.DeleteBackupResponse:
        await self._manager.upkeep.delete(request.backup_id, force=request.force)
        return pb.DeleteBackupResponse()

    async def PruneBackups(self, request: pb.PruneBackupsRequest, context: Context) -> pb.PruneBackupsResponse:
        self._manager.target(request.target)
        pruned = await self._manager.upkeep.prune(request.target, self._rules(request), dry_run=request.dry_run)
        return pb.PruneBackupsResponse(
            deleted=pruned.deleted,
            freed_bytes=sum(backup.archive_bytes for backup in pruned.deleted),
            verified_backup_id=pruned.verified,
            verdicts=views.retention_verdicts(pruned.verdicts, pruned.refused),
        )

    def _rules(self, request: pb.PruneBackupsRequest) -> Rules:
        if request.HasField("max_age") and request.HasField("retention"):
            raise InvalidArgument(
                "RETENTION_AMBIGUOUS", "set max_age or retention", violations=[("retention", "not beside max_age")]
            )
        if request.HasField("max_age"):
            return Rules(max_age_ms=request.max_age.ToMilliseconds())
        if request.HasField("retention"):
            asked = request.retention
            return Rules(asked.days * DAY_MS, asked.hourly, asked.daily, asked.weekly, asked.monthly)
        if self._manager.retention.keeps_all:
            raise InvalidArgument(
                "MAX_AGE_REQUIRED",
                "this service is configured to keep backups for ever; say which age to delete, or what to keep",
                violations=[("max_age", "must be set, or retention")],
            )
        return self._manager.retention

    async def PinBackup(self, request: pb.PinBackupRequest, context: Context) -> pb.PinBackupResponse:
        backup = await self._manager.upkeep.pin(request.backup_id, current_caller().subject, request.note)
        return pb.PinBackupResponse(backup=backup)

    async def UnpinBackup(self, request: pb.UnpinBackupRequest, context: Context) -> pb.UnpinBackupResponse:
        return pb.UnpinBackupResponse(backup=await self._manager.upkeep.unpin(request.backup_id))

    async def ListRepositories(
        self, request: pb.ListRepositoriesRequest, context: Context
    ) -> pb.ListRepositoriesResponse:
        return pb.ListRepositoriesResponse(repositories=await self._manager.list_repositories())

    async def RebuildCatalog(self, request: pb.RebuildCatalogRequest, context: Context) -> pb.RebuildCatalogResponse:
        return pb.RebuildCatalogResponse(changed=await self._manager.reconciler.rebuild())

    async def RestoreBackup(self, request: pb.RestoreBackupRequest, context: Context) -> pb.RestoreBackupResponse:
        restore = await self._manager.restore_backup(
            request.backup_id, request.target, request.confirm_target, current_caller().subject, request.request_id
        )
        return pb.RestoreBackupResponse(restore=restore)

    async def GetRestore(self, request: pb.GetRestoreRequest, context: Context) -> pb.GetRestoreResponse:
        return pb.GetRestoreResponse(restore=await self._manager.get_restore(request.restore_id))

    async def ListRestores(self, request: pb.ListRestoresRequest, context: Context) -> pb.ListRestoresResponse:
        page = page_for(request)
        restores, after = await self._manager.list_restores(request.target, page.cursor, page.size)
        return pb.ListRestoresResponse(restores=restores, next_page_token=page.next_token(after))

    async def WatchRestore(
        self, request: pb.WatchRestoreRequest, context: Context
    ) -> AsyncIterator[pb.WatchRestoreResponse]:
        async for restore in self._manager.watch_restore(request.restore_id, draining()):
            yield pb.WatchRestoreResponse(restore=restore)
