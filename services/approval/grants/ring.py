"""The keys in force: a folder of PEM files that is read again when it changes, so that rotation needs no restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from services.approval.grants.keys import SigningKey, VerifyingKey, generate, parse, pem_of, signing_key
from services.runtime.errors import ConfigurationError

log = structlog.get_logger(__name__)

SETTING = "HARNESS_APPROVAL_SIGNING_KEYS"
_HOW = "make a key with `harness keys new DIR` and set it to that folder"
# How late a new file is noticed by a process that nobody shows a grant of it: looking costs some 30 us.
_RECHECK_SECONDS = 1.0

Fingerprint = tuple[tuple[str, int, int, int], ...]


class KeyRing:
    """Signs with one key, verifies with all.

    The last by name signs, of those whose time has come: a name that begins with a time says when that is. So a key can
    be given to every process before the first of them signs with it.

    Args:
        keys: in the order of their names.
        folder: where they come from; None for keys that never change.
        clock: seconds since the epoch.
    """

    def __init__(
        self, keys: Sequence[VerifyingKey], folder: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._fingerprint: Fingerprint | None = None
        self._looked = -_RECHECK_SECONDS
        self._take(keys)

    @classmethod
    def open(cls, folder: Path | None, *, development: bool, clock: Callable[[], float] = time.time) -> KeyRing:
        """The keys of a folder. In development a key is made where there is none, and the log says so.

        Raises:
            ConfigurationError: no folder, no key in it, or a file that is no key.
        """
        if folder is None:
            if not development:
                raise ConfigurationError(f"{SETTING} is not set: grants must be signed with a key that lasts; {_HOW}")
            log.warning(
                "grants_signed_with_a_key_in_memory",
                consequence="a restart voids every grant, and no other process can verify one",
                remedy=f"set {SETTING}: {_HOW}",
            )
            return cls([signing_key(generate())], clock=clock)
        if development and not any(folder.glob("*.pem")):
            _make(folder)
        ring = cls([], folder, clock)
        ring._load(strict=True)
        return ring

    def signer(self) -> SigningKey:
        """The key that signs now."""
        self._refresh()
        now = self._clock()
        for key in reversed(self._signing):
            if key.begins is None or key.begins <= now:
                return key
        return self._signing[0]

    def find(self, kid: str) -> VerifyingKey | None:
        """The key with this id; None if it is not, or no longer, in force."""
        self._refresh()
        found = self._by_id.get(kid)
        if found is None and self._folder is not None:
            # Another process may have seen a new key before this one.
            self._load()
            found = self._by_id.get(kid)
        return found

    def published(self) -> list[tuple[VerifyingKey, float | None]]:
        """All keys in their order, each with the time its successor begins to sign (None: unknown, or none)."""
        self._refresh()
        listed: list[tuple[VerifyingKey, float | None]] = []
        successor: float | None = None
        for key in reversed(self._keys):
            listed.append((key, successor))
            if isinstance(key, SigningKey):
                successor = key.begins
        return listed[::-1]

    def _refresh(self) -> None:
        if self._folder is not None and time.monotonic() - self._looked >= _RECHECK_SECONDS:
            self._load()

    def _load(self, *, strict: bool = False) -> None:
        """Read the folder if it has changed. Strict: raise ConfigurationError, in place of keeping what was."""
        assert self._folder is not None
        self._looked = time.monotonic()
        try:
            fingerprint = _look(self._folder)
            if fingerprint == self._fingerprint:
                return
            keys = _read(self._folder, [name for name, *_ in fingerprint], strict=strict)
        except OSError as error:
            if strict:
                raise ConfigurationError(f"{SETTING}: cannot read {self._folder}: {error.strerror}") from error
            log.error("signing_keys_unreadable", folder=str(self._folder), error=str(error), kept=len(self._keys))
            return
        self._fingerprint = fingerprint
        if not any(isinstance(key, SigningKey) for key in keys):
            if strict:
                raise ConfigurationError(f"{SETTING}: {self._folder} has no private key; {_HOW}")
            # No rotation ends like this, but a volume that is being replaced looks like it for a moment.
            log.error("signing_keys_missing", folder=str(self._folder), kept=len(self._keys))
            return
        self._take(keys)
        log.info("signing_keys_in_force", kids=[key.kid for key in keys])

    def _take(self, keys: Sequence[VerifyingKey]) -> None:
        self._keys = list(keys)
        self._by_id = {key.kid: key for key in keys}
        self._signing = [key for key in keys if isinstance(key, SigningKey)]


def _look(folder: Path) -> Fingerprint:
    """What changes when a key is added, replaced or removed."""
    seen = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".pem") and not entry.name.startswith("."):
                status = entry.stat()
                seen.append((entry.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(sorted(seen))


def _read(folder: Path, names: Sequence[str], *, strict: bool) -> list[VerifyingKey]:
    keys: dict[str, VerifyingKey] = {}
    for name in names:
        try:
            key = parse(name, (folder / name).read_bytes())
        except ValueError as error:
            if strict:
                raise ConfigurationError(f"{SETTING}: {error}") from None
            # Perhaps half written; the others are not to suffer for it.
            log.error("signing_key_unusable", file=name, error=str(error))
            continue
        keys.pop(key.kid, None)
        keys[key.kid] = key
    return list(keys.values())


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{os.getpid()}.pem"
    descriptor = os.open(folder / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem_of(generate()))
    os.rename(folder / f".{name}", folder / name)
    log.warning("signing_key_made", file=str(folder / name), remedy="in production a key is made by hand, and kept")
