"""Archives in a bucket of a real S3 server: what is seen when, and what is left when the storage fails."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import ArchiveError, Source
from services.backup.failure import JobFailed
from services.backup.store import objects
from services.backup.store.repositories import Place
from tests.integration.backup.buckets import FOUND, MUST_BE_THERE, Bucket, Proxy, bucket, proxy
from tests.integration.backup.conftest import Service, start_service, stop_service
from tests.integration.backup.dataset import contents, fill
from tests.integration.backup.servers import RedisServer

pytestmark = pytest.mark.skipif(
    not FOUND and not MUST_BE_THERE, reason="there is no versitygw, an S3 server; `make tools` builds it"
)

SMALL_PART = 5 << 20
"""The smallest that S3 takes."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", SMALL_PART)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Bucket]:
    assert FOUND, "there is no versitygw, and CI builds it with `make tools` where Go is"
    with bucket(tmp_path / "s3") as made:
        yield made


@pytest.fixture
def far(s3: Bucket) -> Iterator[Proxy]:
    with proxy(s3.port) as made:
        yield made


def accept(source: Source) -> None:
    assert source.read(0, 4) == b"data"


def test_an_upload_is_seen_when_it_has_been_checked_and_not_before(s3: Bucket) -> None:
    repository = s3.repository()
    data = b"data" + random.Random(1).randbytes(2 * SMALL_PART + 1000)
    seen: list[object] = []

    def check(source: Source) -> None:
        seen.append(list(repository.list()))
        seen.append(source.read(source.size - 3, 10) == data[-3:])
        assert b"".join(source.read(at, 1 << 22) for at in range(0, source.size, 1 << 22)) == data

    with repository.create("bkp_1") as sink:
        for at in range(0, len(data), 1 << 20):
            sink.write(data[at : at + (1 << 20)])
        assert not repository.exists("bkp_1")
        sink.seal(check)
    assert seen == [[], True]
    assert list(repository.list()) == ["bkp_1"]
    assert repository.exists("bkp_1")
    assert list(s3.repository(prefix="other").list()) == []
    repository.delete("bkp_1")
    repository.delete("bkp_1")
    assert (s3.objects(), s3.unfinished()) == ([], [])


@pytest.mark.parametrize("parts", [0, 3])
def test_a_block_that_fails_leaves_no_object_and_no_upload(s3: Bucket, parts: int) -> None:
    repository = s3.repository()

    def refuse(source: Source) -> None:
        raise ArchiveError("not whole")

    def stop() -> None:
        with repository.create("bkp_1") as sink:
            sink.write(b"data" * 10 + bytes(parts * SMALL_PART))
            raise OSError(5, "the source broke")

    def seal_badly() -> None:
        with repository.create("bkp_1") as sink:
            sink.write(b"data" * 10 + bytes(parts * SMALL_PART))
            sink.seal(refuse)

    for block, reason in ((stop, "STORAGE_FAILED"), (seal_badly, "ARCHIVE_NOT_VERIFIED")):
        with pytest.raises(JobFailed) as failure:
            block()
        assert failure.value.reason == reason
        assert (s3.objects(), s3.unfinished()) == ([], [])


def test_an_entry_is_written_once(s3: Bucket) -> None:
    repository = s3.repository()

    def make() -> None:
        with repository.create("bkp_1") as sink:
            sink.write(b"data")
            sink.seal(accept)

    make()
    before = s3.objects()
    with pytest.raises(JobFailed, match="already exists"):
        make()
    assert s3.objects() == before


def test_old_archives_that_nothing_refers_to_are_swept_and_young_ones_are_left(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = s3.repository()
    with repository.create("bkp_1") as sink:
        sink.write(b"data")
        sink.seal(accept)
    folder = s3.folder / "bucket" / "backups" / "archives"
    (folder / "bkp_2-00000000.mhb").write_bytes(b"left by a kill")
    assert repository.sweep() == 0
    monkeypatch.setattr(objects, "_ORPHAN_AGE", timedelta(days=-1))
    assert repository.sweep() == 1
    assert list(repository.list()) == ["bkp_1"]
    assert repository.exists("bkp_1")


WHERE: dict[str, Callable[[str, str], bool]] = {
    "the beginning of an upload": lambda method, path: method == "POST" and "uploads" in path,
    "the second part": lambda method, path: "partNumber=2" in path,
    "the completion": lambda method, path: method == "POST" and "uploadId" in path,
    "the check": lambda method, path: method == "GET" and "/archives/" in path,
    "the entry": lambda method, path: method == "PUT" and "/catalog/" in path,
}


@pytest.mark.parametrize("status", [507, 403])
@pytest.mark.parametrize("where", WHERE)
def test_the_storage_fails_at(s3: Bucket, far: Proxy, where: str, status: int) -> None:
    """Disk full, or no permission: a clear error, nothing of it is visible, and the next backup works."""
    repository = s3.repository(port=far.port)

    def make(backup_id: str) -> None:
        with repository.create(backup_id) as sink:
            sink.write(b"data" + bytes(3 * SMALL_PART))
            sink.seal(accept)

    far.status, far.fails = status, WHERE[where]
    with pytest.raises(JobFailed, match="object storage failed") as failure:
        make("bkp_1")
    assert failure.value.reason == "STORAGE_FAILED"
    assert far.failed
    assert list(repository.list()) == []
    assert s3.objects() == []
    if where != "the second part":
        # There the server still has the other part: it was told to abort, at a moment of its own choosing.
        assert s3.unfinished() == []
    far.fails = lambda method, path: False
    make("bkp_1")
    assert list(repository.list()) == ["bkp_1"]


async def service_with(server: RedisServer, tmp_path: Path, place: Place) -> Service:
    return await start_service(server, tmp_path / "archives", {"far": place})


def states(backup: pb.Backup) -> dict[str, str]:
    return {copy.repository: pb.CopyState.Name(copy.state).removeprefix("COPY_STATE_") for copy in backup.copies}


async def test_a_backup_in_a_bucket_is_restored_when_the_directory_is_lost(
    server: RedisServer, tmp_path: Path, s3: Bucket
) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=20)
    before = contents(client, "orchestrator:")
    first = await service_with(server, tmp_path, Place(s3.repository()))
    backup = await first.backup()
    assert (backup.state, states(backup)) == (pb.BACKUP_STATE_COMPLETED, {"local": "STORED", "far": "STORED"})
    await stop_service(first)
    # Everything of the service is lost but the bucket.
    for path in (tmp_path / "archives").glob("*.mhb"):
        path.unlink()
    client.delete(*client.scan_iter(match="backup:*"), *before)
    second = await service_with(server, tmp_path, Place(s3.repository()))
    try:
        found = await second.manager.get_backup(backup.backup_id)
        assert (found.state, states(found)) == (pb.BACKUP_STATE_COMPLETED, {"local": "MISSING", "far": "STORED"})
        restore = await second.restore(backup.backup_id)
        assert restore.state == pb.RESTORE_STATE_COMPLETED, restore.error
        assert contents(client, "orchestrator:") == before
        listed = {place.name: (place.archives, place.problem) for place in await second.manager.list_repositories()}
        assert listed == {"local": (1, ""), "far": (2, "")}
    finally:
        await stop_service(second)


@pytest.mark.parametrize("required", [True, False])
async def test_one_repository_fails(
    server: RedisServer, tmp_path: Path, s3: Bucket, far: Proxy, required: bool
) -> None:
    """It is shown, and does not spoil the other; but a backup that a required one does not have has failed."""
    server.client().set("orchestrator:a", 1)
    service = await service_with(server, tmp_path, Place(s3.repository(port=far.port), required))
    try:
        far.fails, far.status = WHERE["the entry"], 403
        backup = await service.backup()
        archives = list(service.repository.list())
        if required:
            assert (backup.state, backup.error.reason) == (pb.BACKUP_STATE_FAILED, "STORAGE_FAILED")
            assert "repository far" in backup.error.message
            assert archives == []
        else:
            assert (backup.state, states(backup)) == (
                pb.BACKUP_STATE_COMPLETED,
                {"local": "STORED", "far": "MISSING"},
            )
            assert "object storage failed" in backup.copies[1].problem
            assert archives == [backup.backup_id]
            _, problem, _ = await service.manager.upkeep.verify(backup.backup_id)
            assert problem == ""
        assert s3.objects() == []
        far.fails = lambda method, path: False
        again = await service.backup()
        assert states(again) == {"local": "STORED", "far": "STORED"}
    finally:
        await stop_service(service)


async def test_a_bucket_that_does_not_answer_changes_no_entry(
    server: RedisServer, tmp_path: Path, s3: Bucket, far: Proxy
) -> None:
    server.client().set("orchestrator:a", 1)
    first = await service_with(server, tmp_path, Place(s3.repository(port=far.port)))
    backup = await first.backup()
    await stop_service(first)
    (tmp_path / "archives" / f"{backup.backup_id}.mhb").unlink()
    far.fails, far.status = (lambda method, path: True), 403
    second = await service_with(server, tmp_path, Place(s3.repository(port=far.port)))
    try:
        found = await second.manager.get_backup(backup.backup_id)
        assert (found.state, states(found)) == (pb.BACKUP_STATE_COMPLETED, {"local": "MISSING", "far": "UNKNOWN"})
        (problem,) = [place.problem for place in await second.manager.list_repositories() if place.name == "far"]
        assert "object storage failed" in problem
        far.fails = lambda method, path: False
        assert [states(b) for b in await second.manager.reconciler.rebuild()] == [{"local": "MISSING", "far": "STORED"}]
        # A required copy is missing: verification says so, and the backup can still be restored.
        found, problem, _ = await second.manager.upkeep.verify(backup.backup_id)
        assert "repository local" in problem
        assert (await second.restore(backup.backup_id)).state == pb.RESTORE_STATE_COMPLETED
    finally:
        await stop_service(second)


async def test_a_damaged_copy_is_found_and_the_other_is_restored(
    server: RedisServer, tmp_path: Path, s3: Bucket
) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=20)
    service = await service_with(server, tmp_path, Place(s3.repository()))
    try:
        backup = await service.backup()
        file = service.repository.directory / f"{backup.backup_id}.mhb"
        data = bytearray(file.read_bytes())
        data[len(data) // 3] ^= 1
        file.write_bytes(data)
        found, problem, _ = await service.manager.upkeep.verify(backup.backup_id)
        assert "repository local" in problem
        assert (found.state, states(found)) == (pb.BACKUP_STATE_COMPLETED, {"local": "DAMAGED", "far": "STORED"})
        assert (await service.restore(backup.backup_id)).state == pb.RESTORE_STATE_COMPLETED
    finally:
        await stop_service(service)


async def test_an_entry_names_its_archive(server: RedisServer, tmp_path: Path, s3: Bucket) -> None:
    """What somebody needs who has the bucket and nothing else."""
    service = await service_with(server, tmp_path, Place(s3.repository()))
    try:
        backup = await service.backup()
        root = s3.folder / "bucket"
        entry = json.loads((root / "backups" / "catalog" / f"{backup.backup_id}.json").read_text())
        archive = root / "backups" / entry["object"]
        assert (entry["bytes"], archive.stat().st_size) == (backup.archive_bytes, backup.archive_bytes)
        assert archive.read_bytes() == (service.repository.directory / f"{backup.backup_id}.mhb").read_bytes()
    finally:
        await stop_service(service)
