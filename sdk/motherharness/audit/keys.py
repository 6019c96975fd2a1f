"""Keys that are trusted, from files that were kept."""

import json
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from motherharness.audit.lines import decode, jwk


def read_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Return the Ed25519 keys at a path, by id.

    Args:
        path: of a PEM file, of a folder with some (`*.pem`), or of a JSON Web Key Set (`GET /v1/grants/keys`).

    Raises:
        ValueError: there is none, or something that is none.
        OSError: it cannot be read.
    """
    if path.is_dir():
        found: dict[str, Ed25519PublicKey] = {}
        for file in sorted(path.glob("*.pem")):
            found |= read_keys(file)
    elif (data := path.read_bytes()).lstrip().startswith(b"-----"):
        found = named(_from_pem(path, data))
    else:
        found = _from_jwks(path, data)
    if not found:
        raise ValueError(f"there is no Ed25519 key in {path}")
    return found


def named(key: Ed25519PublicKey) -> dict[str, Ed25519PublicKey]:
    return {jwk(key.public_bytes(Encoding.Raw, PublicFormat.Raw))["kid"]: key}


def _from_pem(path: Path, data: bytes) -> Ed25519PublicKey:
    try:
        private = b"PRIVATE KEY" in data
        key = load_pem_private_key(data, password=None) if private else load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{path} is not a PEM file with a key that is not encrypted") from None
    if isinstance(key, Ed25519PrivateKey):
        return key.public_key()
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError(f"{path} has a key of another kind than Ed25519")


def _from_jwks(path: Path, data: bytes) -> dict[str, Ed25519PublicKey]:
    try:
        listed = json.loads(data)["keys"]
        xs = [decode(key["x"]) for key in listed if key["crv"] == "Ed25519"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is neither PEM nor a JSON Web Key Set") from None
    found: dict[str, Ed25519PublicKey] = {}
    for x in xs:
        if len(x) != 32:
            raise ValueError(f"{path} has a key that is no Ed25519 key")
        found |= named(Ed25519PublicKey.from_public_bytes(x))
    return found
