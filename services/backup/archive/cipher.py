"""Encryption of archives: AES-256-GCM, a key of its own for each archive, a nonce of its own for each part of it."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.backup.archive.manifest import ArchiveError
from services.backup.failure import JobFailed

MANIFEST: Final = (1 << 64) - 1
"""The part that is the manifest; frames are parts 0, 1, 2, ..."""
_SALT_BYTES: Final = 32
_KEY_BYTES: Final = 32
_COMMAND_TIMEOUT_S: Final = 30.0
_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ArchiveLocked(JobFailed):
    """The archive is encrypted, and the key that opens it is not here. It says nothing about damage."""

    def __init__(self, message: str) -> None:
        super().__init__("ARCHIVE_LOCKED", message)


class BadKeys(ValueError):
    """Keys that cannot be read; the message never holds key material."""


class KeyRing:
    """Keys by id. New archives are encrypted with the first one; all of them open archives."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self.current = next(iter(self._keys))

    @staticmethod
    def parse(text: str, origin: str) -> KeyRing:
        """One key a line, `<id> <32 bytes in base64>`, the current one first; empty lines and `#` lines are skipped."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                key = base64.b64decode(words[1], validate=True) if len(words) == 2 else b""
            except binascii.Error:
                key = b""
            if len(key) != _KEY_BYTES or not _KEY_ID.fullmatch(words[0]) or words[0] in keys:
                raise BadKeys(
                    f"{origin}: line {number} is not `<id> <32 bytes in base64>` with an id that is not there yet"
                )
            keys[words[0]] = key
        if not keys:
            raise BadKeys(f"{origin} holds no key; make one with: echo key1 $(openssl rand -base64 32)")
        return KeyRing(keys)

    @staticmethod
    def from_file(path: Path) -> KeyRing:
        """BadKeys if the file cannot be read, others may read it, or it holds no keys."""
        try:
            if path.stat().st_mode & 0o077:
                raise BadKeys(f"{path} can be read by others; chmod 600 it")
            return KeyRing.parse(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadKeys(f"the key file {path} cannot be read: {error}") from error

    @staticmethod
    def from_command(command: str) -> KeyRing:
        """What a command prints, such as a secret manager's client. BadKeys if it fails."""
        try:
            done = subprocess.run(
                shlex.split(command), capture_output=True, check=True, timeout=_COMMAND_TIMEOUT_S, text=True
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # Neither the command nor its output: both may hold secrets.
            raise BadKeys(f"the key command failed: {type(error).__name__}") from None
        return KeyRing.parse(done.stdout, "the key command's output")

    def new_cipher(self, backup_id: str) -> ArchiveCipher:
        """A cipher for a new archive, under the current key."""
        return ArchiveCipher(self._keys[self.current], self.current, os.urandom(_SALT_BYTES), backup_id)

    def cipher(self, key_id: str, salt: bytes, backup_id: str) -> ArchiveCipher:
        """The cipher of an existing archive. ArchiveLocked if its key is not here."""
        key = self._keys.get(key_id)
        if key is None:
            raise ArchiveLocked(f"the archive is encrypted with key {key_id!r}, which is not among the service's keys")
        return ArchiveCipher(key, key_id, salt, backup_id)


class ArchiveCipher:
    """Encrypts and decrypts the parts of one archive.

    Its key is derived from the ring's and a random salt, so a part's number is a nonce that never comes twice under one
    key. Each part is bound to the archive and its place in it. Callable from several threads.
    """

    def __init__(self, key: bytes, key_id: str, salt: bytes, backup_id: str) -> None:
        self.key_id = key_id
        self.salt = salt
        self._backup_id = backup_id
        derived = HKDF(SHA256(), 32, salt, b"harness backup archive").derive(key)
        self._aes = AESGCM(derived)

    def _bound(self, part: int) -> tuple[bytes, bytes]:
        return part.to_bytes(12, "big"), b"%b\0%d" % (self._backup_id.encode(), part)

    def encrypt(self, part: int, data: bytes) -> bytes:
        nonce, bound = self._bound(part)
        return self._aes.encrypt(nonce, data, bound)

    def decrypt(self, part: int, data: bytes) -> bytes:
        """ArchiveError if it is not what was encrypted as this part of this archive."""
        nonce, bound = self._bound(part)
        try:
            return self._aes.decrypt(nonce, data, bound)
        except InvalidTag:
            raise ArchiveError("what is encrypted is not what was written there") from None

    def lock(self, manifest: bytes) -> bytes:
        """The manifest as an encrypted archive has it: nothing is readable but what is needed to open it."""
        outside = {
            "format_version": 2,
            "encrypted": {
                "backup_id": self._backup_id,
                "key_id": self.key_id,
                "salt": base64.b64encode(self.salt).decode(),
                "manifest": base64.b64encode(self.encrypt(MANIFEST, manifest)).decode(),
            },
        }
        return json.dumps(outside).encode()


def unlock(data: bytes, keys: KeyRing | None) -> tuple[bytes, ArchiveCipher | None]:
    """The manifest in clear, and the cipher of the frames, None if the archive is not encrypted.

    ArchiveLocked without the right key, ArchiveError if it is not well-formed.
    """
    try:
        outside = json.loads(data)
        if not isinstance(outside, dict) or "encrypted" not in outside:
            return data, None
        if outside["format_version"] != 2:
            raise ArchiveError(f"the archive has format {outside['format_version']!r}, which is not known")
        sealed = outside["encrypted"]
        backup_id, key_id = str(sealed["backup_id"]), str(sealed["key_id"])
        salt = base64.b64decode(sealed["salt"], validate=True)
        locked = base64.b64decode(sealed["manifest"], validate=True)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArchiveError(f"the manifest is not valid: {error}") from None
    if keys is None:
        raise ArchiveLocked(f"the archive is encrypted with key {key_id!r}, and the service has no keys")
    cipher = keys.cipher(key_id, salt, backup_id)
    try:
        return cipher.decrypt(MANIFEST, locked), cipher
    except ArchiveError:
        # Its checksum was right, so these are the bytes that were written.
        raise ArchiveLocked(f"the service's key {key_id!r} is not the one that this archive was made with") from None
