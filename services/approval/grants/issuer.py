"""Issues grants, reads those that come back, and publishes what they are verified with."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import approval_pb2
from services.approval.grants import token
from services.approval.grants.ring import KeyRing
from services.approval.grants.token import Claims


class Grants:
    """Signs with the keys of a ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def issue(self, claims: Claims) -> str:
        """The grant that says this, signed."""
        return token.sign(claims, self._ring.signer())

    def read(self, grant: str) -> Claims:
        """What a grant says, if it is genuine. Raises FailedPrecondition (GRANT_INVALID)."""
        return token.verify(grant, self._ring.find)

    def keys(self) -> list[approval_pb2.GrantKey]:
        """The public keys, as the contract has them."""
        messages = []
        for key, retires in self._ring.published():
            message = approval_pb2.GrantKey(
                kid=key.kid, kty="OKP", crv="Ed25519", x=key.x, alg=token.ALGORITHM, use="sig"
            )
            if key.begins is not None:
                message.not_before.CopyFrom(_stamp(key.begins))
            if retires is not None:
                message.retire_time.CopyFrom(_stamp(retires))
            messages.append(message)
        return messages


def _stamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=round(seconds))
