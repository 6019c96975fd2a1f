"""Who has to agree, by example and against counting every way to seat people."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.quorum import Seat, Voter, describe, filled, seats_for, size

APPROVERS = Seat(role="approver", count=2)
SECURITY = Seat(group="security")
ADMIN = Seat(role="admin")


@pytest.mark.parametrize(
    ("roles", "groups", "seats"),
    [
        ({"approver"}, (), (0,)),
        ({"admin"}, (), (0, 2)),
        ((), ("security",), (1,)),
        ({"approver"}, ("security", "other"), (0, 1)),
        ((), ("approver",), ()),
        ({"user"}, ("Security",), ()),
    ],
)
def test_seats_are_for_roles_and_groups(roles: set[str], groups: tuple[str, ...], seats: tuple[int, ...]) -> None:
    voter = Voter("x", frozenset(roles), frozenset(groups))
    assert seats_for([APPROVERS, SECURITY, ADMIN], voter) == seats


def test_a_quorum_in_words() -> None:
    assert describe([APPROVERS, SECURITY]) == "2 of approver and 1 of group security"
    assert size([APPROVERS, SECURITY]) == 3


def _by_trying(places: list[int], able: list[set[int]]) -> int:
    """The most places that people can fill: every order of people over the places, free ones included."""
    people: list[int | None] = [*range(len(able)), *[None] * len(places)]
    return max(
        sum(person is not None and place in able[person] for place, person in zip(places, order, strict=False))
        for order in set(permutations(people, len(places)))
    )


@given(
    counts=st.lists(st.integers(1, 2), min_size=1, max_size=3).filter(lambda counts: sum(counts) <= 4),
    able=st.lists(st.sets(st.integers(0, 2)), max_size=4),
)
def test_as_many_seats_are_filled_as_can_be(counts: list[int], able: list[set[int]]) -> None:
    quorum = [Seat(group=str(i), count=count) for i, count in enumerate(counts)]
    places = [i for i, count in enumerate(counts) for _ in range(count)]
    assert filled(quorum, [tuple(choice) for choice in able]) == _by_trying(places, able)
