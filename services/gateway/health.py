"""`/health`: whether the gateway takes requests, and which of the services behind it answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.requests import Request
from starlette.responses import JSONResponse

log = structlog.get_logger(__name__)

_SERVING, _NOT_SERVING, _UNREACHABLE = "SERVING", "NOT_SERVING", "UNREACHABLE"
_CHECK_SECONDS = 5.0


class Health:
    """Follows the health of the services, so that asking costs no call.

    The gateway serves as long as it does not drain and one of the services answers: what is behind it has a health of
    its own, and a gateway that is taken out for one service would take all others with it.
    """

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], interval: float, draining: asyncio.Event) -> None:
        self._stubs = {name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()}
        self._interval = interval
        self._draining = draining
        self.services: dict[str, str] = dict.fromkeys(channels, _UNREACHABLE)

    @property
    def serving(self) -> bool:
        return not self._draining.is_set() and _SERVING in self.services.values()

    async def follow(self) -> None:
        """Ask every service, again and again, for ever."""
        while True:
            await self.check()
            await asyncio.sleep(self._interval)

    async def check(self) -> None:
        """Ask every service once."""
        names = list(self._stubs)
        for name, state in zip(names, await asyncio.gather(*map(self._state, names)), strict=True):
            if self.services[name] != state:
                log.info("service_health", upstream=name, state=state)
                self.services[name] = state

    async def _state(self, name: str) -> str:
        try:
            answer = await self._stubs[name].Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError:
            return _UNREACHABLE
        return _SERVING if answer.status == health_pb2.HealthCheckResponse.SERVING else _NOT_SERVING

    async def answer(self, _request: Request) -> JSONResponse:
        """200 while the gateway serves, else 503."""
        status = _SERVING if self.serving else _NOT_SERVING
        return JSONResponse(
            {"status": status, "services": self.services},
            status_code=200 if self.serving else 503,
            headers={"cache-control": "no-store"},
        )
