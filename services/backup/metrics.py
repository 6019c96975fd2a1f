"""What the service counts beside its RPCs."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import Level

VERIFICATIONS: Final = Counter(
    "harness_backup_verifications_total", "Verifications of archives, by level and what was found.", ("level", "result")
)
VERIFIED_TIME: Final = Gauge(
    "harness_backup_verified_timestamp_seconds",
    "When an archive of a target was last found whole, by the level reached.",
    ("target", "level"),
)


def count_verification(backup: pb.Backup, level: Level) -> None:
    """Count an archive that was found whole at `verify_time`."""
    VERIFICATIONS.labels(level.name.lower(), "whole").inc()
    VERIFIED_TIME.labels(backup.target, level.name.lower()).set(backup.verify_time.ToMilliseconds() / 1000)


def count_damage(backup: pb.Backup, level: Level) -> None:
    """Count an archive that was found damaged."""
    VERIFICATIONS.labels(level.name.lower(), "damaged").inc()
