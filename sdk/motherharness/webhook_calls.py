"""The calls of the async client that are about webhooks; `motherharness.webhooks` is for those who receive them."""

from collections.abc import AsyncIterator, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from harness.approval.v1 import webhook_pb2
from motherharness.transport import Transport, new_request_id

PAGE_SIZE = 200

WebhookEvent = webhook_pb2.WebhookEvent
WebhookFormat = webhook_pb2.WebhookFormat


class WebhookCalls:
    """What admins do with webhooks. A part of Client."""

    _transport: Transport

    async def create_webhook(
        self,
        url: str,
        *,
        name: str = "",
        format: WebhookFormat.ValueType = webhook_pb2.WEBHOOK_FORMAT_PLAIN,
        events: Sequence[WebhookEvent.ValueType] = (),
        project_ids: Sequence[str] = (),
        secret: str = "",
        request_id: str = "",
    ) -> webhook_pb2.CreateWebhookResponse:
        """Have a place told what happens from now on; the answer has the secret, if it was made here.

        Args:
            url: https, or http to the service's own host.
            events, project_ids: only these; empty means all.
            secret: what deliveries are signed with, at least 24 bytes; made and returned, once, if it is empty.
        """
        request = webhook_pb2.CreateWebhookRequest(
            request_id=request_id or new_request_id(),
            name=name,
            url=url,
            format=format,
            events=events,
            project_ids=project_ids,
            secret=secret,
        )
        return await self._transport.call(self._transport.webhooks.CreateWebhook, request, idempotent=True)

    async def get_webhook(self, webhook_id: str) -> webhook_pb2.Webhook:
        """Return one webhook; the path and the query of its address are masked."""
        request = webhook_pb2.GetWebhookRequest(webhook_id=webhook_id)
        return (await self._transport.call(self._transport.webhooks.GetWebhook, request, idempotent=True)).webhook

    async def list_webhooks(self) -> AsyncIterator[webhook_pb2.Webhook]:
        """Yield all webhooks, oldest first."""
        request = webhook_pb2.ListWebhooksRequest(page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.webhooks.ListWebhooks, request, idempotent=True)
            for webhook in page.webhooks:
                yield webhook
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def update_webhook(self, webhook: webhook_pb2.Webhook, fields: Sequence[str]) -> webhook_pb2.Webhook:
        """Change the named fields; with an etag set, only if the webhook has not changed since it was read."""
        request = webhook_pb2.UpdateWebhookRequest(webhook=webhook, update_mask=FieldMask(paths=fields))
        call = self._transport.call(self._transport.webhooks.UpdateWebhook, request, idempotent=False)
        return (await call).webhook

    async def rotate_webhook_secret(self, webhook_id: str) -> str:
        """Return a new secret, which is not shown again; for a day, deliveries are signed with both."""
        request = webhook_pb2.RotateWebhookSecretRequest(webhook_id=webhook_id)
        call = self._transport.call(self._transport.webhooks.RotateWebhookSecret, request, idempotent=False)
        return (await call).secret

    async def delete_webhook(self, webhook_id: str) -> None:
        """Remove a webhook, what it was not yet told, and its dead letters."""
        request = webhook_pb2.DeleteWebhookRequest(webhook_id=webhook_id)
        await self._transport.call(self._transport.webhooks.DeleteWebhook, request, idempotent=True)

    async def test_webhook(self, webhook_id: str) -> webhook_pb2.TestWebhookResponse:
        """Send a delivery of the event "test" now, and return what came of it."""
        request = webhook_pb2.TestWebhookRequest(webhook_id=webhook_id)
        return await self._transport.call(self._transport.webhooks.TestWebhook, request, idempotent=False)

    async def list_dead_letters(self, webhook_id: str) -> AsyncIterator[webhook_pb2.DeadLetter]:
        """Yield what could not be delivered to a webhook, newest first."""
        request = webhook_pb2.ListDeadLettersRequest(webhook_id=webhook_id, page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.webhooks.ListDeadLetters, request, idempotent=True)
            for letter in page.dead_letters:
                yield letter
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def redeliver_dead_letter(self, webhook_id: str, delivery_id: str) -> None:
        """Try again to deliver, from the first attempt on."""
        request = webhook_pb2.RedeliverDeadLetterRequest(webhook_id=webhook_id, delivery_id=delivery_id)
        await self._transport.call(self._transport.webhooks.RedeliverDeadLetter, request, idempotent=False)
