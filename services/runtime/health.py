"""`grpc.health.v1` and reflection: always public, and neither keeps a draining process alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from services.runtime.errors import NotFound

log = structlog.get_logger(__name__)

T = TypeVar("T")
ReadinessCheck = Callable[[], Awaitable[None]]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthService(health.aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """The health of each name; watchers hear of the drain and are then let go."""

    def __init__(self, names: Sequence[str], draining: asyncio.Event) -> None:
        super().__init__()
        self._names = ("", *names)
        self._draining = draining
        self._server_status = dict.fromkeys(self._names, _NOT_SERVING)
        self.serving = False

    async def set_all(self, serving: bool) -> None:
        self.serving = serving
        for name in self._names:
            await self.set(name, _SERVING if serving else _NOT_SERVING)

    async def Check(self, request: Any, context: Any) -> Any:
        status = self._server_status.get(request.service)
        if status is None:
            raise NotFound("SERVICE_UNKNOWN", "this server does not serve it; ask Health/List", service=request.service)
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Any) -> Any:
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=status) for name, status in self._server_status.items()
            }
        )

    async def Watch(self, request: Any, context: Any) -> None:
        watching = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            # One turn of the loop is enough for a watcher to write the NOT_SERVING that came just before.
            await asyncio.wait({watching}, timeout=0.1)
        finally:
            ending.cancel()
            watching.cancel()
            await asyncio.gather(watching, ending, return_exceptions=True)

    async def follow(self, ready: ReadinessCheck | None, interval: float) -> None:
        """Set the status from the check, every `interval` seconds, for ever. Without a check it is SERVING."""
        while True:
            failure = ""
            if ready is not None:
                try:
                    await ready()
                except Exception as exc:
                    failure = f"{type(exc).__name__}: {exc}"
            if bool(failure) == self.serving:
                await self.set_all(not failure)
                if failure:
                    log.error("not_serving", error=failure)
                else:
                    log.info("serving")
            await asyncio.sleep(interval)


class _Symbols:
    """The descriptor pool, in which methods are symbols, too: by itself it finds no file for them."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that declares the symbol. Raises KeyError when none does."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


class ReflectionService(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # the package has no types
    """Answers what the server offers; an idle conversation ends with the drain."""

    def __init__(self, names: Sequence[str], draining: asyncio.Event) -> None:
        super().__init__(service_names=names, pool=_Symbols())
        self._draining = draining

    async def ServerReflectionInfo(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for response in super().ServerReflectionInfo(until(self._draining, request_iterator), context):
            yield response


async def until(event: asyncio.Event, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The items, until the event is set."""
    ending = asyncio.ensure_future(event.wait())
    iterator = aiter(items)
    try:
        while not event.is_set():
            following: asyncio.Future[T] = asyncio.ensure_future(_next(iterator))
            try:
                both: set[asyncio.Future[Any]] = {following, ending}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not following.done():
                    following.cancel()
            if not following.done() or following.cancelled():
                return
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        ending.cancel()


async def _next(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)
