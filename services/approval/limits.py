"""How much one requester may ask of humans: what keeps a mistaken or hostile agent from burying them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.approval.store.approvals import ApprovalStore


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, as far as limits go."""

    requester: str
    run_id: str
    request_id: str
    asks_human: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not taken: a stable reason, and what to do."""

    reason: str
    message: str


class Limits:
    """Limits of each requester; 0 is none.

    Args:
        pending: how many approvals may wait for a human. Requests at the same time can go a little beyond it.
        asks_per_minute: how many requests may ask a human; a minute's worth can come at once.
    """

    def __init__(self, store: ApprovalStore, *, pending: int, asks_per_minute: int) -> None:
        self._store = store
        self._pending = pending
        self._asks_per_minute = asks_per_minute

    async def refusals(self, asks: Sequence[Ask]) -> list[Refusal | None]:
        """For each request why it is not taken, None if it is.

        What asks no human, and what repeats a request_id that made an approval, is never refused and costs nothing.
        """
        refused: list[Refusal | None] = [None] * len(asks)
        human = [i for i, ask in enumerate(asks) if ask.asks_human]
        if not human or not (self._pending or self._asks_per_minute):
            return refused
        known, pending = await self._store.known_and_pending(
            [(asks[i].run_id, asks[i].request_id) for i in human],
            {asks[i].requester for i in human} if self._pending else (),
        )
        new = [i for i, is_known in zip(human, known, strict=True) if not is_known]
        coming: Counter[str] = Counter()
        taken: list[int] = []
        for i in new:
            requester = asks[i].requester
            if self._pending and pending[requester] + coming[requester] >= self._pending:
                refused[i] = Refusal(
                    "TOO_MANY_PENDING",
                    f"{self._pending} requests of {requester} wait for a human; ask again when some are decided",
                )
            else:
                coming[requester] += 1
                taken.append(i)
        if not self._asks_per_minute or not taken:
            return refused
        rates = dict(
            zip(coming, await self._store.let_through(list(coming.items()), self._asks_per_minute), strict=True)
        )
        passed: Counter[str] = Counter()
        for i in taken:
            requester = asks[i].requester
            most, wait_ms = rates[requester]
            if passed[requester] >= most:
                refused[i] = Refusal(
                    "RATE_LIMITED",
                    f"{requester} asks humans more than {self._asks_per_minute} times a minute; ask again in "
                    f"{max(1, -(-wait_ms // 1000))} s",
                )
            passed[requester] += 1
        return refused
