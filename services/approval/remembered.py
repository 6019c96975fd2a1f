"""Decisions that hold for the same actions again: how far, until when, and for whom not. Pure.

What is remembered is an approval that people gave, never one of the policy or of a broken glass; it is used only where
the same quorum would be asked now, and only for actions that are the same to the last byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from services.approval.quorum import Seat
from services.approval.record import Facts, Record

# Numbers of harness.approval.v1.RememberScope, from the narrowest.
ONCE = 1
RUN = 2
PROJECT = 3

DAY_MS = 86_400_000
MAX_REMEMBER_MS = 30 * DAY_MS
"""As long as a delegation may last: longer than a project's sprint, shorter than anybody's memory of it."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An approval that holds again until `until_ms`: for a digest, by an agent, in an environment, within a scope."""

    scope: int
    project_id: str
    run_id: str
    digest: str
    agent: str
    environment: str
    approval_id: str
    voters: tuple[str, ...]
    quorum: tuple[Seat, ...]
    policy_rule: str
    created_ms: int
    until_ms: int

    @property
    def name(self) -> str:
        """What the same actions in the same circumstances have in common."""
        return name_of(
            self.scope,
            self.project_id if self.scope == PROJECT else self.run_id,
            digest=self.digest,
            agent=self.agent,
            environment=self.environment,
        )

    def holds_for(self, facts: Facts, people: frozenset[str]) -> bool:
        """Whether it answers a request of these people now.

        The same quorum would be asked, for the same rules and freezes of the policy, and none of its voters asks.
        """
        same = (self.quorum, self.policy_rule) == (facts.quorum, facts.policy_rule)
        return same and not people.intersection(self.voters)


def name_of(scope: int, within: str, *, digest: str, agent: str, environment: str) -> str:
    """The name of what is remembered within a run or a project (its id)."""
    parts = (str(scope), within, digest, agent, environment)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def from_decided(record: Record) -> Remembered | None:
    """What an approval leaves behind for later; None if it is for once, or was not given by people who voted.

    The narrowest scope and the earliest time of all votes hold.
    """
    votes = [vote for vote in record.votes if vote.approved]
    if record.glass is not None or not votes or record.decision is None or not record.decision.approved:
        return None
    scope = min(vote.remember or ONCE for vote in votes)
    within = {RUN: record.run_id, PROJECT: record.project_id}.get(scope, "")
    if not within or not record.facts.memorable:
        return None
    return Remembered(
        scope=scope,
        project_id=record.project_id,
        run_id=record.run_id,
        digest=record.digest,
        agent=record.agent,
        environment=record.environment,
        approval_id=record.id,
        voters=tuple(vote.voter for vote in votes),
        quorum=record.facts.quorum,
        policy_rule=record.facts.policy_rule,
        created_ms=record.decision.at_ms,
        until_ms=min(vote.remember_until_ms for vote in votes),
    )
