"""Which backups have outlived their use. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from harness.backup.v1 import backup_pb2 as pb

DAY_MS: Final = 86_400_000
_PERIODS: Final[dict[str, Callable[[datetime], str]]] = {
    "hourly": lambda moment: moment.strftime("%Y-%m-%dT%H"),
    "daily": lambda moment: moment.strftime("%Y-%m-%d"),
    "weekly": lambda moment: moment.strftime("%G-W%V"),
    "monthly": lambda moment: moment.strftime("%Y-%m"),
}


@dataclass(frozen=True)
class Rules:
    """What to keep: everything younger than `max_age_ms`, and the newest good backup of each of the last so many hours,
    days, weeks and months (UTC) that have one. A backup that any rule keeps is kept."""

    max_age_ms: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def keeps_all(self) -> bool:
        """Whether no rule is set, which means that nothing is ever deleted."""
        return self == Rules()


@dataclass(frozen=True)
class Verdict:
    """Whether a backup is kept, and by which rules; `expired` if by none."""

    backup: pb.Backup
    kept: bool
    reasons: tuple[str, ...]


def judge(
    backups: Sequence[pb.Backup], rules: Rules, *, now_ms: int, verified: str, in_use: Collection[str] = ()
) -> list[Verdict]:
    """A verdict on each backup, newest first.

    Args:
        backups: of one target.
        rules: what to keep.
        now_ms: the service's Redis clock, Unix milliseconds.
        verified: the id of the backup that was just verified; it is kept whatever the rules say.
        in_use: ids that are being written or read.
    """
    newest_first = sorted(backups, key=_age_order, reverse=True)
    by_period = _by_period(newest_first, rules)
    verdicts = []
    for backup in newest_first:
        reasons = by_period.get(backup.backup_id, [])
        if rules.max_age_ms and backup.create_time.ToMilliseconds() >= now_ms - rules.max_age_ms:
            reasons = ["days", *reasons]
        for holds, reason in (
            (backup.state == pb.BACKUP_STATE_RUNNING or backup.backup_id in in_use, "in use"),
            (backup.HasField("pin"), "pinned"),
            (backup.backup_id == verified, "verified"),
        ):
            if holds:
                reasons = [reason, *reasons]
        verdicts.append(Verdict(backup, bool(reasons), tuple(reasons) or ("expired",)))
    return verdicts


def _age_order(backup: pb.Backup) -> tuple[int, str]:
    return backup.create_time.ToMilliseconds(), backup.backup_id


def _by_period(newest_first: Sequence[pb.Backup], rules: Rules) -> dict[str, list[str]]:
    """Reasons by backup: the newest good one of each of the last periods."""
    kept: dict[str, list[str]] = {}
    for name, period_of in _PERIODS.items():
        seen: set[str] = set()
        for backup in newest_first:
            if len(seen) >= getattr(rules, name):
                break
            if backup.state != pb.BACKUP_STATE_COMPLETED:
                continue
            period = period_of(datetime.fromtimestamp(backup.create_time.ToMilliseconds() / 1000, UTC))
            if period not in seen:
                seen.add(period)
                kept.setdefault(backup.backup_id, []).append(f"{name} {period}")
    return kept
