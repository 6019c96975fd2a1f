"""The life of a server: start, health, reflection, TLS, drain, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.auth import ServiceTokens
from services.runtime.clients import channel, idempotent_methods
from services.runtime.errors import ConfigurationError
from services.runtime.redis import connect, readiness
from services.runtime.server import Server, ServiceRegistration
from tests.integration.runtime.conftest import echo_settings
from tests.integration.runtime.echo import SERVICE, EchoServicer, EchoStub, Note, add_echo
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

USER = as_("ann", "user")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ENDS_SECONDS = 50.0  # far less than what would have to be waited for otherwise


def a_server(servicer: EchoServicer, **values: Any) -> Server:
    arguments = {key: values.pop(key) for key in ("background", "ready", "on_drain") if key in values}
    registration = ServiceRegistration(add_echo, servicer)
    return Server(echo_settings(**values), name="echo", services=[registration], **arguments)


async def status_of(health: Any, name: str = "") -> int:
    response = await health.Check(health_pb2.HealthCheckRequest(service=name))
    return int(response.status)


async def until(condition: Callable[[], Any], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - what is awaited lives in another process
            await asyncio.sleep(0.02)


# -- start


@pytest.mark.parametrize("package", ["unruled", "empty", "both"])
def test_a_method_without_a_clear_rule_is_refused(servicer: EchoServicer, package: str) -> None:
    service = f"harness.testing.{package}.v1.EchoService"
    registration = ServiceRegistration(lambda one, server: add_echo(one, server, service), servicer)
    with pytest.raises(ConfigurationError, match=r"EchoService/Echo.*access rule"):
        Server(echo_settings(), name="echo", services=[registration])


def test_a_method_that_is_not_implemented_is_refused() -> None:
    class Incomplete(EchoServicer):
        def Join(self, requests: Any, context: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match="EchoService/Join is not implemented"):
        a_server(Incomplete())


async def test_a_taken_port_is_refused(server: Server, servicer: EchoServicer) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_LISTEN"):
        await a_server(servicer, listen=server.address).start()


async def test_ready_file_names_the_bound_port(servicer: EchoServicer, tmp_path: Path) -> None:
    path = tmp_path / "ready"
    async with a_server(servicer, ready_file=path) as server:
        assert path.read_text() == server.address
        async with grpc.aio.insecure_channel(path.read_text()) as plain:
            assert (await EchoStub(plain).Open(Note(text="x"))).text == "x"
    assert not path.exists()


async def test_unix_socket(servicer: EchoServicer, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with a_server(servicer, listen=address) as server, grpc.aio.insecure_channel(server.address) as plain:
        assert (await EchoStub(plain).Open(Note(text="x"))).text == "x"


# -- health and reflection


async def test_health_by_name(plain: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(plain)
    for name in ("", "echo", SERVICE):
        assert await status_of(health, name) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status_of(health, "nope")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert set((await health.List(health_pb2.HealthListRequest())).statuses) == {"", "echo", SERVICE}


async def test_health_follows_redis(servicer: EchoServicer, own_redis: RedisServer) -> None:
    client = connect(own_redis.url("approval"), client_name="test", timeout=1)
    server = a_server(servicer, ready=readiness(client, timeout=0.5), health_interval_seconds=0.05)
    async with server, grpc.aio.insecure_channel(server.address) as plain:
        health = health_pb2_grpc.HealthStub(plain)

        def becomes(status: int) -> Callable[[], Any]:
            async def check() -> bool:
                return await status_of(health, SERVICE) == status

            return check

        await until(becomes(SERVING))
        own_redis.kill()
        await until(becomes(NOT_SERVING))
        own_redis.start()
        await until(becomes(SERVING))
        # A server that hangs is as gone as one that has ended.
        own_redis.pause()
        await until(becomes(NOT_SERVING))
        own_redis.resume()
        await until(becomes(SERVING))
    await client.aclose()


async def test_reflection(plain: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(plain)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = {service.name for service in (await call.read()).list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= listed
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health.Check"))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto, "a method is a symbol, too"
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health.Nope"))
    assert (await call.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await call.done_writing()


# -- drain


async def test_drain_finishes_what_is_in_flight(servicer: EchoServicer) -> None:
    order: list[str] = []

    async def on_drain() -> None:
        order.append("on_drain")

    server = a_server(servicer, on_drain=on_drain)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as plain:
        call = asyncio.ensure_future(EchoStub(plain).Echo(Note(text="drain"), metadata=USER))
        await servicer.started.wait()
        call.add_done_callback(lambda _: order.append("answered"))
        await server.drain()
        assert (await call).text == "drain"
        assert order == ["on_drain", "answered"]


async def test_drain_ends_watchers_and_idle_reflection(servicer: EchoServicer) -> None:
    server = a_server(servicer, drain_seconds=600.0)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as plain:
        watch = health_pb2_grpc.HealthStub(plain).Watch(health_pb2.HealthCheckRequest())
        seen = [(await watch.read()).status]
        reflection = reflection_pb2_grpc.ServerReflectionStub(plain).ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await reflection.read()
        async with asyncio.timeout(ENDS_SECONDS):
            await server.drain()
        while (response := await watch.read()) is not grpc.aio.EOF:
            seen.append(response.status)
        assert seen[-1] == NOT_SERVING
        assert await watch.code() is grpc.StatusCode.OK


async def test_drain_cancels_what_does_not_end(servicer: EchoServicer) -> None:
    server = a_server(servicer, drain_seconds=0.2)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as plain:
        call = EchoStub(plain).Echo(Note(text="hang"), metadata=USER)
        await servicer.started.wait()
        async with asyncio.timeout(ENDS_SECONDS):
            await server.drain()
        assert await call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_hurry_cuts_a_drain_short(servicer: EchoServicer) -> None:
    server = a_server(servicer, drain_seconds=60.0)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as plain:
        call = EchoStub(plain).Echo(Note(text="hang"), metadata=USER)
        await servicer.started.wait()
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.1)
        assert not draining.done()
        server.hurry()
        await asyncio.wait_for(draining, 5)
        assert await call.code() is not grpc.StatusCode.OK


async def test_a_client_that_leaves_cancels_its_call(servicer: EchoServicer, echo: EchoStub) -> None:
    call = echo.Echo(Note(text="hang"), metadata=USER)
    await servicer.started.wait()
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


# -- background


async def test_background_is_restarted_and_cancelled(servicer: EchoServicer) -> None:
    runs: list[str] = []
    again = asyncio.Event()

    async def sweeper() -> None:
        runs.append("run")
        if len(runs) == 1:
            raise ValueError("the first time goes wrong")
        again.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            runs.append("cancelled")
            raise

    async with a_server(servicer, background=[sweeper]):
        await asyncio.wait_for(again.wait(), 5)
    assert runs == ["run", "run", "cancelled"]


# -- TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A CA and, signed by it, certificates for a server and a client."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
    for name in ("ca", "server", "client"):
        key = ca_key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        subject = ca_name if name == "ca" else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (tmp_path / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return tmp_path


async def test_mutual_tls(servicer: EchoServicer, certificates: Path) -> None:
    ours = {
        "tls_cert_file": certificates / "server.pem",
        "tls_key_file": certificates / "server.key",
        "tls_client_ca_file": certificates / "ca.pem",
    }
    theirs = {"client_tls_ca_file": certificates / "ca.pem"}
    identity = {
        "client_tls_cert_file": certificates / "client.pem",
        "client_tls_key_file": certificates / "client.key",
    }
    async with a_server(servicer, **ours) as server:
        async with channel(server.address, echo_settings(**theirs, **identity), None) as good:
            assert (await EchoStub(good).Open(Note(text="x"))).text == "x"
        for settings in (echo_settings(**theirs), echo_settings()):
            async with channel(server.address, settings, None) as bad:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await EchoStub(bad).Open(Note(text="x"), timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# -- outgoing channels


@pytest.fixture
async def ours(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    settings = echo_settings(default_timeout_seconds=0.5)
    async with channel(server.address, settings, ServiceTokens(settings, "orchestrator")) as opened:
        yield opened


async def test_channel_shows_who_calls(ours: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await EchoStub(ours).Echo(Note())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "service" in str(caught.value.trailing_metadata())


async def test_channel_gives_every_unary_call_a_deadline(ours: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await EchoStub(ours).Open(Note(text="hang"))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(grpc.aio.AioRpcError):
        await EchoStub(ours).Open(Note(text="hang"), timeout=0.05)


@pytest.mark.parametrize("repeat", [True, False])
async def test_only_idempotent_calls_are_repeated(server: Server, servicer: EchoServicer, repeat: bool) -> None:
    calls: list[str] = []
    act = servicer._act

    async def flaky(text: str) -> Any:
        calls.append(text)
        return await act("raise:Unavailable" if len(calls) < 3 else text)

    servicer._act = flaky  # type: ignore[method-assign]
    names = [f"{SERVICE}/Open"] if repeat else []
    async with channel(server.address, echo_settings(), None, idempotent=names) as opened:
        call = EchoStub(opened).Open(Note(text="x"))
        if repeat:
            assert (await call).text == "x"
            assert len(calls) == 3
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
            assert len(calls) == 1


def test_idempotent_methods_come_from_the_contract() -> None:
    from harness.backup.v1 import backup_pb2_grpc  # noqa: F401

    found = idempotent_methods("harness.backup.v1.BackupService")
    assert "harness.backup.v1.BackupService/GetBackup" in found
    assert "harness.backup.v1.BackupService/CreateBackup" not in found


async def test_a_task_that_loses_its_first_cancellation_does_not_hold_up_the_drain(servicer: EchoServicer) -> None:
    # On Python 3.11 `asyncio.wait_for` can swallow a cancellation that comes as its work completes.
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

    async with a_server(servicer, background=[stubborn]) as server:
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await server.drain()
    assert swallowed.is_set()
