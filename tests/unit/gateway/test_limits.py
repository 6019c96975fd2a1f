"""Bodies: how much of them is read, and unpacked."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import limits
from services.gateway.errors import TooLarge, TooSlow
from services.runtime.errors import InvalidArgument
from tests.support.patience import ends


def receiving(*parts: bytes, end: bool = True) -> limits.Receive:
    messages: list[Any] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b""} if end else {"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    return receive


async def test_a_body_is_read_to_its_end() -> None:
    assert await limits.read_body(receiving(b"ab", b"", b"c"), "3", 3, 50) == b"abc"
    assert await limits.read_body(receiving(), "", 3, 50) == b""


async def test_a_body_that_is_too_large_is_not_kept() -> None:
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        await limits.read_body(receiving(), "4", 3, 50)
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        await limits.read_body(receiving(b"ab", b"cd"), "", 3, 50)
    # What is announced is not believed.
    with pytest.raises(TooLarge):
        await limits.read_body(receiving(b"abcd"), "1", 3, 50)


async def test_a_body_that_does_not_arrive() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(TooSlow, match=r"within 0\.01 s"):
        await limits.read_body(never, "", 3, 0.01)
    with pytest.raises(limits.ClientGone):
        await limits.read_body(receiving(b"a", end=False), "", 3, 50)


@given(st.binary(max_size=2000))
def test_packing_and_unpacking(body: bytes) -> None:
    assert limits.unpack(limits.pack(body), "gzip", 2000) == body
    assert limits.unpack(gzip.compress(body) + gzip.compress(b"more"), "GZIP", 2004) == body + b"more"
    assert limits.unpack(body, "identity", 1) == body


@pytest.mark.parametrize(
    ("body", "encoding", "what"),
    [
        (b"abc", "gzip", "not what its Content-Encoding says"),
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip", "ends in the middle"),
        (gzip.compress(b"abc", mtime=0) + b"tail", "gzip", "not what its Content-Encoding says"),
        (b"abc", "br", "packed with gzip"),
        (b"abc", "gzip, gzip", "packed with gzip"),
    ],
)
def test_what_cannot_be_unpacked(body: bytes, encoding: str, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        limits.unpack(body, encoding, 100)


def test_a_bomb_is_not_unpacked() -> None:
    layer = gzip.compress(bytes(200_000_000), 1)
    with ends(), pytest.raises(TooLarge):
        limits.unpack(layer, "gzip", 1_000_000)
    with ends(), pytest.raises(TooLarge):
        limits.unpack(gzip.compress(bytes(600_000)) * 2, "gzip", 1_000_000)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("", False), ("gzip", True), ("br, GZip;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False),
        ("br", False), ("*", True), ("*;q=0", False), ("identity", False), ("gzip-like", False),
    ],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, takes: bool) -> None:
    assert limits.takes_gzip(accepted) is takes
