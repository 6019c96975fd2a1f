"""What a backup claims about its values, against the server that they came from, and servers that load them."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveError, KeyRing, Level
from services.backup.export import export_rdb
from services.backup.failure import JobFailed
from services.backup.job import JobControl
from services.backup.rdb import RdbSorter
from services.backup.rdb import sorter as sorting
from services.backup.snapshot import BackupOrder, Sealed, take_backup
from services.backup.store.local import LocalRepository
from services.backup.targets import TargetConfig
from services.backup.verify import verify_archive
from services.runtime.errors import FailedPrecondition
from tests.integration.backup.conftest import Service
from tests.integration.backup.dataset import fill
from tests.integration.backup.servers import RedisServer
from tests.integration.backup.values import digest


def ignore(keys: int, size: int) -> None:
    pass


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    repository = LocalRepository(tmp_path / "archives")
    repository.claim()
    return repository


def back_up(server: RedisServer, repository: LocalRepository, level: Level = Level.FRAMES) -> Sealed:
    config = TargetConfig(url=SecretStr(server.source_url), prefixes=("orchestrator:", "approval:"))
    control = JobControl(lambda: 1_700_000_000_000)
    return take_backup(BackupOrder("bkp_1", "all", "tester", 1), config, repository, control, level=level)


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    """A function that starts a server with a dump.rdb and gives its client."""
    started: list[RedisServer] = []

    def load(rdb: bytes) -> redis.Redis:
        folder = tmp_path / f"loaded{len(started)}"
        folder.mkdir()
        (folder / "dump.rdb").write_bytes(rdb)
        server = RedisServer(folder)
        started.append(server)
        server.start()
        return server.client()

    yield load
    for server in started:
        server.stop()


def exported(repository: LocalRepository) -> bytes:
    parts: list[bytes] = []
    with repository.open("bkp_1") as reader:
        export_rdb(reader, parts.append, ignore)
    return b"".join(parts)


def test_the_digest_is_that_of_the_values(server: RedisServer, repository: LocalRepository, loaded: Any) -> None:
    """Worked out from the answers to commands, of the source and of a server that has loaded the export."""
    client = server.client()
    fill(client, "orchestrator:", count=6)
    fill(client, "approval:", count=2, seed=2)
    # Plain Python would need a minute for 9 MB of them; other tests compare them byte by byte.
    client.delete("orchestrator:big", "approval:big")
    sealed = back_up(server, repository)
    with repository.open("bkp_1") as reader:
        expiries = {e.key: e.expire_ms for e in reader.entries() if e.expire_ms is not None}
    copy = loaded(exported(repository))
    for counts in sealed.manifest.prefixes:
        assert counts.digest == digest(client, counts.prefix, expiries)
        assert counts.digest == digest(copy, counts.prefix, expiries)
    assert copy.dbsize() == client.dbsize() == sealed.manifest.keys
    client.append("orchestrator:{s00}:string:0", "x")
    assert sealed.manifest.prefixes[0].digest != digest(client, "orchestrator:", expiries)


def test_encodings_of_one_value_have_one_digest(server: RedisServer, repository: LocalRepository) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=15)
    first = back_up(server, repository).manifest
    for name in ("hash-max-ziplist-entries", "zset-max-ziplist-entries", "set-max-intset-entries"):
        client.config_set(name, 0)
    client.config_set("list-max-ziplist-size", 1)
    with repository.open("bkp_1") as reader:
        expiries = {e.key: e.expire_ms or 0 for e in reader.entries()}
    for key, expiry in expiries.items():
        # A value that is loaded gets the encoding that the limits ask for.
        payload = client.dump(key)
        assert payload is not None
        client.restore(key, expiry, payload, replace=True, absttl=bool(expiry))
    repository.delete("bkp_1")
    second = back_up(server, repository).manifest
    assert second.prefixes[0].types != first.prefixes[0].types
    assert second.prefixes[0].digest == first.prefixes[0].digest


@pytest.mark.parametrize("locked", [False, True], ids=["clear", "encrypted"])
def test_a_backup_can_be_verified_by_a_server_before_it_counts(
    server: RedisServer, tmp_path: Path, locked: bool
) -> None:
    repository = LocalRepository(tmp_path / "archives", KeyRing({"k1": bytes(32)}) if locked else None)
    repository.claim()
    client = server.client()
    fill(client, "orchestrator:", count=10)
    # Expired before the scratch server starts, if it were not for the shift.
    client.set("orchestrator:soon", "gone", px=300)
    sealed = back_up(server, repository, Level.SERVER)
    assert sealed.manifest.prefixes[0].keys == 10 * 9 + 3
    assert b"orchestrator" not in (repository.directory / "bkp_1.mhb").read_bytes() or not locked


def test_a_server_that_holds_other_values_is_found(
    server: RedisServer, repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.client().set("orchestrator:a", "1")
    back_up(server, repository)
    real = sorting.RdbSorter.run

    def lose_a_bit(self: RdbSorter) -> None:
        real(self)
        self.tallies[0]._digest ^= 1

    monkeypatch.setattr("services.backup.verify_server.RdbSorter.run", lose_a_bit)
    with repository.open("bkp_1") as reader, pytest.raises(ArchiveError, match="a server that loaded"):
        verify_archive(reader, Level.SERVER, ignore)


def test_a_scratch_server_that_is_missing_says_nothing_about_the_archive(
    server: RedisServer, repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.client().set("orchestrator:a", "1")
    back_up(server, repository)
    with repository.open("bkp_1") as reader:
        with pytest.raises(JobFailed) as failure:
            verify_archive(reader, Level.SERVER, ignore, server="/does/not/exist")
        assert failure.value.reason == "SCRATCH_SERVER_FAILED"
        monkeypatch.setattr("services.backup.verify_server.shutil.which", lambda name, path=None: None)
        with pytest.raises(JobFailed) as failure:
            verify_archive(reader, Level.SERVER, ignore)
        assert failure.value.reason == "SCRATCH_SERVER_MISSING"


def test_no_scratch_server_is_left(server: RedisServer, repository: LocalRepository) -> None:
    server.client().set("orchestrator:a", "1")
    started: list[int] = []
    real = subprocess.Popen.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        started.append(self.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", remember)
        back_up(server, repository, Level.SERVER)
    assert len(started) == 1
    assert not Path(f"/proc/{started[0]}").exists()


async def test_levels_are_asked_for_and_recorded(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=3)
    backup = await service.backup()
    assert backup.verify_level == pb.VERIFY_LEVEL_FRAMES
    assert backup.consistency == pb.CONSISTENCY_POINT_IN_TIME
    assert backup.source.engine in {"redis", "valkey"}
    assert len(backup.prefixes[0].digest) == 32
    assert backup.prefixes[0].first_expiry.seconds <= backup.prefixes[0].last_expiry.seconds
    for level in (Level.FOOTER, Level.FRAMES, Level.CONTENT, Level.SERVER):
        found, problem, _ = await service.manager.upkeep.verify(backup.backup_id, level)
        assert (problem, pb.VerifyLevel.Name(found.verify_level)) == ("", f"VERIFY_LEVEL_{level.name}")
    assert (await service.manager.get_backup(backup.backup_id)).verify_level == pb.VERIFY_LEVEL_SERVER


async def test_without_the_key_a_backup_is_not_called_corrupt(server: RedisServer, service: Service) -> None:
    server.client().set("orchestrator:a", "1")
    service.use_keys(KeyRing({"k1": bytes(32)}))
    backup = await service.backup()
    assert backup.state == pb.BACKUP_STATE_COMPLETED
    for keys in (None, KeyRing({"k1": bytes(range(32))}), KeyRing({"k2": bytes(32)})):
        service.use_keys(keys)
        with pytest.raises(FailedPrecondition, match="ARCHIVE_LOCKED"):
            await service.manager.upkeep.verify(backup.backup_id)
        with pytest.raises(FailedPrecondition, match="ARCHIVE_LOCKED"):
            [chunk async for chunk in service.manager.export_backup(backup.backup_id)]
        restore = await service.restore(backup.backup_id)
        assert (restore.error.reason, restore.outcome) == ("ARCHIVE_LOCKED", pb.RESTORE_OUTCOME_UNTOUCHED)
        assert (await service.manager.get_backup(backup.backup_id)).state == pb.BACKUP_STATE_COMPLETED
    service.use_keys(KeyRing({"k3": bytes(range(32)), "k1": bytes(32)}))
    assert (await service.restore(backup.backup_id)).outcome == pb.RESTORE_OUTCOME_RESTORED


async def test_an_export_is_loaded_by_a_plain_server(server: RedisServer, service: Service, loaded: Any) -> None:
    client = server.client()
    count = fill(client, "orchestrator:", count=6)
    fill(client, "approval:", count=2)
    backup = await service.backup()
    rdb = b"".join([chunk async for chunk in service.manager.export_backup(backup.backup_id)])
    copy = loaded(rdb)
    assert copy.dbsize() == count
    assert copy.get("orchestrator:big") == client.get("orchestrator:big")


async def test_a_caller_who_leaves_ends_an_export(server: RedisServer, service: Service) -> None:
    fill(server.client(), "orchestrator:", count=3)
    backup = await service.backup()
    chunks = service.manager.export_backup(backup.backup_id)
    assert await anext(chunks)
    await chunks.aclose()
    await service.manager.upkeep.delete(backup.backup_id, force=True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify")]


@pytest.fixture
def newer_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this one's streams those of a server that is not known yet."""
    monkeypatch.setattr("services.backup.rdb.format.known_version", lambda version: False)


async def test_a_stream_that_is_not_known_is_kept_whole(
    server: RedisServer, service: Service, newer_server: None, loaded: Any
) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=4)
    client.set("other", 1)
    backup = await service.backup()
    assert (backup.state, list(backup.flags)) == (pb.BACKUP_STATE_COMPLETED, ["WHOLE_STREAM"])
    assert (backup.keys, list(backup.prefixes)) == (0, [])
    with pytest.raises(FailedPrecondition, match="PREFIX_NOT_IN_BACKUP"):
        await service.restore(backup.backup_id)
    assert (await service.manager.upkeep.verify(backup.backup_id))[1] == ""
    with pytest.raises(FailedPrecondition, match="LEVEL_NOT_POSSIBLE"):
        await service.manager.upkeep.verify(backup.backup_id, Level.SERVER)
    copy = loaded(b"".join([chunk async for chunk in service.manager.export_backup(backup.backup_id)]))
    # The catalog was written to between; everything else is there.
    assert copy.get("other") == b"1"
    assert set(copy.scan_iter(match="orchestrator:*")) == set(client.scan_iter(match="orchestrator:*"))
