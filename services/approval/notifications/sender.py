"""One attempt to deliver."""

from __future__ import annotations

import asyncio
import time

import httpx

from services.approval.notifications import bodies, signing
from services.approval.notifications.backoff import retry_after_seconds
from services.approval.notifications.model import Delivery, Outcome, Webhook

# What is read of an answer is its status; a receiver that sends more is not listened to.
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=30.0)


class Sender:
    """Posts deliveries. Redirects are not followed and no proxy is used: what is signed goes where an admin said.

    Args:
        timeout_seconds: for all of an attempt, from looking the host up to the answer's status.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._client: httpx.AsyncClient | None = None

    async def send(self, webhook: Webhook, delivery: Delivery) -> Outcome:
        """Post it, once. Whatever goes wrong is in the outcome."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self.timeout_seconds, follow_redirects=False, trust_env=False, limits=_LIMITS
            )
        body = bodies.body_of(delivery, webhook.format)
        now = time.time()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mother-harness",
            "Harness-Event": delivery.event,
            "Harness-Delivery": delivery.id,
            "Harness-Timestamp": str(int(now)),
            "Harness-Signature": signing.signature(body, int(now), webhook.secrets(int(now * 1000))),
        }
        try:
            async with (
                asyncio.timeout(self.timeout_seconds),
                self._client.stream("POST", webhook.url, content=body, headers=headers) as answer,
            ):
                return _outcome(answer)
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(0, f"no answer within {self.timeout_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # The kind only: a message can have the address in it, which is secret.
            return Outcome(0, f"no connection ({type(error).__name__})")

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _outcome(answer: httpx.Response) -> Outcome:
    status = answer.status_code
    if answer.is_success:
        return Outcome(status)
    if answer.is_redirect:
        return Outcome(status, "answered with a redirect, which is not followed; give the address it leads to")
    return Outcome(status, f"answered {status}", retry_after_seconds(answer.headers.get("retry-after")))
