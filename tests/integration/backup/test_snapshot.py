"""Snapshots of a real server: exact, at one point in time, and never a lie."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from harness.backup.v1 import backup_pb2 as pb
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.rdb import dump_payload
from services.backup.snapshot import BackupOrder, take_backup
from services.backup.store.local import LocalRepository
from services.backup.targets import TargetConfig
from services.runtime.errors import FailedPrecondition
from tests.integration.backup.conftest import Service
from tests.integration.backup.dataset import fill
from tests.integration.backup.servers import RedisServer


def control() -> JobControl:
    return JobControl(lambda: 1_700_000_000_000)


def order(number: int = 1) -> BackupOrder:
    return BackupOrder(f"bkp_{number}", "orchestrator", "tester", 1_700_000_000_000)


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    repository = LocalRepository(tmp_path / "archives")
    repository.claim()
    return repository


@pytest.mark.parametrize("diskless", [False, True], ids=["counted", "marked"])
def test_every_entry_is_what_dump_answers(server: RedisServer, repository: LocalRepository, diskless: bool) -> None:
    client = server.client()
    client.config_set("repl-diskless-sync", "yes" if diskless else "no")
    client.config_set("repl-diskless-sync-delay", "0")
    count = fill(client, "orchestrator:")
    fill(client, "approval:", count=5, seed=1)
    config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:",), diskless=diskless)

    sealed = take_backup(order(), config, repository, control())

    assert sealed.manifest.keys == count
    assert sealed.manifest.snapshot.other_keys == 5 * 9 + 2
    assert sealed.manifest.snapshot.source.crc_checked
    version = sealed.manifest.snapshot.source.rdb_version
    expiries = client.pipeline(transaction=False)
    with repository.open("bkp_1") as reader:
        entries = list(reader.entries())
    for entry in entries:
        assert client.dump(entry.key) == dump_payload(entry.kind, entry.value, version)
        expiries.pttl(entry.key)
    now = client.time()
    for entry, left in zip(entries, expiries.execute(), strict=True):
        assert (entry.expire_ms is None) == (left == -1)
        if entry.expire_ms is not None:
            assert abs(entry.expire_ms - (now[0] * 1000 + now[1] // 1000 + left)) < 2_000


def test_other_databases_are_left_out(server: RedisServer, repository: LocalRepository) -> None:
    redis.Redis(port=server.port, username="admin", password="admin", db=3).set("orchestrator:elsewhere", 1)
    server.client().set("orchestrator:here", 1)
    config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:",))
    sealed = take_backup(order(), config, repository, control())
    with repository.open("bkp_1") as reader:
        assert [entry.key for entry in reader.entries()] == [b"orchestrator:here"]
    assert sealed.manifest.snapshot.other_keys == 1


async def test_absent_prefix_counts_no_key(server: RedisServer, service: Service) -> None:
    server.client().set("orchestrator:one", 1)
    backup = await service.backup("all")
    assert [(p.prefix, p.keys, p.bytes) for p in backup.prefixes][1] == ("approval:", 0, 0)
    assert backup.keys == 1


async def test_remote_source_has_its_data(server: RedisServer, service: Service) -> None:
    count = fill(server.client(), "orchestrator:", count=3)
    backup = await service.backup()
    assert backup.state == pb.BACKUP_STATE_COMPLETED
    assert backup.keys == count == sum(backup.prefixes[0].keys_by_type.values())
    assert set(backup.prefixes[0].keys_by_type) == {"string", "list", "set", "zset", "hash", "stream"}
    assert backup.source.server_version == server.client().info("server")["redis_version"]
    assert backup.archive_bytes == (service.repository.directory / f"{backup.backup_id}.mhb").stat().st_size
    assert backup.HasField("verify_time")


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("source", "wrong", "AUTHENTICATION_FAILED"),
        ("restore-orchestrator", "restore", "PERMISSION_MISSING"),
    ],
)
def test_a_source_that_refuses_leaves_nothing(
    server: RedisServer, repository: LocalRepository, user: str, password: str, reason: str
) -> None:
    config = TargetConfig(url=SecretStr(server.url(user, password)), prefixes=("orchestrator:",))
    with pytest.raises(JobFailed) as failure:
        take_backup(order(), config, repository, control())
    assert failure.value.reason == reason
    assert [path.name for path in repository.directory.iterdir()] == [".lock"]


def test_a_source_that_is_gone_leaves_nothing(server: RedisServer, repository: LocalRepository) -> None:
    server.stop()
    config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:",))
    with pytest.raises(JobFailed) as failure:
        take_backup(order(), config, repository, control())
    assert failure.value.reason == "SERVER_UNREACHABLE"
    assert not list(repository.list())


def test_a_server_killed_while_it_sends_leaves_nothing(server: RedisServer, repository: LocalRepository) -> None:
    client = server.client()
    client.config_set("repl-diskless-sync", "yes")
    client.config_set("repl-diskless-sync-delay", "0")
    client.config_set("rdb-key-save-delay", "2000")
    fill(client, "orchestrator:", count=200)
    config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:",), diskless=True)
    progress = control()
    killer = threading.Timer(0.5, server.stop, kwargs={"kill": True})
    killer.start()
    with pytest.raises(JobFailed) as failure:
        take_backup(order(), config, repository, progress)
    killer.join()
    assert failure.value.reason in {"CONNECTION_LOST", "SNAPSHOT_DAMAGED"}
    assert [path.name for path in repository.directory.iterdir()] == [".lock"]


def test_a_concurrent_writer_never_splits_a_snapshot(server: RedisServer, repository: LocalRepository) -> None:
    """Two accounts whose sum never changes, moved between in transactions: each snapshot has one sum."""
    client = server.client()
    fill(client, "orchestrator:", count=20)
    accounts = [f"orchestrator:{{s00}}:account:{i}" for i in range(50)]
    client.mset(dict.fromkeys(accounts, 1000))
    stop = threading.Event()

    def transfer() -> None:
        mover = server.client()
        i = 0
        while not stop.is_set():
            pipe = mover.pipeline(transaction=True)
            pipe.decrby(accounts[i % 50], 7)
            pipe.incrby(accounts[(i * 7 + 3) % 50], 7)
            pipe.execute()
            i += 1

    writer = threading.Thread(target=transfer)
    writer.start()
    try:
        config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:",))
        for number in range(5):
            take_backup(order(number), config, repository, control())
    finally:
        stop.set()
        writer.join()
    restored = redis.Redis(port=server.port, username="admin", password="admin", db=5)
    for number in range(5):
        with repository.open(f"bkp_{number}") as reader:
            for entry in reader.entries():
                if b":account:" in entry.key:
                    restored.restore(entry.key, 0, dump_payload(entry.kind, entry.value, 9), replace=True)
        assert sum(int(value or 0) for value in restored.mget(accounts)) == 50 * 1000


async def test_one_backup_of_a_target_at_a_time(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=20)
    first = await service.manager.create_backup("orchestrator", "tester", "same")
    again = await service.manager.create_backup("orchestrator", "tester", "same")
    assert again.backup_id == first.backup_id
    with pytest.raises(FailedPrecondition, match="BACKUP_IN_PROGRESS"):
        await service.manager.create_backup("orchestrator", "tester")
    await service.manager.wait(first.backup_id)


async def test_watch_ends_with_the_final_state(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=20)
    backup = await service.manager.create_backup("orchestrator", "tester")
    seen = [shown async for shown in service.manager.watch_backup(backup.backup_id, asyncio.Event())]
    assert seen[-1].state == pb.BACKUP_STATE_COMPLETED
    assert seen[-1].progress.phase == pb.PHASE_DONE
    assert seen[-1].progress.keys == seen[-1].keys > 0


async def test_responsive_while_a_backup_runs(server: RedisServer, service: Service) -> None:
    client = server.client()
    for number in range(4):
        fill(client, f"orchestrator:{number}:", count=60, seed=number)
    backup = await service.manager.create_backup("orchestrator", "tester")
    answered = 0
    while (await service.manager.get_backup(backup.backup_id)).state == pb.BACKUP_STATE_RUNNING:
        await service.catalog.now_ms()
        answered += 1
        await asyncio.sleep(0.005)
    assert (await service.manager.get_backup(backup.backup_id)).state == pb.BACKUP_STATE_COMPLETED
    # Some hundreds; one or two if it kept the loop to itself.
    assert answered > 20
