"""The server of a service: health, reflection, the pipeline and an orderly end, around the service's servicers."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from services.runtime import context
from services.runtime.addresses import announce, is_local
from services.runtime.auth import Authenticator
from services.runtime.background import Background, keep_running
from services.runtime.errors import ConfigurationError
from services.runtime.health import HealthService, ReadinessCheck, ReflectionService
from services.runtime.metrics import MetricsEndpoint
from services.runtime.pipeline import Pipeline, Router
from services.runtime.settings import ServiceSettings
from services.runtime.stopping import run_until_told
from services.runtime.tls import server_credentials

log = structlog.get_logger(__name__)

_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_CANCEL_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class ServiceRegistration:
    """One contract and who serves it: `ServiceRegistration(add_TaskServiceServicer_to_server, TaskServicer(...))`."""

    add: Callable[[Any, Any], Any]
    servicer: Any


class _Recorder:
    """Stands in for a gRPC server while generated code registers its handlers."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.services[service] = dict(handlers)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same handlers once more, in a form that hides them."""


class Server:
    """A running service, for `serve` and for tests in one process: `async with Server(...) as server`.

    Args:
        settings: where to listen, whom to trust, how long to drain.
        name: of the service; a health name beside the full names of its contracts.
        services: what it serves.
        background: tasks that run beside the calls; restarted when they fail, cancelled after the drain.
        ready: raises while the service cannot do its work (Redis gone); health follows it.
        on_drain: called once when the drain begins, after `draining` is set and before calls in flight are awaited.

    Raises:
        ConfigurationError: on construction or start, for whatever makes it impossible to serve as configured.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        name: str,
        services: Sequence[ServiceRegistration],
        background: Sequence[Background] = (),
        ready: ReadinessCheck | None = None,
        on_drain: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        self.name = name
        self.address = ""
        self.metrics_port: int | None = None
        self.draining = asyncio.Event()
        self._background = background
        self._ready = ready
        self._on_drain = on_drain
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics: MetricsEndpoint | None = None
        self._server: grpc.aio.Server | None = None
        self._drain: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

        recorder = _Recorder()
        for registration in services:
            registration.add(registration.servicer, recorder)
        names = list(recorder.services)
        self.health = HealthService([name, *names], self.draining)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, recorder)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            ReflectionService([*names, "grpc.health.v1.Health", _REFLECTION], self.draining), recorder
        )
        pipeline = Pipeline(Authenticator(settings), self.draining)
        self._handlers: dict[str, Any] = {}
        for service, handlers in recorder.services.items():
            self._handlers |= pipeline.wrap(service, handlers)
        self._credentials = server_credentials(settings)

    async def start(self) -> str:
        """Listen, then serve. Returns the bound address, `host:port` (a free port where 0 was asked for)."""
        settings = self.settings
        self._server = grpc.aio.server(options=server_options(settings))
        self._server.add_generic_rpc_handlers((Router(self._handlers),))
        self.address = self._bind(self._server, settings.listen)
        if settings.metrics_listen:
            self._metrics = MetricsEndpoint(settings.metrics_listen)
            self.metrics_port = self._metrics.port
        await self._server.start()
        self._spawn(self.health.follow(self._ready, settings.health_interval_seconds), "health")
        for task in self._background:
            self._spawn(keep_running(task), getattr(task, "__qualname__", "background"))
        if settings.is_production and self._credentials is None and not is_local(settings.listen):
            log.warning(
                "plain_text", risk="tokens travel unencrypted; set HARNESS_TLS_CERT_FILE or terminate TLS before"
            )
        log.info("listening", address=self.address, tls=self._credentials is not None, metrics_port=self.metrics_port)
        if settings.ready_file:
            announce(settings.ready_file, self.address)
        return self.address

    def _bind(self, server: grpc.aio.Server, listen: str) -> str:
        try:
            if self._credentials is not None:
                port = server.add_secure_port(listen, self._credentials)
            else:
                port = server.add_insecure_port(listen)
        except (RuntimeError, ValueError) as exc:
            raise ConfigurationError(f"cannot listen on {listen} (HARNESS_LISTEN): is the port taken? {exc}") from exc
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def _spawn(self, work: Any, name: str) -> None:
        surroundings = contextvars.copy_context()
        surroundings.run(context.bind_draining, self.draining)
        self._tasks.append(asyncio.create_task(work, name=name, context=surroundings))

    async def drain(self) -> None:
        """NOT_SERVING; tell long calls to end; finish what is in flight (`drain_seconds` at most); close. Once only."""
        if self._drain is None:
            self._drain = asyncio.create_task(self._drain_once())
        await asyncio.shield(self._drain)

    def hurry(self) -> None:
        """Cut a drain short: what is in flight is cancelled."""
        self._hurried.set()

    async def _drain_once(self) -> None:
        log.info("draining", seconds=self.settings.drain_seconds)
        await self.health.enter_graceful_shutdown()
        await self._within(self._hurried.wait(), self.settings.drain_delay_seconds)
        self.draining.set()
        if self._on_drain is not None:
            await self._within(self._on_drain(), max(self.settings.drain_seconds, 1.0))
        if self._server is not None:
            await self._within(self._server.stop(self.settings.drain_seconds))
            await self._server.stop(0)
        await self._end_tasks()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        if self.settings.ready_file:
            self.settings.ready_file.unlink(missing_ok=True)
        log.info("stopped")

    async def _end_tasks(self) -> None:
        """Cancel the tasks beside the calls until they have ended.

        Again and again, for a cancellation can be lost: on Python 3.11 `asyncio.wait_for`, which Redis clients use,
        swallows one that comes in the moment its work completes.
        """
        pending = {task for task in self._tasks if not task.done()}
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)

    async def _within(self, work: Awaitable[object], seconds: float | None = None) -> None:
        """Wait for the work until it is done, the time is up, or somebody is in a hurry; log its failure."""
        task, hurried = asyncio.ensure_future(work), asyncio.ensure_future(self._hurried.wait())
        both: set[asyncio.Future[Any]] = {task, hurried}
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for future in both:
            future.cancel()
        for outcome in await asyncio.gather(*both, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("drain_step_failed", exc_info=outcome)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.drain()


async def serve(
    settings: ServiceSettings,
    *,
    name: str,
    services: Sequence[ServiceRegistration],
    background: Sequence[Background] = (),
    ready: ReadinessCheck | None = None,
    on_drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return; a second signal stops at once. Arguments as `Server`.

    Raises:
        ConfigurationError: it cannot serve as configured.
    """
    await run_until_told(
        Server(settings, name=name, services=services, background=background, ready=ready, on_drain=on_drain)
    )


def server_options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    """gRPC channel arguments of the server; the names are documented in gRPC's `channel_arg_names.h`."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Room for a long token; without it, gRPC drops calls with more than 8 KiB of metadata at random.
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.absolute_max_metadata_size", 32 * 1024),
        ("grpc.keepalive_time_ms", int(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # By default a server closes connections that ping more often than every five minutes.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", int(settings.max_connection_age_grace_seconds * 1000)),
        # A second process on the same port is a mistake, and must not quietly take half of the calls.
        ("grpc.so_reuseport", 0),
    ]
