"""A real Redis with users as in production, and the backup service's parts on top of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import KeyRing
from services.backup.retention import DAY_MS, Rules
from services.backup.service import BackupManager
from services.backup.store.catalog import Catalog
from services.backup.store.local import LocalRepository
from services.backup.store.repositories import Place, Repositories
from services.backup.targets import TargetConfig
from services.runtime.redis import connect
from tests.integration.backup.servers import RedisServer

DAYS_30 = Rules(max_age_ms=30 * DAY_MS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with an append-only file, as production has."""
    server = RedisServer(tmp_path / "redis", {"appendonly": "yes"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def targets_of(server: RedisServer) -> dict[str, TargetConfig]:
    source = SecretStr(server.source_url)
    return {
        "orchestrator": TargetConfig(
            url=source, prefixes=("orchestrator:",), restore_url=SecretStr(server.restore_url)
        ),
        "approval": TargetConfig(url=source, prefixes=("approval:",)),
        "all": TargetConfig(url=source, prefixes=("orchestrator:", "approval:")),
    }


@dataclass
class Service:
    """The backup service without its gRPC face."""

    manager: BackupManager
    catalog: Catalog
    repository: LocalRepository
    repositories: Repositories
    redis: Redis

    def use_keys(self, keys: KeyRing | None) -> None:
        """Encrypt and decrypt with these from now on."""
        self.repository.keys = self.repositories.keys = keys

    async def backup(self, target: str = "orchestrator") -> pb.Backup:
        """A backup that has ended, well or not."""
        backup = await self.manager.create_backup(target, "tester")
        await self.manager.wait(backup.backup_id)
        return await self.manager.get_backup(backup.backup_id)

    async def restore(self, backup_id: str, target: str = "orchestrator") -> pb.Restore:
        """A restore that has ended, well or not."""
        restore = await self.manager.restore_backup(backup_id, target, target, "tester")
        await self.manager.wait(restore.restore_id)
        return await self.manager.get_restore(restore.restore_id)


async def start_service(
    server: RedisServer, directory: Path, others: Mapping[str, Place] | None = None, rules: Rules = DAYS_30
) -> Service:
    """The service with a required local repository, and others."""
    redis = connect(server.url("backup", "backup"), client_name="backup")
    repository = LocalRepository(directory)
    repositories = Repositories({"local": Place(repository), **(others or {})})
    repositories.claim()
    catalog = Catalog(redis)
    manager = BackupManager(catalog, repositories, targets_of(server), rules)
    await manager.reconciler.start()
    return Service(manager, catalog, repository, repositories, redis)


async def stop_service(service: Service) -> None:
    await service.manager.stop()
    await service.redis.aclose()


@pytest.fixture
async def service(server: RedisServer, tmp_path: Path) -> AsyncIterator[Service]:
    service = await start_service(server, tmp_path / "archives")
    try:
        yield service
    finally:
        await stop_service(service)
