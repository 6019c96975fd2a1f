"""Who has to agree: seats, the people who can fill them, and whether enough have. Pure.

A quorum is a list of seats; it is met when different people fill every one of them. Somebody who could fill several
fills one: two seats for two people stay two people, whatever their roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

APPROVER = "approver"
ADMIN = "admin"
ROLES = frozenset({APPROVER, ADMIN})

MAX_SEATS = 20
"""Of one quorum, all counts together. More than any organisation asks, and small enough to match exhaustively."""


@dataclass(frozen=True, slots=True)
class Seat:
    """`count` voters who have a role, or are in a group: exactly one of `role` and `group` is set."""

    role: str = ""
    group: str = ""
    count: int = 1


DEFAULT_QUORUM = (Seat(role=APPROVER),)
"""Where the policy names none: one approver."""


@dataclass(frozen=True, slots=True)
class Voter:
    """Somebody who votes: with their own roles and groups, or, by a delegation, with those of `on_behalf_of`.

    `acting` is who acts in the name of `subject`, if that is somebody else.
    """

    subject: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    acting: str = ""
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote as it is kept. `seats` are the indexes of the quorum's seats that the voter could fill.

    `remember` is a number of `harness.approval.v1.RememberScope`: how far the voter wants the approval to reach, and
    `remember_until_ms` until when.
    """

    voter: str
    approved: bool
    reason: str
    at_ms: int
    seats: tuple[int, ...] = ()
    on_behalf_of: str = ""
    remember: int = 0
    remember_until_ms: int = 0


def seats_for(quorum: Sequence[Seat], voter: Voter) -> tuple[int, ...]:
    """The indexes of the seats that a voter can fill. An admin can fill an approver's."""
    roles = voter.roles | ({APPROVER} if ADMIN in voter.roles else frozenset())
    return tuple(
        i for i, seat in enumerate(quorum) if (seat.role in roles if seat.role else seat.group in voter.groups)
    )


def filled(quorum: Sequence[Seat], choices: Iterable[Sequence[int]]) -> int:
    """How many seats people can fill at once, given for each person the indexes of those they can fill.

    The largest matching of people and seats, by augmenting paths (Kuhn): a person who comes later may move one who
    came before to another seat.
    """
    places = [i for i, seat in enumerate(quorum) for _ in range(seat.count)]
    able = [frozenset(choice) for choice in choices]
    holder: list[int | None] = [None] * len(places)

    def find_place(person: int, tried: set[int]) -> bool:
        for place, seat in enumerate(places):
            if seat not in able[person] or place in tried:
                continue
            tried.add(place)
            other = holder[place]
            if other is None or find_place(other, tried):
                holder[place] = person
                return True
        return False

    return sum(find_place(person, set()) for person in range(len(able)))


def size(quorum: Sequence[Seat]) -> int:
    """How many people it takes."""
    return sum(seat.count for seat in quorum)


def describe(quorum: Sequence[Seat]) -> str:
    """A quorum in words: "2 of approver and 1 of group security"."""
    return " and ".join(f"{seat.count} of {seat.role or 'group ' + seat.group}" for seat in quorum)
