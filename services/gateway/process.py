"""The gateway as a whole: channels to the services, the HTTP server, and an orderly end."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Mapping, Sequence
from typing import Any, Self

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from starlette.routing import Route

from services.gateway.app import build
from services.gateway.contracts import generated_services, owner_of
from services.gateway.health import Health
from services.gateway.http import HttpServer
from services.gateway.settings import GatewaySettings
from services.runtime.addresses import announce
from services.runtime.background import keep_running
from services.runtime.clients import channel
from services.runtime.metrics import MetricsEndpoint
from services.runtime.stopping import run_until_told

log = structlog.get_logger(__name__)

# Beside connections: libraries, logs, channels to the services, the event loop's own.
_OTHER_FILES = 256


class Gateway:
    """A running gateway, for `serve` and for tests in one process: `async with Gateway(...) as gateway`.

    Args:
        settings: where to listen, where the services are, limits.
        services: whose calls are served; by default those of all generated contracts.
        upstreams: addresses by the name in the services' packages; by default those of the settings.
        documents: routes served beside the calls.

    Raises:
        ConfigurationError: on construction or start, for whatever makes it impossible to serve as configured.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        services: Sequence[ServiceDescriptor] | None = None,
        upstreams: Mapping[str, str] | None = None,
        documents: Sequence[Route] = (),
    ) -> None:
        self.settings = settings
        self.address = ""
        self.draining = asyncio.Event()
        found = generated_services() if services is None else services
        self._channels = _channels(settings, found, settings.upstreams if upstreams is None else upstreams)
        self.health = Health(self._channels, settings.health_interval_seconds, self.draining)
        app = build(
            settings,
            services=found,
            channels=self._channels,
            health=self.health,
            draining=self.draining,
            documents=documents,
        )
        self._http = HttpServer(settings, app)
        self._metrics: MetricsEndpoint | None = None
        self._following: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    async def start(self) -> str:
        """Listen and serve. Returns the bound address."""
        settings = self.settings
        _allow_files(settings.gateway_max_connections + _OTHER_FILES)
        await self.health.check()
        self._following = asyncio.create_task(keep_running(self.health.follow), name="health")
        if settings.metrics_listen:
            self._metrics = MetricsEndpoint(settings.metrics_listen)
        self.address = await self._http.start()
        log.info(
            "listening", address=self.address, tls=settings.tls_cert_file is not None, upstreams=self.health.services
        )
        if settings.ready_file:
            announce(settings.ready_file, self.address)
        return self.address

    async def drain(self) -> None:
        """Unhealthy; end the streams; finish what is in flight (`drain_seconds` at most); close."""
        log.info("draining", seconds=self.settings.drain_seconds)
        self.draining.set()
        if self.settings.drain_delay_seconds:
            waiting = asyncio.ensure_future(self._hurried.wait())
            await asyncio.wait({waiting}, timeout=self.settings.drain_delay_seconds)
            waiting.cancel()
        await self._http.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for to_service in self._channels.values():
            await to_service.close()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        if self.settings.ready_file:
            self.settings.ready_file.unlink(missing_ok=True)
        log.info("stopped")

    def hurry(self) -> None:
        """Cut a drain short: what is in flight is cut off."""
        self._hurried.set()
        self._http.hurry()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.drain()


async def serve(settings: GatewaySettings, documents: Sequence[Route] = ()) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return; a second signal stops at once.

    Raises:
        ConfigurationError: it cannot serve as configured.
    """
    await run_until_told(Gateway(settings, documents=documents))


def _allow_files(wanted: int) -> None:
    """Let the process have so many open files, or as many as it may; by default it is 1024, and a connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning(
            "few_files", allowed=most, wanted=wanted, remedy="raise it, or lower HARNESS_GATEWAY_MAX_CONNECTIONS"
        )


def _channels(
    settings: GatewaySettings, services: Sequence[ServiceDescriptor], upstreams: Mapping[str, str]
) -> dict[str, Any]:
    """A channel to each service. It shows no token of the gateway's own: the caller's is passed on, or none."""
    owned: dict[str, list[str]] = {name: [] for name in upstreams}
    for service in services:
        if owner_of(service) in owned:
            owned[owner_of(service)].append(service.full_name)
    channels: dict[str, grpc.aio.Channel] = {}
    for name, address in upstreams.items():
        channels[name] = channel(address, settings, None, services=owned[name])
    return channels
