"""Webhooks in Redis: all in the slot of the first shard, so that each change is written down in the same step."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.approval.notifications.model import MAX_WEBHOOKS, Webhook
from services.approval.store import keys
from services.runtime.redis import Script, Value

_SAVE = Script.load(Path(__file__).parent / "save_webhook.lua")
_KEYS = [keys.WEBHOOKS, keys.WEBHOOK_REQUESTS, keys.WEBHOOKS_REMOVED, keys.journal(0)]

_FIELDS = frozenset(field.name for field in dataclasses.fields(Webhook))

# What save_webhook.lua answers.
_DONE, _MADE, _FULL = 1, 2, 3


class TooManyWebhooksError(Exception):
    """There are MAX_WEBHOOKS."""


class RequestReusedError(Exception):
    """The request_id made another webhook; `webhook_id` says which."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"it made {webhook_id}")
        self.webhook_id = webhook_id


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A webhook, as it was read: what a change of it holds on."""

    webhook: Webhook
    raw: bytes = dataclasses.field(repr=False)
    request: str = ""


class WebhookStore:
    """All webhooks; read anew each time, so that a change holds everywhere at once."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def now_ms(self) -> int:
        """The time of the server."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        found: list[Any] = await self._redis.hvals(keys.WEBHOOKS)
        return sorted((_decode(raw).webhook for raw in found), key=lambda webhook: webhook.id)

    async def load(self, webhook_id: str) -> Stored | None:
        """One webhook; None if there is none."""
        raw: Any = await self._redis.hget(keys.WEBHOOKS, webhook_id)
        return None if raw is None else _decode(bytes(raw))

    async def create(self, webhook: Webhook, request_id: str, content: bytes, event: bytes) -> tuple[Webhook, bool]:
        """Add a webhook, once for its request_id; the webhook as it is, and whether this call made it.

        `content` is what was asked for. Raises TooManyWebhooksError, RequestReusedError if the request_id came with
        other content, KeyError if what it made is gone.
        """
        request, digest = _sha(request_id.encode()), _sha(content)
        args: list[Value] = [
            webhook.id,
            "",
            _encode(webhook, request),
            request,
            f"{webhook.id} {digest}",
            MAX_WEBHOOKS,
            event,
        ]
        done, made = await _SAVE(self._redis, _KEYS, args)
        if done == _FULL:
            raise TooManyWebhooksError
        if done == _DONE:
            return webhook, True
        made_id, _, made_digest = made.decode().partition(" ")
        if made_digest != digest:
            raise RequestReusedError(made_id)
        stored = await self.load(made_id)
        if stored is None:
            raise KeyError(made_id)
        return stored.webhook, False

    async def replace(self, seen: Stored, webhook: Webhook, event: bytes) -> bool:
        """Replace what was seen; False if it has changed since."""
        args: list[Value] = [webhook.id, seen.raw, _encode(webhook, seen.request), seen.request, "", 0, event]
        done, _ = await _SAVE(self._redis, _KEYS, args)
        return bool(done == _DONE)

    async def remove(self, seen: Stored, event: bytes) -> bool:
        """Remove what was seen; False if it has changed since."""
        done, _ = await _SAVE(self._redis, _KEYS, [seen.webhook.id, seen.raw, "", seen.request, "", 0, event])
        return bool(done == _DONE)

    async def removed(self) -> dict[str, int]:
        """Webhooks that were removed and may have left deliveries behind, and when, ms."""
        found: list[Any] = await self._redis.zrange(keys.WEBHOOKS_REMOVED, 0, -1, withscores=True)
        return {name.decode(): int(when_ms) for name, when_ms in found}

    async def forget_removed(self, webhook_id: str) -> None:
        """Note that a removed webhook has nothing left."""
        await self._redis.zrem(keys.WEBHOOKS_REMOVED, webhook_id)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _encode(webhook: Webhook, request: str) -> bytes:
    return orjson.dumps({**dataclasses.asdict(webhook), "request": request}, option=orjson.OPT_SORT_KEYS)


def _decode(raw: bytes) -> Stored:
    fields = orjson.loads(raw)
    lists = {name: tuple(fields[name]) for name in ("events", "project_ids")}
    # A release that writes more must not stop one that reads less.
    known = {name: value for name, value in fields.items() if name in _FIELDS}
    return Stored(Webhook(**{**known, **lists}), raw, fields["request"])
