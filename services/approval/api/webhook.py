"""WebhookService."""

from __future__ import annotations

from typing import Any

import grpc

from harness.approval.v1 import webhook_pb2, webhook_pb2_grpc
from services.approval.messages import timestamp
from services.approval.notifications.model import PLAIN, SLACK, Delivery, Webhook
from services.approval.notifications.urls import masked
from services.approval.notifications.webhooks import Webhooks
from services.runtime.context import current_caller
from services.runtime.errors import InvalidArgument
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]

_FORMATS = {webhook_pb2.WEBHOOK_FORMAT_PLAIN: PLAIN, webhook_pb2.WEBHOOK_FORMAT_SLACK: SLACK}
_NUMBERS = {name: number for number, name in _FORMATS.items()}
_UPDATABLE = ("name", "url", "format", "events", "project_ids", "enabled")
_PREFIX = "WEBHOOK_EVENT_"


class WebhookServicer(webhook_pb2_grpc.WebhookServiceServicer):
    """Translates between the contract and what admins do with webhooks; nothing secret is in what it reads."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(
        self, request: webhook_pb2.CreateWebhookRequest, context: Context
    ) -> webhook_pb2.CreateWebhookResponse:
        """Add a webhook."""
        fields = {
            "name": request.name,
            "url": request.url,
            "format": _FORMATS[request.format],
            "events": _event_names(request.events),
            "project_ids": tuple(request.project_ids),
        }
        made, secret = await self._webhooks.create(fields, request.request_id, request.secret, current_caller())
        return webhook_pb2.CreateWebhookResponse(webhook=_message(made), secret=secret)

    async def GetWebhook(
        self, request: webhook_pb2.GetWebhookRequest, context: Context
    ) -> webhook_pb2.GetWebhookResponse:
        """Return one webhook."""
        return webhook_pb2.GetWebhookResponse(webhook=_message(await self._webhooks.get(request.webhook_id)))

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.ListWebhooksResponse:
        """Return a page of the webhooks."""
        page = page_for(request)
        found = [webhook for webhook in await self._webhooks.all() if webhook.id > page.cursor]
        shown = found[: page.size]
        more = shown[-1].id if len(found) > page.size else ""
        return webhook_pb2.ListWebhooksResponse(
            webhooks=[_message(webhook) for webhook in shown], next_page_token=page.next_token(more)
        )

    async def UpdateWebhook(
        self, request: webhook_pb2.UpdateWebhookRequest, context: Context
    ) -> webhook_pb2.UpdateWebhookResponse:
        """Change the fields of the mask."""
        version = _version(request.webhook.etag)
        changed = await self._webhooks.update(request.webhook.id, _updates(request), version, current_caller())
        return webhook_pb2.UpdateWebhookResponse(webhook=_message(changed))

    async def RotateWebhookSecret(
        self, request: webhook_pb2.RotateWebhookSecretRequest, context: Context
    ) -> webhook_pb2.RotateWebhookSecretResponse:
        """Replace the secret."""
        changed, secret = await self._webhooks.rotate_secret(request.webhook_id, current_caller())
        return webhook_pb2.RotateWebhookSecretResponse(webhook=_message(changed), secret=secret)

    async def DeleteWebhook(
        self, request: webhook_pb2.DeleteWebhookRequest, context: Context
    ) -> webhook_pb2.DeleteWebhookResponse:
        """Remove a webhook."""
        await self._webhooks.remove(request.webhook_id, current_caller())
        return webhook_pb2.DeleteWebhookResponse()

    async def TestWebhook(
        self, request: webhook_pb2.TestWebhookRequest, context: Context
    ) -> webhook_pb2.TestWebhookResponse:
        """Send a test."""
        delivery_id, outcome = await self._webhooks.test(request.webhook_id)
        return webhook_pb2.TestWebhookResponse(
            delivered=outcome.delivered, status=outcome.status, error=outcome.error, delivery_id=delivery_id
        )

    async def ListDeadLetters(
        self, request: webhook_pb2.ListDeadLettersRequest, context: Context
    ) -> webhook_pb2.ListDeadLettersResponse:
        """Return a page of what could not be delivered."""
        page = page_for(request)
        found = await self._webhooks.dead_letters(request.webhook_id, page.cursor, page.size + 1)
        shown = found[: page.size]
        more = shown[-1].id if len(found) > page.size else ""
        return webhook_pb2.ListDeadLettersResponse(
            dead_letters=[_dead_letter(delivery) for delivery in shown], next_page_token=page.next_token(more)
        )

    async def RedeliverDeadLetter(
        self, request: webhook_pb2.RedeliverDeadLetterRequest, context: Context
    ) -> webhook_pb2.RedeliverDeadLetterResponse:
        """Try a dead letter again."""
        await self._webhooks.redeliver(request.webhook_id, request.delivery_id)
        return webhook_pb2.RedeliverDeadLetterResponse()


def _updates(request: webhook_pb2.UpdateWebhookRequest) -> dict[str, Any]:
    """The new values of the fields in the mask; `*` is all of them (AIP-134)."""
    paths = list(request.update_mask.paths)
    names = list(_UPDATABLE) if paths == ["*"] else paths
    known = ", ".join(_UPDATABLE)
    violations = [
        (f"update_mask.paths[{position}]", f"'{name}' is not one of {known}")
        for position, name in enumerate(names)
        if name not in _UPDATABLE
    ]
    if not names:
        violations.append(("update_mask.paths", f"name at least one of {known}"))
    if "format" in names and not request.webhook.format:
        violations.append(("webhook.format", "must not be unspecified"))
    if violations:
        field, problem = violations[0]
        raise InvalidArgument("INVALID_UPDATE", f"{field}: {problem}", violations=violations)
    webhook = request.webhook
    given = {
        "name": webhook.name,
        "url": webhook.url,
        "format": _FORMATS.get(webhook.format, ""),
        "events": _event_names(webhook.events),
        "project_ids": tuple(webhook.project_ids),
        "enabled": webhook.enabled,
    }
    return {name: given[name] for name in names}


def _version(etag: str) -> int | None:
    """The version an etag names; None without an etag, and for what is no etag of ours one that never is current."""
    if not etag:
        return None
    digits = etag.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _event_names(events: Any) -> tuple[str, ...]:
    return tuple(webhook_pb2.WebhookEvent.Name(event).removeprefix(_PREFIX).lower() for event in events)


def _event_number(name: str) -> webhook_pb2.WebhookEvent.ValueType:
    return webhook_pb2.WebhookEvent.Value(_PREFIX + name.upper())


def _message(webhook: Webhook) -> webhook_pb2.Webhook:
    return webhook_pb2.Webhook(
        id=webhook.id,
        name=webhook.name,
        url=masked(webhook.url),
        format=_NUMBERS[webhook.format],
        events=[_event_number(name) for name in webhook.events],
        project_ids=webhook.project_ids,
        enabled=webhook.enabled,
        etag=f"v{webhook.version}",
        created_by=webhook.created_by,
        create_time=timestamp(webhook.created_ms),
        updated_by=webhook.updated_by,
        update_time=timestamp(webhook.updated_ms),
    )


def _dead_letter(delivery: Delivery) -> webhook_pb2.DeadLetter:
    return webhook_pb2.DeadLetter(
        delivery_id=delivery.id,
        webhook_id=delivery.webhook_id,
        event=_event_number(delivery.event),
        approval_ids=delivery.approval_ids,
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        event_time=timestamp(delivery.at_ms),
        dead_time=timestamp(delivery.dead_ms),
    )
