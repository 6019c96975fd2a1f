"""Sends deliveries until they are delivered or given up, in every process at once."""

from __future__ import annotations

import asyncio
import secrets

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.approval.notifications.backoff import FIRST_SECONDS, MAX_ATTEMPTS, pause_seconds
from services.approval.notifications.fanout import FanOut
from services.approval.notifications.model import Outcome, Webhook
from services.approval.notifications.sender import Sender
from services.approval.store import keys
from services.approval.store.deliveries import DeliveryStore, Leased
from services.approval.store.rates import let_through
from services.approval.store.webhooks import WebhookStore
from services.runtime.context import draining

DELIVERIES = Counter("harness_webhook_deliveries_total", "Attempts to deliver, by what came of them.", ("outcome",))
DEAD_LETTERS = Gauge("harness_webhook_dead_letters", "Deliveries that were given up, as last counted.")

_AT_ONCE = 4
"""Attempts of one process to one webhook at the same time."""
_TIDY_EVERY_SECONDS = 60.0
_DEAD_KEPT = 10_000
"""Dead letters kept, a shard."""
# A process that saw a webhook before it was removed has long read on after this.
_REMOVED_MS = 3_600_000

log = structlog.get_logger(__name__)


class Courier:
    """Reads the journals on and sends what they give. Any number of processes can do it: each delivery is leased.

    Args:
        every_seconds: how often to look.
        per_minute: deliveries to one webhook, over all processes.
        dead_ms: how long dead letters are kept.
        first_pause_seconds: after the first attempt that failed.
    """

    def __init__(
        self,
        redis: Redis,
        fan_out: FanOut,
        webhooks: WebhookStore,
        deliveries: DeliveryStore,
        sender: Sender,
        *,
        every_seconds: float,
        per_minute: int,
        dead_ms: int,
        first_pause_seconds: float = FIRST_SECONDS,
    ) -> None:
        self._redis = redis
        self._fan_out = fan_out
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._sender = sender
        self._every_seconds = every_seconds
        self._per_minute = per_minute
        self._dead_ms = dead_ms
        self._first_pause_seconds = first_pause_seconds
        # Longer than an attempt and what is noted of it can take.
        self._lease_ms = round(self._sender.timeout_seconds * 3000)

    async def run(self) -> None:
        """Read on and send until the process drains."""
        clock = asyncio.get_running_loop().time
        tidy_at = clock()
        busy: dict[str, asyncio.Task[None]] = {}
        # Looked at as well as being cancelled: on Python 3.11 a cancellation that meets a Redis command is lost.
        drain = draining()
        try:
            while not drain.is_set():
                try:
                    while await self._fan_out.run_once():
                        pass
                    for webhook in await self._webhooks.all():
                        if webhook.enabled and (webhook.id not in busy or busy[webhook.id].done()):
                            busy[webhook.id] = asyncio.create_task(self._send_due(webhook.id))
                    if clock() >= tidy_at:
                        await self.tidy()
                        tidy_at = clock() + _TIDY_EVERY_SECONDS
                except RedisError as error:
                    log.warning("notify_failed", error=str(error))
                busy = {name: task for name, task in busy.items() if not task.done()}
                if not drain.is_set():
                    await asyncio.sleep(self._every_seconds)
        finally:
            for task in busy.values():
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)
            await self._sender.close()

    async def _send_due(self, webhook_id: str) -> None:
        """Send what a webhook is to be told until nothing is left, whatever goes wrong: it must not stop the others.

        One that hangs takes one of the webhook's places, and no more.
        """
        drain = draining()
        sending: set[asyncio.Task[None]] = set()
        try:
            while not drain.is_set():
                # Looked up again each time, for it can be changed meanwhile.
                found, free = await self._webhooks.load(webhook_id), _AT_ONCE - len(sending)
                if free and found is not None and found.webhook.enabled:
                    taken = await self._take(found.webhook, free)
                    sending |= {asyncio.create_task(self._send(found.webhook, leased)) for leased in taken}
                if not sending:
                    return
                _, sending = await asyncio.wait(
                    sending, timeout=self._every_seconds, return_when=asyncio.FIRST_COMPLETED
                )
        except RedisError as error:
            log.warning("notify_failed", webhook_id=webhook_id, error=str(error))
        except Exception:
            log.exception("notify_failed", webhook_id=webhook_id)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _take(self, webhook: Webhook, most: int) -> list[Leased]:
        """Lease deliveries that are due, as many as the webhook's rate allows."""
        due = await self._deliveries.due(webhook.id)
        if not due:
            return []
        wanted = min(sum(due.values()), most)
        ((left, _),) = await let_through(self._redis, [(keys.sends(webhook.id), wanted)], self._per_minute)
        taken: list[Leased] = []
        for shard in due:
            if left > len(taken):
                lease = secrets.token_hex(8)
                taken += await self._deliveries.claim(
                    webhook.id, shard, left - len(taken), lease=lease, lease_ms=self._lease_ms
                )
        return taken

    async def _send(self, webhook: Webhook, leased: Leased) -> None:
        try:
            outcome = await self._sender.send(webhook, leased.delivery)
        except Exception as error:
            log.exception("webhook_not_sent", webhook_id=webhook.id, delivery_id=leased.delivery.id)
            outcome = Outcome(0, f"it could not be sent ({type(error).__name__})")
        what, again_ms = self._next(leased, outcome)
        DELIVERIES.labels(what).inc()
        if not outcome.delivered:
            log.warning(
                "webhook_not_delivered",
                webhook_id=webhook.id,
                delivery_id=leased.delivery.id,
                attempts=leased.delivery.attempts,
                error=outcome.error,
                dead=what == "dead",
            )
        try:
            await self._deliveries.finish(leased, what, outcome, again_ms)
        except RedisError as error:
            # Its lease runs out, and it is sent again.
            log.warning("notify_failed", webhook_id=webhook.id, error=str(error))

    def _next(self, leased: Leased, outcome: Outcome) -> tuple[str, int]:
        """What follows from an outcome, and in how many milliseconds."""
        if outcome.delivered:
            return "delivered", 0
        attempts = leased.delivery.attempts
        if attempts >= MAX_ATTEMPTS:
            return "dead", 0
        return "again", round(1000 * pause_seconds(attempts, outcome.retry_after_seconds, self._first_pause_seconds))

    async def tidy(self) -> None:
        """Remove what removed webhooks left, and dead letters that are too old or too many."""
        now_ms = await self._webhooks.now_ms()
        for webhook_id, removed_ms in (await self._webhooks.removed()).items():
            while await self._deliveries.drop_all(webhook_id):
                pass
            if now_ms - removed_ms > _REMOVED_MS:
                await self._webhooks.forget_removed(webhook_id)
        while await self._deliveries.forget_dead(now_ms - self._dead_ms, _DEAD_KEPT):
            pass
        DEAD_LETTERS.set(await self._deliveries.count_dead())
