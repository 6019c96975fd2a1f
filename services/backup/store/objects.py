"""Archives in a bucket: S3 and what speaks it, Google Cloud Storage, Azure.

Under the URL's prefix:

    archives/<backup id>-<random>.mhb    the archive, under a name that is used once
    catalog/<backup id>.json             written last and only if it is not there yet: with it the archive exists

A reader goes by the catalog, so an upload is seen by nobody before it has been read back and verified.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from services.backup.archive import ArchiveError, KeyRing, Sink, Source
from services.backup.failure import JobFailed
from services.backup.store.repository import BACKUP_ID, SUFFIX, Repository, checked_id

SCHEMES: Final = ("s3", "gs", "az")
PART_BYTES: Final = 16 << 20
"""A part of an upload. S3 takes 10,000 parts an object: archives to 156 GiB."""
_PARTS_AT_ONCE: Final = 2
_ORPHAN_AGE: Final = timedelta(days=1)
"""Archives outside of the catalog are removed at this age: younger ones may be of a service that is being replaced."""
_RETRIES: Final = 4
_RETRY_S: Final = 20


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    # Unlike a missing object, a storage that does not answer says nothing about the archive.
    try:
        yield
    except (BaseError, OSError) as error:
        raise JobFailed("STORAGE_FAILED", f"the object storage failed: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:500]


class _ObjectSource:
    """One object, read by ranges."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        try:
            self._size = int(obstore.head(store, key)["size"])
        except FileNotFoundError:
            raise ArchiveError(f"the archive {key} is not in the bucket any more") from None

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self._size - offset)
        if length <= 0:
            return b""
        with _reading():
            return bytes(obstore.get_range(self._store, self._key, start=offset, length=length))


class _ObjectSink:
    """An upload. OSError and JobFailed if the storage fails."""

    def __init__(self, store: ObjectStore, key: str, entry: str) -> None:
        self._store = store
        self._key = key
        self._entry = entry
        self._done = self._broken = False
        self._writer = obstore.open_writer(store, key, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def write(self, data: bytes) -> None:
        with self._sending():
            self._writer.write(data)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        try:
            with _reading():
                yield
        except JobFailed:
            self._broken = True
            raise

    def seal(self, check: Callable[[Source], None]) -> None:
        with self._sending():
            self._writer.close()
        with _reading():
            source = _ObjectSource(self._store, self._key)
        check(source)
        entry = json.dumps({"object": self._key, "bytes": source.size}).encode()
        with _reading():
            try:
                obstore.put(self._store, self._entry, entry, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # A first try whose answer was lost leaves this too.
                if bytes(obstore.get(self._store, self._entry).bytes()) != entry:
                    raise
        self._done = True

    def abort(self) -> None:
        if self._done:
            return
        self._done = True
        # Parts that are on their way would arrive after an abort, and stay: so it is ended, and removed under its name,
        # which nothing refers to. A writer that has failed must be aborted: it does not know any more where it writes.
        with contextlib.suppress(BaseError, OSError):
            if self._broken:
                self._writer.__exit__(JobFailed, None, None)
            else:
                self._writer.close()
        with contextlib.suppress(BaseError, OSError):
            obstore.delete(self._store, self._key)


class ObjectRepository(Repository):
    """A bucket, or a prefix in it, owned by one service.

    Args:
        url: `s3://`, `gs://` or `az://`, bucket and prefix.
        config: of the store, as obstore names it; what is missing comes from the environment (`AWS_*`, ...).
        allow_http: whether the storage may be reached without TLS.
        keys: for encrypted archives.
    """

    def __init__(
        self, url: str, config: dict[str, str], *, allow_http: bool = False, keys: KeyRing | None = None
    ) -> None:
        super().__init__(keys)
        self._url = url
        # The types of obstore name every option; these come from the settings.
        self._store: ObjectStore = from_url(
            url,
            config=config,  # type: ignore[call-overload]
            client_options={"allow_http": allow_http},
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)},
        )

    @property
    def location(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    def claim(self) -> None:
        """Nothing: a bucket cannot tell who else uses it, and names that are used once do no harm."""

    def release(self) -> None:
        pass

    @staticmethod
    def _entry(backup_id: str) -> str:
        return f"catalog/{checked_id(backup_id)}.json"

    def _paths(self, folder: str) -> Iterator[tuple[str, datetime]]:
        with _reading():
            for page in obstore.list(self._store, folder):
                for found in page:
                    yield found["path"], found["last_modified"]

    def list(self) -> Iterator[str]:
        for path, _ in self._paths("catalog/"):
            name = path.rpartition("/")[2].removesuffix(".json")
            if BACKUP_ID.fullmatch(name):
                yield name

    def sweep(self) -> int:
        young = datetime.now(UTC) - _ORPHAN_AGE
        loose = {path for path, changed in self._paths("archives/") if changed < young}
        if loose:
            loose -= {key for backup_id in self.list() if (key := self._key_of(backup_id))}
        for path in loose:
            with _reading():
                obstore.delete(self._store, path)
        return len(loose)

    def _key_of(self, backup_id: str) -> str:
        """Where the archive of a backup is; "" if it is not in the catalog."""
        with _reading():
            try:
                data = bytes(obstore.get(self._store, self._entry(backup_id)).bytes())
            except FileNotFoundError:
                return ""
        try:
            return str(json.loads(data)["object"])
        except (ValueError, KeyError, TypeError):
            raise ArchiveError(f"the bucket's entry for {backup_id} cannot be read") from None

    def sink(self, backup_id: str) -> Sink:
        key = f"archives/{checked_id(backup_id)}-{secrets.token_hex(4)}{SUFFIX}"
        with _reading():
            return _ObjectSink(self._store, key, self._entry(backup_id))

    @contextlib.contextmanager
    def source(self, backup_id: str) -> Iterator[Source]:
        key = self._key_of(backup_id)
        if not key:
            raise ArchiveError(f"the archive of {backup_id} is not in the bucket")
        with _reading():
            source = _ObjectSource(self._store, key)
        yield source

    def exists(self, backup_id: str) -> bool:
        try:
            with self.source(backup_id):
                return True
        except ArchiveError:
            return False

    def delete(self, backup_id: str) -> None:
        # The archive first: if the storage refuses that, because it is locked, the entry must go on to name it.
        try:
            key = self._key_of(backup_id)
        except ArchiveError:
            key = ""
        with _reading():
            for path in (key, self._entry(backup_id)):
                if path:
                    with contextlib.suppress(FileNotFoundError):
                        obstore.delete(self._store, path)
