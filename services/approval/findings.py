"""What is found out about actions; the same ones in the same circumstances are assessed once while they are remembered.

Agents run the same few commands again and again, and reading one takes longer than everything else that is done for it.
An assessment has no clock, no chance and no I/O in it, so what was found is what would be found. Nothing of the actions
is kept but their digest and what the assessment quotes of them, which is masked.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.approval import risk
from services.approval.survey import types_of, unread_in

# Together some megabytes at most: a factor with its texts takes about one kilobyte.
_MAX_FOUND = 2048
_MAX_FACTORS = 8

_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What actions are, together: how risky, which types of effect they have, and what nobody could read."""

    assessment: risk.Assessment
    types: frozenset[str]
    unread: tuple[str, ...]


def findings_of(digest: str, actions: Sequence[risk.Action], context: risk.Context) -> Findings:
    """Find out. Raises what the assessment raises."""
    assessment = risk.assess(actions[0], context) if len(actions) == 1 else risk.assess_all(actions, context)
    types = frozenset[str]().union(*(types_of(action, context.approval_type) for action in actions))
    return Findings(assessment, types, unread_in(actions))


Find = Callable[[str, Sequence[risk.Action], risk.Context], Findings]
"""Finds out about actions (their digest comes first) in a context."""


class Recent:
    """Finds out about actions, and keeps what was asked for last. Threads can share it.

    Args:
        most: lists of actions whose findings are kept.
        most_factors: findings with more are not kept.
    """

    def __init__(self, most: int = _MAX_FOUND, *, most_factors: int = _MAX_FACTORS) -> None:
        self._most = most
        self._most_factors = most_factors
        self._found: OrderedDict[_Key, Findings] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, digest: str, actions: Sequence[risk.Action], context: risk.Context) -> Findings:
        """What actions are in a context; `digest` must be theirs. Raises what the assessment raises."""
        if context.links:  # of the files of one moment, and too many to compare
            return findings_of(digest, actions, context)
        key: _Key = (
            digest,
            context.environment,
            context.agent,
            context.approval_type,
            context.working_dir,
            context.agent_rating,
            context.rules,
        )
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
                return found
        found = findings_of(digest, actions, context)
        if len(found.assessment.factors) <= self._most_factors:
            with self._lock:
                self._found[key] = found
                while len(self._found) > self._most:
                    self._found.popitem(last=False)
        return found
