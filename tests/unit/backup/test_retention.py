"""Retention, which is pure: by example, and by properties over any set of backups and rules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backup.v1 import backup_pb2 as pb
from services.backup.retention import DAY_MS, Rules, Verdict, judge
from services.backup.views import timestamp

NOW = int(datetime(2026, 11, 25, 8, 30, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = DAY_MS // 24


def backup(
    number: int, age_ms: float, state: pb.BackupState.ValueType = pb.BACKUP_STATE_COMPLETED, *, pinned: bool = False
) -> pb.Backup:
    pin = pb.Pin(pinned_by="alice") if pinned else None
    return pb.Backup(backup_id=f"bkp_{number:03}", state=state, create_time=timestamp(NOW - int(age_ms)), pin=pin)


def kept(verdicts: list[Verdict]) -> dict[str, tuple[str, ...]]:
    return {verdict.backup.backup_id: verdict.reasons for verdict in verdicts if verdict.kept}


def test_age_alone() -> None:
    backups = [
        backup(1, 30 * DAY_MS),
        backup(2, 29 * DAY_MS),
        backup(3, 90 * DAY_MS, pb.BACKUP_STATE_RUNNING),
        backup(4, 90 * DAY_MS),
        backup(5, 30 * DAY_MS + 1),
        backup(6, 60 * DAY_MS, pb.BACKUP_STATE_FAILED),
        backup(7, 50 * DAY_MS, pb.BACKUP_STATE_CORRUPT),
        backup(8, 80 * DAY_MS, pinned=True),
        backup(9, 70 * DAY_MS),
    ]
    verdicts = judge(backups, Rules(30 * DAY_MS), now_ms=NOW, verified="bkp_004", in_use={"bkp_009"})
    assert kept(verdicts) == {
        "bkp_001": ("days",),
        "bkp_002": ("days",),
        "bkp_003": ("in use",),
        "bkp_004": ("verified",),
        "bkp_008": ("pinned",),
        "bkp_009": ("in use",),
    }
    gone = [verdict.backup.backup_id for verdict in verdicts if verdict.reasons == ("expired",)]
    assert gone == ["bkp_005", "bkp_007", "bkp_006"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(hourly=2), {"bkp_000": ("hourly 2026-11-25T08",), "bkp_001": ("hourly 2026-11-25T07",)}),
        (Rules(daily=2), {"bkp_000": ("daily 2026-11-25",), "bkp_009": ("daily 2026-11-24",)}),
        # Monday 23 November begins week 48.
        (Rules(weekly=2), {"bkp_000": ("weekly 2026-W48",), "bkp_057": ("weekly 2026-W47",)}),
        (Rules(monthly=2), {"bkp_000": ("monthly 2026-11",)}),
        (
            Rules(hourly=1, daily=1, monthly=1),
            {"bkp_000": ("hourly 2026-11-25T08", "daily 2026-11-25", "monthly 2026-11")},
        ),
    ],
)
def test_the_newest_of_each_period(rules: Rules, expected: dict[str, tuple[str, ...]]) -> None:
    hourly = [backup(hours, hours * HOUR_MS) for hours in range(100)]
    assert kept(judge(hourly, rules, now_ms=NOW, verified="")) == expected


def test_a_failed_backup_does_not_stand_for_its_period() -> None:
    backups = [backup(1, 0, pb.BACKUP_STATE_FAILED), backup(2, HOUR_MS), backup(3, 2 * HOUR_MS)]
    assert kept(judge(backups, Rules(daily=1), now_ms=NOW, verified="")) == {"bkp_002": ("daily 2026-11-25",)}


BACKUPS = st.lists(
    st.tuples(st.integers(0, 500 * DAY_MS), st.sampled_from([v for v in pb.BackupState.values() if v]), st.booleans()),
    max_size=25,
).map(lambda rows: [backup(number, *row[:2], pinned=row[2]) for number, row in enumerate(rows)])
RULES = st.builds(Rules, st.integers(0, 400 * DAY_MS), *(st.integers(0, 12) for _ in range(4)))


@given(BACKUPS, RULES, st.integers(0, 24), st.sets(st.integers(0, 24)))
def test_what_no_rule_may_ever_delete(backups: list[pb.Backup], rules: Rules, verified: int, used: set[int]) -> None:
    in_use = {f"bkp_{number:03}" for number in used}
    verdicts = judge(backups, rules, now_ms=NOW, verified=f"bkp_{verified:03}", in_use=in_use)
    assert sorted(v.backup.backup_id for v in verdicts) == [b.backup_id for b in backups]
    for verdict in verdicts:
        its = verdict.backup
        protected = (
            its.backup_id == f"bkp_{verified:03}"
            or its.backup_id in in_use
            or its.HasField("pin")
            or its.state == pb.BACKUP_STATE_RUNNING
            or (rules.max_age_ms > 0 and NOW - its.create_time.ToMilliseconds() <= rules.max_age_ms)
        )
        assert verdict.kept or not protected
        assert verdict.kept == (verdict.reasons != ("expired",))


@given(BACKUPS, RULES)
def test_no_period_has_more_than_its_share_and_the_newest_good_one_is_in_all(
    backups: list[pb.Backup], rules: Rules
) -> None:
    verdicts = judge(backups, rules, now_ms=NOW, verified="")
    reasons = [reason for verdict in verdicts for reason in verdict.reasons]
    for name in ("hourly", "daily", "weekly", "monthly"):
        mine = [reason for reason in reasons if reason.startswith(name)]
        assert len(mine) == len(set(mine)) <= getattr(rules, name)
    good = [verdict for verdict in verdicts if verdict.backup.state == pb.BACKUP_STATE_COMPLETED]
    if good:
        named = {reason.split(" ")[0] for reason in good[0].reasons}
        assert {name for name in ("hourly", "daily", "weekly", "monthly") if getattr(rules, name)} <= named


@given(BACKUPS, RULES)
def test_applying_it_twice_deletes_nothing_more(backups: list[pb.Backup], rules: Rules) -> None:
    once = judge(backups, rules, now_ms=NOW, verified="")
    left = [verdict.backup for verdict in once if verdict.kept]
    assert all(verdict.kept for verdict in judge(left, rules, now_ms=NOW, verified=""))
