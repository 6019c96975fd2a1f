"""HTTP requests: where they go, what they change, and what they carry."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from services.approval.risk.detectors import secrets
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

_METADATA = frozenset(
    "169.254.169.254 metadata.google.internal metadata 100.100.100.200 169.254.170.2 fd00:ec2::254 metadata.azure.internal 192.0.0.192 instance-data".split()
)
_DESTRUCTIVE = frozenset("delete destroy remove purge drop wipe terminate shutdown reset revoke truncate flush deactivate uninstall".split())
_MONEY = frozenset(
    "payment payments charge charges billing payout payouts refund refunds transfer transfers invoice invoices checkout subscriptions withdraw withdrawals purchase".split()
)
_RIGHTS = frozenset("admin permissions roles users tokens keys credentials secrets webhooks hooks collaborators acl policies".split())
_DROP_SITES = re.compile(
    r"(?i)(?:^|\.)(?:pastebin\.com|paste\.ee|hastebin\.com|transfer\.sh|file\.io|0x0\.st|ix\.io|termbin\.com|webhook\.site|requestbin\.\w+|pipedream\.net|ngrok(?:-free)?\.(?:io|app)"
    r"|burpcollaborator\.net|oast\.\w+|interact\.sh|anonfiles\.com|gofile\.io|discord(?:app)?\.com/api/webhooks|api\.telegram\.org|canarytokens\.com|dnslog\.cn|ceye\.io|bashupload\.com|catbox\.moe|serveo\.net)$"
)


def _factor(id: str, weight: int, message: str, excerpt: str, safer: str = "") -> Factor:
    return Factor(id, id.partition(".")[0], message, weight, excerpt=secrets.redact(excerpt)[:200], safer_alternative=safer)


def canonical_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host part means, in any of its spellings (decimal, hexadecimal, octal, short, mapped); None for a name."""
    text = host.strip("[]").lower().partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        return mapped or address
    except ValueError:
        pass
    parts = text.rstrip(".").split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers: list[int] = []
    for part in parts:
        if not re.fullmatch(r"0x[0-9a-f]{1,8}|[0-9]{1,11}", part):
            return None
        base = 16 if part.startswith("0x") else 8 if len(part) > 1 and part[0] == "0" else 10
        try:
            numbers.append(int(part, base))
        except ValueError:
            return None
    tail = numbers.pop()
    if any(n > 255 for n in numbers) or tail >= 256 ** (4 - len(numbers)):
        return None
    value = tail
    for index, number in enumerate(numbers):
        value += number << (8 * (3 - index))
    return ipaddress.IPv4Address(value)


def assess_request(method: str, url: str, headers: Mapping[str, str], body: str | None, *, command: bool = False) -> list[Factor]:
    """Factors of one request. `command` is for a request made by a shell command, whose body is assessed with the command."""
    factors: list[Factor] = []
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return [Factor("unreadable.url", "unreadable", "The address cannot be read.", NOTE, excerpt=url[:200])]
    scheme = parts.scheme.lower()
    if scheme == "file":
        return []
    if scheme not in ("http", "https"):
        factors.append(_factor("api.scheme", MEDIUM, f"Uses {scheme}, not HTTP.", url))
    ip = canonical_address(host)
    local = host in ("localhost", "") or host.endswith((".localhost", ".test")) or (ip is not None and ip.is_loopback)
    if host in _METADATA or (ip is not None and (str(ip) in _METADATA or ip.is_link_local)):
        factors.append(
            _factor(
                "api.metadata",
                HIGH,
                "Reads the machine's cloud credentials from its metadata service.",
                url,
                "Use the credentials that were given to the agent.",
            )
        )
    elif ip is not None and str(ip) != host and not local:
        factors.append(_factor("api.odd-address", SERIOUS, f"Hides the address {ip}.", url))
    elif ip is not None and ip.is_private and not local:
        factors.append(_factor("api.private", MINOR, "Reaches into a private network.", url))
    if _DROP_SITES.search(host) or "discord.com/api/webhooks" in url:
        factors.append(_factor("api.drop-site", SERIOUS if method != "GET" else MEDIUM, "Talks to a service that is used to hand data over.", url))
    if parts.password:
        factors.append(
            _factor("secret.url-password", SERIOUS, "A password is part of the address.", url, "Send it in a header, from a secret store.")
        )
    if HIDDEN in host:
        factors.append(_factor("api.hidden-host", MINOR, "Where it goes is not known before it runs.", url.replace(HIDDEN, "…")))
    if scheme == "http" and not local and not (command and method == "GET" and not headers):
        sends = bool(body) or any(k.lower() in ("authorization", "cookie", "x-api-key") for k in headers)
        factors.append(_factor("api.plaintext", MEDIUM if sends else NOTE, "Goes over the network unencrypted.", url, "Use https."))
    factors += _effect(method.upper(), parts.path, url, local)
    if not command:
        carried = "\n".join([url, *(f"{k}: {v}" for k, v in headers.items()), body or ""])
        factors += secrets.detect(carried)
    return factors


def _effect(method: str, path: str, url: str, local: bool) -> list[Factor]:
    if method in ("GET", "HEAD", "OPTIONS", ""):
        return []
    words = {w for w in re.split(r"[/._:-]+", unquote(path).lower()) if w}
    excerpt = f"{method} {url}"
    factors: list[Factor] = []
    if method == "DELETE":
        factors.append(_factor("api.delete", SERIOUS if not local else MEDIUM, "Deletes something through an API.", excerpt, "Read it first."))
    elif words & _DESTRUCTIVE:
        factors.append(_factor("api.destructive", SERIOUS, "Calls an operation whose name says that it destroys.", excerpt))
    if words & _MONEY and not local:
        factors.append(_factor("api.money", SERIOUS, "May move money.", excerpt, "Use the test mode."))
    if words & _RIGHTS and not local:
        factors.append(_factor("api.rights", MEDIUM, "Changes users, rights or keys.", excerpt))
    if method in ("PUT", "PATCH"):
        factors.append(_factor("api.change", MINOR if local else MEDIUM, "Changes something through an API.", excerpt))
    elif method not in ("DELETE",):
        factors.append(_factor("api.post", NOTE if local else MINOR, "Sends something to an API.", excerpt))
    return factors
