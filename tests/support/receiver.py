"""An HTTP server that takes webhooks, and answers as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HANG = 0
"""The status of an answer that never comes."""


@dataclass(frozen=True)
class Received:
    """A request as it came; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Of the delivery."""
        return self.headers["harness-delivery"]

    @property
    def event(self) -> str:
        """Of the delivery."""
        return self.headers["harness-event"]

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answers` are used up, one a request (a status, or HANG, and headers); after them it answers 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)

    def will(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next requests like this."""
        self.answers += [(status, headers or {}) for status in statuses]

    async def get(self, count: int) -> list[Received]:
        """The requests, when there are as many as that; fails after a minute."""
        for _ in range(3000):
            if len(self.received) >= count:
                return self.received
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len(self.received)} requests instead of {count}")

    async def quiet(self, count: int, seconds: float = 0.5) -> list[Received]:
        """The requests, after nothing more than these came for a while."""
        await self.get(count)
        await asyncio.sleep(seconds)
        assert len(self.received) == count, [one.headers for one in self.received]
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the requests of a connection."""
        try:
            while line := await reader.readline():
                headers = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers["content-length"]))
                self.received.append(Received(line.decode().split(" ")[1], headers, body))
                status, more = self.answers.pop(0) if self.answers else (200, {})
                if status == HANG:
                    await asyncio.sleep(60)
                lines = [
                    f"HTTP/1.1 {status} -",
                    "Content-Length: 0",
                    *(f"{name}: {text}" for name, text in more.items()),
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a loopback port."""
    receiver = Receiver()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        connections.add(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=hidden"
    try:
        yield receiver
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
