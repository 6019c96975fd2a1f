"""HTTP as bytes on a socket, for what no client would send."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from services.gateway.process import Gateway


@dataclass
class Answer:
    """What came back, until the server closed the connection or the answer was complete."""

    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        head, _, self.body = self.data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            self.headers[name.decode().lower()] = value.decode()

    @property
    def status(self) -> int:
        """0 when the connection was closed without an answer."""
        return int(self.data.split(b" ")[1]) if self.data else 0

    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(gateway: Gateway, *parts: bytes, pause: float = 0.0) -> Answer:
    """Send the parts and return everything up to the end of the connection, which the request must ask for."""
    host, _, port = gateway.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        return Answer(await reader.read(-1))
    except (ConnectionResetError, BrokenPipeError):
        # The server has answered and closed while we were still sending; what it said may be lost with that.
        return Answer(b"")
    finally:
        writer.close()


def request(target: str | bytes, *headers: bytes, method: str = "GET", body: bytes = b"") -> bytes:
    """A request after which the server closes the connection."""
    path = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
