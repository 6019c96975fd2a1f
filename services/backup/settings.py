"""Settings of the backup service, beside those that every service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.backup.targets import TargetConfig, check_names
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

    @field_validator("backup_targets")
    @classmethod
    def _named(cls, targets: dict[str, TargetConfig]) -> dict[str, TargetConfig]:
        return check_names(targets)
