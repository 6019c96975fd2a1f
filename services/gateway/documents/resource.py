"""Something with fixed content at a path: validators, compression made once, and what browsers may do with it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.limits import takes_gzip

# Asked for again at every use, and answered with 304 while it is the same: a document changes with an update.
REVALIDATE = "no-cache"
# The version is in the path.
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Resource:
    """Content at a path, in bytes. `menu` is its name among the documents that Swagger UI offers, if it is one."""

    path: str
    media_type: str
    content: bytes
    cache: str = REVALIDATE
    headers: dict[str, str] = field(default_factory=dict)
    menu: str = ""

    @cached_property
    def etag(self) -> str:
        """A weak validator: compressed or not, it is the same."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @cached_property
    def compressed(self) -> bytes:
        """The content in gzip."""
        return gzip.compress(self.content, mtime=0)

    def route(self) -> Route:
        """The route that serves it for GET and HEAD."""
        return Route(self.path, self.serve, methods=["GET"], include_in_schema=False)

    def serve(self, request: Request) -> Response:
        """Answer with the content, or with 304 if the caller has it."""
        headers = {
            "etag": self.etag,
            "cache-control": self.cache,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            **self.headers,
        }
        if _has(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        if takes_gzip(request.headers.get("accept-encoding", "")):
            headers["content-encoding"] = "gzip"
            return Response(self.compressed, media_type=self.media_type, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def _has(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names a validator, by the weak comparison of RFC 9110, 8.8.3.2."""
    named = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in named or etag.removeprefix("W/") in named
