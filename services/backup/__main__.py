"""`python -m services.backup`: the backup service as a process."""

from __future__ import annotations

from harness.backup.v1 import backup_pb2_grpc
from services.backup.api.servicer import BackupServicer
from services.backup.archive import BadKeys, Level
from services.backup.failure import JobFailed
from services.backup.places import build_repositories
from services.backup.service import BackupManager
from services.backup.settings import BackupSettings
from services.backup.store.catalog import Catalog
from services.runtime.entry import run_service
from services.runtime.errors import ConfigurationError
from services.runtime.redis import check_durability, connect, readiness, wait_until_reachable
from services.runtime.server import ServiceRegistration, serve


async def main(settings: BackupSettings) -> None:
    """Serve until told to stop. ConfigurationError if another process uses the directory."""
    try:
        keys = settings.read_keys()
    except BadKeys as error:
        raise ConfigurationError(f"HARNESS_BACKUP_KEY_FILE or _KEY_COMMAND: {error}") from error
    repositories = build_repositories(settings.backup_repositories, settings.backup_directory, keys)
    try:
        repositories.claim()
    except (JobFailed, OSError) as error:
        raise ConfigurationError(f"HARNESS_BACKUP_DIRECTORY or _REPOSITORIES: {error}") from error
    redis = connect(settings.redis_url, client_name="backup")
    try:
        await wait_until_reachable(redis)
        await check_durability(redis, settings.require_durable_redis)
        level = Level[settings.backup_verify_level.upper()]
        manager = BackupManager(Catalog(redis), repositories, settings.backup_targets, settings.retention, level)
        await manager.reconciler.start()
        service = ServiceRegistration(
            add=backup_pb2_grpc.add_BackupServiceServicer_to_server, servicer=BackupServicer(manager)
        )
        try:
            await serve(settings, name="backup", services=[service], ready=readiness(redis), on_drain=manager.stop)
        finally:
            await manager.stop()
    finally:
        await redis.aclose()


if __name__ == "__main__":
    run_service("backup", BackupSettings, main)
