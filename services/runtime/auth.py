"""Identity: verify the bearer token of a call, and sign or fetch the one that this service sends.

One algorithm is configured and no other is accepted, whatever a token's header claims. `exp`, `iss`, `aud` and `sub`
are required; `roles` is a list of role names. Time is this host's clock with `jwt_leeway_seconds` of tolerance.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from harness.common.v1.access_pb2 import ROLE_UNSPECIFIED, Role
from services.runtime.context import Caller
from services.runtime.errors import ConfigurationError, Unauthenticated
from services.runtime.jwks import KeySet
from services.runtime.settings import ServiceSettings

MAX_TOKEN_CHARS = 8192
# RFC 7518, 3.2: an HS256 key has at least the size of the hash.
MIN_SECRET_BYTES = 32
# NIST SP 800-57: RSA below 2048 bits no longer protects.
MIN_RSA_BITS = 2048
MAX_GROUPS = 256
MAX_SUBJECT_CHARS = 256
_CACHE_SIZE = 4096
_ROLES = {name.removeprefix("ROLE_").lower(): value for name, value in Role.items() if value != ROLE_UNSPECIFIED}


class KeySource(Protocol):
    """Finds the key that a token names."""

    async def key_for(self, kid: str | None) -> Any: ...


class _FixedKey:
    def __init__(self, key: Any) -> None:
        self._key = key

    async def key_for(self, kid: str | None) -> Any:
        return self._key


class Authenticator:
    """Verifies tokens; remembers those it has verified until they expire (4096 at most).

    Raises:
        ConfigurationError: the key is missing, too weak, of another algorithm, or HS256 is asked for in production.
    """

    def __init__(self, settings: ServiceSettings, clock: Callable[[], float] = time.time) -> None:
        self._algorithm = settings.jwt_algorithm
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._leeway = settings.jwt_leeway_seconds
        self._keys = _key_source(settings)
        self._clock = clock
        self._verified: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    async def authenticate(self, authorization: Sequence[str | bytes]) -> Caller:
        """The caller that the `authorization` metadata values of a call prove.

        Raises:
            Unauthenticated: TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_EXPIRED or TOKEN_INVALID.
            Unavailable: KEYS_UNAVAILABLE, the key set could not be fetched.
        """
        token = _bearer(authorization)
        known = self._verified.get(token)
        if known is not None:
            if known[0] + self._leeway > self._clock():
                return known[1]
            del self._verified[token]
        expires, caller = await self._verify(token)
        self._verified[token] = (expires, caller)
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return caller

    async def _verify(self, token: str) -> tuple[float, Caller]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != self._algorithm:
                raise Unauthenticated(
                    "TOKEN_INVALID", f"this service accepts tokens signed with {self._algorithm} only"
                )
            kid = header.get("kid")
            key = await self._keys.key_for(kid if isinstance(kid, str) else None)
            claims = jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            return float(claims["exp"]), _caller_from(claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("TOKEN_EXPIRED", "the token has expired; fetch a new one") from None
        except jwt.MissingRequiredClaimError as exc:
            raise Unauthenticated("TOKEN_INVALID", f"the token has no {exc.claim!r} claim", claim=exc.claim) from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated("TOKEN_INVALID", f"the token's issuer is not {self._issuer!r}", claim="iss") from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated(
                "TOKEN_INVALID", f"the token's audience is not {self._audience!r}", claim="aud"
            ) from None
        except jwt.InvalidSignatureError:
            raise Unauthenticated("TOKEN_INVALID", "the token's signature does not match the key") from None
        except jwt.ImmatureSignatureError:
            raise Unauthenticated("TOKEN_INVALID", "the token is not valid yet; compare the clocks") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise Unauthenticated("TOKEN_MALFORMED", "the bearer token is not a JWT that can be read") from None


def _bearer(authorization: Sequence[str | bytes]) -> str:
    if not authorization:
        raise Unauthenticated(
            "TOKEN_MISSING", "send a token: metadata 'authorization: Bearer <JWT>' (development: `harness token`)"
        )
    if len(authorization) > 1:
        raise Unauthenticated("TOKEN_MALFORMED", "send exactly one authorization value")
    value = authorization[0]
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("TOKEN_MALFORMED", "authorization must read 'Bearer <JWT>'")
    if len(token) > MAX_TOKEN_CHARS:
        raise Unauthenticated("TOKEN_MALFORMED", f"the token is longer than {MAX_TOKEN_CHARS} characters")
    return token


def _caller_from(claims: dict[str, Any]) -> Caller:
    roles = claims.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Unauthenticated("TOKEN_INVALID", "the token's roles must be a list of names", claim="roles")
    actor = ""
    act = claims.get("act")
    if act is not None:
        if not isinstance(act, dict):
            raise Unauthenticated("TOKEN_INVALID", "the token's act claim must be an object", claim="act")
        actor = _subject(act.get("sub"), "act.sub")
    # A role that this release does not know grants nothing.
    known = frozenset(_ROLES[role] for role in roles if role in _ROLES)
    groups = claims.get("groups", [])
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS:
        raise Unauthenticated(
            "TOKEN_INVALID", f"the token's groups must be a list of at most {MAX_GROUPS} names", claim="groups"
        )
    return Caller(_subject(claims["sub"], "sub"), known, actor, frozenset(_subject(name, "groups") for name in groups))


def _subject(value: Any, claim: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT_CHARS or not value.isprintable():
        raise Unauthenticated(
            "TOKEN_INVALID", f"the token's {claim} must be 1 to {MAX_SUBJECT_CHARS} printable characters", claim=claim
        )
    return value


def _key_source(settings: ServiceSettings) -> KeySource:
    algorithm = settings.jwt_algorithm
    if algorithm == "HS256":
        if settings.is_production:
            raise ConfigurationError(
                "HS256 is for development: whoever can verify can also sign. In production set "
                "HARNESS_JWT_ALGORITHM to RS256 or EdDSA, and HARNESS_JWT_PUBLIC_KEY or HARNESS_JWT_JWKS_URL"
            )
        return _FixedKey(_secret(settings))
    sources = [settings.jwt_public_key, settings.jwt_public_key_file, settings.jwt_jwks_url]
    if sum(source is not None for source in sources) != 1:
        raise ConfigurationError(
            f"{algorithm} needs exactly one of HARNESS_JWT_PUBLIC_KEY, HARNESS_JWT_PUBLIC_KEY_FILE and "
            "HARNESS_JWT_JWKS_URL"
        )
    if settings.jwt_jwks_url is not None:
        scheme = urlsplit(settings.jwt_jwks_url).scheme
        if scheme != "https" and (settings.is_production or scheme != "http"):
            raise ConfigurationError("HARNESS_JWT_JWKS_URL must be an https URL")
        return KeySet(settings.jwt_jwks_url, algorithm)
    pem = settings.jwt_public_key or _read(settings.jwt_public_key_file, "HARNESS_JWT_PUBLIC_KEY_FILE")
    return _FixedKey(_public_key(pem, algorithm))


def _secret(settings: ServiceSettings) -> bytes:
    secret = settings.jwt_secret.get_secret_value().encode() if settings.jwt_secret else b""
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"HARNESS_JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
        )
    return secret


def _public_key(pem: str, algorithm: str) -> RSAPublicKey | Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as exc:
        raise ConfigurationError("HARNESS_JWT_PUBLIC_KEY is not a PEM public key (-----BEGIN PUBLIC KEY-----)") from exc
    if algorithm == "RS256" and isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ConfigurationError(f"HARNESS_JWT_PUBLIC_KEY has {key.key_size} bits; RS256 needs {MIN_RSA_BITS}")
        return key
    if algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey):
        return key
    raise ConfigurationError(f"HARNESS_JWT_PUBLIC_KEY is not a key for {algorithm}")


def _read(path: Path | None, variable: str) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{variable} cannot be read: {exc}") from exc


def sign_token(
    secret: str,
    subject: str,
    roles: Iterable[str],
    *,
    ttl: float = 300.0,
    issuer: str = "harness.dev",
    audience: str = "harness",
    groups: Iterable[str] = (),
    now: float | None = None,
) -> str:
    """An HS256 token for development. `roles` as tokens spell them ("approver"); `ttl` in seconds."""
    issued = time.time() if now is None else now
    claims: dict[str, Any] = {
        "sub": subject,
        "roles": sorted(roles),
        "iss": issuer,
        "aud": audience,
        "iat": int(issued),
        "exp": int(issued + ttl),
    }
    if named := sorted(groups):
        claims["groups"] = named
    return jwt.encode(claims, secret, algorithm="HS256")


class ServiceTokens:
    """The token that a service shows to other services: subject `service:<name>`, role `service`.

    Given by HARNESS_SERVICE_TOKEN or HARNESS_SERVICE_TOKEN_FILE (read again when the file changes); without either and
    with HS256, signed here and renewed at 80 % of its life.

    Raises:
        ConfigurationError: there is neither a token nor a secret to sign one with.
    """

    def __init__(self, settings: ServiceSettings, name: str, clock: Callable[[], float] = time.time) -> None:
        if settings.service_token and settings.service_token_file:
            raise ConfigurationError("set HARNESS_SERVICE_TOKEN or HARNESS_SERVICE_TOKEN_FILE, not both")
        self._given = settings.service_token.get_secret_value() if settings.service_token else None
        self._file = settings.service_token_file
        self._secret = ""
        if self._given is None and self._file is None:
            if settings.jwt_algorithm != "HS256":
                raise ConfigurationError(
                    f"with {settings.jwt_algorithm} this service cannot sign its own token: set "
                    "HARNESS_SERVICE_TOKEN or HARNESS_SERVICE_TOKEN_FILE"
                )
            self._secret = _secret(settings).decode()
        self._settings = settings
        self._subject = f"service:{name}"
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._stamp: tuple[int, int] | None = None

    def token(self) -> str:
        """A token that is valid now. Raises ConfigurationError when the token file cannot be read."""
        if self._given is not None:
            return self._given
        now = self._clock()
        if now < self._renew_at:
            return self._token
        if self._file is not None:
            self._renew_at = now + 1.0
            return self._from_file(self._file)
        ttl = self._settings.service_token_ttl_seconds
        self._token = sign_token(
            self._secret,
            self._subject,
            ["service"],
            ttl=ttl,
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
            now=now,
        )
        self._renew_at = now + 0.8 * ttl
        return self._token

    def _from_file(self, path: Path) -> str:
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                self._token, self._stamp = path.read_text(encoding="ascii").strip(), stamp
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"HARNESS_SERVICE_TOKEN_FILE cannot be read: {exc}") from exc
        if not self._token:
            raise ConfigurationError("HARNESS_SERVICE_TOKEN_FILE is empty")
        return self._token
