"""HTTP headers as gRPC metadata and back, by the rules of grpc-gateway.

In: `Authorization` as `authorization`; `Grpc-Metadata-<Key>` as `<key>`; the registered request headers as
`grpcgateway-<name>`; who calls as `x-forwarded-for` and `x-forwarded-host`; `Grpc-Timeout` as the deadline;
`traceparent` and `tracestate` as they are. Out: each key of the initial metadata as `Grpc-Metadata-<key>`, of the
trailing one as `Grpc-Trailer-<key>`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence

from services.runtime.errors import InvalidArgument
from services.runtime.pipeline import REQUEST_ID_KEY

Headers = Sequence[tuple[bytes, bytes]]
Pairs = list[tuple[str, str | bytes]]

PREFIX = "grpc-metadata-"
TRAILER_PREFIX = "grpc-trailer-"
PERMANENT_PREFIX = "grpcgateway-"
# IANA's permanent request headers, in grpc-gateway's selection, but for Authorization: it is sent once, as itself, for
# a token of 8 KiB sent twice would exceed what gRPC takes as metadata.
PERMANENT = frozenset(
    (
        "accept accept-charset accept-language accept-ranges cache-control content-type cookie date expect from host "
        "if-match if-modified-since if-none-match if-schedule-tag-match if-unmodified-since max-forwards origin pragma "
        "referer user-agent via warning"
    ).split()
)
# Set by the gateway alone, so that nobody else can.
_RESERVED = frozenset({"x-forwarded-for", "x-forwarded-host", REQUEST_ID_KEY})
_TRACE = frozenset({"traceparent", "tracestate"})
# What gRPC keeps for itself; its library refuses calls that carry them.
_OF_GRPC = "grpc-"
_KEY = re.compile(r"[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]*")
_TIMEOUT = re.compile(r"([0-9]{1,20})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# A deadline further away than a year is none.
_MAX_TIMEOUT = 365 * 24 * 3600.0


def incoming(headers: Headers, client: str) -> Pairs:
    """The metadata of a call.

    Args:
        headers: of the HTTP request, names in lower case.
        client: the address that the request came from; empty if unknown.

    Raises:
        InvalidArgument: HEADER_INVALID, a binary header is not base64.
    """
    pairs: Pairs = []
    forwarded: list[str] = []
    host = forwarded_host = ""
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        readable = _TEXT.fullmatch(value) is not None
        if name == "authorization":
            if readable:
                pairs.append((name, value))
        elif name == "x-forwarded-for":
            if readable:
                forwarded.append(value)
        elif name == "x-forwarded-host":
            forwarded_host = forwarded_host or (value if readable else "")
        elif name in _TRACE:
            if readable:
                pairs.append((name, value))
        elif name.startswith(PREFIX):
            pairs.extend(_named(name.removeprefix(PREFIX), value))
        elif name in PERMANENT:
            if name == "host":
                host = value if readable else ""
            if readable:
                pairs.append((PERMANENT_PREFIX + name, value))
    if forwarded_host or host:
        pairs.append(("x-forwarded-host", forwarded_host or host))
    if client:
        forwarded.append(client)
    if forwarded:
        pairs.append(("x-forwarded-for", ", ".join(forwarded)))
    return pairs


def _named(key: str, value: str) -> Pairs:
    """A Grpc-Metadata header, unless its key is not one, or one that only the gateway may set."""
    if not _KEY.fullmatch(key) or key in _RESERVED or key.startswith((PERMANENT_PREFIX, _OF_GRPC)):
        return []
    if key.endswith("-bin"):
        try:
            padded = value if len(value) % 4 == 0 else value + "=" * (-len(value) % 4)
            return [(key, base64.b64decode(padded.encode("ascii"), validate=True))]
        except (binascii.Error, UnicodeEncodeError):
            raise InvalidArgument(
                "HEADER_INVALID", f"the header {PREFIX}{key[:64]} must be base64, for its name ends in -bin"
            ) from None
    return [(key, value)] if _TEXT.fullmatch(value) else []


def timeout(value: str | None) -> float | None:
    """The seconds in a Grpc-Timeout header, such as `500m`; None without one, or for zero.

    Raises:
        InvalidArgument: HEADER_INVALID.
    """
    if not value:
        return None
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidArgument(
            "HEADER_INVALID",
            "Grpc-Timeout is a number with a unit: H, M, S, m (milli), u (micro) or n (nano), as in 5S",
        )
    return min(int(match[1]) * _UNITS[match[2]], _MAX_TIMEOUT) or None


def outgoing(metadata: Iterable[tuple[str, str | bytes]] | None, prefix: str) -> list[tuple[str, str]]:
    """Metadata of a response as headers, binary values in base64."""
    return [
        (prefix + key, base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value)
        for key, value in metadata or ()
        if not key.startswith(_OF_GRPC) and key != REQUEST_ID_KEY
    ]
