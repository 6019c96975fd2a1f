"""A JSON Web Key Set by URL: fetched when needed, kept when the issuer is away, never hammered."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt
import structlog

from services.runtime.errors import Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

_MAX_BYTES = 1024 * 1024
# Fresh enough to see a rotated key, seldom enough that tokens with invented key ids cannot make us flood the issuer.
_REFRESH_SECONDS = 300.0
_MIN_INTERVAL_SECONDS = 10.0
_FETCH_TIMEOUT_SECONDS = 5.0
_KEY_TYPES = {"RS256": "RSA", "EdDSA": "OKP"}


class KeySet:
    """The keys of one issuer for one algorithm."""

    def __init__(
        self,
        url: str,
        algorithm: str,
        *,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._fetch = fetch or _fetch
        self._clock = clock
        self._keys: dict[str | None, Any] = {}
        self._fetched_at = -_REFRESH_SECONDS
        self._tried_at = -_MIN_INTERVAL_SECONDS
        self._lock = asyncio.Lock()

    async def key_for(self, kid: str | None) -> Any:
        """The key with this id; without an id, the only key of the set.

        Raises:
            Unauthenticated: TOKEN_INVALID, the issuer has no such key.
            Unavailable: KEYS_UNAVAILABLE, no key set could be fetched yet.
        """
        if self._find(kid) is None or self._clock() - self._fetched_at > _REFRESH_SECONDS:
            async with self._lock:
                if self._clock() - self._tried_at >= _MIN_INTERVAL_SECONDS:
                    await self._refresh()
        key = self._find(kid)
        if key is not None:
            return key
        if not self._keys:
            raise Unavailable(
                "KEYS_UNAVAILABLE", "the token issuer's keys cannot be fetched; try again", retry_after=10
            )
        raise Unauthenticated("TOKEN_INVALID", "the token is signed with a key that the issuer does not publish")

    def _find(self, kid: str | None) -> Any:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            body = await asyncio.to_thread(self._fetch, self._url)
            keys = self._parse(body)
        except (OSError, ValueError) as exc:
            log.warning("jwks_fetch_failed", error=str(exc), keys_kept=len(self._keys))
            return
        self._keys, self._fetched_at = keys, self._clock()

    def _parse(self, body: bytes) -> dict[str | None, Any]:
        document = json.loads(body)
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ValueError("not a JSON Web Key Set")
        keys: dict[str | None, Any] = {}
        for entry in entries:
            # A set also holds keys for encryption and for other algorithms; secret ("oct") keys never verify here.
            if not isinstance(entry, dict) or entry.get("kty") != _KEY_TYPES[self._algorithm]:
                continue
            if entry.get("use", "sig") != "sig" or entry.get("alg", self._algorithm) != self._algorithm:
                continue
            try:
                keys[entry.get("kid")] = jwt.PyJWK(entry, algorithm=self._algorithm).key
            except jwt.PyJWTError as exc:
                log.warning("jwks_key_unusable", kid=str(entry.get("kid")), error=str(exc))
        if not keys:
            raise ValueError(f"no key for {self._algorithm} in the set")
        return keys


def _fetch(url: str) -> bytes:
    # The scheme was checked with the settings: http or https, never file.
    with urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT_SECONDS) as response:
        body: bytes = response.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise ValueError("the key set is larger than 1 MiB")
    return body
