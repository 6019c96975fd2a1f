"""The ASGI application that answers every bound path: finds the binding, builds the request, makes the call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import structlog
from google.protobuf.message import EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway import calls, metadata, query, requests, streams
from services.gateway.bindings import Binding
from services.gateway.contracts import owner_of
from services.gateway.errors import failure
from services.gateway.exchange import Exchange, HeaderPairs, Scope, Send
from services.gateway.limits import ClientGone, Receive
from services.gateway.query import Parameters
from services.gateway.router import Match, Router
from services.gateway.settings import GatewaySettings
from services.gateway.texts import Unreadable
from services.runtime.errors import ConfigurationError, HarnessError, Internal, InvalidArgument, NotFound, Unimplemented
from services.runtime.status import translate

log = structlog.get_logger(__name__)

_FORM = "application/x-www-form-urlencoded"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Transcoder:
    """HTTP/JSON in front of calls, driven by their bindings alone.

    Args:
        settings: limits and timeouts.
        bindings: in the order of declaration.
        channels: to the services, by the name in their packages.
        draining: set when the process is told to stop; streams end then.

    Raises:
        ConfigurationError: a bound service has no channel.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        bindings: Sequence[Binding],
        channels: Mapping[str, grpc.aio.Channel],
        draining: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._router = Router(bindings)
        self._stubs = {binding.rpc: _stub(binding, channels) for binding in bindings}
        self._streams = streams.Streams(settings, draining)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with Exchange(scope, receive, send) as exchange:
            try:
                await self._answer(exchange)
            except ClientGone:
                log.info("client_gone", rpc=exchange.rpc)
            except Exception as exc:
                await self._fail(exchange, exc)

    async def _fail(self, exchange: Exchange, exc: Exception) -> None:
        error = translate(exc)
        if isinstance(error, Internal):
            log.error("http_failed", rpc=exchange.rpc, exc_info=exc)
        if exchange.started:
            # Half of an answer has gone: the server closes the connection, so that nobody takes it for a whole one.
            raise exc
        allowed = getattr(exc, "allowed", ())
        headers: HeaderPairs = [("allow", ", ".join(allowed))] if allowed else []
        await exchange.fail(failure(error, exchange.request_id), headers)

    async def _answer(self, exchange: Exchange) -> None:
        match, form = self._find(exchange)
        binding = match.binding
        exchange.rpc = binding.rpc
        timeout = metadata.timeout(exchange.header("grpc-timeout"))
        pairs = metadata.incoming(exchange.headers, exchange.client)
        message = await self._request(exchange, match, form)
        owner = owner_of(binding.method.containing_service)
        stub = self._stubs[binding.rpc]
        if binding.method.server_streaming:
            await self._streams.answer(exchange, binding, stub, message, pairs, timeout, owner)
        else:
            await calls.unary(exchange, binding, stub, _serialized(message), pairs, timeout, owner)

    def _find(self, exchange: Exchange) -> tuple[Match, bool]:
        """The binding, and whether the body is a form in place of the query.

        A POST of a form may stand for another method: the one in X-HTTP-Method-Override, or else a GET whose query
        would be too long for a URL.
        """
        try:
            path = query.unescape(exchange.scope["raw_path"])
            if not path.startswith("/"):
                raise Unreadable("it has no leading slash")
        except Unreadable as exc:
            raise InvalidArgument("PATH_INVALID", f"the path cannot be read: {exc.what}") from None
        components = path[1:].split("/")
        form = _media_type(exchange.header("content-type")) == _FORM
        method = exchange.method
        override = exchange.header("x-http-method-override") if form and method == "POST" else ""
        match = self._router.find(override.upper() or method, components)
        if match is None and form and method == "POST":
            match = self._router.find("GET", components)
        if match is None:
            raise _unmatched(method, self._router.methods_of(components))
        return match, form and method in _WITH_BODY and (match.binding.body is None or bool(override))

    async def _request(self, exchange: Exchange, match: Match, form: bool) -> Message:
        body = b""
        if form or match.binding.body is not None:
            settings = self._settings
            body = await exchange.body(settings.gateway_max_body_bytes, settings.gateway_body_timeout_seconds)
        try:
            parameters = query.parse(exchange.scope["query_string"]) if match.binding.takes_query else {}
            if form:
                parameters = _merged(query.parse(body.strip()), parameters)
        except Unreadable as exc:
            raise InvalidArgument("QUERY_INVALID", f"the query cannot be read: {exc.what}") from None
        return requests.build(match, b"" if form else body, parameters)


class _MethodNotAllowed(Unimplemented):
    """The path is there, for other methods. 501, as grpc-gateway answers."""

    allowed: Sequence[str] = ()


def _unmatched(method: str, allowed: Sequence[str]) -> HarnessError:
    if not allowed:
        return NotFound("PATH_UNKNOWN", "no call has this path; /documentation lists what there is")
    error = _MethodNotAllowed(
        "METHOD_NOT_ALLOWED", f"this path cannot be called with {method}; use {', '.join(allowed)}"
    )
    error.allowed = allowed
    return error


def _stub(binding: Binding, channels: Mapping[str, grpc.aio.Channel]) -> Any:
    """What makes the call: bytes in, a message out."""
    service = binding.method.containing_service
    channel = channels.get(owner_of(service))
    if channel is None:
        raise ConfigurationError(f"{service.full_name} has HTTP rules, and the gateway knows no address for it")
    build = channel.unary_stream if binding.method.server_streaming else channel.unary_unary
    return build(
        f"/{binding.rpc}",
        request_serializer=None,
        response_deserializer=GetMessageClass(binding.method.output_type).FromString,
    )


def _serialized(message: Message) -> bytes:
    try:
        return message.SerializeToString()
    except (EncodeError, ValueError, RecursionError):
        raise InvalidArgument("BODY_INVALID", "the request nests too deeply to be sent on") from None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _merged(form: Parameters, parameters: Parameters) -> Parameters:
    for key, values in parameters.items():
        form.setdefault(key, []).extend(values)
    return form
