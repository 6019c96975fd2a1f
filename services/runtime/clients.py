"""Channels to other services: a deadline on every call, our token and request id on it, retries only where harmless."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import MethodOptions

from services.runtime.access import service_descriptor
from services.runtime.auth import ServiceTokens
from services.runtime.context import current_request_id
from services.runtime.pipeline import REQUEST_ID_KEY
from services.runtime.settings import ServiceSettings
from services.runtime.tls import channel_credentials


def channel(
    address: str,
    settings: ServiceSettings,
    tokens: ServiceTokens | None,
    *,
    services: Sequence[str] = (),
    idempotent: Iterable[str] = (),
) -> grpc.aio.Channel:
    """A channel for generated stubs. Close it with `await channel.close()`.

    A unary call without a timeout gets `default_timeout_seconds`; a stream has none unless given. UNAVAILABLE is
    retried (4 attempts, 0.1 to 2 s) for idempotent methods only.

    Args:
        address: `host:port`, `dns:///name:port` (round robin over its addresses) or `unix:/path`.
        settings: of the calling service: TLS, timeouts, sizes.
        tokens: whose token is shown; None calls anonymously.
        services: full names of the contracts called; their methods with an `idempotency_level` or an HTTP GET rule are
            idempotent.
        idempotent: more of them, as `package.Service/Method`.

    Raises:
        ConfigurationError: an unknown service, or a TLS file that cannot be read.
    """
    methods = {name for service in services for name in idempotent_methods(service)} | set(idempotent)
    options = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", int(settings.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", service_config(methods)),
        # After a restart of the other side: be back within seconds, not after the default two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    credentials = channel_credentials(settings)
    if credentials is None:
        plain = grpc.aio.insecure_channel(address, options)
    else:
        plain = grpc.aio.secure_channel(address, credentials, options)
    return _Channel(plain, settings.default_timeout_seconds, tokens)


def idempotent_methods(service: str) -> set[str]:
    """The methods of a contract that may be repeated, as `package.Service/Method`."""
    found = set()
    for method in service_descriptor(service).methods:
        options: Any = method.GetOptions()
        repeatable = options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
        if repeatable or options.Extensions[annotations_pb2.http].WhichOneof("pattern") == "get":
            found.add(f"{service}/{method.name}")
    return found


def service_config(idempotent: Iterable[str]) -> str:
    """gRPC service config (JSON): round robin, and the retry policy of the methods."""
    names = [dict(zip(("service", "method"), name.split("/", 1), strict=True)) for name in sorted(idempotent)]
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if names:
        retry = {
            "maxAttempts": 4,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": names, "retryPolicy": retry}]
    return json.dumps(config)


class _Channel(grpc.aio.Channel):
    """Adds deadline, token and request id in the multicallables; gRPC's interceptors would cost a task a call."""

    def __init__(self, plain: grpc.aio.Channel, timeout: float, tokens: ServiceTokens | None) -> None:
        self._plain = plain
        self._timeout = timeout
        self._tokens = tokens

    def _prepared(self, call: Callable[..., Any], default_timeout: float | None) -> Any:
        def start(*args: Any, timeout: float | None = None, metadata: Any = None, **kwargs: Any) -> Any:
            sent = [*(metadata or ())]
            if self._tokens is not None:
                sent.append(("authorization", f"Bearer {self._tokens.token()}"))
            request_id = current_request_id()
            if request_id:
                sent.append((REQUEST_ID_KEY, request_id))
            return call(*args, timeout=default_timeout if timeout is None else timeout, metadata=sent, **kwargs)

        return start

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._prepared(self._plain.unary_unary(*args, **kwargs), self._timeout)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._prepared(self._plain.stream_unary(*args, **kwargs), None)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._prepared(self._plain.unary_stream(*args, **kwargs), None)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._prepared(self._plain.stream_stream(*args, **kwargs), None)

    async def close(self, grace: float | None = None) -> None:
        await self._plain.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._plain.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._plain.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._plain.channel_ready()

    async def __aenter__(self) -> _Channel:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()
