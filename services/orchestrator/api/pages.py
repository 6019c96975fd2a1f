"""Pages of lists: cursors, and responses that fit into a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from services.orchestrator.store.listing import Entry
from services.runtime.errors import InvalidArgument

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends here even if it has room for more items: a message has 4 MiB by default."""

READ_BATCH = 100
"""Items read at a time, so that a page of large ones is not read to be thrown away."""

M = TypeVar("M", bound=Message)
Load = Callable[[Sequence[str]], Awaitable[Sequence[M | None]]]


def cursor_of(entry: Entry) -> str:
    """Return the position after an entry."""
    return f"{entry.created_ms}.{entry.id}"


def entry_of(cursor: str) -> Entry | None:
    """Return the entry that a cursor stands behind; None for the beginning. Raises InvalidArgument."""
    if not cursor:
        return None
    created_ms, _, identifier = cursor.partition(".")
    return Entry(number_of(created_ms), identifier)


def number_of(cursor: str) -> int:
    """Return the number in a cursor, 0 for the beginning. Raises InvalidArgument."""
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID",
            "page_token was not made by this service; repeat the first call without a token",
            violations=[("page_token", "not a token of this query")],
        )
    return int(cursor)


async def rows(entries: Sequence[Entry], load: Load[M]) -> AsyncIterator[tuple[str, M | None]]:
    """Yield each entry's cursor and message, loaded READ_BATCH at a time and only as far as the page goes."""
    for start in range(0, len(entries), READ_BATCH):
        batch = entries[start : start + READ_BATCH]
        for entry, message in zip(batch, await load([entry.id for entry in batch]), strict=True):
            yield cursor_of(entry), message


async def fill(found: AsyncIterator[tuple[str, M | None]], more: bool) -> tuple[list[M], str]:
    """Take messages with their cursors until the page is full; return them and the next cursor, "" at the end.

    `more`: whether anything follows what was found. A row without a message takes no room.
    """
    taken: list[M] = []
    size = 0
    last = ""
    async for cursor, message in found:
        needed = message.ByteSize() if message is not None else 0
        if taken and size + needed > MAX_PAGE_BYTES:
            return taken, last
        if message is not None:
            taken.append(message)
            size += needed
        last = cursor
    return taken, last if more else ""
