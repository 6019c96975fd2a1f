"""The HTTP server: uvicorn in this process's event loop, with a protocol that cuts off what never ends.

uvicorn's own protocol waits for ever for the headers of a request, and keeps whatever arrives of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.gateway.errors import Failure, failure
from services.gateway.exchange import ABORT, PATIENCE
from services.gateway.metrics import CONNECTIONS_REFUSED
from services.gateway.settings import GatewaySettings
from services.runtime.addresses import is_local
from services.runtime.errors import ConfigurationError, DeadlineExceeded, InvalidArgument

log = structlog.get_logger(__name__)

_BACKLOG = 2048
_UNIX = "unix:"
# Seconds, seconds and times: gone is who does not answer for two minutes.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
# Below it, uvicorn tells how it starts and stops, and of every request that is not HTTP: whoever sends one.
_UVICORN_LOG_LEVEL = logging.ERROR
_HEADER_FIELD_OVERHEAD = 4  # the colon, the space and the line's end


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection, with limits on the time and size of a request's headers, and with trailers."""

    def __init__(self, *args: Any, limits: GatewaySettings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        # From the end of a request to the end of the next one's headers; `_head_begun` from their first byte.
        self._reading_head, self._head_begun = True, False
        self._head_bytes = 0
        self._head_size = 0
        self._refusal: Failure | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _notice_absence(transport)
        if len(self.connections) > self._limits.gateway_max_connections:
            CONNECTIONS_REFUSED.labels("connections").inc()
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            if self.cycle is None or self.cycle.response_complete:
                self._await_head()
            # A single header may arrive in many pieces before the parser tells of it.
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reading_head and self._head_bytes > self._limits.gateway_max_header_bytes:
            self._refuse(431, InvalidArgument("HEADERS_TOO_LARGE", self._too_large()), "header_bytes")

    def on_message_begin(self) -> None:
        self._reading_head, self._head_begun, self._head_size = True, True, 0
        super().on_message_begin()
        # Closing waits until a client has taken what is left for it; this does not.
        self.scope["state"][ABORT] = self.transport.abort
        self.scope["state"][PATIENCE] = self._limits.gateway_write_timeout_seconds

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _HEADER_FIELD_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._reading_head, self._head_begun, self._head_bytes = False, False, 0
        self._head_arrived()
        super().on_headers_complete()
        if any(name == b"te" and b"trailers" in value.lower() for name, value in self.headers):
            self.cycle.send = _Trailing(self.cycle).send  # type: ignore[method-assign]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading_head, self._head_bytes = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next request may have begun to arrive while this one was answered.
        if self._head_begun:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or was refused while it was parsed."""
        refusal = self._refusal or failure(InvalidArgument("HTTP_INVALID", "the request is not HTTP/1.1"), "")
        self._close_with(refusal)

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._limits.gateway_max_header_bytes:
            self._refusal = _refusal(431, InvalidArgument("HEADERS_TOO_LARGE", self._too_large()))
            CONNECTIONS_REFUSED.labels("header_bytes").inc()
            # Ends the parsing; the parser's error is answered by `send_400_response`.
            raise ValueError("headers too large")

    def _too_large(self) -> str:
        return f"the request line and headers have more than {self._limits.gateway_max_header_bytes} bytes"

    def _await_head(self) -> None:
        if self._head_timer is None:
            seconds = self._limits.gateway_header_timeout_seconds
            self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        seconds = self._limits.gateway_header_timeout_seconds
        late = DeadlineExceeded("HEADERS_TOO_SLOW", f"the request's headers did not arrive within {seconds:g} s")
        self._refuse(408, late, "header_seconds")

    def _refuse(self, status: int, error: InvalidArgument | DeadlineExceeded, why: str) -> None:
        CONNECTIONS_REFUSED.labels(why).inc()
        self._close_with(_refusal(status, error))

    def _close_with(self, refusal: Failure) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = refusal.body()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[refusal.http] + head + body)
        self.transport.close()


def _notice_absence(transport: asyncio.Transport) -> None:
    """Let the system find out when the other side has vanished without a word: an idle stream would never."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _refusal(status: int, error: InvalidArgument | DeadlineExceeded) -> Failure:
    refused = failure(error, "")
    return Failure(status, refused.status, refused.headers)


class _Trailing:
    """Sends trailers at the end of a chunked answer, for a client that said it takes them; uvicorn cannot."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._plain_send = cycle.send
        self._expected = False

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._expected = message.get("trailers", False)
        elif kind == "http.response.body" and self._expected and not message.get("more_body", False):
            message = {**message, "more_body": True}
        elif kind == "http.response.trailers":
            await self._finish(message["headers"])
            return
        await self._plain_send(message)

    async def _finish(self, headers: list[tuple[bytes, bytes]]) -> None:
        cycle = self._cycle
        if cycle.disconnected:
            return
        lines = b"".join(b"%s: %s\r\n" % (name, value) for name, value in headers)
        if cycle.chunked_encoding:
            cycle.transport.write(b"0\r\n" + lines + b"\r\n")
        # What remains is to end the answer, with nothing more to write.
        cycle.chunked_encoding, cycle.expected_content_length = False, 0
        await self._plain_send({"type": "http.response.body", "body": b"", "more_body": False})


class _Uvicorn(uvicorn.Server):
    """Stopped by its owner, not by signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an ASGI application from `start` to `stop`.

    Raises:
        ConfigurationError: on start, if it cannot listen, or a TLS file cannot be used.
    """

    def __init__(self, settings: GatewaySettings, app: Any) -> None:
        self._settings = settings
        self._config = uvicorn.Config(
            app,
            # uvicorn wants a class; one that has its settings is made of it.
            http=partial(GuardedProtocol, limits=settings),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.gateway_idle_timeout_seconds,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            backlog=_BACKLOG,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            ssl_ca_certs=str(settings.tls_client_ca_file) if settings.tls_client_ca_file else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca_file else ssl.CERT_NONE,
        )
        logging.getLogger("uvicorn.error").setLevel(_UVICORN_LOG_LEVEL)
        self._server = _Uvicorn(self._config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen and serve. Returns the bound address, `host:port` (a free port where 0 was asked for)."""
        settings = self._settings
        try:
            self._config.load()
        except (OSError, ssl.SSLError) as exc:
            raise ConfigurationError(
                f"HARNESS_TLS_CERT_FILE, _KEY_FILE or _CLIENT_CA_FILE cannot be used: {exc}"
            ) from exc
        listener, address = _listen(settings.listen)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise ConfigurationError("the HTTP server ended as soon as it was started")
            await asyncio.sleep(0.01)
        if settings.is_production and settings.tls_cert_file is None and not is_local(settings.listen):
            log.warning(
                "plain_text", risk="tokens travel unencrypted; set HARNESS_TLS_CERT_FILE or terminate TLS before"
            )
        return address

    async def stop(self) -> None:
        """Take no more connections, let requests in flight finish (`drain_seconds` at most), and close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
            _leave(self._settings.listen)

    def hurry(self) -> None:
        """Cut a stop short."""
        self._server.force_exit = True


def _listen(listen: str) -> tuple[socket.socket, str]:
    """A socket that listens, and where."""
    try:
        if listen.startswith(_UNIX):
            return _listen_on_path(Path(listen.removeprefix(_UNIX))), listen
        host, _, port = listen.rpartition(":")
        bare = host.strip("[]")
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        listener = socket.create_server((bare, int(port)), family=family, backlog=_BACKLOG)
        return listener, f"{host}:{listener.getsockname()[1]}"
    except (OSError, ValueError, OverflowError) as exc:
        raise ConfigurationError(f"cannot listen on {listen} (HARNESS_LISTEN): is the port taken? {exc}") from exc


def _leave(listen: str) -> None:
    """Remove what a unix socket leaves behind."""
    if listen.startswith(_UNIX):
        Path(listen.removeprefix(_UNIX)).unlink(missing_ok=True)


def _listen_on_path(path: Path) -> socket.socket:
    """A socket that listens on a path; what a process that has crashed left there is replaced."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    return listener
