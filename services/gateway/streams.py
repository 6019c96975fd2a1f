"""Calls that answer with a stream: newline-delimited JSON as grpc-gateway has it, or server-sent events.

A request that accepts `text/event-stream` gets events. What makes a stream resumable is in its contract: a request
field `after_<name>` beside a `<name>` in the response (or in the one message of the response that has it). Then each
event has that as its id, and `Last-Event-ID`, which browsers send when they reconnect, is put into the request's field.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from services.gateway import jsonwrite, metadata, texts
from services.gateway.bindings import Binding
from services.gateway.calls import shown
from services.gateway.errors import Failure, failure, upstream_failure
from services.gateway.exchange import JSON, Exchange
from services.gateway.limits import ClientGone
from services.gateway.metrics import STREAMS
from services.gateway.settings import GatewaySettings
from services.gateway.texts import Unreadable
from services.runtime.errors import InvalidArgument, ResourceExhausted, Unavailable

EVENT_STREAM = "text/event-stream"
_AFTER = "after_"


@dataclass(frozen=True)
class Resume:
    """Where a stream is taken up: the request's field, and the way to what it counts in a response."""

    field: FieldDescriptor
    path: tuple[str, ...]

    def id_of(self, response: Any) -> str:
        """The id of a response; empty where it has none."""
        for name in self.path[:-1]:
            response = getattr(response, name)
        value = getattr(response, self.path[-1])
        return str(value) if value else ""

    def apply(self, request: Message, last_event_id: str) -> None:
        """Ask for what comes after an event. Raises InvalidArgument: HEADER_INVALID."""
        try:
            setattr(request, self.field.name, texts.scalar_reader(self.field)(last_event_id))
        except Unreadable as exc:
            raise InvalidArgument("HEADER_INVALID", f"Last-Event-ID: {exc.what}") from None


@cache
def resume_of(method: MethodDescriptor) -> Resume | None:
    """How a call's stream is resumed; None if its contract has no way to."""
    for field in method.input_type.fields:
        if field.name.startswith(_AFTER) and not field.is_repeated and field.message_type is None:
            path = _path_to(method.output_type, field.name.removeprefix(_AFTER))
            if path is not None:
                return Resume(field, path)
    return None


def _path_to(response: Descriptor, name: str) -> tuple[str, ...] | None:
    if _is_counter(response, name):
        return (name,)
    holders = [
        field.name
        for field in response.fields
        if field.message_type is not None and not field.is_repeated and _is_counter(field.message_type, name)
    ]
    return (holders[0], name) if len(holders) == 1 else None


def _is_counter(message: Descriptor, name: str) -> bool:
    field = message.fields_by_name.get(name)
    return field is not None and not field.is_repeated and field.message_type is None


class _Lines:
    """Newline-delimited JSON: `{"result": ...}` for a response, `{"error": ...}` at the end of a stream that failed."""

    content_type = JSON

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    def item(self, response: Message) -> bytes:
        return jsonwrite.dump({"result": shown(self._binding, response)}) + b"\n"

    def error(self, failed: Failure) -> bytes:
        return jsonwrite.dump({"error": jsonwrite.jsonable(failed.status)}) + b"\n"

    def end(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b""


class _Events:
    """Server-sent events: a response is a message event; `end` and `error` say how the stream ended."""

    content_type = EVENT_STREAM

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._resume = resume_of(binding.method)

    def item(self, response: Message) -> bytes:
        event_id = self._resume.id_of(response) if self._resume else ""
        # An id must not hold a line's end, or a NUL, which would void it; a field's value could.
        name = b"id: %s\n" % event_id.encode() if event_id.isprintable() and event_id else b""
        return name + b"data: %s\n\n" % jsonwrite.dump(shown(self._binding, response))

    def error(self, failed: Failure) -> bytes:
        return b"event: error\ndata: %s\n\n" % failed.body()

    def end(self) -> bytes:
        return b"event: end\ndata: {}\n\n"

    def heartbeat(self) -> bytes:
        return b": still here\n\n"


class Streams:
    """Answers with streams: at most so many at a time, and each ends when the process drains."""

    def __init__(self, settings: GatewaySettings, draining: asyncio.Event) -> None:
        self._max = settings.gateway_max_streams
        self._heartbeat = settings.gateway_heartbeat_seconds
        self._grace = settings.gateway_event_grace_seconds
        self._draining = draining
        self._open = 0

    async def answer(
        self,
        exchange: Exchange,
        binding: Binding,
        stub: Any,
        request: Message,
        pairs: metadata.Pairs,
        timeout: float | None,
        owner: str,
    ) -> None:
        """Make the call and send what it answers until it ends, the client goes away, or the process drains.

        Raises:
            ResourceExhausted: TOO_MANY_STREAMS.
            ClientGone: the client has closed the connection; the call is cancelled.
        """
        form: _Lines | _Events = _Lines(binding)
        if _accepts_events(exchange.header("accept")):
            form = _Events(binding)
            resume, last = resume_of(binding.method), exchange.header("last-event-id")
            if resume is not None and last:
                resume.apply(request, last)
        if self._open >= self._max:
            raise ResourceExhausted("TOO_MANY_STREAMS", "the gateway sends as many streams as it may; try again")
        call = stub(request.SerializeToString(), metadata=pairs, timeout=timeout)
        watching = asyncio.ensure_future(exchange.gone())
        watching.add_done_callback(lambda _: call.cancel())
        self._open += 1
        STREAMS.inc()
        try:
            await _Stream(exchange, form, call, owner, self._draining, self._grace).send(self._heartbeat)
        except asyncio.CancelledError:
            if watching.done():
                raise ClientGone from None
            raise
        finally:
            self._open -= 1
            STREAMS.dec()
            watching.cancel()
            call.cancel()


class _Stream:
    """One stream on its way."""

    def __init__(
        self,
        exchange: Exchange,
        form: _Lines | _Events,
        call: Any,
        owner: str,
        draining: asyncio.Event,
        grace: float,
    ) -> None:
        self._exchange = exchange
        self._form = form
        self._call = call
        self._owner = owner
        self._draining = draining
        self._grace = grace

    async def send(self, heartbeat: float) -> None:
        call, form, exchange = self._call, self._form, self._exchange
        ending = asyncio.ensure_future(self._draining.wait())
        reading = asyncio.ensure_future(call.read())
        try:
            await self._begin(reading, ending)
            while True:
                if not reading.done():
                    both: set[asyncio.Future[Any]] = {reading, ending}
                    await asyncio.wait(both, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    response = reading.result()
                    if response is grpc.aio.EOF:
                        await self._finish()
                        return
                    await self._start()
                    await exchange.write(form.item(response))
                    reading = asyncio.ensure_future(call.read())
                elif ending.done():
                    await self._fail(_drained(exchange.request_id))
                    return
                elif beat := form.heartbeat():
                    await self._start()
                    await exchange.write(beat)
        except grpc.aio.AioRpcError as exc:
            await self._fail(upstream_failure(exc, self._owner, exchange.request_id))
        finally:
            ending.cancel()
            reading.cancel()
            await asyncio.gather(ending, reading, return_exceptions=True)

    async def _begin(self, reading: asyncio.Future[Any], ending: asyncio.Future[Any]) -> None:
        """Wait for what decides the answer's status: a first response, or the error or the end in its place.

        Events begin without one after a while, so that a browser knows that it is connected; lines of JSON do not.
        """
        first: set[asyncio.Future[Any]] = {reading, ending}
        grace = self._grace if self._form.content_type == EVENT_STREAM else None
        await asyncio.wait(first, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done() and not ending.done():
            await self._start()

    async def _start(self, status: int = 200) -> None:
        if not self._exchange.started:
            headers = metadata.outgoing(await self._call.initial_metadata(), metadata.PREFIX)
            content = [("content-type", self._form.content_type), ("cache-control", "no-store")]
            if self._form.content_type == EVENT_STREAM:
                # nginx would collect the events otherwise.
                content.append(("x-accel-buffering", "no"))
            await self._exchange.start(status, [*content, *headers])

    async def _finish(self) -> None:
        if not self._exchange.started and self._form.content_type == EVENT_STREAM:
            # There was nothing, and nothing will follow: this tells a browser not to come back.
            await self._exchange.start(204, [])
            await self._exchange.write(b"", more=False)
            return
        await self._start()
        await self._exchange.write(self._form.end(), more=False)

    async def _fail(self, failed: Failure) -> None:
        """An error before the first response is the whole answer; later it is the last of the stream."""
        if self._exchange.started:
            await self._exchange.write(self._form.error(failed), more=False)
        elif self._form.content_type == EVENT_STREAM:
            await self._exchange.fail(failed)
        else:
            await self._exchange.reply(failed.http, self._form.error(failed), failed.headers)


def _drained(request_id: str) -> Failure:
    return failure(
        Unavailable(
            "DRAINING", "the gateway is about to stop; connect again, from where the stream ended", retry_after=1.0
        ),
        request_id,
    )


def _accepts_events(accept: str) -> bool:
    return any(part.partition(";")[0].strip().lower() == EVENT_STREAM for part in accept.split(","))
