"""What webhooks are told, where, and when again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.approval import journal
from services.approval.notifications import bodies, signing, urls
from services.approval.notifications.backoff import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    MAX_ATTEMPTS,
    pause_seconds,
    retry_after_seconds,
)
from services.approval.notifications.model import EVENTS, PLAIN, SLACK, TEST, Delivery, Webhook

EVENT = orjson.loads(
    journal.fact(
        "APPROVAL_REQUESTED",
        approval_id="apr_1",
        state="pending",
        requester="alice <admin>",
        level="RISK_LEVEL_HIGH",
        approval_type="git_push",
        environment="ENVIRONMENT_PRODUCTION",
        reason="it pushes & deploys <!channel>",
        actor="alice <admin>",
    )
)


def delivery(kind: str = "approval_requested", **fields: Any) -> Delivery:
    facts = bodies.facts_for(EVENT, None, "https://harness.example/approvals/{approval_id}?a=1&b=|2>")
    return Delivery("dlv_1", "whk_1", kind, 1_700_000_000_000, facts, **{"approval_ids": ("apr_1",), **fields})


def webhook(**fields: Any) -> Webhook:
    return Webhook("whk_1", "https://example.com/", PLAIN, "secret", **fields)


def test_plain_body_is_the_event_and_its_approval() -> None:
    body = orjson.loads(bodies.body_of(delivery(), PLAIN))
    assert body["event"] == "approval_requested"
    assert body["id"] == "dlv_1"
    assert body["time"] == "2023-11-14T22:13:20.000+00:00"
    assert body["approval_ids"] == ["apr_1"]
    approval = body["approval"]
    assert (approval["id"], approval["level"], approval["type"]) == ("apr_1", "high", "git_push")
    assert approval["link"] == "https://harness.example/approvals/apr_1?a=1&b=|2>"
    assert "project_id" not in approval


def test_bodies_are_the_same_bytes_each_time() -> None:
    assert bodies.body_of(delivery(), PLAIN) == bodies.body_of(delivery(), PLAIN)


def test_slack_makes_no_mention_or_link_of_what_somebody_wrote() -> None:
    body = bodies.body_of(delivery(), SLACK)
    text = body.decode()
    assert "<!channel>" not in text
    assert "&lt;!channel&gt;" in text
    assert "alice &lt;admin&gt;" in orjson.loads(body)["text"]
    assert "<https://harness.example/approvals/apr_1?a=1&amp;b=%7C2%3E|Open the approval>" in text


@pytest.mark.parametrize("kind", [*EVENTS.values(), TEST])
def test_slack_bodies_are_within_its_bounds(kind: str) -> None:
    long = {**EVENT, "requester": "<" * 256, "reason": "&" * 16384, "reject_code": "REJECT_CODE_UNSAFE"}
    facts = bodies.facts_for(long, None, "")
    ids = tuple(f"apr_{n:036}" for n in range(20))
    body = orjson.loads(bodies.body_of(Delivery("dlv", "whk", kind, 1, facts, ids, 5000), SLACK))
    assert body["text"]
    for block in body["blocks"]:
        texts = [block["text"]] if block["type"] == "section" else block["elements"]
        assert all(0 < len(text["text"]) <= 3000 for text in texts)
        assert len(texts) <= 10
    if kind != TEST:
        assert body["text"].startswith("5000 requests like: ")


def test_a_delivery_of_many_says_how_many() -> None:
    body = orjson.loads(bodies.body_of(delivery(count=70, approval_ids=tuple("apr" * 20)), PLAIN))
    assert body["count"] == 70
    assert len(body["approval_ids"]) == 20


def test_signatures_are_of_time_and_body_for_each_secret() -> None:
    # printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
    one = signing.signature(b"{}", 1_700_000_000, ["secret"])
    assert one == "v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    assert signing.signature(b"{}", 1_700_000_001, ["secret"]) != one
    assert signing.signature(b"{} ", 1_700_000_000, ["secret"]) != one
    assert signing.signature(b"{}", 1_700_000_000, ["new", "secret"]).split(",")[1] == one


def test_made_secrets_differ_and_are_long() -> None:
    assert signing.new_secret() != signing.new_secret()
    assert len(signing.new_secret()) >= signing.MIN_SECRET_BYTES + 6


def test_an_old_secret_signs_until_its_time() -> None:
    rotated = webhook(previous_secret="old", previous_until_ms=1000)
    assert rotated.secrets(999) == ["secret", "old"]
    assert rotated.secrets(1000) == ["secret"]


def test_nothing_secret_is_in_a_webhooks_repr() -> None:
    shown = repr(Webhook("whk_1", "https://example.com/T0PSECRET", PLAIN, "secr3t", previous_secret="0ld"))
    assert not [word for word in ("T0PSECRET", "secr3t", "0ld") if word in shown]


@pytest.mark.parametrize(
    ("hook", "wants"),
    [
        (webhook(), True),
        (webhook(events=("approved",)), True),
        (webhook(events=("rejected",)), False),
        (webhook(project_ids=("prj_1",)), True),
        (webhook(project_ids=("prj_2",)), False),
        (webhook(enabled=False), False),
        (webhook(created_ms=6), False),
        (webhook(created_ms=5), True),
    ],
)
def test_who_is_told(hook: Webhook, wants: bool) -> None:
    assert hook.wants("approved", "prj_1", 5) is wants


def test_pauses_double_up_to_an_hour() -> None:
    for attempts in range(1, MAX_ATTEMPTS + 1):
        full = min(FIRST_SECONDS * 2 ** (attempts - 1), LONGEST_SECONDS)
        pauses = {pause_seconds(attempts) for _ in range(50)}
        assert full / 2 <= min(pauses) <= max(pauses) <= full
        assert len(pauses) > 1
    assert pause_seconds(10**9) <= LONGEST_SECONDS


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        ("-1", None),
        ("soon", None),
        ("9" * 400, 999_999_999.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)) == seconds


def test_retry_after_is_believed_within_bounds() -> None:
    assert pause_seconds(1, 600.0) == 600.0
    assert pause_seconds(1, 1e9) == LONGEST_SECONDS
    assert pause_seconds(12, 1.0) >= LONGEST_SECONDS / 2


@pytest.mark.parametrize(
    ("url", "allow_http", "fine"),
    [
        ("https://hooks.example.com/a?b=c", False, True),
        ("http://127.0.0.1:8080/hook", False, True),
        ("http://[::1]/hook", False, True),
        ("http://localhost/hook", False, True),
        ("http://hooks.example.com/", False, False),
        ("http://hooks.example.com/", True, True),
        ("http://localhost.example.com/", False, False),
        ("https://user:password@example.com/", True, False),
        ("https://example.com/#part", True, False),
        ("ftp://example.com/", True, False),
        ("https://", True, False),
        ("https://example.com:99999/", True, False),
        ("https://exa mple.com/", True, False),
        ("https://example.com/\r\nHost: other", True, False),
        ("https://[::1/", True, False),
        ("/hook", True, False),
        ("https://example.com/********", True, False),
    ],
)
def test_where_deliveries_may_go(url: str, allow_http: bool, fine: bool) -> None:
    assert (urls.problem_with(url, allow_http=allow_http) == "") is fine


def test_what_is_shown_of_an_address() -> None:
    assert urls.masked("https://hooks.example.com/T1/B2/secret?x=y") == "https://hooks.example.com/********"
    assert urls.masked("https://example.com:8443?key=1") == "https://example.com:8443/********"
    assert urls.masked("https://example.com/") == "https://example.com/"
