"""The service as a process, over gRPC: roles, fields, errors, streams, and being killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.backup.v1 import backup_pb2 as pb
from harness.backup.v1 import backup_pb2_grpc
from services.runtime.auth import sign_token
from tests.integration.backup.dataset import contents, fill
from tests.integration.backup.servers import RedisServer

SECRET = "a secret for tests that is long enough"
Stub = backup_pb2_grpc.BackupServiceStub


def token(*roles: str) -> list[tuple[str, str]]:
    # For a day: they are made when the module is collected, which may be long before its tests run.
    return [("authorization", f"Bearer {sign_token(SECRET, 'alice', roles, ttl=86_400)}")]


ADMIN = token("admin")


class Process:
    """`python -m services.backup` with its settings in the environment."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self._ready = folder / "ready"
        source = server.source_url
        targets = {
            "orchestrator": {"url": source, "prefixes": ["orchestrator:"], "restore_url": server.restore_url},
            "all": {"url": source, "prefixes": ["orchestrator:", "approval:"]},
        }
        self._environment = {
            **os.environ,
            "HARNESS_LISTEN": "127.0.0.1:0",
            "HARNESS_READY_FILE": str(self._ready),
            "HARNESS_REDIS_URL": server.url("backup", "backup"),
            "HARNESS_JWT_SECRET": SECRET,
            "HARNESS_BACKUP_TARGETS": json.dumps(targets),
            "HARNESS_BACKUP_DIRECTORY": str(folder / "archives"),
            "HARNESS_LOG_FORMAT": "json",
        }

    async def start(self) -> str:
        self._ready.unlink(missing_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.backup", env=self._environment
        )
        async with asyncio.timeout(20):
            while not self._ready.exists():
                assert self.process.returncode is None
                await asyncio.sleep(0.05)
        return self._ready.read_text()

    async def end(self, number: signal.Signals) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Stub]:
    """The service, started; killed at the end if it still runs."""
    address = await process.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield backup_pb2_grpc.BackupServiceStub(channel)
    finally:
        await process.end(signal.SIGKILL)


async def test_a_backup_and_a_restore_over_the_wire(server: RedisServer, tmp_path: Path) -> None:
    client = server.client()
    count = fill(client, "orchestrator:", count=10)
    before = contents(client, "orchestrator:")
    process = Process(server, tmp_path)
    async with running(process) as stub:
        targets = await stub.ListTargets(pb.ListTargetsRequest(), metadata=token("service"))
        assert [(t.name, t.restorable) for t in targets.targets] == [("all", False), ("orchestrator", True)]
        request = pb.CreateBackupRequest(target="all", request_id="r1", wait=True)
        backup = (await stub.CreateBackup(request, metadata=token("service"))).backup
        assert (backup.state, backup.keys, backup.created_by) == (pb.BACKUP_STATE_COMPLETED, count, "alice")
        again = await stub.CreateBackup(request, metadata=token("service"))
        assert again.backup.backup_id == backup.backup_id
        verified = await stub.VerifyBackup(pb.VerifyBackupRequest(backup_id=backup.backup_id), metadata=ADMIN)
        assert verified.whole
        server_level = pb.VerifyBackupRequest(backup_id=backup.backup_id, level=pb.VERIFY_LEVEL_SERVER)
        verified = await stub.VerifyBackup(server_level, metadata=ADMIN)
        assert (verified.whole, verified.backup.verify_level) == (True, pb.VERIFY_LEVEL_SERVER)
        export = stub.ExportBackup(pb.ExportBackupRequest(backup_id=backup.backup_id), metadata=ADMIN)
        rdb = b"".join([message.data async for message in export])
        assert (rdb[:5], rdb[-9:-8]) == (b"REDIS", b"\xff")
        client.delete(*before)

        restore = pb.RestoreBackupRequest(
            backup_id=backup.backup_id, target="orchestrator", confirm_target="orchestrator"
        )
        started = (await stub.RestoreBackup(restore, metadata=ADMIN)).restore
        watch = stub.WatchRestore(pb.WatchRestoreRequest(restore_id=started.restore_id), metadata=ADMIN)
        seen = [message.restore async for message in watch]
        assert seen[-1].state == pb.RESTORE_STATE_COMPLETED
        assert seen[-1].report.counted_keys == count
        assert contents(client, "orchestrator:") == before

        listed = await stub.ListBackups(pb.ListBackupsRequest(page_size=1), metadata=ADMIN)
        assert [b.backup_id for b in listed.backups] == [seen[-1].pre_restore_backup_id]
        rest = await stub.ListBackups(
            pb.ListBackupsRequest(page_size=1, page_token=listed.next_page_token), metadata=ADMIN
        )
        assert [b.backup_id for b in rest.backups] == [backup.backup_id]
        assert (await stub.ListRestores(pb.ListRestoresRequest(), metadata=ADMIN)).restores == [seen[-1]]
        pruned = await stub.PruneBackups(pb.PruneBackupsRequest(target="all", dry_run=True), metadata=ADMIN)
        assert (list(pruned.deleted), pruned.verified_backup_id) == ([], backup.backup_id)
        assert await process.end(signal.SIGTERM) == 0


async def test_hostile_and_unauthorised_calls_are_refused(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    outside = tmp_path / "secret.mhb"
    outside.write_bytes(b"outside")
    (tmp_path / "archives" / "bkp_link.mhb").symlink_to(outside)
    async with running(Process(server, tmp_path)) as stub:

        async def code(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> grpc.StatusCode:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            return refused.value.code()

        for name in ("../secret", "bkp_../secret", "/etc/passwd", "bkp_a/../../secret", "bkp_A", "", "bkp_a\x00"):
            assert (
                await code(stub.DeleteBackup(pb.DeleteBackupRequest(backup_id=name, force=True), metadata=ADMIN))
                == grpc.StatusCode.INVALID_ARGUMENT
            )
        gone = pb.VerifyBackupRequest(backup_id="bkp_link")
        assert await code(stub.VerifyBackup(gone, metadata=ADMIN)) == grpc.StatusCode.NOT_FOUND
        restore = pb.RestoreBackupRequest(backup_id="bkp_link", confirm_target="all")
        assert await code(stub.RestoreBackup(restore, metadata=token("service"))) == grpc.StatusCode.PERMISSION_DENIED
        delete = pb.DeleteBackupRequest(backup_id="bkp_link")
        assert await code(stub.DeleteBackup(delete, metadata=token("service"))) == grpc.StatusCode.PERMISSION_DENIED
        create = pb.CreateBackupRequest(target="all")
        assert await code(stub.CreateBackup(create, metadata=token("user"))) == grpc.StatusCode.PERMISSION_DENIED
        assert await code(stub.CreateBackup(create)) == grpc.StatusCode.UNAUTHENTICATED
        unknown = pb.CreateBackupRequest(target="nowhere")
        assert await code(stub.CreateBackup(unknown, metadata=ADMIN)) == grpc.StatusCode.NOT_FOUND
    assert outside.read_bytes() == b"outside"


async def test_killed_during_a_backup(server: RedisServer, tmp_path: Path) -> None:
    client = server.client()
    fill(client, "orchestrator:", count=60)
    client.config_set("repl-diskless-sync", "no")
    client.config_set("rdb-key-save-delay", "3000")
    process = Process(server, tmp_path)
    async with running(process) as stub:
        started = await stub.CreateBackup(pb.CreateBackupRequest(target="orchestrator"), metadata=ADMIN)
        await asyncio.sleep(0.3)
        await process.end(signal.SIGKILL)
    client.config_set("rdb-key-save-delay", "0")
    async with running(process) as stub:
        request = pb.GetBackupRequest(backup_id=started.backup.backup_id)
        found = (await stub.GetBackup(request, metadata=ADMIN)).backup
        assert (found.state, found.error.reason) == (pb.BACKUP_STATE_FAILED, "INTERRUPTED")
        assert not list((tmp_path / "archives").glob("*bkp_*"))
        again = pb.CreateBackupRequest(target="orchestrator", wait=True)
        assert (await stub.CreateBackup(again, metadata=ADMIN)).backup.state == pb.BACKUP_STATE_COMPLETED


@pytest.mark.parametrize("phase", [pb.PHASE_PRE_RESTORE_BACKUP, pb.PHASE_STAGING, pb.PHASE_SWITCHING])
async def test_killed_during_a_restore(server: RedisServer, tmp_path: Path, phase: pb.Phase.ValueType) -> None:
    """Whatever the moment, each key is old or new, the outcome is told, and the next restore completes."""
    client = server.client()
    pipe = client.pipeline(transaction=False)
    for i in range(30_000):
        pipe.set(f"orchestrator:{i}", f"old {i}")
    pipe.execute()
    process = Process(server, tmp_path)
    async with running(process) as stub:
        request = pb.CreateBackupRequest(target="orchestrator", wait=True)
        backup = (await stub.CreateBackup(request, metadata=ADMIN)).backup
        for i in range(30_000):
            pipe.set(f"orchestrator:{i}", f"new {i}")
        pipe.execute()
        restore = pb.RestoreBackupRequest(backup_id=backup.backup_id, confirm_target="orchestrator")
        started = (await stub.RestoreBackup(restore, metadata=ADMIN)).restore
        look = pb.GetRestoreRequest(restore_id=started.restore_id)
        now = started
        async with asyncio.timeout(20):
            while now.progress.phase < phase:
                now = (await stub.GetRestore(look, metadata=ADMIN)).restore
        await process.end(signal.SIGKILL)
    kinds = {(value or b"gone")[:3] for value in client.mget([f"orchestrator:{i}" for i in range(30_000)])}
    assert kinds <= {b"old", b"new"}
    async with running(process) as stub:
        found = (await stub.GetRestore(look, metadata=ADMIN)).restore
        if now.state == pb.RESTORE_STATE_RUNNING:
            assert (found.state, found.error.reason) == (pb.RESTORE_STATE_FAILED, "INTERRUPTED")
        if found.outcome == pb.RESTORE_OUTCOME_UNTOUCHED:
            assert kinds == {b"new"}
        again = (await stub.RestoreBackup(restore, metadata=ADMIN)).restore
        watch = stub.WatchRestore(pb.WatchRestoreRequest(restore_id=again.restore_id), metadata=ADMIN)
        seen = [message.restore async for message in watch]
        assert seen[-1].state == pb.RESTORE_STATE_COMPLETED, seen[-1].error
        assert seen[-1].report.counted_keys == 30_000
    assert client.get("orchestrator:7") == b"old 7"
    assert sum(1 for _ in client.scan_iter(match="orchestrator:*", count=10_000)) == 30_000
