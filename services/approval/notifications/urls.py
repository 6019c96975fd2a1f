"""Where deliveries may go, and what is shown of it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

MASK = "********"


def problem_with(url: str, *, allow_http: bool) -> str:
    """Why nothing is sent there; empty if it is fine.

    https only, so that nobody on the way reads or changes it; http to this very host, and where it is allowed.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "it cannot be read as an address"
    if not url.isascii() or not url.isprintable() or " " in url or MASK in url:
        return "it must be printable ASCII, and not masked: give it whole"
    if parts.scheme not in ("https", "http") or not host:
        return "it must begin with https://, and name a host"
    if parts.username is not None or parts.password is not None:
        return "it must have no user and password: deliveries are signed instead"
    if parts.fragment:
        return "it must have no fragment"
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        return "it must be https; HARNESS_APPROVAL_WEBHOOK_HTTP allows http to other hosts"
    return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def masked(url: str) -> str:
    """The address with its path and query masked: they are what lets whoever knows them post."""
    parts = urlsplit(url)
    rest = url[len(f"{parts.scheme}://{parts.netloc}") :]
    return f"{parts.scheme}://{parts.netloc}/{MASK if rest.strip('/') else ''}"
