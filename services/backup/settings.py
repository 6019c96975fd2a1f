"""Settings of the backup service, beside those that every service has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from services.backup.archive import KeyRing
from services.backup.places import RepositoryConfig
from services.backup.retention import DAY_MS, Rules
from services.backup.targets import TARGET_NAME, TargetConfig, check_names
from services.runtime.settings import ServiceSettings


class BackupSettings(ServiceSettings):
    """`HARNESS_BACKUP_TARGETS` is JSON: `{"orchestrator": {"url": ..., "prefixes": ["orchestrator:"], "restore_url":
    ...}}`."""

    listen: str = Field("127.0.0.1:50053", description="host:port or unix:/path; port 0 takes a free one")
    backup_targets: dict[str, TargetConfig] = Field(
        default_factory=dict, description="what can be backed up: JSON, name to {url, prefixes, restore_url, diskless}"
    )
    backup_directory: Path = Field(Path("backups"), description="where archives lie; one service a directory")
    backup_retention_days: int = Field(
        30, ge=0, le=36_500, description="age at which backups are deleted, after a good one was made; 0: never"
    )

    backup_verify_level: Literal["frames", "content", "server"] = Field(
        "frames", description="how far every backup is verified before it is complete: frames, content or server"
    )
    backup_key_file: Path | None = Field(
        None, description="keys that encrypt archives, one a line: id, 32 bytes in base64; the first is for new ones"
    )
    backup_key_command: str = Field("", description="a command that prints such keys, instead of a file")

    backup_repositories: dict[str, RepositoryConfig] = Field(
        default_factory=dict,
        description="where archives go: JSON, name to {path} or {url, options, credentials_file, allow_http}, and "
        "required; empty: backup_directory alone",
    )
    backup_retention_hourly: int = Field(0, ge=0, le=10_000, description="hours of which the newest backup is kept")
    backup_retention_daily: int = Field(0, ge=0, le=10_000, description="days of which the newest backup is kept")
    backup_retention_weekly: int = Field(0, ge=0, le=10_000, description="weeks of which the newest backup is kept")
    backup_retention_monthly: int = Field(0, ge=0, le=10_000, description="months of which the newest backup is kept")

    @property
    def retention(self) -> Rules:
        """What is kept after a good backup. Days of 0 keep everything, whatever else is set."""
        if not self.backup_retention_days:
            return Rules()
        return Rules(
            self.backup_retention_days * DAY_MS,
            self.backup_retention_hourly,
            self.backup_retention_daily,
            self.backup_retention_weekly,
            self.backup_retention_monthly,
        )

    @field_validator("backup_repositories")
    @classmethod
    def _named_repositories(cls, repositories: dict[str, RepositoryConfig]) -> dict[str, RepositoryConfig]:
        for name in repositories:
            if not TARGET_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} cannot be a repository's name: small letters, digits, hyphens, a letter first"
                )
        if repositories and not any(config.required for config in repositories.values()):
            raise ValueError("at least one repository must be required")
        return repositories

    @model_validator(mode="after")
    def _one_origin_of_keys(self) -> BackupSettings:
        if self.backup_key_file is not None and self.backup_key_command:
            raise ValueError("set HARNESS_BACKUP_KEY_FILE or HARNESS_BACKUP_KEY_COMMAND, not both")
        return self

    def read_keys(self) -> KeyRing | None:
        """The keys that are configured, None if none are. BadKeys if they cannot be read."""
        if self.backup_key_file is not None:
            return KeyRing.from_file(self.backup_key_file)
        return KeyRing.from_command(self.backup_key_command) if self.backup_key_command else None

    @field_validator("backup_targets")
    @classmethod
    def _named(cls, targets: dict[str, TargetConfig]) -> dict[str, TargetConfig]:
        return check_names(targets)
