"""Grants, verified offline: that the approval service has cleared exactly what is about to run.

    keys = KeySet(fetch)  # once a worker
    verify(grant, await keys.for_grant(grant), digest=digest(actions), run_id=..., step_id=..., attempt=...)

`StepContext.perform` does this before it redeems. `docs/grants.md` describes grants for workers in other languages.
"""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.approval.v1.approval_pb2 import GrantKey
from motherharness.errors import RetryableError, TerminalError

ISSUER = "harness.dev/approval"
ALGORITHM = "EdDSA"
TYPE = "grant+jwt"
MAX_BYTES = 4096
# How far the clocks of a worker and of the services may be apart, seconds. What decides is the service's.
LEEWAY = 30.0
# After how many seconds keys are fetched anew, so that one that was removed is not trusted for long.
MAX_AGE = 300.0

Keys = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True)
class Grant:
    """What a grant says: who may run what, until when (seconds since the epoch)."""

    approval_id: str
    revision: int
    digest: str
    run_id: str
    step_id: str
    attempt: int
    expires: int


def public_keys(keys: Iterable[GrantKey]) -> dict[str, Ed25519PublicKey]:
    """Return the keys of ListGrantKeys by their ids; what is no Ed25519 key is left out."""
    found = {}
    for key in keys:
        raw = _decode(key.x)
        if (key.kty, key.crv) == ("OKP", "Ed25519") and raw is not None and len(raw) == 32:
            found[key.kid] = Ed25519PublicKey.from_public_bytes(raw)
    return found


def verify(
    grant: str,
    keys: Keys,
    *,
    digest: str,
    run_id: str,
    step_id: str,
    attempt: int,
    now: float | None = None,
    leeway: float = LEEWAY,
) -> Grant:
    """Return what a grant says, if it is genuine, in time, and for this.

    Args:
        keys: of the approval service, by id; see `public_keys`.
        digest: of the actions that are about to run, computed by whoever runs them.
        run_id, step_id, attempt: of the lease under which they run.
        now: seconds since the epoch; default the clock of this machine.
        leeway: seconds by which that clock may be ahead.

    Raises:
        TerminalError: GRANT_INVALID if it is not signed by one of the keys, or is no grant; GRANT_MISMATCH if it was
            given for other actions or another lease.
        RetryableError: GRANT_UNUSABLE if its time is over.
    """
    said = _claims(grant, keys)
    expected = {"digest": digest, "run": run_id, "step": step_id, "attempt": attempt}
    wrong = [name for name, value in expected.items() if said[name] != value]
    if wrong:
        raise TerminalError(f"the grant was given for another {' and '.join(wrong)}", "GRANT_MISMATCH")
    if said["exp"] + leeway <= (time.time() if now is None else now):
        raise RetryableError("the time to use the grant is over by this machine's clock", "GRANT_UNUSABLE")
    return Grant(said["sub"], said["rev"], digest, run_id, step_id, attempt, said["exp"])


def key_id(grant: str) -> str:
    """Return the id of the key that a grant says it is signed with.

    Raises:
        TerminalError: GRANT_INVALID, it has not the form of a grant.
    """
    return _parts(grant)[0]


class KeySet:
    """The keys of an approval service: fetched once, and again for a key that is not known, or when they are old.

    Args:
        fetch: asks for them (ListGrantKeys).
        clock: seconds that only grow.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Iterable[GrantKey]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Keys = {}
        self._fetched: float | None = None
        self._lock = asyncio.Lock()

    async def for_grant(self, grant: str) -> Keys:
        """Return the keys in force, fetched anew if the grant's is not among those known.

        Raises:
            TerminalError: GRANT_INVALID, it has not the form of a grant.
            HarnessError: what `fetch` raises.
        """
        kid = key_id(grant)
        asked = self._clock()
        async with self._lock:
            if self._is_due(kid, asked):
                started = self._clock()
                self._keys = public_keys(await self._fetch())
                self._fetched = started
        return self._keys

    def _is_due(self, kid: str, asked: float) -> bool:
        if self._fetched is None:
            return True
        # What was fetched since the question has all there is.
        return asked - self._fetched >= MAX_AGE or (kid not in self._keys and self._fetched < asked)


def _parts(grant: str) -> tuple[str, bytes, bytes, bytes]:
    """Return the key's id, what is signed, the payload and the signature."""
    parts = grant.split(".")
    if len(parts) != 3 or len(grant) > MAX_BYTES or not grant.isascii():
        raise _invalid("it is no compact JWS")
    header, payload, signature = (_decode(part) for part in parts)
    if header is None or payload is None or signature is None:
        raise _invalid("it is not base64url")
    # The algorithm is ours to choose and not the token's: one that names another ("none", "HS256") is no grant.
    named = _object(header)
    kid = named.get("kid")
    if not isinstance(kid, str) or named != {"alg": ALGORITHM, "kid": kid, "typ": TYPE}:
        raise _invalid("its header is not that of a grant")
    return kid, grant.rpartition(".")[0].encode("ascii"), payload, signature


def _claims(grant: str, keys: Keys) -> dict[str, Any]:
    kid, signed, payload, signature = _parts(grant)
    if kid not in keys:
        raise _invalid("the approval service has no such key")
    try:
        keys[kid].verify(signature, signed)
    except InvalidSignature:
        raise _invalid("it is forged or was changed") from None
    said = _object(payload)
    typed = all(type(said.get(name)) is int for name in ("rev", "attempt", "exp"))
    typed = typed and all(isinstance(said.get(name), str) for name in ("sub", "digest", "run", "step"))
    if said.get("iss") != ISSUER or not typed:
        raise _invalid("it lacks claims that every grant has")
    return said


def _decode(text: str) -> bytes | None:
    """Return the bytes of base64url without padding; None for any but their one spelling.

    A decoder that ignores the unused bits of the last digit would take several spellings for one grant.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == text.encode() else None


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _invalid(why: str) -> TerminalError:
    return TerminalError(f"this is no grant of the approval service: {why}", "GRANT_INVALID")
