"""What admins do with webhooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from services.approval import journal
from services.approval.notifications import signing, urls
from services.approval.notifications.model import MAX_WEBHOOKS, TEST, Delivery, Outcome, Webhook
from services.approval.notifications.sender import Sender
from services.approval.store.deliveries import DeliveryStore
from services.approval.store.webhooks import RequestReusedError, Stored, TooManyWebhooksError, WebhookStore
from services.runtime.context import Caller
from services.runtime.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from services.runtime.ids import new_id

ROTATION_MS = 24 * 3_600_000
"""How long a secret that was replaced still signs: time to bring the new one to the receiver."""

# Each failed one means that somebody else changed it in between.
_ATTEMPTS = 20


class Webhooks:
    """Creates, changes, removes and tests webhooks. Each change is written to the journal in the same step.

    Args:
        allow_http: whether http may go to other hosts.
    """

    def __init__(self, store: WebhookStore, deliveries: DeliveryStore, sender: Sender, *, allow_http: bool) -> None:
        self._store = store
        self._deliveries = deliveries
        self._sender = sender
        self._allow_http = allow_http

    async def create(self, fields: Mapping[str, Any], request_id: str, secret: str, by: Caller) -> tuple[Webhook, str]:
        """Add a webhook; it, and the secret that was made for it (empty if it was given, or this is a repeat).

        Raises InvalidArgument (URL_NOT_ALLOWED, SECRET_TOO_SHORT), AlreadyExists (REQUEST_ID_REUSED), NotFound,
        ResourceExhausted (TOO_MANY_WEBHOOKS).
        """
        self._check_url(fields["url"])
        if secret and len(secret.encode()) < signing.MIN_SECRET_BYTES:
            message = f"a secret must have at least {signing.MIN_SECRET_BYTES} bytes; leave it out to have one made"
            raise InvalidArgument("SECRET_TOO_SHORT", message, violations=[("secret", message)])
        now_ms = await self._store.now_ms()
        webhook = Webhook(
            id=new_id("whk"),
            secret=secret or signing.new_secret(),
            created_by=by.subject,
            created_ms=now_ms,
            updated_by=by.subject,
            updated_ms=now_ms,
            **fields,
        )
        # The same request is the same content, the secret as well.
        content = orjson.dumps({**fields, "secret": secret}, option=orjson.OPT_SORT_KEYS)
        try:
            made, is_new = await self._store.create(webhook, request_id, content, _changed(webhook, by, "created"))
        except TooManyWebhooksError:
            raise ResourceExhausted(
                "TOO_MANY_WEBHOOKS", f"there are {MAX_WEBHOOKS} webhooks already; delete one that is not needed"
            ) from None
        except RequestReusedError as error:
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                f"request_id {request_id} made another webhook ({error.webhook_id}); use a new one",
                webhook_id=error.webhook_id,
            ) from None
        except KeyError as error:
            raise not_found(str(error.args[0])) from None
        return made, webhook.secret if is_new and not secret else ""

    async def get(self, webhook_id: str) -> Webhook:
        """One webhook. Raises NotFound (WEBHOOK_NOT_FOUND)."""
        return (await self._load(webhook_id)).webhook

    async def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        return await self._store.all()

    async def update(self, webhook_id: str, fields: Mapping[str, Any], seen_version: int | None, by: Caller) -> Webhook:
        """Change some fields. Raises NotFound, InvalidArgument (URL_NOT_ALLOWED), Aborted (WEBHOOK_CHANGED)."""
        if "url" in fields:
            self._check_url(fields["url"])

        def change(webhook: Webhook, _: int) -> Webhook:
            if seen_version is not None and webhook.version != seen_version:
                raise _raced(webhook_id)
            return dataclasses.replace(webhook, **fields)

        return await self._change(webhook_id, change, by, "changed: " + ", ".join(sorted(fields)))

    async def rotate_secret(self, webhook_id: str, by: Caller) -> tuple[Webhook, str]:
        """Replace the secret; the webhook, and the new secret. Raises NotFound."""
        secret = signing.new_secret()

        def change(webhook: Webhook, now_ms: int) -> Webhook:
            return dataclasses.replace(
                webhook, secret=secret, previous_secret=webhook.secret, previous_until_ms=now_ms + ROTATION_MS
            )

        return await self._change(webhook_id, change, by, "secret rotated"), secret

    async def _change(
        self, webhook_id: str, change: Callable[[Webhook, int], Webhook], by: Caller, what: str
    ) -> Webhook:
        for _ in range(_ATTEMPTS):
            seen, now_ms = await self._load(webhook_id), await self._store.now_ms()
            changed = dataclasses.replace(
                change(seen.webhook, now_ms), version=seen.webhook.version + 1, updated_by=by.subject, updated_ms=now_ms
            )
            if await self._store.replace(seen, changed, _changed(changed, by, what)):
                return changed
        raise _raced(webhook_id)

    async def remove(self, webhook_id: str, by: Caller) -> None:
        """Remove a webhook; what it left is removed by and by. A repeat is fine."""
        for _ in range(_ATTEMPTS):
            seen = await self._store.load(webhook_id)
            if seen is None or await self._store.remove(seen, _changed(seen.webhook, by, "removed")):
                return
        raise _raced(webhook_id)

    async def test(self, webhook_id: str) -> tuple[str, Outcome]:
        """Send a test now; the id of the delivery, and what came of it. Raises NotFound."""
        webhook = await self.get(webhook_id)
        delivery = Delivery(new_id("dlv"), webhook.id, TEST, await self._store.now_ms(), {"webhook_id": webhook.id})
        return delivery.id, await self._sender.send(webhook, delivery)

    async def dead_letters(self, webhook_id: str, after: str, limit: int) -> list[Delivery]:
        """What could not be delivered, newest first. Raises NotFound."""
        await self._load(webhook_id)
        return await self._deliveries.dead(webhook_id, after, limit)

    async def redeliver(self, webhook_id: str, delivery_id: str) -> None:
        """Try a dead letter again. Raises NotFound (WEBHOOK_NOT_FOUND, DEAD_LETTER_NOT_FOUND)."""
        await self._load(webhook_id)
        if not await self._deliveries.redeliver(webhook_id, delivery_id):
            raise NotFound(
                "DEAD_LETTER_NOT_FOUND",
                f"{delivery_id} is no dead letter of {webhook_id}; list them with ListDeadLetters",
                delivery_id=delivery_id,
            )

    async def _load(self, webhook_id: str) -> Stored:
        seen = await self._store.load(webhook_id)
        if seen is None:
            raise not_found(webhook_id)
        return seen

    def _check_url(self, url: str) -> None:
        if problem := urls.problem_with(url, allow_http=self._allow_http):
            raise InvalidArgument(
                "URL_NOT_ALLOWED", f"nothing can be sent to this url: {problem}", violations=[("url", problem)]
            )


def _changed(webhook: Webhook, by: Caller, what: str) -> bytes:
    """The journal's entry: which webhook, who, what; nothing of its address or secret."""
    return journal.fact("WEBHOOK_CHANGED", subject_name=webhook.id, actor=by.subject, acting=by.actor, reason=what)


def not_found(webhook_id: str) -> NotFound:
    """The error for a webhook that does not exist."""
    return NotFound(
        "WEBHOOK_NOT_FOUND", f"there is no webhook {webhook_id}; list them with ListWebhooks", webhook_id=webhook_id
    )


def _raced(webhook_id: str) -> Aborted:
    return Aborted(
        "WEBHOOK_CHANGED",
        f"{webhook_id} has changed since you read it; read it again and repeat your change",
        webhook_id=webhook_id,
    )
