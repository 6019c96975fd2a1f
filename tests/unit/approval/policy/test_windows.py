"""Change windows: over midnight, over the days on which clocks change, once, and in any zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.policy.windows import MINUTES_A_DAY, Window, WindowError, minute_of, zone


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def weekly(days: str, start: str, end: str, time_zone: str = "UTC") -> Window:
    return Window(frozenset(map(int, days)), minute_of(start), minute_of(end), time_zone)


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        # 2025-01-01 is a Wednesday.
        (
            weekly("3", "09:00", "17:00"),
            ["2025-01-01T09:00", "2025-01-01T16:59"],
            ["2025-01-01T08:59", "2025-01-01T17:00"],
        ),
        (
            weekly("3", "00:00", "24:00"),
            ["2025-01-01T00:00", "2025-01-01T23:59"],
            ["2024-12-31T23:59", "2025-01-02T00:00"],
        ),
        (
            weekly("3", "22:00", "06:00"),
            ["2025-01-01T22:00", "2025-01-02T05:59"],
            ["2025-01-01T05:59", "2025-01-02T06:00"],
        ),
        (
            weekly("3", "09:00", "09:00"),
            ["2025-01-01T09:00", "2025-01-02T08:59"],
            ["2025-01-01T08:59", "2025-01-02T09:00"],
        ),
        (
            weekly("67", "00:00", "24:00"),
            ["2025-01-04T00:00", "2025-01-05T23:59"],
            ["2025-01-03T23:59", "2025-01-06T00:00"],
        ),
        # Friday evening in Berlin begins at 17:00 UTC in winter, and at 16:00 in summer.
        (
            weekly("5", "18:00", "24:00", "Europe/Berlin"),
            ["2025-01-03T17:00", "2025-07-04T16:00"],
            ["2025-01-03T16:59", "2025-07-04T15:59"],
        ),
        # Saturday in Auckland is Friday in UTC.
        (
            weekly("6", "00:00", "24:00", "Pacific/Auckland"),
            ["2025-01-03T11:00"],
            ["2025-01-03T10:59", "2025-01-04T11:00"],
        ),
        # 02:00 to 03:00 does not exist on 2025-03-30 in Berlin: the window is as long as it can be.
        (
            weekly("7", "02:30", "04:00", "Europe/Berlin"),
            ["2025-03-30T00:30", "2025-03-30T01:59"],
            ["2025-03-30T00:29", "2025-03-30T02:00"],
        ),
        # 02:00 to 03:00 happens twice on 2025-10-26: from the first 02:30, and until the second 02:30 is over.
        (
            weekly("7", "02:30", "03:00", "Europe/Berlin"),
            ["2025-10-26T00:30", "2025-10-26T01:59"],
            ["2025-10-26T00:29", "2025-10-26T02:00"],
        ),
        (weekly("7", "00:00", "02:30", "Europe/Berlin"), ["2025-10-26T01:29"], ["2025-10-26T01:30"]),
        # Midnight does not exist on 2024-09-08 in Santiago: that Sunday begins, at the earliest, an hour before.
        (
            weekly("7", "00:00", "06:00", "America/Santiago"),
            ["2024-09-08T04:00", "2024-09-08T08:59"],
            ["2024-09-08T02:59", "2024-09-08T09:00"],
        ),
        (
            Window(from_ms=at("2025-12-20T00:00"), to_ms=at("2026-01-02T00:00")),
            ["2025-12-20T00:00", "2026-01-01T23:59"],
            ["2025-12-19T23:59", "2026-01-02T00:00"],
        ),
    ],
)
def test_windows(window: Window, inside: list[str], outside: list[str]) -> None:
    assert {moment: window.holds(at(moment)) for moment in inside + outside} == {
        **dict.fromkeys(inside, True),
        **dict.fromkeys(outside, False),
    }


@settings(deadline=None)
@given(
    st.integers(0, MINUTES_A_DAY - 1),
    st.integers(0, MINUTES_A_DAY),
    st.integers(at("2024-01-01T00:00"), at("2027-01-01T00:00")),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Santiago"]),
)
def test_windows_of_all_days_and_their_opposite_leave_no_gap(start: int, end: int, now: int, name: str) -> None:
    every = frozenset(range(1, 8))
    window = Window(every, start, end, name)
    rest = Window(every, end % MINUTES_A_DAY, start, name)
    assert window.holds(now) or rest.holds(now)


@pytest.mark.parametrize("text", ["", "8:00", "24:01", "12:60", "1200", "12:0", "ab:cd", "-1:00", "١٢:00"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(WindowError, match="no time of day"):
        minute_of(text)


@pytest.mark.parametrize("name", ["", "Mars/Base", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "x" * 400])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(WindowError):
        zone(name)
