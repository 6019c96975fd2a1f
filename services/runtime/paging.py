"""Pages (AIP-158): clamped sizes, and opaque tokens that hold only for the query that made them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from google.protobuf.message import Message

from services.runtime.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_BINDING_BYTES = 8
_MAX_TOKEN_CHARS = 2048


@dataclass(frozen=True)
class Page:
    """One page to read: at most `size` items after `cursor` ("" is the beginning)."""

    size: int
    cursor: str
    query: str

    def next_token(self, cursor: str | None) -> str:
        """The token of the page after `cursor`; empty, as AIP-158 wants it, when there is none (None or "")."""
        if not cursor:
            return ""
        payload = _binding(self.query) + cursor.encode()
        return base64.urlsafe_b64encode(payload).decode().rstrip("=")


def query_of(request: Message) -> str:
    """What a token is bound to: the request without its paging fields."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name in ("page_size", "page_token"):
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    return copy.DESCRIPTOR.full_name + "\0" + copy.SerializeToString(deterministic=True).hex()


def page_of(
    page_size: int, page_token: str, query: str, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE
) -> Page:
    """The page that a request asks for; a size of 0 is the default, one beyond the maximum is the maximum.

    A token is opaque, not secret: it can only move the position within what the caller may list anyway.

    Raises:
        InvalidArgument: PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID (damaged, or made for another query).
    """
    if page_size < 0:
        raise InvalidArgument(
            "PAGE_SIZE_INVALID",
            "page_size must not be negative; leave it out for the default",
            violations=[("page_size", "must be 0 or more")],
        )
    size = min(page_size or default, maximum)
    if not page_token:
        return Page(size, "", query)
    try:
        if len(page_token) > _MAX_TOKEN_CHARS:
            raise ValueError("too long")
        payload = base64.b64decode(page_token + "=" * (-len(page_token) % 4), altchars=b"-_", validate=True)
        if payload[:_BINDING_BYTES] != _binding(query):
            raise ValueError("made for another query")
        cursor = payload[_BINDING_BYTES:].decode()
    except (ValueError, binascii.Error):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID",
            "page_token does not belong to this query; repeat the first call without a token, and change nothing but "
            "page_size between pages",
            violations=[("page_token", "not a token of this query")],
        ) from None
    return Page(size, cursor, query)


def page_for(request: Message, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE) -> Page:
    """`page_of` for a request message with `page_size` and `page_token`. Raises as `page_of`."""
    size: int = getattr(request, "page_size")  # noqa: B009 - every list request has the fields, Message does not
    token: str = getattr(request, "page_token")  # noqa: B009
    return page_of(size, token, query_of(request), default=default, maximum=maximum)


def _binding(query: str) -> bytes:
    return hashlib.blake2b(query.encode(), digest_size=_BINDING_BYTES).digest()
