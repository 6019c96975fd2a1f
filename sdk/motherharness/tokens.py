"""Development tokens: signed with the shared HS256 secret that the services are given (HARNESS_JWT_SECRET)."""

import time
from collections.abc import Sequence

import jwt

from harness.common.v1.access_pb2 import Role

ISSUER = "harness.dev"
AUDIENCE = "harness"
# RFC 7518, 3.2: an HS256 key has at least the size of the hash.
MIN_SECRET_BYTES = 32
ROLES = tuple(name.removeprefix("ROLE_").lower() for name in Role.keys() if not name.endswith("UNSPECIFIED"))  # noqa: SIM118 - an enum, not a dict


def mint(
    secret: str,
    subject: str,
    roles: Sequence[str],
    *,
    ttl: float = 3600.0,
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    groups: Sequence[str] = (),
) -> str:
    """Return a signed token.

    Args:
        roles: of "user", "approver", "admin", "agent", "service".
        ttl: seconds until it expires.
        groups: what the subject belongs to; a policy's quorum can ask for members of a group.

    Raises:
        ValueError: a role is not known, or the secret is shorter than 32 bytes.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown or not roles:
        raise ValueError(f"{', '.join(unknown) or 'no role'} given; roles are {', '.join(ROLES)}")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"the secret must have at least {MIN_SECRET_BYTES} bytes")
    now = time.time()
    claims: dict[str, object] = {
        "sub": subject,
        "roles": list(roles),
        "iss": issuer,
        "aud": audience,
        "iat": int(now),
        "exp": int(now + ttl),
    }
    if groups:
        claims["groups"] = list(groups)
    return jwt.encode(claims, secret, algorithm="HS256")
