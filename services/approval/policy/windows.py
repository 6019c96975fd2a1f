"""Change windows: times that come again every week, or once, in the zone of whoever lives by them.

A week's window begins on each of its days at `start` and ends at `end`, on the next day when that is not later. Where a
clock is put forward or back, the window is as long as it can be: it begins at the earlier and ends at the later of the
moments that a time of day can mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTES_A_DAY = 24 * 60
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class WindowError(ValueError):
    """A window that no clock can follow; the message says why."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database. Raises WindowError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise WindowError(f"{name!r} is no time zone; take one such as Europe/Berlin or UTC") from error
    except KeyError as error:
        raise WindowError(f"there is no time zone {name!r}; take one such as Europe/Berlin or UTC") from error


@dataclass(frozen=True, slots=True)
class Window:
    """Either weekly (`days`, 1 is Monday; `start` and `end` in minutes of the day), or once, `from_ms` to `to_ms`.

    `end` may be 24 * 60. Both ends are half-open: a window that ends at 08:00 is over at 08:00.
    """

    days: frozenset[int] = frozenset()
    start: int = 0
    end: int = MINUTES_A_DAY
    time_zone: str = "UTC"
    from_ms: int = 0
    to_ms: int = 0

    def holds(self, now_ms: int) -> bool:
        """Whether a moment, milliseconds of Unix time, is in the window."""
        if not self.days:
            return self.from_ms <= now_ms < self.to_ms
        where = zone(self.time_zone)
        today = moment(now_ms, where).date()
        # Yesterday's may last until now; tomorrow's may begin today where midnight does not exist.
        for day in (today + timedelta(days=shift) for shift in (-1, 0, 1)):
            if day.isoweekday() not in self.days:
                continue
            last = day + timedelta(days=1) if self.end <= self.start else day
            if min(_meanings(day, self.start, where)) <= now_ms < max(_meanings(last, self.end, where)):
                return True
        return False


def moment(now_ms: int, where: ZoneInfo) -> datetime:
    """A time, milliseconds of Unix time, as the clocks of a zone show it."""
    return datetime.fromtimestamp(now_ms // 1000, where)


def _meanings(day: date, minute: int, where: ZoneInfo) -> Iterator[int]:
    """The moments that a time of day can mean, milliseconds: two where the clock is put back, or forward past it."""
    day += timedelta(days=minute // MINUTES_A_DAY)
    hour, rest = divmod(minute % MINUTES_A_DAY, 60)
    for fold in (0, 1):
        local = datetime(day.year, day.month, day.day, hour, rest, fold=fold, tzinfo=where)
        yield int(local.astimezone(UTC).timestamp()) * 1000


def minute_of(text: str) -> int:
    """The minute of the day of "HH:MM", up to "24:00". Raises WindowError."""
    hour, colon, minute = text.partition(":")
    if colon and len(hour) == len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit():
        total = int(hour) * 60 + int(minute)
        if int(minute) < 60 and total <= MINUTES_A_DAY:
            return total
    raise WindowError(f"{text!r} is no time of day; write it as 18:30")
