"""Verify, delete, retention, and what a start makes of a crash; over a real Redis and a real directory."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from harness.backup.v1 import backup_pb2 as pb
from services.backup import views
from services.backup.failure import JobFailed
from services.backup.retention import DAY_MS, Rules
from services.backup.store.local import LocalRepository
from services.runtime.errors import FailedPrecondition, NotFound
from tests.integration.backup.conftest import Service, start_service, stop_service
from tests.integration.backup.dataset import fill
from tests.integration.backup.servers import RedisServer


def archive(service: Service, backup: pb.Backup) -> Path:
    return service.repository.directory / f"{backup.backup_id}.mhb"


async def aged(service: Service, *days: int) -> list[pb.Backup]:
    """Good backups, made now, that say they are so many days old."""
    made = [await service.backup() for _ in days]
    for backup, age in zip(made, days, strict=True):
        backup.create_time.CopyFrom(views.timestamp(await service.catalog.now_ms() - age * DAY_MS))
        await service.catalog.backups.put(backup)
    return made


async def ids(service: Service, target: str = "orchestrator") -> list[str]:
    found, _ = await service.manager.list_backups(target, pb.BACKUP_STATE_UNSPECIFIED, "", 100)
    return [backup.backup_id for backup in found]


async def test_verify_says_what_is_wrong_and_when_it_is_right_again(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=3)
    backup = await service.backup()
    whole = archive(service, backup).read_bytes()
    archive(service, backup).write_bytes(whole[:-1])
    found, problem, _ = await service.manager.upkeep.verify(backup.backup_id)
    assert found.state == pb.BACKUP_STATE_CORRUPT
    assert problem
    with pytest.raises(FailedPrecondition, match="BACKUP_NOT_COMPLETE"):
        await service.restore(backup.backup_id)
    archive(service, backup).write_bytes(whole)
    found, problem, _ = await service.manager.upkeep.verify(backup.backup_id)
    assert (found.state, problem) == (pb.BACKUP_STATE_COMPLETED, "")
    assert found.verify_time.ToMilliseconds() > backup.verify_time.ToMilliseconds()


async def test_another_whole_archive_in_its_place_is_noticed(server: RedisServer, service: Service) -> None:
    first, second = await service.backup(), await service.backup()
    shutil.copy(archive(service, second), archive(service, first))
    _, problem, _ = await service.manager.upkeep.verify(first.backup_id)
    assert "another backup" in problem
    restore = await service.restore(second.backup_id)
    assert restore.state == pb.RESTORE_STATE_COMPLETED


async def test_the_last_good_backup_is_not_deleted_by_accident(server: RedisServer, service: Service) -> None:
    first, second = await service.backup(), await service.backup()
    await service.manager.upkeep.delete(first.backup_id, force=False)
    assert not archive(service, first).exists()
    with pytest.raises(NotFound):
        await service.manager.get_backup(first.backup_id)
    with pytest.raises(FailedPrecondition, match="LAST_VERIFIED_BACKUP"):
        await service.manager.upkeep.delete(second.backup_id, force=False)
    await service.manager.upkeep.delete(second.backup_id, force=True)
    assert await ids(service) == []


async def test_retention_deletes_old_backups_after_a_new_one(server: RedisServer, service: Service) -> None:
    old, young = await aged(service, 31, 29)
    new = await service.backup()
    assert await ids(service) == [new.backup_id, young.backup_id]
    assert not archive(service, old).exists()


async def test_retention_before_verification(server: RedisServer, service: Service) -> None:
    """The predecessor deleted good backups before it looked at the new one."""
    old, damaged = await aged(service, 100, 1)
    archive(service, damaged).write_bytes(b"not an archive")
    with pytest.raises(FailedPrecondition, match="NO_VERIFIED_BACKUP"):
        await service.manager.upkeep.prune("orchestrator", Rules(DAY_MS), dry_run=False)
    assert archive(service, old).exists()


async def test_a_backup_that_fails_deletes_nothing(server: RedisServer, service: Service) -> None:
    (old,) = await aged(service, 100)
    server.client().acl_setuser("source", enabled=False)
    failed = await service.backup()
    assert (failed.state, failed.error.reason) == (pb.BACKUP_STATE_FAILED, "AUTHENTICATION_FAILED")
    assert archive(service, old).exists()
    assert len(list(service.repository.list())) == 1


async def test_prune_keeps_the_last_verified_backup_whatever_its_age(server: RedisServer, service: Service) -> None:
    oldest, newest = await aged(service, 400, 300)
    would = await service.manager.upkeep.prune("orchestrator", Rules(DAY_MS), dry_run=True)
    assert ([b.backup_id for b in would.deleted], would.verified) == ([oldest.backup_id], newest.backup_id)
    assert archive(service, oldest).exists()
    done = await service.manager.upkeep.prune("orchestrator", Rules(DAY_MS), dry_run=False)
    assert done.deleted == would.deleted
    assert await ids(service) == [newest.backup_id]
    with pytest.raises(FailedPrecondition, match="NO_VERIFIED_BACKUP"):
        await service.manager.upkeep.prune("approval", Rules(), dry_run=False)


async def test_lists_are_paged_and_filtered(server: RedisServer, service: Service) -> None:
    made = [(await service.backup(target)).backup_id for target in ("orchestrator", "all", "orchestrator", "all")]
    first, after = await service.manager.list_backups("", pb.BACKUP_STATE_UNSPECIFIED, "", 3)
    rest, end = await service.manager.list_backups("", pb.BACKUP_STATE_UNSPECIFIED, after, 3)
    assert [b.backup_id for b in (*first, *rest)] == made[::-1]
    assert end == ""
    assert await ids(service, "all") == [made[3], made[1]]
    assert await service.manager.list_backups("", pb.BACKUP_STATE_FAILED, "", 3) == ([], "")


async def test_a_lost_catalog_is_rebuilt_from_the_archives(server: RedisServer, tmp_path: Path) -> None:
    first = await start_service(server, tmp_path / "archives")
    fill(server.client(), "orchestrator:", count=2)
    backup = await first.backup()
    await stop_service(first)
    client = server.client()
    client.delete(*client.scan_iter(match="backup:*"))
    second = await start_service(server, tmp_path / "archives")
    try:
        found = await second.manager.get_backup(backup.backup_id)
        found.verify_time.CopyFrom(backup.verify_time)
        found.verify_level = backup.verify_level
        assert found == backup
        assert (await second.restore(backup.backup_id)).state == pb.RESTORE_STATE_COMPLETED
    finally:
        await stop_service(second)


async def test_a_start_puts_right_what_a_crash_left(server: RedisServer, tmp_path: Path) -> None:
    first = await start_service(server, tmp_path / "archives")
    sealed, gone = await first.backup(), await first.backup()
    archive(first, gone).unlink()
    await stop_service(first)
    # Killed after the rename and before the catalog knew; killed in the middle.
    sealed.state = pb.BACKUP_STATE_RUNNING
    running = pb.Backup(backup_id="bkp_dead", target="orchestrator", state=pb.BACKUP_STATE_RUNNING)
    client = server.client()
    for record in (sealed, running):
        client.set(f"backup:{{b}}:backup:{record.backup_id}", record.SerializeToString())
    client.zadd("backup:{b}:backups", {"bkp_dead": 0})
    client.zadd("backup:{b}:backups:orchestrator", {"bkp_dead": 0})
    (tmp_path / "archives" / ".bkp_dead.tmp").write_bytes(b"half")
    (tmp_path / "archives" / "bkp_unreadable.mhb").write_bytes(b"half")

    second = await start_service(server, tmp_path / "archives")
    try:
        states = {b: (await second.manager.get_backup(b)).state for b in (sealed.backup_id, gone.backup_id, "bkp_dead")}
        assert states == {
            sealed.backup_id: pb.BACKUP_STATE_COMPLETED,
            gone.backup_id: pb.BACKUP_STATE_CORRUPT,
            "bkp_dead": pb.BACKUP_STATE_FAILED,
        }
        assert (await second.manager.get_backup("bkp_dead")).error.reason == "INTERRUPTED"
        assert not (tmp_path / "archives" / ".bkp_dead.tmp").exists()
        with pytest.raises(NotFound):
            await second.manager.get_backup("bkp_unreadable")
    finally:
        await stop_service(second)


async def test_a_directory_belongs_to_one_service(service: Service) -> None:
    with pytest.raises(JobFailed, match="another backup service"):
        LocalRepository(service.repository.directory).claim()


async def test_stopping_ends_a_running_backup_without_an_archive(server: RedisServer, tmp_path: Path) -> None:
    client = server.client()
    client.config_set("rdb-key-save-delay", "3000")
    fill(client, "orchestrator:", count=60)
    service = await start_service(server, tmp_path / "archives")
    backup = await service.manager.create_backup("orchestrator", "tester")
    await asyncio.sleep(0.2)
    await stop_service(service)
    client.config_set("rdb-key-save-delay", "0")
    again = await start_service(server, tmp_path / "archives")
    try:
        found = await again.manager.get_backup(backup.backup_id)
        assert (found.state, found.error.reason) == (pb.BACKUP_STATE_FAILED, "SHUTTING_DOWN")
        assert not list(again.repository.list())
        assert (await again.backup()).state == pb.BACKUP_STATE_COMPLETED
    finally:
        await stop_service(again)


async def test_a_pinned_backup_is_kept_until_it_is_unpinned(server: RedisServer, service: Service) -> None:
    pinned, other = await aged(service, 200, 100)
    upkeep = service.manager.upkeep
    found = await upkeep.pin(pinned.backup_id, "alice", "before the migration")
    assert (found.pin.pinned_by, found.pin.note) == ("alice", "before the migration")
    # What verification writes must not lose it.
    await upkeep.verify(pinned.backup_id)
    new = await service.backup()
    assert await ids(service) == [new.backup_id, pinned.backup_id]
    assert not archive(service, other).exists()
    with pytest.raises(FailedPrecondition, match="BACKUP_PINNED"):
        await upkeep.delete(pinned.backup_id, force=True)
    would = await upkeep.prune("orchestrator", Rules(), dry_run=True)
    assert [(verdict.backup.backup_id, verdict.reasons) for verdict in would.verdicts] == [
        (new.backup_id, ("verified",)),
        (pinned.backup_id, ("pinned",)),
    ]
    assert not (await upkeep.unpin(pinned.backup_id)).HasField("pin")
    done = await upkeep.prune("orchestrator", Rules(), dry_run=False)
    assert [backup.backup_id for backup in done.deleted] == [pinned.backup_id]


async def test_what_a_repository_does_not_let_go_is_told_kept_and_tried_again(
    server: RedisServer, service: Service
) -> None:
    locked, free = await aged(service, 200, 100)
    whole = archive(service, locked).read_bytes()
    # A directory cannot be unlinked, whoever asks.
    archive(service, locked).unlink()
    archive(service, locked).mkdir()
    new = await service.backup()
    assert await ids(service) == [new.backup_id, locked.backup_id]
    assert not archive(service, free).exists()
    pruned = await service.manager.upkeep.prune("orchestrator", Rules(DAY_MS), dry_run=False)
    assert "could not be deleted" in pruned.refused[locked.backup_id]
    assert pruned.deleted == []
    archive(service, locked).rmdir()
    archive(service, locked).write_bytes(whole)
    last = await service.backup()
    assert await ids(service) == [last.backup_id, new.backup_id]


async def test_a_catalog_is_rebuilt_without_a_restart_and_running_jobs_are_left_alone(
    server: RedisServer, service: Service
) -> None:
    backup = await service.backup()
    await service.catalog.backups.delete(backup)
    server.client().config_set("rdb-key-save-delay", "3000")
    fill(server.client(), "orchestrator:", count=20)
    running = await service.manager.create_backup("orchestrator", "tester")
    changed = await service.manager.reconciler.rebuild()
    assert [found.backup_id for found in changed] == [backup.backup_id]
    assert await service.manager.reconciler.rebuild() == []
    server.client().config_set("rdb-key-save-delay", "0")
    await service.manager.wait(running.backup_id)
    assert (await service.manager.get_backup(running.backup_id)).state == pb.BACKUP_STATE_COMPLETED
