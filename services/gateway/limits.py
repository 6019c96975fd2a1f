"""Bodies: read to a limit of size and time, and packed and unpacked with gzip, to the same limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.gateway.errors import TooLarge, TooSlow
from services.runtime.errors import InvalidArgument

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# Smaller ones do not gain what packing costs.
MIN_GZIP_BYTES = 1024
_GZIP_LEVEL = 4
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class ClientGone(Exception):
    """The client closed the connection; nobody reads an answer."""


async def read_body(receive: Receive, announced: str, max_bytes: int, seconds: float) -> bytes:
    """The whole body of a request.

    Args:
        receive: of ASGI.
        announced: the Content-Length header; empty without one.
        max_bytes: that it may have.
        seconds: that it may take.

    Raises:
        TooLarge: BODY_TOO_LARGE, before more than that is kept.
        TooSlow: BODY_TOO_SLOW.
        ClientGone: the connection is closed.
    """
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise TooSlow("BODY_TOO_SLOW", f"the body did not arrive within {seconds:g} s; send it again") from None


def unpack(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body as it was before its Content-Encoding: gzip, or none.

    Raises:
        InvalidArgument: ENCODING_UNKNOWN, or BODY_INVALID for what is not gzip.
        TooLarge: BODY_TOO_LARGE, before more than that is unpacked.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise InvalidArgument("ENCODING_UNKNOWN", "a body is packed with gzip, or not at all; see Content-Encoding")
    unpacked, rest = bytearray(), body
    try:
        # Files that were packed one by one and joined are one body.
        while rest:
            unpacker = zlib.decompressobj(_GZIP_WINDOW)
            unpacked += unpacker.decompress(rest, max_bytes - len(unpacked) + 1)
            if len(unpacked) > max_bytes:
                raise _too_large(max_bytes)
            if not unpacker.eof:
                raise InvalidArgument("BODY_INVALID", "the gzip body ends in the middle")
            rest = unpacker.unused_data
    except zlib.error:
        raise InvalidArgument("BODY_INVALID", "the body is not what its Content-Encoding says: gzip") from None
    return bytes(unpacked)


def pack(body: bytes) -> bytes:
    """The body, packed with gzip."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not only to refuse it."""
    for part in accept_encoding.split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip().lower() in ("gzip", "x-gzip", "*"):
            return parameter.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("BODY_TOO_LARGE", f"the body has more than {max_bytes} bytes", max_bytes=max_bytes)
