"""From the journal to deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog

from services.approval.notifications.bodies import facts_for
from services.approval.notifications.model import EVENTS, REQUESTED, Webhook
from services.approval.record import Record
from services.approval.store.approvals import ApprovalStore
from services.approval.store.deliveries import DeliveryStore, Draft, Part
from services.approval.store.webhooks import WebhookStore
from services.runtime.ids import new_id

_BATCH = 200
"""Entries of a shard at once."""
_LOADED_AT_ONCE = 20
"""Approvals: each can have megabytes of actions."""

log = structlog.get_logger(__name__)


class FanOut:
    """Reads every shard's journal on, and makes of each entry one delivery for each webhook that wants it.

    Args:
        gather_ms: how long requests of the same group join one delivery, from the first on.
        link: see `facts_for`.
    """

    def __init__(
        self,
        webhooks: WebhookStore,
        deliveries: DeliveryStore,
        approvals: ApprovalStore,
        *,
        gather_ms: int,
        link: str = "",
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._approvals = approvals
        self._gather_ms = gather_ms
        self._link = link

    async def run_once(self) -> bool:
        """Read on; whether there may be more. Without webhooks it only moves on."""
        # In this order: a webhook that was made before something happened is among those read after it.
        parts = await self._deliveries.unread(_BATCH)
        webhooks = await self._webhooks.all() if parts else []
        for part in parts:
            await self._deliveries.fan_out(part, await self._drafts(part, webhooks), self._gather_ms)
        return any(len(part.entries) == _BATCH for part in parts)

    async def _drafts(self, part: Part, webhooks: Sequence[Webhook]) -> list[Draft]:
        wanted: list[tuple[dict[str, Any], int, list[Webhook]]] = []
        for entry_id, entry in part.entries:
            event = _read(entry_id, entry)
            kind = EVENTS.get(event.get("type", ""))
            if kind is None:
                continue
            at_ms = int(entry_id.split("-")[0])
            told = [hook for hook in webhooks if hook.wants(kind, event.get("project_id", ""), at_ms)]
            if told:
                wanted.append((event, at_ms, told))
        drafts: list[Draft] = []
        for start in range(0, len(wanted), _LOADED_AT_ONCE):
            some = wanted[start : start + _LOADED_AT_ONCE]
            records, _ = await self._approvals.load_many([str(event["approval_id"]) for event, _, _ in some])
            for (event, at_ms, told), record in zip(some, records, strict=True):
                drafts += self._of(part.shard, event, at_ms, told, record)
        return drafts

    def _of(
        self, shard: int, event: Mapping[str, Any], at_ms: int, told: Sequence[Webhook], record: Record | None
    ) -> list[Draft]:
        kind = EVENTS[event["type"]]
        facts = orjson.dumps(facts_for(event, record, self._link))
        group = record.facts.group if record is not None and kind == REQUESTED and self._gather_ms else ""
        return [
            Draft(
                new_id("dlv", shard),
                hook.id,
                kind,
                at_ms,
                facts,
                event["approval_id"],
                f"{hook.id} {group}" if group else "",
            )
            for hook in told
        ]


def _read(entry_id: str, entry: bytes) -> dict[str, Any]:
    """The entry; nothing for one that nobody is told of, or that cannot be read: it must not stop all others."""
    if not entry:
        return {}
    try:
        event = orjson.loads(entry)
        if isinstance(event, dict) and event.get("approval_id"):
            return event
    except orjson.JSONDecodeError:
        log.error("journal_entry_unreadable", entry_id=entry_id)
    return {}
