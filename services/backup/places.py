"""Where backups go: named repositories, as they are configured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.backup.archive import KeyRing
from services.backup.store.local import LocalRepository
from services.backup.store.objects import SCHEMES, ObjectRepository
from services.backup.store.repositories import Place, Repositories
from services.backup.store.repository import Repository
from services.runtime.errors import ConfigurationError

_SECRET_WORDS: Final = ("secret", "key", "token", "password", "sas", "credential")
_HARMLESS: Final = frozenset({"sse_kms_key_id", "aws_sse_kms_key_id", "sse_bucket_key_enabled"})


class RepositoryConfig(BaseModel):
    """One repository: a local directory (`path`), or a bucket (`url`, one of s3://, gs://, az://).

    `options` go to the storage's client by obstore's names (`endpoint`, `region`, ...). Nothing secret may be in them:
    credentials come from the environment as the storage's own tools take them (`AWS_ACCESS_KEY_ID`, ...), or from
    `credentials_file`, a JSON object of such options, where each repository needs its own. A backup that cannot be
    stored in a `required` one has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    url: str = ""
    options: dict[str, str] = Field(default_factory=dict)
    credentials_file: Path | None = None
    allow_http: bool = False
    required: bool = True

    @model_validator(mode="after")
    def _one_place(self) -> RepositoryConfig:
        if (self.path is None) == (not self.url):
            raise ValueError("a repository has either a path or a url")
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in SCHEMES or not parts.hostname:
                raise ValueError(f"a url names a bucket: one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
            if parts.username or parts.password or parts.query:
                raise ValueError("a url holds no credentials; use credentials_file or the environment")
        elif self.options or self.credentials_file or self.allow_http:
            raise ValueError("options, credentials_file and allow_http are for a url")
        for name in self.options:
            if name not in _HARMLESS and any(word in name.lower() for word in _SECRET_WORDS):
                raise ValueError(f"{name} may be secret and does not belong into options; use credentials_file")
        return self

    def build(self, keys: KeyRing | None) -> Repository:
        """The repository. ValueError if it cannot be set up."""
        if self.path is not None:
            return LocalRepository(self.path, keys)
        config = dict(self.options)
        if self.credentials_file is not None:
            config |= _credentials(self.credentials_file)
        try:
            return ObjectRepository(self.url, config, allow_http=self.allow_http, keys=keys)
        except BaseError as error:
            # Its text may quote what it was given.
            raise ValueError(f"{type(error).__name__}: check url, options and credentials") from None


def _credentials(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"credentials_file {file} cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"credentials_file {file} must be a JSON object of texts")
    return found


def build_repositories(
    configs: Mapping[str, RepositoryConfig], directory: Path, keys: KeyRing | None = None
) -> Repositories:
    """What is configured; without any, the directory under the name `local`.

    ConfigurationError if one cannot be set up.
    """
    if not configs:
        return Repositories({"local": Place(LocalRepository(directory, keys))}, keys)
    places = {}
    for name, config in configs.items():
        try:
            places[name] = Place(config.build(keys), config.required)
        except ValueError as error:
            raise ConfigurationError(f"HARNESS_BACKUP_REPOSITORIES: {name}: {error}") from None
    return Repositories(places, keys)
