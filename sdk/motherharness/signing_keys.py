"""Keys for the approval service to sign grants with: PEM files in a folder, named by when they begin to sign."""

import os
import secrets
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def create(folder: Path, *, begins_in: float = 0.0) -> Path:
    """Make a key and return its file, which only its owner can read. The folder is made if it is missing.

    Args:
        begins_in: seconds after which it begins to sign; until then it only verifies.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begins = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + begins_in))
    path = folder / f"{begins}-{secrets.token_hex(4)}.pem"
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A service may be reading the folder: the file appears under its name when it is whole.
    temporary = folder / f".{path.name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, path)
    return path
