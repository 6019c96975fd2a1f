"""HTTP requests: where they go, what they change, and what they carry.

An address is judged by where it leads (`addresses`), an effect by the method, the words of the path and the operations that the
body names (`operations`). Words count as parts of a path, never as parts of words: /v1/tokenizer and /products/production-line
are nothing. Which words and hosts mean what is data, in `api.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, unquote

from services.approval.risk import patterns
from services.approval.risk.detectors import addresses, operations, paths, secrets, tables
from services.approval.risk.detectors.addresses import Address
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.model import Factor
from services.approval.risk.normalise import unreadable
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

MAX_MENTIONED = 4000  # addresses in one request that are looked at; each is read in every spelling, in about 50 µs

_DATA = tables.load("api.yaml")
_DESTRUCTIVE, _DISRUPTIVE = frozenset(_DATA["destructive"]), frozenset(_DATA["disruptive"])
_MONEY, _RIGHTS = frozenset(_DATA["money"]), frozenset(_DATA["rights"])
_EXECUTE, _SECRETS, _VALUABLE = frozenset(_DATA["execute"]), frozenset(_DATA["secrets"]), frozenset(_DATA["valuable"])
_WORDS_AFTER = {verb: frozenset(after) for verb, after in _DATA["words_after"].items()}
_METADATA_PATHS = tuple(_DATA["metadata_paths"])
_METADATA_HEADERS = frozenset(_DATA["metadata_headers"])
_CONTROL_PORTS = frozenset(_DATA["control_ports"])

_READING = frozenset({"GET", "HEAD", "OPTIONS", ""})
_SENDING_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
_HOST_HEADERS = frozenset({"host", "x-forwarded-host", "x-original-host", "x-host", "x-forwarded-server"})
_UPLOADS = ("multipart/", "application/octet-stream", "application/zip", "application/x-tar", "application/gzip")
_HOSTS_IN = patterns.compile(r"(?i)https?://([^\s\"'<>\\/?#@]{1,255})([^\s\"'<>\\]{0,60})")
_STRANGE_SCHEMES = frozenset({"gopher", "dict", "ldap", "ldaps", "jar", "netdoc", "phar", "tftp"})
_API_PARTS = frozenset({"api", "rest", "graphql", "rpc"})


def _factor(id: str, weight: int, message: str, excerpt: str, safer: str = "") -> Factor:
    return Factor(id, id.partition(".")[0], message, weight, excerpt=secrets.redact(excerpt)[:200], safer_alternative=safer)


def assess_request(method: str, url: str, headers: Mapping[str, str], body: str | None, *, command: bool = False) -> list[Factor]:
    """Factors of one request. `command` is for a request made by a shell command, whose secrets are looked for with the command."""
    address = addresses.parse(url)
    if address is None:
        return [unreadable("url", "The address cannot be read.", secrets.redact(url))]
    if address.scheme == "file":
        found = None if command else paths.read_factor(url)
        return [found] if found else []
    content = body or ""
    effective = operations.override(headers, address.query, content) or method.upper()
    if effective in _READING and operations.mutates(address.query):
        effective = "POST"  # what a mutation does does not depend on the method
    factors = [*_place(address, effective, headers), *_transport(address, effective, headers, content, command)]
    factors += _effect(address, effective, headers, content)
    factors += _mentioned(address, content)
    if not command:
        carried = "\n".join([url, *(f"{name}: {value}" for name, value in headers.items()), content])
        factors += secrets.detect(carried)
    return [_placeless(factor) for factor in factors]


def _placeless(factor: Factor) -> Factor:
    return Factor(factor.id, factor.category, factor.message, factor.weight, factor.excerpt, None, factor.safer_alternative)


def _place(address: Address, method: str, headers: Mapping[str, str]) -> Iterable[Factor]:
    """Where the request goes."""
    url = address.url
    path = address.path.strip("/").lower()
    asks_metadata = path.startswith(_METADATA_PATHS) and address.kind != "public"
    if address.kind == "metadata" or asks_metadata or any(name.lower() in _METADATA_HEADERS for name in headers):
        message = "Reads the machine's cloud credentials from its metadata service."
        yield _factor("api.metadata", HIGH, message, url, "Use the credentials that were given to the agent.")
    elif address.kind == "private":
        yield _factor("api.private", MINOR, "Reaches into a private network.", url)
    elif address.kind == "single" and HIDDEN not in address.host:
        yield _factor("api.internal-name", NOTE, "Reaches a machine by a name of the local network.", url)
    if address.odd and address.kind != "metadata":
        weight = MEDIUM if address.kind == "local" else SERIOUS
        yield _factor("api.odd-address", weight, f"Hides where it goes: {address.odd}.", url, "Write the plain address.")
    if address.drop_site:
        weight = MEDIUM if method in _READING else SERIOUS
        yield _factor("api.drop-site", weight, "Talks to a service that is used to hand data over.", url)
    if address.shortened:
        yield _factor("api.short-address", MINOR, "A short address: where it leads is not known.", url, "Use the whole address.")
    if HIDDEN in address.host and address.host.partition(HIDDEN)[0] in addresses.METADATA:
        yield _factor("api.metadata", HIGH, "Reads the machine's cloud credentials from its metadata service.", url.replace(HIDDEN, "…"))
    elif HIDDEN in address.host:
        yield _factor("api.hidden-host", MINOR, "Where it goes is not known before it runs.", url.replace(HIDDEN, "…"))
    for name, value in headers.items():
        named = addresses.parse(value) if name.lower() in _HOST_HEADERS else None
        if named is not None and named.kind == "metadata" and address.kind != "metadata":
            yield _factor("api.host-header", MEDIUM, "Names the metadata service as its host in a header.", f"{name}: {value}")
    if address.port in _CONTROL_PORTS:
        yield _factor("api.control-port", MEDIUM, "Talks to the control port of a container engine or cluster.", url)


def _transport(address: Address, method: str, headers: Mapping[str, str], body: str, command: bool) -> Iterable[Factor]:
    """How it goes: scheme, encryption, and passwords in the address."""
    url = address.url
    if address.scheme not in ("http", "https", "ws", "wss"):
        weight = SERIOUS if address.scheme in _STRANGE_SCHEMES else MEDIUM
        yield _factor("api.scheme", weight, f"Uses {address.scheme}, not HTTP.", url)
    if address.secret:
        yield _factor("secret.url-password", SERIOUS, "A password is part of the address.", url, "Send it in a header, from a secret store.")
    plain = address.scheme in ("http", "ws") and address.kind not in ("local", "none")
    if plain and not (command and method == "GET" and not headers):
        sends = bool(body) or any(name.lower() in _SENDING_HEADERS for name in headers)
        yield _factor("api.plaintext", MEDIUM if sends else NOTE, "Goes over the network unencrypted.", url, "Use https.")


def _parts(path: str) -> list[list[str]]:
    """The parts of a path, each as its words."""
    text = unquote(path).strip("/")
    return [operations.words_of(part) for part in text.split("/")] if text else []


def _verb(parts: Iterable[list[str]], verbs: frozenset[str]) -> str:
    """The verb that begins or ends one of the parts, empty when none does."""
    for words in parts:
        if not words:
            continue
        first, last = words[0], words[-1]
        if first in verbs and not (len(words) > 1 and words[1] in _WORDS_AFTER.get(first, ())):
            return first
        if last in verbs:
            return last
    return ""


def _nouns(parts: Iterable[list[str]], nouns: frozenset[str]) -> str:
    """The noun that is one of the parts, or that ends one, empty when none is."""
    for words in parts:
        if words and (words[-1] in nouns or "".join(words) in nouns):
            return words[-1]
        if len(words) > 1 and words[0] in nouns and words[1] not in _WORDS_AFTER.get(words[0], ()) and len(words) == 2:
            return words[0]
    return ""


def _effect(address: Address, method: str, headers: Mapping[str, str], body: str) -> Iterable[Factor]:
    """What it changes."""
    excerpt = f"{method} {address.url}"
    parts = _parts(address.path)
    called = [operations.words_of(name) for name in operations.names(headers, address.query, body)]
    local = address.kind in ("local", "none")
    if method in _READING:
        yield from _reading(address, parts, called, excerpt)
        return
    asking = operations.queries_only(body)
    if method == "DELETE":
        yield _deletion(address, parts, excerpt, local)
    elif verb := _verb([*parts, *called], _DESTRUCTIVE):
        yield _factor("api.destructive", SERIOUS, f"Calls an operation that says that it destroys ({verb}).", excerpt, "Read it first.")
    elif verb := _verb([*parts[-1:], *called], _DISRUPTIVE):
        yield _factor("api.disruptive", MINOR if local else MEDIUM, f"Calls an operation that says that it takes away ({verb}).", excerpt)
    if not local and not asking:
        if _nouns([*parts, *called], _MONEY) or _verb(called, _MONEY):
            yield _factor("api.money", SERIOUS, "May move money.", excerpt, "Use the test mode.")
        if _nouns([*parts, *called], _RIGHTS):
            yield _factor("api.rights", MEDIUM, "Changes users, rights or keys.", excerpt)
    if _nouns([*parts, *called], _EXECUTE):
        yield _factor("api.execute", SERIOUS, "Has code or a command run by the other side.", excerpt)
    kind = next((value.lower() for name, value in headers.items() if name.lower() == "content-type"), "")
    if kind.startswith(_UPLOADS) and not local:
        yield _factor("api.upload", MINOR, "Uploads files.", excerpt)
    if method in ("PUT", "PATCH"):
        yield _factor("api.change", MINOR if local else MEDIUM, "Changes something through an API.", excerpt)
    elif method != "DELETE":
        yield _factor("api.post", NOTE if local or asking else MINOR, "Sends something to an API.", excerpt)


def _reading(address: Address, parts: list[list[str]], called: list[list[str]], excerpt: str) -> Iterable[Factor]:
    """A request whose method reads: its path may change something all the same, or read what is secret."""
    last = parts[-1] if parts else []
    whole = [part for part in (last, *called) if len(part) == 1]
    name = address.path.rstrip("/").rpartition("/")[2]
    if len(last) > 1 and last[0] in _DESTRUCTIVE and "-" not in name:
        whole.append(last)  # deleteUser and delete_user.php are functions, delete-user is the title of a page
    if len(parts) > 1 and len(parts[-2]) == 1 and any(character.isdigit() for character in name):
        whole.append(parts[-2])  # /users/delete/1
    if verb := _verb(whole, _DESTRUCTIVE):
        yield _factor("api.get-destructive", MINOR, f"Reads an address that says that it destroys ({verb}).", excerpt)
    elif verb := _verb(whole, _DISRUPTIVE):
        yield _factor("api.get-disruptive", NOTE, f"Reads an address that says that it takes away ({verb}).", excerpt)
    api = address.kind != "public" or address.host.split(".")[0] in ("api", "vault") or any(part and part[0] in _API_PARTS for part in parts)
    if api and any(len(part) == 1 and part[0] in _SECRETS for part in parts):
        yield _factor("api.secrets", MEDIUM, "Reads secrets through an API.", excerpt)
    found = paths.classify(unquote(address.path))
    if found is not None and found.read >= MEDIUM and found.id in ("credentials", "ssh-keys", "cloud-credentials"):
        yield _factor("api.secrets", MEDIUM, f"Asks a server for {found.what}.", excerpt)


def _deletion(address: Address, parts: list[list[str]], excerpt: str, local: bool) -> Factor:
    """One thing, or all of a kind: a path that ends in a plural, in everything, or nowhere names them all."""
    last = unquote(address.path).strip("/").rpartition("/")[2]
    everything = last in ("", "*", "_all", "all") or "*" in last
    kind = operations.words_of(last)
    collection = everything or (bool(kind) and kind[-1].endswith("s") and not any(c.isdigit() for c in last))
    if collection:
        weight, what = SERIOUS, "Deletes all of a kind through an API."
        if everything:
            weight, what = HIGH, "Deletes everything through an API."
    elif _nouns(parts[-2:-1], _VALUABLE):
        weight, what = SERIOUS, "Deletes something that holds other things, through an API."
    else:
        weight, what = MEDIUM, "Deletes something through an API."
    return _factor("api.delete", min(weight, SERIOUS) if local else weight, what, excerpt, "Read it first.")


def _mentioned(address: Address, body: str) -> Iterable[Factor]:
    """Addresses in the query and in the body: what the other side is asked to fetch, or to call."""
    query = " ".join(value for _, value in parse_qsl(address.query)) if "=" in address.query else ""
    seen: set[tuple[str, str]] = set()
    for text in (query, body):
        if "://" not in text:
            continue
        for match in _HOSTS_IN.finditer(text):
            pair = match.group(1).lower(), match.group(2)[:1]
            if pair in seen:
                continue
            if len(seen) >= MAX_MENTIONED:
                yield unreadable("too-many", f"Names more than {MAX_MENTIONED} addresses.")
                return
            seen.add(pair)
            inner = addresses.parse(match.group())
            if inner is None:
                continue
            if inner.kind == "metadata":
                yield _factor("api.metadata", HIGH, "Has the other side ask the metadata service.", match.group())
            elif inner.drop_site:
                yield _factor("api.drop-site", SERIOUS, "Names a service that is used to hand data over.", match.group())
