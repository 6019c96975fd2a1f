"""A service as a process: settings, start, logs, drain by signal, exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from services.runtime.errors import ConfigurationError
from services.runtime.redis import check_durability, connect
from tests.integration.runtime.echo import EchoStub, Note
from tests.support.processes import ServiceProcess
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_, token

MODULE = "tests.integration.runtime.echo_service"
Start = Callable[..., ServiceProcess]


@pytest.fixture
def process(redis_server: RedisServer, tmp_path: Path) -> Start:
    def process(module: str = MODULE, **environment: str) -> ServiceProcess:
        return ServiceProcess(module, tmp_path, {"HARNESS_REDIS_URL": redis_server.url("approval"), **environment})

    return process


async def test_serves_logs_and_drains(process: Start) -> None:
    service = process(HARNESS_LOG_LEVEL="debug", HARNESS_METRICS_LISTEN="127.0.0.1:0")
    address = await service.start()
    async with grpc.aio.insecure_channel(address) as channel:
        echo = EchoStub(channel)
        assert (await echo.Echo(Note(text="hi"), metadata=as_("ann", "user"))).text == "hi"
        slow = asyncio.ensure_future(echo.Echo(Note(text="drain"), metadata=as_("ann", "user")))
        with pytest.raises(grpc.aio.AioRpcError):
            await echo.Echo(Note(text="raise:ValueError"), metadata=(*as_("ann", "user"), ("x-request-id", "r-1")))
        assert await service.stop() == 0
        assert (await slow).text == "drain"
    lines = [json.loads(line) for line in service.log().splitlines()]
    events = [line["event"] for line in lines]
    assert [event for event in events if event in ("listening", "draining", "stopped")] == [
        "listening", "draining", "stopped",
    ]  # fmt: skip
    assert next(line for line in lines if line["event"] == "listening")["address"] == address
    failed = next(line for line in lines if line.get("request_id") == "r-1")
    assert failed["level"] == "error"
    assert "ValueError" in failed["exception"]
    assert token("ann", "user")[:40] not in service.log()
    assert "approval-password" not in service.log()


async def test_second_signal_stops_at_once(process: Start) -> None:
    service = process(HARNESS_DRAIN_SECONDS="60")
    async with grpc.aio.insecure_channel(await service.start()) as channel:
        hanging = asyncio.ensure_future(EchoStub(channel).Echo(Note(text="hang"), metadata=as_("ann", "user")))
        await EchoStub(channel).Open(Note(text="x"))
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(service.process.wait()), 0.5)
        assert await asyncio.wait_for(service.stop(signal.SIGINT), 5) == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await hanging


async def test_print_config_masks_secrets(process: Start, redis_server: RedisServer) -> None:
    service = process()
    service.arguments = ["--print-config"]
    await service.launch()
    assert await service.process.wait() == 0
    printed = json.loads(service.log())
    assert printed["HARNESS_JWT_SECRET"] == "********"
    assert printed["HARNESS_REDIS_URL"] == f"redis://approval:********@127.0.0.1:{redis_server.port}/0"
    assert printed["HARNESS_ENVIRONMENT"] == "development"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HARNESS_JWT_SECRET": "hunter2"}, "at least 32 bytes"),
        ({"HARNESS_ENVIRONMENT": "production"}, "HS256 is for development"),
        ({"HARNESS_ENVIRONMENT": "production", "HARNESS_JWT_ALGORITHM": "RS256"}, "HARNESS_JWT_PUBLIC_KEY"),
        ({"HARNESS_JWT_ALGORITHM": "EdDSA", "HARNESS_JWT_PUBLIC_KEY": "hunter2"}, "not a PEM"),
        ({"HARNESS_JWT_ALGORITHM": "none"}, "HARNESS_JWT_ALGORITHM"),
        ({"HARNESS_DRAIN_SECONDS": "hunter2"}, "HARNESS_DRAIN_SECONDS"),
        ({"HARNESS_TLS_CERT_FILE": "/nowhere"}, "HARNESS_TLS_KEY_FILE"),
        ({"HARNESS_REDIS_URL": "hunter2"}, "HARNESS_REDIS_URL must look like"),
        ({"HARNESS_REDIS_URL": "redis://approval:hunter2@127.0.0.1:{port}/0"}, "refused the credentials"),
        ({"HARNESS_REDIS_URL": "redis://127.0.0.1:1/0"}, "did not answer"),
        ({"HARNESS_METRICS_LISTEN": "nowhere"}, "HARNESS_METRICS_LISTEN"),
        ({"HARNESS_LISTEN": "256.0.0.1:x"}, "HARNESS_LISTEN"),
    ],
)
async def test_wrong_settings_end_with_a_reason(
    process: Start, redis_server: RedisServer, environment: dict[str, str], message: str
) -> None:
    filled = {name: value.replace("{port}", str(redis_server.port)) for name, value in environment.items()}
    service = process(**filled)
    await service.launch()
    assert await asyncio.wait_for(service.process.wait(), 20) == 2, service.log()
    assert message in service.log()
    assert "hunter2" not in service.log()
    assert "Traceback" not in service.log()


async def test_durability(redis_server: RedisServer, tmp_path: Path) -> None:
    directory = tmp_path / "lossy"
    directory.mkdir()
    lossy = RedisServer(directory, appendonly=False)
    lossy.start()
    try:
        with lossy.admin() as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
        client = connect(lossy.url("backup"), client_name="test")
        found = await check_durability(client, require=False)
        assert ["appendonly" in found.risks[0], "allkeys-lru" in found.risks[1]] == [True, True]
        with pytest.raises(ConfigurationError, match=r"appendonly is off.*allkeys-lru"):
            await check_durability(client, require=True)
        await client.aclose()
    finally:
        lossy.stop()
    client = connect(redis_server.url("backup"), client_name="test")
    assert (await check_durability(client, require=True)).risks == ()
    await client.aclose()
