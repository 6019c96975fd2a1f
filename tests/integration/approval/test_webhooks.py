"""Webhooks over a real Redis and a real receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from harness.approval.v1 import webhook_pb2
from motherharness.webhooks import verify
from services.approval.notifications import courier
from services.approval.notifications.fanout import FanOut
from services.approval.store import keys
from services.approval.store.approvals import ApprovalStore
from services.approval.store.deliveries import DeliveryStore
from services.approval.store.journal import Journal
from services.approval.store.webhooks import WebhookStore
from tests.integration.approval.harness import BOB, Approvals, item, reason_of, running, until
from tests.support.processes import ServiceProcess
from tests.support.receiver import HANG, Receiver, receiving
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

ROOT = as_("root", "admin")
SHARDS = 16
SECRET = "a secret that the receiver brought along"
QUICK: dict[str, Any] = {
    "approval_webhook_seconds": 0.05,
    "approval_webhook_retry_seconds": 0.05,
    "approval_webhook_timeout_seconds": 0.5,
    "approval_gather_seconds": 0.0,
    "approval_webhooks_per_minute": 6000,
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who takes deliveries."""
    async with receiving() as one:
        yield one


async def create(service: Approvals, receiver: Receiver, **fields: Any) -> webhook_pb2.CreateWebhookResponse:
    request = webhook_pb2.CreateWebhookRequest(
        **{
            "request_id": uuid4().hex,
            "url": receiver.url,
            "format": webhook_pb2.WEBHOOK_FORMAT_PLAIN,
            "secret": SECRET,
            **fields,
        }
    )
    answer: webhook_pb2.CreateWebhookResponse = await service.webhooks.CreateWebhook(request, metadata=ROOT)
    return answer


async def update(service: Approvals, webhook_id: str, *paths: str, **fields: Any) -> webhook_pb2.Webhook:
    request = webhook_pb2.UpdateWebhookRequest(
        webhook=webhook_pb2.Webhook(id=webhook_id, **fields), update_mask=FieldMask(paths=paths)
    )
    answer: webhook_pb2.UpdateWebhookResponse = await service.webhooks.UpdateWebhook(request, metadata=ROOT)
    return answer.webhook


async def dead_letters(service: Approvals, webhook_id: str, **fields: Any) -> webhook_pb2.ListDeadLettersResponse:
    request = webhook_pb2.ListDeadLettersRequest(webhook_id=webhook_id, **fields)
    answer: webhook_pb2.ListDeadLettersResponse = await service.webhooks.ListDeadLetters(request, metadata=ROOT)
    return answer


async def journal_of(service: Approvals) -> list[dict[str, Any]]:
    entries: Any = await service.redis.xrange(keys.journal(0))
    return [orjson.loads(fields[b"e"]) for _, fields in entries]


async def test_what_happens_is_told(fresh_redis: RedisServer, receiver: Receiver) -> None:
    link = "https://harness.example/{approval_id}"
    async with running(fresh_redis, **QUICK, approval_link=link) as service:
        await create(service, receiver)
        await service.request(item())  # the policy's own; nobody is told
        approval = await service.pending(reason="it is in the way, ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U")
        (asked,) = await receiver.get(1)
        await service.decide(approval.id, approve=False, reason="not today", reject_code=5)
        _, rejected = await receiver.quiet(2)
    assert asked.event == "approval_requested"
    assert verify(asked.body, asked.headers, SECRET) == asked.id
    said = asked.json["approval"]
    assert said["id"] == approval.id
    assert said["reason"] == "it is in the way, [secret]"
    assert said["link"] == f"https://harness.example/{approval.id}"
    assert said["digest"] == approval.digest
    assert "actions" not in said
    assert rejected.event == "rejected"
    assert (rejected.json["actor"], rejected.json["reason"]) == ("bob", "not today")
    assert rejected.json["reject_code"] == "bad_timing"
    assert rejected.id != asked.id


async def test_only_what_is_wanted_is_told(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        await service.pending()
        made = (await create(service, receiver, events=[webhook_pb2.WEBHOOK_EVENT_APPROVED])).webhook
        await create(service, receiver, project_ids=["prj_other"])
        approval = await service.pending()
        await service.decide(approval.id)
        (told,) = await receiver.quiet(1)
        assert told.event == "approved"
        await update(service, made.id, "enabled", enabled=False)
        await service.decide((await service.pending()).id)
        await receiver.quiet(1)


async def test_slack(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        await create(service, receiver, format=webhook_pb2.WEBHOOK_FORMAT_SLACK)
        await service.pending(reason="<!channel> now")
        (told,) = await receiver.get(1)
    assert set(told.json) == {"text", "blocks"}
    assert b"&lt;!channel&gt; now" in told.body


async def test_a_webhook_is_made_once_and_shows_nothing_secret(service: Approvals, receiver: Receiver) -> None:
    first = await create(service, receiver, request_id="q", secret="")
    again = await create(service, receiver, request_id="q", secret="")
    assert first.secret.startswith("whsec_")
    assert again.webhook == first.webhook
    assert again.secret == ""
    with pytest.raises(grpc.aio.AioRpcError) as other:
        await create(service, receiver, request_id="q", name="another")
    assert reason_of(other.value) == "REQUEST_ID_REUSED"
    read = (
        await service.webhooks.GetWebhook(webhook_pb2.GetWebhookRequest(webhook_id=first.webhook.id), metadata=ROOT)
    ).webhook
    listed = (await service.webhooks.ListWebhooks(webhook_pb2.ListWebhooksRequest(), metadata=ROOT)).webhooks
    assert list(listed) == [read] == [first.webhook]
    assert "hidden" not in read.url
    assert first.secret not in str(read)
    (entry,) = await journal_of(service)
    assert entry == {
        "type": "AUDIT_EVENT_TYPE_WEBHOOK_CHANGED",
        "subject_name": first.webhook.id,
        "actor": "root",
        "reason": "created",
    }


async def test_what_a_webhook_must_be(service: Approvals, receiver: Receiver) -> None:
    for fields, reason in (
        ({"url": "http://hooks.example.com/"}, "URL_NOT_ALLOWED"),
        ({"secret": "short"}, "SECRET_TOO_SHORT"),
        ({"url": ""}, "REQUEST_INVALID"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create(service, receiver, **fields)
        assert reason_of(refused.value) == reason
    for _ in range(32):
        await create(service, receiver)
    with pytest.raises(grpc.aio.AioRpcError) as full:
        await create(service, receiver)
    assert reason_of(full.value) == "TOO_MANY_WEBHOOKS"
    request = webhook_pb2.ListWebhooksRequest(page_size=30)
    page = await service.webhooks.ListWebhooks(request, metadata=ROOT)
    rest = await service.webhooks.ListWebhooks(
        webhook_pb2.ListWebhooksRequest(page_size=30, page_token=page.next_page_token), metadata=ROOT
    )
    assert (len(page.webhooks), len(rest.webhooks), rest.next_page_token) == (30, 2, "")
    with pytest.raises(grpc.aio.AioRpcError) as forbidden:
        await service.webhooks.ListWebhooks(request, metadata=BOB)
    assert forbidden.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_changes(service: Approvals, receiver: Receiver) -> None:
    made = (await create(service, receiver)).webhook
    changed = await update(service, made.id, "name", "events", name="new", events=[5], etag=made.etag)
    assert (changed.name, list(changed.events), changed.url) == ("new", [5], made.url)
    assert changed.enabled
    for fields, paths, reason in (
        ({"name": "x", "etag": made.etag}, ["name"], "WEBHOOK_CHANGED"),
        ({"url": changed.url}, ["url"], "URL_NOT_ALLOWED"),
        ({}, ["secret"], "INVALID_UPDATE"),
        ({}, ["format"], "INVALID_UPDATE"),
        ({}, [], "INVALID_UPDATE"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await update(service, made.id, *paths, **fields)
        assert reason_of(refused.value) == reason
    rotate = webhook_pb2.RotateWebhookSecretRequest(webhook_id=made.id)
    secret = (await service.webhooks.RotateWebhookSecret(rotate, metadata=ROOT)).secret
    test = webhook_pb2.TestWebhookRequest(webhook_id=made.id)
    tested = await service.webhooks.TestWebhook(test, metadata=ROOT)
    assert (tested.delivered, tested.status) == (True, 200)
    (told,) = await receiver.get(1)
    assert told.event == "test"
    # For a day, the receiver can check with either.
    assert verify(told.body, told.headers, secret) == verify(told.body, told.headers, SECRET) == tested.delivery_id
    delete = webhook_pb2.DeleteWebhookRequest(webhook_id=made.id)
    await service.webhooks.DeleteWebhook(delete, metadata=ROOT)
    await service.webhooks.DeleteWebhook(delete, metadata=ROOT)
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await service.webhooks.TestWebhook(test, metadata=ROOT)
    assert reason_of(gone.value) == "WEBHOOK_NOT_FOUND"
    reasons = [entry["reason"] for entry in await journal_of(service)]
    assert reasons == ["created", "changed: events, name", "secret rotated", "removed"]
    assert (await create(service, receiver)).webhook.id != made.id


async def test_a_test_says_what_is_wrong(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        made = (await create(service, receiver)).webhook
        nowhere = (await create(service, receiver, url="http://127.0.0.1:1/")).webhook
        receiver.will(302, headers={"Location": receiver.url})
        receiver.will(500, HANG)
        found = []
        for webhook_id in (made.id, made.id, made.id, nowhere.id):
            test = webhook_pb2.TestWebhookRequest(webhook_id=webhook_id)
            answer = await service.webhooks.TestWebhook(test, metadata=ROOT)
            assert not answer.delivered
            found.append((answer.status, answer.error))
        assert [status for status, _ in found] == [302, 500, 0, 0]
        assert "redirect" in found[0][1]
        assert "no answer within 0.5 s" in found[2][1]
        assert "no connection" in found[3][1]
        # The redirect was not followed.
        await receiver.quiet(3, 0.1)


async def test_what_is_not_taken_is_sent_again(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        await create(service, receiver)
        receiver.will(500, HANG, 301, 200)
        await service.pending()
        told = await receiver.quiet(4)
        assert len({one.id for one in told}) == 1
        assert len({one.body for one in told}) == 1


async def test_a_receiver_says_when_to_come_back(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        await create(service, receiver)
        receiver.will(429, headers={"Retry-After": "1"})
        await service.pending()
        await receiver.get(1)
        await receiver.quiet(1, 0.8)
        await receiver.get(2)


async def test_dead_letters(fresh_redis: RedisServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MAX_ATTEMPTS", 2)
    async with running(fresh_redis, **QUICK) as service:
        made = (await create(service, receiver)).webhook
        receiver.will(*[503] * 6)
        asked = [await service.pending(run_id=f"run_{n}") for n in range(3)]

        async def count() -> int:
            return len((await dead_letters(service, made.id)).dead_letters)

        await until(count, 3)
        page = await dead_letters(service, made.id, page_size=2)
        rest = await dead_letters(service, made.id, page_size=2, page_token=page.next_page_token)
        found = [*page.dead_letters, *rest.dead_letters]
        assert (len(page.dead_letters), rest.next_page_token) == (2, "")
        assert {letter.approval_ids[0] for letter in found} == {approval.id for approval in asked}
        letter = found[0]
        assert (letter.attempts, letter.last_status, letter.last_error) == (2, 503, "answered 503")
        assert letter.event == webhook_pb2.WEBHOOK_EVENT_APPROVAL_REQUESTED
        await receiver.quiet(6)

        again = webhook_pb2.RedeliverDeadLetterRequest(webhook_id=made.id, delivery_id=letter.delivery_id)
        await service.webhooks.RedeliverDeadLetter(again, metadata=ROOT)
        assert (await receiver.quiet(7))[-1].id == letter.delivery_id
        for delivery_id in (letter.delivery_id, "dlv_" + "0" * 32, "nothing"):
            none = webhook_pb2.RedeliverDeadLetterRequest(webhook_id=made.id, delivery_id=delivery_id)
            with pytest.raises(grpc.aio.AioRpcError) as gone:
                await service.webhooks.RedeliverDeadLetter(none, metadata=ROOT)
            assert reason_of(gone.value) == "DEAD_LETTER_NOT_FOUND"
        store = DeliveryStore(service.redis, SHARDS)
        assert await store.count_dead() == 2
        assert await store.forget_dead(0, 10) == 0
        assert await store.forget_dead(2**50, 10) == 2
        assert await count() == 0


async def test_similar_requests_are_told_together(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK | {"approval_gather_seconds": 0.5}) as service:
        await create(service, receiver, events=[webhook_pb2.WEBHOOK_EVENT_APPROVAL_REQUESTED])
        flood = await service.request(*(item("rm -rf build", step_id=f"s{n}") for n in range(70)))
        await service.request(item("git push --force"))
        told = await receiver.quiet(2, 1.0)
        many = next(one.json for one in told if one.json["count"] > 1)
        assert many["count"] == 70
        assert many["approval_ids"] == [result.approval.id for result in flood[:20]]
        # What comes after it was sent begins anew.
        await service.pending()
        assert (await receiver.get(3))[-1].json["count"] == 1


async def test_a_webhook_gets_so_many_a_minute(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK | {"approval_webhooks_per_minute": 5}) as service:
        await create(service, receiver)
        for n in range(8):
            await service.pending(run_id=f"run_{n}")
        await receiver.quiet(5, 1.0)


async def test_a_slow_receiver_does_not_delay_others(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with (
        receiving() as slow,
        running(fresh_redis, **QUICK | {"approval_webhook_timeout_seconds": 60.0}) as service,
    ):
        slow.will(*[HANG] * 100)
        await create(service, slow)
        await create(service, receiver)
        for n in range(20):
            await service.pending(run_id=f"run_{n}")
        await receiver.quiet(20, 0.2)
        await slow.quiet(4, 0.2)


async def test_replicas_send_each_once(fresh_redis: RedisServer, receiver: Receiver) -> None:
    patient = QUICK | {"approval_webhook_timeout_seconds": 60.0}
    async with (
        running(fresh_redis, **patient) as service,
        running(fresh_redis, **patient),
        running(fresh_redis, **patient),
    ):
        await create(service, receiver)
        asked = await service.request(*(item("rm -rf build", run_id=f"run_{n % 20}") for n in range(100)))
        told = await receiver.quiet(100)
        assert {one.json["approval"]["id"] for one in told} == {result.approval.id for result in asked}
        assert len({one.id for one in told}) == 100


async def test_the_journal_is_read_once_and_never_held(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK | {"approval_webhook_seconds": 60.0}) as service:
        deliveries, webhooks = DeliveryStore(service.redis, SHARDS), WebhookStore(service.redis)
        fan_out = FanOut(webhooks, deliveries, ApprovalStore(service.redis, SHARDS), gather_ms=0)
        journal = Journal(service.redis, SHARDS, [deliveries.read])
        # Without a webhook, reading on is all there is to do.
        approval = await service.pending()
        shard = int(approval.id[4:6], 16)
        await fan_out.run_once()
        entries: Any = await service.redis.xrevrange(keys.journal(shard), count=1)
        newest = entries[0][0].decode()
        assert (await deliveries.read())[shard] == newest
        await journal.trim()

        made = (await create(service, receiver)).webhook
        await service.pending()
        (part,) = [part for part in await deliveries.unread(50) if part.shard == shard]
        assert await deliveries.fan_out(part, [], 0) == 0
        # Whoever read the same is too late: nothing is made twice.
        assert await deliveries.fan_out(part, [], 0) == -1
        await service.redis.xadd(keys.journal(shard), {"e": b"not JSON", "p": 1})
        await service.pending()
        while await fan_out.run_once():
            pass
        assert sum((await deliveries.due(made.id)).values()) == 1


async def test_what_a_removed_webhook_left_is_removed(fresh_redis: RedisServer, receiver: Receiver) -> None:
    async with running(fresh_redis, **QUICK) as service:
        made = (await create(service, receiver)).webhook
        receiver.will(*[500] * 3)
        await update(service, made.id, "enabled", enabled=True)
        for n in range(3):
            await service.pending(run_id=f"run_{n}")
        await receiver.get(1)
        await service.webhooks.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(webhook_id=made.id), metadata=ROOT)
        await asyncio.sleep(0.2)
        store = DeliveryStore(service.redis, SHARDS)
        while await store.drop_all(made.id):
            pass
        with fresh_redis.admin() as admin:
            left = [name for name in admin.scan_iter("approval:*") if b":deliver" in name or b":dead" in name]
        assert left == []


async def test_kill_9_before_and_while_sending(fresh_redis: RedisServer, receiver: Receiver, tmp_path: Path) -> None:
    environment = {
        "HARNESS_REDIS_URL": fresh_redis.url("approval"),
        "HARNESS_APPROVAL_WEBHOOK_SECONDS": "0.1",
        "HARNESS_APPROVAL_WEBHOOK_TIMEOUT_SECONDS": "1",
        "HARNESS_APPROVAL_GATHER_SECONDS": "0",
    }
    # A process that makes deliveries and sends none.
    async with running(fresh_redis, **QUICK | {"approval_webhook_seconds": 60.0}) as service:
        await create(service, receiver)
        approval = await service.pending()
        store = ApprovalStore(service.redis, SHARDS)
        fan_out = FanOut(WebhookStore(service.redis), DeliveryStore(service.redis, SHARDS), store, gather_ms=0)
        await fan_out.run_once()
    assert receiver.received == []
    receiver.will(HANG)
    process = ServiceProcess("services.approval", tmp_path, environment)
    try:
        await process.start()
        (first,) = await receiver.get(1)
        await process.kill()
        await process.start()
        _, second = await receiver.quiet(2)
        assert first.id == second.id
        assert first.json["approval"]["id"] == approval.id
        assert await process.stop() == 0
    finally:
        await process.kill()
