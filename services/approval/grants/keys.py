"""Keys that grants are signed and verified with: Ed25519, from PEM, named by their thumbprint."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_NAME_TIME = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}Z)(?:[-.].*)?\.pem")
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key. `x` is base64url; `begins` is when it begins to sign, seconds since the epoch, None if unknown."""

    kid: str
    x: str
    public: Ed25519PublicKey = field(repr=False)
    begins: float | None = None

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises cryptography.exceptions.InvalidSignature."""
        self.public.verify(signature, data)


@dataclass(frozen=True, slots=True)
class SigningKey(VerifyingKey):
    """A key with its private half."""

    private: Ed25519PrivateKey = field(repr=False, kw_only=True)

    def sign(self, data: bytes) -> bytes:
        """The signature of these bytes."""
        return self.private.sign(data)


def generate() -> Ed25519PrivateKey:
    """A new private key."""
    return Ed25519PrivateKey.generate()


def pem_of(private: Ed25519PrivateKey) -> bytes:
    """A private key as PKCS #8 PEM, not encrypted."""
    encoded: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded


def signing_key(private: Ed25519PrivateKey, begins: float | None = None) -> SigningKey:
    """A private key under its name."""
    kid, x = _named(private.public_key())
    return SigningKey(kid, x, private.public_key(), begins, private=private)


def parse(name: str, pem: bytes) -> VerifyingKey:
    """The key in a file; a SigningKey if the file has the private half.

    Args:
        name: of the file; one that begins with a time, as 20260131T120000Z.pem, says when the key begins to sign.
        pem: its content.

    Raises:
        ValueError: it is not an Ed25519 key; never repeats the content.
    """
    begins = time_in(name)
    try:
        if b"PRIVATE KEY" in pem:
            private = load_pem_private_key(pem, password=None)
            if isinstance(private, Ed25519PrivateKey):
                return signing_key(private, begins)
        else:
            public = load_pem_public_key(pem)
            if isinstance(public, Ed25519PublicKey):
                return VerifyingKey(*_named(public), public, begins)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{name} is not a PEM file with a key that is not encrypted") from None
    raise ValueError(f"{name} has a key of another kind than Ed25519")


def time_in(name: str) -> float | None:
    """When the key in a file of this name begins to sign, seconds since the epoch; None if the name does not say."""
    match = _NAME_TIME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match["time"], _TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _named(public: Ed25519PublicKey) -> tuple[str, str]:
    """The key's RFC 7638 thumbprint, and its bytes, both base64url."""
    x = _base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return _base64url(hashlib.sha256(members.encode()).digest()), x


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
