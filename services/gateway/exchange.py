"""One HTTP request and its answer: what a call needs to know of the one, and how it gives the other."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from services.gateway import limits
from services.gateway.errors import CLIENT_CLOSED, Failure
from services.gateway.metrics import CONNECTIONS_REFUSED, IN_FLIGHT, LATENCY, REQUESTS
from services.runtime.context import bind_request_id
from services.runtime.pipeline import REQUEST_ID_KEY

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderPairs = list[tuple[str, str]]

JSON = "application/json"
# What the server puts into the state of a request: how to cut its connection off, and how long a client may take
# nothing before that is done.
ABORT, PATIENCE = "abort", "patience"
# What may come back in logs and headers; anything else is replaced by an id of ours.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_NO_RPC = "none"
# What a header cannot hold: the end of a line would begin another one.
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class Exchange:
    """From the headers of a request to the end of its answer.

    Attributes:
        headers: names in lower case, in the order in which they came.
        request_id: the client's, or one made here; in the answer's headers, the log and the call.
        rpc: what is called, once that is known.
        started: the answer's status has been sent.
    """

    def __init__(self, scope: Scope, receive: limits.Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.method: str = scope["method"]
        self.rpc = _NO_RPC
        self.started = False
        self._values: dict[bytes, str] = {name: value.decode("latin-1") for name, value in reversed(self.headers)}
        self._send = send
        self._begun = time.perf_counter()
        self._status = 0
        given = self.header(REQUEST_ID_KEY)
        self.request_id: str = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        bind_request_id(self.request_id)

    def header(self, name: str) -> str:
        """The first value of a header; empty without one."""
        return self._values.get(name.encode("ascii"), "")

    @property
    def client(self) -> str:
        """The address that the request came from."""
        client: tuple[str, int] | None = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def takes_trailers(self) -> bool:
        return "trailers" in self.header("te").lower()

    async def body(self, max_bytes: int, seconds: float) -> bytes:
        """The body, unpacked. Raises as `limits.read_body` and `limits.unpack` do."""
        packed = await limits.read_body(self.receive, self.header("content-length"), max_bytes, seconds)
        return limits.unpack(packed, self.header("content-encoding"), max_bytes)

    async def gone(self) -> None:
        """Return when the client has closed the connection (or the answer is complete)."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: HeaderPairs, *, trailers: bool = False) -> None:
        """Send status and headers."""
        self.started, self._status = True, status
        lines = [*headers, (REQUEST_ID_KEY, self.request_id)]
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": _encoded(lines),
                "trailers": trailers,
            }
        )

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of the body; waits while the client does not take it.

        Raises:
            ClientGone: it took nothing for too long, and is cut off.
        """
        state = self.scope["state"]
        try:
            async with asyncio.timeout(state[PATIENCE]):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            CONNECTIONS_REFUSED.labels("write_seconds").inc()
            state[ABORT]()
            raise limits.ClientGone from None

    async def trail(self, headers: HeaderPairs) -> None:
        """Send the trailers that `start` has announced, after the end of the body."""
        message = {"type": "http.response.trailers", "headers": _encoded(headers), "more_trailers": False}
        await self._send(message)

    async def reply(self, status: int, body: bytes, headers: HeaderPairs, trailers: HeaderPairs | None = None) -> None:
        """Send a whole answer; packed, where the client takes that and it gains something."""
        headers = [("content-type", JSON), *headers]
        if len(body) >= limits.MIN_GZIP_BYTES:
            headers.append(("vary", "accept-encoding"))
            if limits.takes_gzip(self.header("accept-encoding")):
                body = limits.pack(body)
                headers.append(("content-encoding", "gzip"))
        if trailers:
            headers.extend(("trailer", name) for name in sorted({name for name, _ in trailers}))
            await self.start(status, headers, trailers=True)
            await self.write(body, more=False)
            await self.trail(trailers)
            return
        await self.start(status, [*headers, ("content-length", str(len(body)))])
        await self.write(body, more=False)

    async def fail(self, failure: Failure, headers: HeaderPairs | None = None) -> None:
        """Send an error as the whole answer."""
        closing = [("connection", "close")] if failure.http in (408, 413) else []
        await self.reply(failure.http, failure.body(), [*failure.headers, *(headers or []), *closing])

    def __enter__(self) -> Exchange:
        IN_FLIGHT.inc()
        return self

    def __exit__(self, *_exc: object) -> None:
        seconds = time.perf_counter() - self._begun
        status = self._status or CLIENT_CLOSED
        IN_FLIGHT.dec()
        LATENCY.labels(self.rpc).observe(seconds)
        REQUESTS.labels(self.rpc, str(status)).inc()
        facts = {"rpc": self.rpc, "method": self.method, "status": status, "ms": round(seconds * 1000, 2)}
        if status >= 500 and status not in (501, 504):
            log.warning("http", **facts)
        else:
            log.debug("http", **facts)


def _encoded(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), _UNPRINTABLE.sub("?", value).encode("ascii")) for name, value in headers]
