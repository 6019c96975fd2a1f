"""Delegations: an approver's authority in somebody else's hands, for a time."""

from __future__ import annotations

from dataclasses import dataclass

from services.approval import journal
from services.approval.quorum import APPROVER, Voter
from services.approval.remembered import DAY_MS
from services.approval.store.delegations import Delegation, DelegationStore
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.ids import is_id, new_id
from services.runtime.redaction import redact

MAX_MS = 30 * DAY_MS
"""How long a delegation may last: longer than a holiday, short enough to be looked at again."""

MAX_HELD = 50
"""Delegations that one person may hold at a time; a vote looks at all of them."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A delegation to be given."""

    request_id: str
    delegate: str
    until_ms: int
    reason: str


class Delegations:
    """Gives, lists and ends delegations, and says with whose authority somebody can vote."""

    def __init__(self, store: DelegationStore) -> None:
        self._store = store

    async def voters(self, own: Voter) -> list[Voter]:
        """Somebody's own authority, and after it what others have given them."""
        held = await self._store.given_to(own.subject, MAX_HELD)
        return [
            own,
            *(
                Voter(own.subject, frozenset({APPROVER}), frozenset(one.groups), own.acting, one.delegator)
                for one in held
            ),
        ]

    async def create(self, draft: Draft, by: Voter) -> Delegation:
        """Give one's authority to somebody.

        Raises InvalidArgument (SELF_DELEGATION, EXPIRE_TIME_INVALID, TOO_MANY_DELEGATIONS).
        """
        if draft.delegate in (by.subject, by.acting):
            raise InvalidArgument(
                "SELF_DELEGATION", "you have your own authority already", violations=[("delegate", "must be another")]
            )
        now_ms = await self._store.now_ms()
        if not now_ms < draft.until_ms <= now_ms + MAX_MS:
            raise InvalidArgument(
                "EXPIRE_TIME_INVALID",
                "expire_time must be in the future, and at most 30 days away",
                violations=[("expire_time", "out of range")],
            )
        if len(await self._store.given_to(draft.delegate, MAX_HELD)) == MAX_HELD:
            raise InvalidArgument(
                "TOO_MANY_DELEGATIONS", f"{draft.delegate} holds {MAX_HELD} delegations, and may hold no more"
            )
        delegation = Delegation(
            id=new_id("dlg"),
            delegator=by.subject,
            delegate=draft.delegate,
            groups=tuple(sorted(by.groups)),
            reason=redact(draft.reason),
            created_ms=now_ms,
            until_ms=draft.until_ms,
        )
        event = journal.fact(
            "DELEGATION_CREATED",
            actor=by.subject,
            acting=by.acting,
            subject_name=delegation.id,
            on_behalf_of=draft.delegate,
            reason=delegation.reason,
            use_by_ms=delegation.until_ms,
        )
        return await self._store.create(delegation, draft.request_id, event)

    async def page(self, *, of: str | None, start: int, limit: int) -> list[Delegation]:
        """A part of those that somebody gave or holds; `of` None means everybody's. The first to end first."""
        return await self._store.page(of, start, limit)

    async def revoke(self, delegation_id: str, by: Voter, *, any_of_them: bool) -> None:
        """End a delegation of one's own, or any. Raises NotFound (DELEGATION_NOT_FOUND) for those of others."""
        delegation = await self._store.get(delegation_id) if is_id(delegation_id, "dlg") else None
        if delegation is None or not (any_of_them or delegation.delegator == by.subject):
            raise _not_found(delegation_id)
        event = journal.fact(
            "DELEGATION_REVOKED",
            actor=by.subject,
            acting=by.acting,
            subject_name=delegation.id,
            on_behalf_of=delegation.delegate,
        )
        await self._store.revoke(delegation, event)


def _not_found(delegation_id: str) -> NotFound:
    return NotFound(
        "DELEGATION_NOT_FOUND",
        f"there is no delegation {delegation_id} of yours that holds; list them with ListDelegations",
        delegation_id=delegation_id,
    )
