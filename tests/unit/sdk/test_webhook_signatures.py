"""Receivers know what is from the service, unchanged, and just now; the example of the manual works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motherharness.webhooks import SignatureError, verify
from services.approval.notifications.signing import signature

SECRET = "whsec_of-the-tests"
BODY = b'{"event":"approved","approval_ids":["apr_1"]}'
NOW = 1_700_000_000
DOCS = Path(__file__).resolve().parents[3] / "docs" / "notifications.md"


def headers(at: int = NOW, secrets: tuple[str, ...] = (SECRET,), **other: str) -> dict[str, str]:
    signed = {
        "Harness-Delivery": "dlv_1",
        "Harness-Timestamp": str(at),
        "Harness-Signature": signature(BODY, at, secrets),
    }
    return signed | {name.replace("_", "-"): value for name, value in other.items()}


def test_what_the_service_signs_is_accepted() -> None:
    assert verify(BODY, headers(), SECRET, now=NOW + 10) == "dlv_1"
    assert verify(BODY, {name.upper(): value for name, value in headers().items()}, SECRET, now=NOW) == "dlv_1"


def test_either_secret_is_accepted_while_it_is_replaced() -> None:
    both = headers(secrets=("new", SECRET))
    assert verify(BODY, both, SECRET, now=NOW) == verify(BODY, both, "new", now=NOW) == "dlv_1"


@pytest.mark.parametrize(
    ("body", "given", "secret", "now"),
    [
        (BODY + b" ", headers(), SECRET, NOW),
        (BODY, headers(), "other", NOW),
        (BODY, headers(), "", NOW),
        (BODY, headers(), SECRET, NOW + 301),
        (BODY, headers(), SECRET, NOW - 301),
        (BODY, headers(Harness_Timestamp=str(NOW + 1)), SECRET, NOW),
        (BODY, headers(Harness_Timestamp=f"+{NOW}"), SECRET, NOW),
        (BODY, headers(Harness_Timestamp=""), SECRET, NOW),
        (BODY, headers(Harness_Timestamp="9" * 5000), SECRET, NOW),
        (BODY, headers(Harness_Signature=""), SECRET, NOW),
        (BODY, headers(Harness_Signature="v1=é"), SECRET, NOW),
        (BODY, headers(Harness_Signature=headers()["Harness-Signature"].replace("v1", "v0")), SECRET, NOW),
        (BODY, {}, SECRET, NOW),
    ],
)
def test_anything_else_is_refused(body: bytes, given: dict[str, str], secret: str, now: int) -> None:
    with pytest.raises(SignatureError):
        verify(body, given, secret, now=now)


def test_the_example_of_the_manual(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: float(NOW))
    (example,) = [part.split("```")[0] for part in DOCS.read_text().split("```python\n")[1:]]
    names: dict[str, Any] = {}
    exec(example, names)
    receive = names["receive"]
    assert receive(BODY, headers(), SECRET) == 204
    assert receive(BODY, headers(), SECRET) == 204
    assert receive(BODY, headers(), "other") == 400
    assert capsys.readouterr().out == "approved ['apr_1']\n"
