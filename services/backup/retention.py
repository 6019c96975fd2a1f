"""Which backups have outlived their use. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.backup.v1 import backup_pb2 as pb


def expired(backups: Iterable[pb.Backup], *, now_ms: int, max_age_ms: int, keep: str) -> list[pb.Backup]:
    """The backups older than `max_age_ms`, oldest first, without `keep` (the one that was just verified) and without
    any still running."""
    old = [
        backup
        for backup in backups
        if backup.backup_id != keep
        and backup.state != pb.BACKUP_STATE_RUNNING
        and backup.create_time.ToMilliseconds() < now_ms - max_age_ms
    ]
    return sorted(old, key=lambda backup: (backup.create_time.ToMilliseconds(), backup.backup_id))
