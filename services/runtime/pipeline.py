"""What happens around every RPC, in one order: request id, metrics and log, identity, access, parsing, rules, errors.

Handlers are wrapped once, when a service is registered, instead of by gRPC interceptors, which would build a new
handler a call. Requests arrive here as bytes, so that nothing of an unknown caller's message is parsed, and bytes that
cannot be parsed get a proper error. Each concern is a module of its own; this one only puts them in order.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.runtime import context as call_context
from services.runtime.access import Rule, rules_of, service_descriptor
from services.runtime.auth import Authenticator
from services.runtime.errors import ConfigurationError, HarnessError, Internal, Unimplemented
from services.runtime.metrics import MethodMetrics
from services.runtime.status import DETAILS_KEY, to_status, translate
from services.runtime.validation import parse, prepare, validate

REQUEST_ID_KEY = "x-request-id"
# What may come back in logs and headers; anything else is replaced by an id of ours.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_EXPECTED = frozenset({
    grpc.StatusCode.OK,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
})  # fmt: skip

# A context names its code by number.
_BY_NUMBER: dict[Any, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Method:
    """What is known of a method before it is called."""

    name: str
    rule: Rule
    request: type[Message]
    metrics: MethodMetrics


class _Call:
    """One RPC from receipt to completion."""

    __slots__ = ("context", "method", "request_id", "started", "values")

    def __init__(self, method: Method, context: Context) -> None:
        self.method = method
        self.context = context
        self.started = time.perf_counter()
        self.values: list[str | bytes] = []
        request_id = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                self.values.append(value)
            elif key == REQUEST_ID_KEY and not request_id and isinstance(value, str):
                request_id = value
        self.request_id = request_id if _REQUEST_ID.fullmatch(request_id) else secrets.token_hex(16)
        call_context.bind_request_id(self.request_id)
        context.set_trailing_metadata(((REQUEST_ID_KEY, self.request_id),))
        method.metrics.started()

    def finish(self, code: grpc.StatusCode, error: HarnessError | None = None) -> None:
        seconds = time.perf_counter() - self.started
        self.method.metrics.finished(code, seconds)
        facts: dict[str, Any] = {"method": self.method.name, "code": code.name, "ms": round(seconds * 1000, 2)}
        if error is None:
            log.debug("rpc", **facts)
        elif code in _EXPECTED or (code is grpc.StatusCode.UNAVAILABLE and call_context.draining().is_set()):
            log.info("rpc", reason=error.reason, caller=call_context.current_caller().subject, **facts)
        else:
            log.error("rpc", reason=error.reason, caller=call_context.current_caller().subject, exc_info=error, **facts)

    async def fail(self, exc: BaseException) -> None:
        """Account for the exception and end the RPC with what the caller may know of it. Never returns normally."""
        if isinstance(exc, asyncio.CancelledError):
            self.finish(grpc.StatusCode.CANCELLED)
            raise exc
        if isinstance(exc, grpc.aio.AbortError):
            self.finish(_BY_NUMBER.get(self.context.code(), grpc.StatusCode.UNKNOWN))
            raise exc
        if isinstance(exc, grpc.aio.InternalError):
            # What was sent met a connection that had just broken. That the caller has gone is no defect; it is told all
            # the same, should it still be there.
            self.finish(grpc.StatusCode.CANCELLED)
            await self.context.abort(
                grpc.StatusCode.UNAVAILABLE, "the connection broke under what was sent; call again"
            )
        error = translate(exc)
        if error is not exc:
            error.__cause__ = exc
        self.finish(error.code, error)
        status = to_status(error, self.request_id)
        await self.context.abort(
            error.code,
            status.message,
            ((DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, self.request_id)),
        )


class Pipeline:
    """Wraps the handlers of services. `draining` is what `context.draining()` returns inside of them."""

    def __init__(self, authenticator: Authenticator, draining: asyncio.Event) -> None:
        self._authenticator = authenticator
        self._draining = draining

    def wrap(self, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> dict[str, Any]:
        """The service's handlers by full method path, wrapped.

        Raises:
            ConfigurationError: a method has no access rule, no async implementation, or rules that do not compile.
        """
        rules = rules_of(service)
        inputs = {method.name: GetMessageClass(method.input_type) for method in service_descriptor(service).methods}
        wrapped = {}
        for name, handler in handlers.items():
            kind = _KINDS[handler.request_streaming, handler.response_streaming]
            behaviour = getattr(handler, kind)
            if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
                raise ConfigurationError(f"{service}/{name} is not implemented as an async method")
            method = Method(f"{service}/{name}", rules[name], inputs[name], MethodMetrics(kind, service, name))
            prepare(method.request)
            build = getattr(grpc, f"{kind}_rpc_method_handler")
            wrapped[f"/{service}/{name}"] = build(
                getattr(self, f"_{kind}")(method, behaviour),
                request_deserializer=None,
                response_serializer=handler.response_serializer,
            )
        return wrapped

    async def _admit(self, call: _Call) -> None:
        call_context.bind_draining(self._draining)
        rule = call.method.rule
        if not rule.public:
            caller = await self._authenticator.authenticate(call.values)
            call_context.bind_caller(caller)
            rule.check(caller)

    def _unary_unary(self, method: Method, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        return self._single(method, behaviour, lambda data: _request(method, data))

    def _unary_stream(self, method: Method, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        return self._streaming(method, behaviour, lambda data: _request(method, data))

    def _stream_stream(self, method: Method, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        return self._streaming(method, behaviour, lambda data: _requests(method, data))

    def _stream_unary(self, method: Method, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        return self._single(method, behaviour, lambda data: _requests(method, data))

    def _single(self, method: Method, behaviour: Callable[..., Any], read: Callable[[Any], Any]) -> Callable[..., Any]:
        """A method that answers with one message."""

        async def handle(data: Any, context: Context) -> Any:
            call = _Call(method, context)
            try:
                await self._admit(call)
                response = await behaviour(read(data), context)
                _check_unary(method, response)
            except BaseException as exc:
                await call.fail(exc)
            else:
                call.finish(grpc.StatusCode.OK)
                return response

        return handle

    def _streaming(
        self, method: Method, behaviour: Callable[..., Any], read: Callable[[Any], Any]
    ) -> Callable[..., Any]:
        """A method that answers with a stream, by yielding or with `context.write`."""
        yields = inspect.isasyncgenfunction(behaviour)

        async def handle(data: Any, context: Context) -> None:
            call = _Call(method, context)
            try:
                await self._admit(call)
                request = read(data)
                # At once, so that the caller knows the id of a stream that may stay open for hours.
                await context.send_initial_metadata(((REQUEST_ID_KEY, call.request_id),))
                if yields:
                    responses = behaviour(request, context)
                    try:
                        async for response in responses:
                            await context.write(response)
                    finally:
                        await responses.aclose()
                else:
                    await behaviour(request, context)
            except BaseException as exc:
                await call.fail(exc)
            else:
                call.finish(grpc.StatusCode.OK)

        return handle


_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def _request(method: Method, data: bytes) -> Message:
    request = parse(method.request, data)
    validate(request)
    return request


async def _requests(method: Method, data: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for item in data:
        yield _request(method, item)


def _check_unary(method: Method, response: Any) -> None:
    if not isinstance(response, Message):
        raise Internal("INTERNAL", f"{method.name} returned no message")


class Router(grpc.GenericRpcHandler):
    """Finds handlers by path; a path that is not served gets UNIMPLEMENTED with a reason."""

    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers
        self._unknown: Any = grpc.unary_unary_rpc_method_handler(_unknown_method)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method, self._unknown)


async def _unknown_method(_data: bytes, context: Context) -> None:
    status = to_status(
        Unimplemented("METHOD_UNKNOWN", "this server has no such method; list what it has with `grpcurl ADDRESS list`")
    )
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, status.message, ((DETAILS_KEY, status.SerializeToString()),))
