"""Where an address leads: the host of a URL in every spelling, and what kind of place it is."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from services.approval.risk import lookalikes, patterns
from services.approval.risk.detectors import tables
from services.approval.risk.detectors.paths import HIDDEN

_DATA = tables.load("api.yaml")
METADATA = frozenset(_DATA["metadata_hosts"])
_ADDRESS_DOMAINS = frozenset(_DATA["address_domains"])
_LOCAL_DOMAINS = frozenset(_DATA["local_domains"])
_PRIVATE_SUFFIXES = frozenset(_DATA["private_suffixes"])
_SHORTENERS = frozenset(_DATA["shorteners"])
_DROP_HOSTS = {site.partition("/")[0]: site.partition("/")[2] for site in _DATA["drop_sites"]}

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")  # IPv4-compatible, deprecated and still read by some
_EMBEDDED = patterns.compile(
    r"(?:^|[.-])((?:\d{1,3}\.){3}\d{1,3}|(?:\d{1,3}-){3}\d{1,3}|[0-9a-f]{8})(?:$|\.)"
)  # of nip.io and its like: dotted, dashed, or as eight hexadecimal digits

# One slash after the scheme, three, or no scheme: browsers and Node read them all as two.
_SLASHES = patterns.compile(r"^(?i:(https?|wss?):/+|//+)")
# A port that is hidden, or what is hidden right after one, which is the path: the host is known all the same.
_PORT = patterns.compile(rf"^(\w+://[^/?#]*):(\d{{0,5}}){HIDDEN}([^/?#@]*)([/?#]|$)")

_IDEOGRAPHIC_DOT = "\u3002"  # a dot between labels too, by IDNA

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. `host` is decoded, lower-case and without its dot; `ip` is what it means, None for a name.

    `kind`: metadata, local, private, single (a name without a dot), public, none (no host). `odd` says how the address hides
    where it goes, empty when it does not. `secret` is whether a password is in it.
    """

    url: str
    scheme: str
    host: str
    ip: IPAddress | None
    port: int | None
    path: str
    query: str
    kind: str
    odd: str
    secret: bool

    @property
    def drop_site(self) -> bool:
        """Whether it is a service that is used to hand data over."""
        found = next((_DROP_HOSTS[name] for name in _parents(self.host) if name in _DROP_HOSTS), None)
        return found is not None and self.path.lstrip("/").lower().startswith(found)

    @property
    def shortened(self) -> bool:
        """Whether it is a short name for an address that nobody sees."""
        return self.host in _SHORTENERS


def parse(url: str) -> Address | None:
    """A URL, with or without `http://`; None when it cannot be read."""
    text, odd = url, ""
    if "\\" in text:
        # A browser reads a backslash as a slash, other clients as part of the name: the host depends on who asks.
        odd, text = "a backslash, which clients read differently", text.replace("\\", "/")
    text = _SLASHES.sub(lambda match: f"{match.group(1) or 'http'}://", text)
    if "://" not in text and text[:5].lower() not in ("file:", "data:"):
        text = f"http://{text}"
    if HIDDEN in text:
        text = _PORT.sub(_without_hidden_port, text)
    if not text.isprintable() or " " in text.partition("://")[2].partition("/")[0]:
        odd = odd or "characters that clients leave out"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host, odd = _host(parts, odd)
    ip = canonical(host)
    named = _embedded(host)
    if named is not None:
        odd = odd or f"a name that leads to {named}"
    elif ip is not None and str(ip) != host and not _plain_ipv6(host, ip):
        odd = odd or f"another spelling of {ip}"
    kind = _kind(host, ip or named)
    return Address(url, parts.scheme.lower(), host, ip or named, port, parts.path, parts.query, kind, odd, bool(parts.password))


def _without_hidden_port(match: patterns.Match) -> str:
    host, port, tail, end = match.groups()
    return f"{host}:{port}/{HIDDEN}{tail}{end}" if port else f"{host}/{tail}{end}" if tail else f"{host}{end}"


def _host(parts: SplitResult, odd: str) -> tuple[str, str]:
    raw = parts.hostname or ""
    host = (
        unicodedata.normalize("NFKC", unquote(raw)).replace(_IDEOGRAPHIC_DOT, ".").lower().rstrip(".")
        if "%" in raw or not raw.isascii()
        else raw.rstrip(".")
    )
    if "%" in raw and ":" not in raw and host != raw:
        odd = odd or "an encoded host"
    user = unquote(parts.username or "")
    if parts.netloc.count("@") > 1 or ("." in user and not parts.password and user.rpartition(".")[2].isalpha() and "@" not in user):
        odd = odd or f"a name before the host, which is {host}"
    if "xn--" in host or not host.isascii():
        reads = lookalikes.host_look_alike(host)
        odd = odd or (f"letters that look like {reads}" if reads else "")
    return host, odd


def canonical(host: str) -> IPAddress | None:
    """The address that a host means: IPv4 in decimal, octal, hexadecimal and short forms, IPv6 with an IPv4 inside; None for a name."""
    text = host.strip("[]").lower().partition("%")[0].rstrip(".")
    if not text or not (text[0].isdigit() or ":" in text):
        return None
    try:
        return _inner(ipaddress.ip_address(text))
    except ValueError:
        pass
    parts = text.split(".")
    if len(parts) > 4:
        return None
    numbers: list[int] = []
    for part in parts:
        number = _number(part)
        if number is None:
            return None
        numbers.append(number)
    tail = numbers.pop()
    if any(n > 255 for n in numbers) or tail >= 256 ** (4 - len(numbers)):
        return None
    return ipaddress.IPv4Address(tail + sum(number << (8 * (3 - index)) for index, number in enumerate(numbers)))


def _number(text: str) -> int | None:
    """A part of an IPv4 address as the C library reads it: 0x hexadecimal, 0 octal, else decimal."""
    if not text.isascii() or not text.isalnum() or len(text) > 12:
        return None
    base = 16 if text.startswith("0x") else 8 if text.startswith("0") and len(text) > 1 else 10
    try:
        return int(text, base)
    except ValueError:
        return 0 if text == "0x" else None


def _inner(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64, compatible), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _plain_ipv6(host: str, ip: IPAddress) -> bool:
    """Whether a host is just an IPv6 address, however its zeros are written."""
    return ip.version == 6 and ":" in host


def _embedded(host: str) -> IPAddress | None:
    """The address that is part of a name of nip.io and its like, and that of names for this machine."""
    parents = _parents(host)
    if any(name in _LOCAL_DOMAINS for name in parents):
        return ipaddress.IPv4Address("127.0.0.1")
    if not any(name in _ADDRESS_DOMAINS for name in parents):
        return None
    for match in _EMBEDDED.finditer(host):
        text = match.group(1)
        found = ipaddress.IPv4Address(int(text, 16)) if len(text) == 8 and "." not in text and "-" not in text else canonical(text.replace("-", "."))
        if found is not None:
            return found
    return None


def _parents(host: str) -> list[str]:
    """A name and the domains that it is in, the nearest first; at most eight."""
    labels = host.split(".")[-8:]
    return [".".join(labels[index:]) for index in range(len(labels))]


def _kind(host: str, ip: IPAddress | None) -> str:
    if not host:
        return "none"
    if host in METADATA or (ip is not None and (str(ip) in METADATA or ip.is_link_local)):
        return "metadata"
    if ip is not None:
        if ip.is_loopback or ip.is_unspecified:
            return "local"
        return "private" if ip.is_private else "public"
    if host == "localhost" or host.endswith((".localhost", ".test", ".localdomain")):
        return "local"
    if "." not in host:
        return "single"
    return "private" if not _PRIVATE_SUFFIXES.isdisjoint(_parents(host)) else "public"
