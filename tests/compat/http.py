"""A plain HTTP/1.1 client that sends what it is told to the letter, and keeps all of an answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Self

_LIMIT = 30.0


@dataclass
class Answer:
    """What came back; names of headers and trailers in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str:
        """The values of a header, in order, joined; empty without one."""
        return ", ".join(value for key, value in self.headers if key == name)


class Connection:
    """A connection to one server, opened again when the server has closed it."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._close()

    async def send(
        self, method: str, target: bytes, headers: list[tuple[str, str]], body: bytes, lines: int = 0
    ) -> Answer:
        """Send a request and read its answer.

        Args:
            lines: end after so many lines of the body, and close the connection; 0 reads to the end.
        """
        pieces = [method.encode() + b" " + target + b" HTTP/1.1", f"host: {self._host}".encode()]
        pieces += [f"{name}: {value}".encode("latin-1") for name, value in headers]
        if body or method in ("POST", "PUT", "PATCH"):
            pieces.append(b"content-length: %d" % len(body))
        data = b"\r\n".join([*pieces, b"", body])
        async with asyncio.timeout(_LIMIT):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._writer.write(data)
            answer = await self._read(method, lines)
        if lines or answer.header("connection").lower() == "close":
            self._close()
        return answer

    async def _read(self, method: str, lines: int) -> Answer:
        assert self._reader is not None
        reader = self._reader
        status = int((await reader.readuntil(b"\r\n")).split(b" ")[1])
        answer = Answer(status, await _fields(reader), b"")
        if method == "HEAD" or status in (204, 304):
            return answer
        if answer.header("transfer-encoding") != "chunked":
            answer.body = await reader.readexactly(int(answer.header("content-length") or 0))
            return answer
        while size := int(await reader.readuntil(b"\r\n"), 16):
            answer.body += (await reader.readexactly(size + 2))[:-2]
            if lines and answer.body.count(b"\n") >= lines:
                answer.body = b"".join(answer.body.splitlines(keepends=True)[:lines])
                return answer
        answer.trailers = await _fields(reader)
        return answer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _fields(reader: asyncio.StreamReader) -> list[tuple[str, str]]:
    """Header lines up to an empty one."""
    found = []
    while line := (await reader.readuntil(b"\r\n"))[:-2]:
        name, _, value = line.decode("latin-1").partition(":")
        found.append((name.lower(), value.strip()))
    return found
