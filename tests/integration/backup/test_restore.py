"""Restoring into a real server: exactly what the archive holds, under its prefix only, or nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveReader
from services.backup.restore import Restorer
from services.backup.store.wire import Connection
from services.backup.targets import STAGING
from services.runtime.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tests.integration.backup.conftest import Service, start_service, stop_service
from tests.integration.backup.dataset import contents, fill
from tests.integration.backup.servers import RedisServer


def staged(server: RedisServer) -> int:
    return sum(1 for _ in server.client().scan_iter(match=f"orchestrator:{STAGING}*", count=10_000))


async def test_all_types_round_trip_and_other_prefixes_stay(server: RedisServer, service: Service) -> None:
    client = server.client()
    count = fill(client, "orchestrator:")
    fill(client, "approval:", count=5, seed=2)
    before = contents(client, "orchestrator:")
    backup = await service.backup()
    for key in list(before)[::2]:
        client.delete(key)
    client.set("orchestrator:later", "made after the backup")
    client.set("orchestrator:{s01}:string:1", "changed")
    client.set("approval:later", "not part of it")
    others = contents(client, "approval:")
    left = len(contents(client, "orchestrator:"))

    restore = await service.restore(backup.backup_id)

    assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
    assert restore.outcome == pb.RESTORE_OUTCOME_RESTORED
    assert contents(client, "orchestrator:") == before
    assert contents(client, "approval:") == others
    assert restore.report == pb.RestoreReport(
        restored_keys=count, removed_keys=1, counted_keys=count, previous_keys=left
    )
    assert staged(server) == 0
    await service.manager.create_backup("all", "tester")


async def test_one_service_out_of_a_backup_of_all(server: RedisServer, service: Service) -> None:
    client = server.client()
    client.mset({"orchestrator:a": 1, "approval:a": 1})
    backup = await service.backup("all")
    client.mset({"orchestrator:a": 2, "approval:a": 2})
    restore = await service.restore(backup.backup_id, "orchestrator")
    assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
    assert client.mget("orchestrator:a", "approval:a") == [b"1", b"2"]


async def test_expired_keys_are_skipped_and_counted(server: RedisServer, service: Service) -> None:
    client = server.client()
    client.set("orchestrator:lasting", 1)
    client.set("orchestrator:short", 1, px=700)
    client.set("orchestrator:replaced", "old", px=700)
    backup = await service.backup()
    await asyncio.sleep(0.8)
    client.set("orchestrator:replaced", "new")
    restore = await service.restore(backup.backup_id)
    assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
    assert sorted(client.scan_iter(match="orchestrator:*")) == [b"orchestrator:lasting"]
    assert (restore.report.restored_keys, restore.report.expired_keys) == (1, 2)


async def test_an_empty_prefix_can_be_restored_to(server: RedisServer, service: Service) -> None:
    backup = await service.backup()
    server.client().set("orchestrator:a", 1)
    restore = await service.restore(backup.backup_id)
    assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
    assert (restore.report.restored_keys, restore.report.removed_keys) == (0, 1)
    assert not server.client().exists("orchestrator:a")


async def test_wrong_confirmation_starts_nothing(server: RedisServer, service: Service) -> None:
    server.client().set("orchestrator:a", 1)
    backup = await service.backup()
    for confirm in ("approval", "Orchestrator", "orchestrator ", "yes"):
        with pytest.raises(InvalidArgument) as refused:
            await service.manager.restore_backup(backup.backup_id, "orchestrator", confirm, "tester")
        assert refused.value.reason == "CONFIRMATION_MISMATCH"
        assert refused.value.violations[0][0] == "confirm_target"
    assert (await service.manager.list_restores("", "", 10))[0] == []


async def test_what_cannot_be_restored_is_refused_before_it_starts(server: RedisServer, service: Service) -> None:
    approval = await service.backup("approval")
    with pytest.raises(FailedPrecondition, match="TARGET_NOT_RESTORABLE"):
        await service.restore(approval.backup_id, "approval")
    with pytest.raises(FailedPrecondition, match="PREFIX_NOT_IN_BACKUP"):
        await service.restore(approval.backup_id, "orchestrator")
    with pytest.raises(NotFound, match="BACKUP_NOT_FOUND"):
        await service.restore("bkp_0", "orchestrator")
    with pytest.raises(NotFound, match="TARGET_NOT_FOUND"):
        await service.restore(approval.backup_id, "nowhere")


async def test_a_repeated_request_starts_one_restore(server: RedisServer, service: Service) -> None:
    server.client().set("orchestrator:a", 1)
    backup = await service.backup()
    other = await service.backup()

    async def ask(backup_id: str) -> pb.Restore:
        return await service.manager.restore_backup(backup_id, "", "orchestrator", "tester", "once")

    first, again = await asyncio.gather(ask(backup.backup_id), ask(backup.backup_id))
    assert first.restore_id == again.restore_id
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED"):
        await ask(other.backup_id)
    await service.manager.wait(first.restore_id)


async def test_targets_that_share_keys_wait_for_a_restore(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=20)
    backup = await service.backup()
    restore = await service.manager.restore_backup(backup.backup_id, "", "orchestrator", "tester")
    for target in ("orchestrator", "all"):
        with pytest.raises(FailedPrecondition, match="BACKUP_IN_PROGRESS"):
            await service.manager.create_backup(target, "tester")
    with pytest.raises(FailedPrecondition, match="BACKUP_IN_USE"):
        await service.manager.upkeep.delete(backup.backup_id, force=True)
    await service.manager.wait(restore.restore_id)


async def test_the_pre_restore_backup_is_fresh_and_undoes_the_restore(server: RedisServer, service: Service) -> None:
    client = server.client()
    client.set("orchestrator:a", "first")
    backup = await service.backup()
    client.set("orchestrator:a", "second")
    client.set("orchestrator:b", "only now")
    restore = await service.restore(backup.backup_id)
    assert client.get("orchestrator:a") == b"first"
    before = await service.manager.get_backup(restore.pre_restore_backup_id)
    assert (before.state, before.restore_id) == (pb.BACKUP_STATE_COMPLETED, restore.restore_id)
    undone = await service.restore(before.backup_id)
    assert undone.state == pb.RESTORE_STATE_COMPLETED, undone.error
    assert client.mget("orchestrator:a", "orchestrator:b") == [b"second", b"only now"]


async def test_second_restore_counts_right_and_survives_a_restart(server: RedisServer, service: Service) -> None:
    client = server.client()
    count = fill(client, "orchestrator:", count=10)
    before = contents(client, "orchestrator:")
    backup = await service.backup()
    for _ in range(2):
        client.delete(*before)
        restore = await service.restore(backup.backup_id)
        assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
        assert restore.report.restored_keys == restore.report.counted_keys == count
    server.stop(kill=True)
    server.start()
    assert contents(server.client(), "orchestrator:") == before


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


@pytest.mark.parametrize("damage", [flip, cut])
async def test_a_damaged_archive_is_refused_before_anything_is_touched(
    server: RedisServer, service: Service, damage: Callable[[Path, random.Random], None]
) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=3)
    backup = await service.backup()
    client.set("orchestrator:later", 1)
    before = contents(client, "orchestrator:")
    damage(service.repository.directory / f"{backup.backup_id}.mhb", random.Random(1))
    writes = client.info("stats")["total_net_input_bytes"]
    restore = await service.restore(backup.backup_id)
    assert restore.state == pb.RESTORE_STATE_FAILED
    assert restore.outcome == pb.RESTORE_OUTCOME_UNTOUCHED
    assert restore.error.reason == "ARCHIVE_DAMAGED"
    assert "No live key was changed" in restore.error.message
    assert not restore.pre_restore_backup_id
    assert (await service.manager.get_backup(backup.backup_id)).state == pb.BACKUP_STATE_CORRUPT
    assert client.info("stats")["total_net_input_bytes"] - writes < 5_000
    assert contents(client, "orchestrator:") == before


async def test_a_missing_archive_touches_nothing(server: RedisServer, service: Service) -> None:
    client = server.client()
    client.set("orchestrator:a", 1)
    backup = await service.backup()
    (service.repository.directory / f"{backup.backup_id}.mhb").unlink()
    with pytest.raises(FailedPrecondition, match="ARCHIVE_MISSING"):
        await service.restore(backup.backup_id)
    assert client.get("orchestrator:a") == b"1"


async def test_a_target_without_permission_is_untouched(server: RedisServer, service: Service) -> None:
    client = server.client()
    client.set("orchestrator:a", 1)
    backup = await service.backup()
    client.set("orchestrator:a", 2)
    client.acl_setuser("restore-orchestrator", enabled=True, keys=["other:*"], reset_keys=True)
    restore = await service.restore(backup.backup_id)
    assert (restore.error.reason, restore.outcome) == ("PERMISSION_MISSING", pb.RESTORE_OUTCOME_UNTOUCHED)
    assert client.get("orchestrator:a") == b"2"


async def test_a_target_out_of_memory_is_untouched_and_tidied(server: RedisServer, service: Service) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=30)
    backup = await service.backup()
    client.set("orchestrator:later", 1)
    before = contents(client, "orchestrator:")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 4_000_000)
    restore = await service.restore(backup.backup_id)
    assert (restore.error.reason, restore.outcome) == ("TARGET_OUT_OF_MEMORY", pb.RESTORE_OUTCOME_UNTOUCHED)
    assert contents(client, "orchestrator:") == before
    assert staged(server) == 0
    client.config_set("maxmemory", 0)
    assert (await service.restore(backup.backup_id)).state == pb.RESTORE_STATE_COMPLETED


async def test_a_target_that_evicts_is_noticed_before_the_switch(server: RedisServer, service: Service) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=30)
    backup = await service.backup()
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    restore = await service.restore(backup.backup_id)
    assert restore.state == pb.RESTORE_STATE_FAILED
    assert restore.error.reason == "STAGED_KEYS_LOST"
    assert restore.outcome == pb.RESTORE_OUTCOME_UNTOUCHED


async def test_types_that_the_target_does_not_know_are_named(
    server: RedisServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value of a newer type (a listpack hash of Redis 7) in a well-formed archive, against a 6.2 server."""
    client = server.client()
    if not client.info("server")["redis_version"].startswith("6."):
        pytest.skip("needs a server that does not know RDB type 16")
    client.hset("orchestrator:hash", "field", "value")
    backup = await service.backup()
    original = ArchiveReader.samples

    def newer(reader: ArchiveReader, prefix: int) -> dict[int, object]:
        (entry,) = original(reader, prefix).values()
        return {16: entry._replace(kind=16)}

    monkeypatch.setattr(ArchiveReader, "samples", newer)
    restore = await service.restore(backup.backup_id)
    assert restore.error.reason == "TYPES_UNKNOWN_TO_TARGET"
    assert "hash (RDB type 16)" in restore.error.message
    assert restore.outcome == pb.RESTORE_OUTCOME_UNTOUCHED
    assert staged(server) == 0


@pytest.mark.parametrize("method", ["_stage", "_check_staged", "_remove_extra", "_switch"])
async def test_a_connection_lost_at_any_step_says_what_it_left_and_a_retry_completes(
    server: RedisServer, service: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=30)
    before = contents(client, "orchestrator:")
    backup = await service.backup()
    client.set("orchestrator:later", 1)
    changed = contents(client, "orchestrator:")
    original = getattr(Restorer, method)

    def breaking(restorer: Restorer, redis: Connection, *args: object) -> None:
        calls = 0
        send = redis.pipeline

        def pipeline(commands: list[list[bytes]]) -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                client.client_kill_filter(user="restore-orchestrator")
            return send(commands)

        redis.pipeline = pipeline  # type: ignore[method-assign,assignment]
        original(restorer, redis, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Restorer, method, breaking)
        restore = await service.restore(backup.backup_id)
    assert restore.state == pb.RESTORE_STATE_FAILED
    assert restore.error.reason == "CONNECTION_LOST"
    if method in ("_stage", "_check_staged"):
        assert restore.outcome == pb.RESTORE_OUTCOME_UNTOUCHED
        assert {k: v for k, v in contents(client, "orchestrator:").items() if STAGING.encode() not in k} == changed
    else:
        assert restore.outcome == pb.RESTORE_OUTCOME_MIXED
        assert restore.pre_restore_backup_id in restore.error.message
    again = await service.restore(backup.backup_id)
    assert again.state == pb.RESTORE_STATE_COMPLETED, again.error
    assert contents(client, "orchestrator:") == before
    assert staged(server) == 0


async def test_a_service_that_still_writes_is_noticed(
    server: RedisServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    client.set("orchestrator:a", 1)
    backup = await service.backup()
    original = Restorer._switch

    def with_writer(restorer: Restorer, *args: object) -> None:
        original(restorer, *args)  # type: ignore[arg-type]
        client.set("orchestrator:late", 1)

    monkeypatch.setattr(Restorer, "_switch", with_writer)
    restore = await service.restore(backup.backup_id)
    assert (restore.state, restore.error.reason) == (pb.RESTORE_STATE_FAILED, "COUNT_MISMATCH")
    assert restore.report.counted_keys == 2


async def test_a_restore_interrupted_in_its_switch_is_told_at_the_next_start(
    server: RedisServer, tmp_path: Path
) -> None:
    first = await start_service(server, tmp_path / "archives")
    server.client().set("orchestrator:a", 1)
    backup = await first.backup()
    await stop_service(first)
    redis = server.client()
    record = pb.Restore(
        restore_id="rst_1",
        backup_id=backup.backup_id,
        target="orchestrator",
        state=pb.RESTORE_STATE_RUNNING,
        outcome=pb.RESTORE_OUTCOME_MIXED,
        pre_restore_backup_id="bkp_before",
    )
    redis.set("backup:{b}:restore:rst_1", record.SerializeToString())
    redis.zadd("backup:{b}:restores", {"rst_1": 0})
    second = await start_service(server, tmp_path / "archives")
    try:
        found = await second.manager.get_restore("rst_1")
        assert (found.state, found.outcome) == (pb.RESTORE_STATE_FAILED, pb.RESTORE_OUTCOME_MIXED)
        assert found.error.reason == "INTERRUPTED"
        assert "bkp_before" in found.error.message
    finally:
        await stop_service(second)


async def test_watch_shows_the_phases_in_order(server: RedisServer, service: Service) -> None:

    fill(server.client(), "orchestrator:", count=60)
    backup = await service.backup()
    restore = await service.manager.restore_backup(backup.backup_id, "", "orchestrator", "tester")
    phases: list[int] = []
    async for shown in service.manager.watch_restore(restore.restore_id, asyncio.Event()):
        if shown.progress.phase not in phases:
            phases.append(shown.progress.phase)
        assert shown.outcome in (pb.RESTORE_OUTCOME_UNSPECIFIED, pb.RESTORE_OUTCOME_RESTORED)
    assert phases == sorted(phases)
    assert phases[-1] == pb.PHASE_DONE
