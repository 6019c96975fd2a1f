"""Secrets that no issuer gives a shape: values given by name, in an address or a header, and blocks of private keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.runtime import patterns
from services.runtime.redaction import clients, command_lines
from services.runtime.redaction.rule import PatternRule, Rule
from services.runtime.redaction.values import is_reference, looks_random

# Names of values that are secret, as whole words of a longer name (`DB_PASSWORD`, `accessToken`, `client-secret`).
_NAMES = (
    r"(?:password|passwd|passphrase|pgpassword|pwd|secret|token|credentials?"
    r"|(?:api|access|private|secret|signing|encryption|master|account|auth|storage)[_-]?key)"
)
_NAMES_IN_CAMEL_CASE = r"(?-i:[a-z0-9](?:Password|Passphrase|Secret|Token|ApiKey|AccessKey|PrivateKey|SecretKey|AccountKey))"
_NAME_HINTS = ("passw", "passphrase", "pwd", "secret", "token", "key", "credential")

_NAMED_SECRETS = frozenset(
    "password passwd passphrase pwd pgpassword client_secret secret_key private_key access_key secret_access_key api_key apikey "
    "auth_token access_token refresh_token session_token bearer_token private_token job_token x_auth_token x_vault_token".split()
)
_ENDINGS = ("_password", "_passwd", "_passphrase", "_pwd", "_client_secret", "_secret_key", "_api_key", "_access_key", "_private_key")
_TOKEN_ENDINGS = ("token", "secret", "_credential", "_credentials", "_key")


def names_a_secret(name: str) -> bool:
    """Whether a field, variable or header of this name holds a secret, whatever the value looks like."""
    plain = name.strip().lower().replace("-", "_")
    return plain in _NAMED_SECRETS or plain.endswith(_ENDINGS)


def may_name_a_secret(name: str) -> bool:
    """Whether a field of this name holds a secret if its value looks like one: a token may also be a word of a text."""
    return name.strip().lower().replace("-", "_").endswith(_TOKEN_ENDINGS)


def _is_password(value: str) -> bool:
    return not is_reference(value)


# Words with digits that say what kind of value is meant: "the password is base64-encoded", "the token is 16-character".
_TECHNICAL = patterns.compile(r"(?i)(?:base|sha|md|utf|oauth|aes|rsa|ed|pbkdf|argon|v|x)?\d{1,5}(?:[-_/].*)?")


def _is_told(value: str) -> bool:
    return looks_random(value) and not _TECHNICAL.fullmatch(value)


# Passwords of examples and of databases for development: masked like any other, but nothing is given away by them.
EXAMPLES = frozenset("password passwd pass pwd secret user username postgres root admin guest changeme test example".split())


def _is_authorization(value: str) -> bool:
    return looks_random(value) or (len(value) >= 8 and value.endswith("=") and not is_reference(value))


def _looks_like_a_key(value: str) -> bool:
    # "sk-" also begins names: those are words with dashes.
    return looks_random(value) and (any(c.isupper() for c in value) or value.startswith(("sk-ant-", "sk-proj-", "sk-or-")))


@dataclass(frozen=True)
class PrivateKeyBlock:
    """A private key in PEM or armour: all of it, up to its end or, where that was cut off, as far as it goes."""

    id: str = "private-key"
    message: str = "Contains a private key."
    keywords: tuple[str, ...] = ("-----begin",)
    plain: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the blocks are. Linear: the text is gone through once for beginnings and once for ends."""
        end = stop = 0
        for match in _KEY.finditer(text):
            if match.start() < stop:
                continue
            body = match.start(1)
            if 0 <= end < body:
                end = text.find(_END, body)
            if end < 0:
                stop = body + _rest_of_body(text, body)
            else:
                dashes = text.find("-----", end + len(_END), end + _END_CHARS)
                stop = dashes + 5 if dashes >= 0 else end + len(_END)
            yield match.start(), stop


_END = "-----END"
_END_CHARS = 200
# A header alone is what people search for. Line ends may be written out (`\n`), lines quoted or joined; fields may come first.
_KEY = patterns.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----"
    r"((?:[\s\"'\\,+]|\\[nr])*(?:[A-Z][A-Za-z-]{2,20}: [^\n]{0,60}(?:\s|\\[nr])+)*[A-Za-z0-9+/=]{20})"
)
# Of a block without an end: as long as there is one run of its letters after the other.
_KEY_REST = patterns.compile(r"(?:(?:[\s\"'\\,+]|\\[nr])*(?:[A-Z][A-Za-z-]{2,20}: [^\n]{0,60}(?:\s|\\[nr])+)*[A-Za-z0-9+/=]{20,})*")
_REST_CHARS = 20_000


def _rest_of_body(text: str, body: int) -> int:
    found = _KEY_REST.match(text[body : body + _REST_CHARS])
    return found.end() if found else 0


@dataclass(frozen=True)
class SecretManifest:
    """The values of a Kubernetes Secret in YAML: all of them, where a pattern would find the first."""

    id: str = "kubernetes-secret"
    message: str = "Contains the values of a Kubernetes Secret."
    keywords: tuple[str, ...] = ("stringdata:", "data:")
    plain: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the values are: what is indented more than the key that they are under, to the end of each line."""
        if not _SECRET_KIND.search(text):
            return
        at, depth = 0, -1
        for line in text.split("\n"):
            indent = len(line) - len(line.lstrip())
            if _DATA_KEY.fullmatch(line):
                depth = indent
            elif line.strip() and indent <= depth:
                depth = -1
            elif depth >= 0 and (value := _value_in(line)) and not is_reference(value):
                start = at + line.rindex(value)
                yield start, start + len(value)
            at += len(line) + 1


_SECRET_KIND = patterns.compile(r"(?m)^\s*(?:- )?kind:\s*[\"']?Secret[\"']?\s*$")
_DATA_KEY = patterns.compile(r"\s*(?:data|stringData):\s*")
_ENTRY = patterns.compile(r"\s*[\"']?[\w.-]+[\"']?:(?:\s+(.*))?")


def _value_in(line: str) -> str:
    """The value in a line of a mapping, or of a block under one of its keys; empty if it has none."""
    entry = _ENTRY.fullmatch(line)
    value = (line if entry is None else entry.groups()[0] or "").strip().strip("\"'")
    return "" if value[:1] in ("|", ">", "#", "") else value


# Tried before the tokens of issuers: they know better where a secret begins and ends.
FIRST: tuple[Rule, ...] = (
    PrivateKeyBlock(),
    PatternRule(
        "url-password",
        "Contains a password in an address.",
        ("://",),
        r"://[^\s/:@'\"]{0,100}:([^\s/@'\"]{3,200})@",
        accepts=_is_password,
    ),
    # The one in documents, which gitleaks leaves out, is as good as any to find out whether this works.
    PatternRule("aws-key", "Contains an AWS access key.", ("akia", "asia"), r"\b((?:AKIA|ASIA)[0-9A-Z]{16})\b"),
)

# Tried after them: each is the value of anything with the right name, or of a common form.
LAST: tuple[Rule, ...] = (
    PatternRule(
        "jwt",
        "Contains a signed token.",
        ("eyj",),
        r"\b(eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{4,}\.[0-9A-Za-z_-]*)",
    ),
    PatternRule(
        "model-provider",
        "Contains a model provider's key.",
        ("sk-",),
        r"\b(sk-(?:[a-z]{2,8}-)?[0-9A-Za-z_-]{20,200})\b",
        accepts=_looks_like_a_key,
    ),
    PatternRule(
        "authorization",
        "Contains the credentials of a request.",
        ("authorization",),
        r"(?i)\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{3,20}\s{1,4})?([0-9a-z_.~+/=:-]{8,1000})",
        accepts=_is_authorization,
    ),
    PatternRule(
        "bearer",
        "Contains a bearer token.",
        ("bearer",),
        r"(?i)\bbearer\s{1,4}([0-9a-z_.~+/-]{16,1000}={0,2})",
        accepts=looks_random,
    ),
    PatternRule(
        "assigned",
        "Contains a literal credential.",
        _NAME_HINTS,
        rf"(?i)(?:(?:^|[^a-z0-9]){_NAMES}|{_NAMES_IN_CAMEL_CASE})[\"']?\s{{0,4}}(?:=|:|=>|:=)\s{{0,4}}"
        r"(?:\"([^\"\s]{8,200})\"|'([^'\s]{8,200})'|([^\s\"'`,;&(){}<>$\[\]]{8,200})(?:[\s\"'`,;&)}\]<>]|$))",
        accepts=looks_random,
    ),
    PatternRule(
        "environment",
        "Contains a literal password.",
        ("passw", "passphrase", "pwd", "_pass"),
        r"(?:^|[\s\"'])[A-Z0-9_]{0,60}(?:PASSWORD|PASSWD|PASSPHRASE|_PWD|_PASS)(?:=|: {1,4})[\"']?([^\s\"'`;|&<>(){}]{4,200})",
        accepts=_is_password,
        plain=True,
    ),
    PatternRule(
        "sql-password",
        "Contains the password of a database user.",
        ("identified",),
        r"(?i)\bidentified\s+(?:with\s+\S{1,60}\s+)?by\s+(?:password\s+)?[\"']([^\"'\s]{3,200})[\"']",
        accepts=_is_password,
        plain=True,
    ),
    PatternRule(
        "service-token",
        "Contains a service's token.",
        ("gsk_", "whsec_", "tskey-"),
        r"\b((?:gsk_|whsec_|tskey-[a-z]{2,12}-)[0-9A-Za-z+/=-]{20,200})",
        accepts=looks_random,
    ),
    *command_lines.RULES,
    *clients.RULES,
    PatternRule(
        "netrc",
        "Contains a password for a machine.",
        ("login",),
        r"\blogin\s+[^\s]{1,100}\s+password\s+([^\s]{3,200})",
        accepts=_is_password,
    ),
    SecretManifest(),
    PatternRule(
        "told",
        "Tells a password.",
        _NAME_HINTS,
        r"(?i)\b(?:password|passwd|passphrase|pwd|token|secret|(?:api|access|private|secret)[ _-]?key)(?:\s+(?:for|of|on|to)\s+[^\s]{1,60})?"
        r"\s+(?:is|was|will\s+be)\s*(?:now|still|set\s+to|just)?\s*:?\s*[\"'`\x{201c}]?([^\s\"'`,;()<>]{5,199}[^\s\"'`,;.:!?()<>\x{201d}])",
        accepts=_is_told,
    ),
    PatternRule(
        "option",
        "Contains a literal credential.",
        _NAME_HINTS,
        rf"(?i)--?[a-z-]{{0,30}}{_NAMES}[\s\x00]{{1,4}}[\"']?([^\s\"'`,;(){{}}<>$\[\]\x00]{{8,200}})",
        accepts=looks_random,
    ),
)
