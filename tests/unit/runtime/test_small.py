"""The small parts: ids, pages, settings, statuses, logs, ACL rules, call context."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.exceptions import ReadOnlyError, ResponseError

from harness.backup.v1 import backup_pb2
from harness.common.v1.access_pb2 import ROLE_APPROVER, ROLE_USER
from services.runtime import errors, ids, paging
from services.runtime.acl import acl_line, acl_rule
from services.runtime.context import ANONYMOUS, Caller, acting_as, current_caller, current_request_id, draining
from services.runtime.errors import ConfigurationError, HarnessError, InvalidArgument
from services.runtime.logs import REDACTED, configure_logging, redact
from services.runtime.settings import ServiceSettings, load_settings, mask_url
from services.runtime.status import from_rpc, to_status, translate

# -- ids


@given(st.integers(0, 255))
def test_ids_name_their_shard(shard: int) -> None:
    made = ids.new_id("run", shard)
    assert ids.shard_of(made) == shard
    assert ids.is_id(made, "run")
    assert not ids.is_id(made, "tsk")


def test_ids_increase_and_differ() -> None:
    made = [ids.new_id("apr") for _ in range(10_000)]
    assert made == sorted(set(made))
    assert ids.is_id(made[0], "apr")


@pytest.mark.parametrize(
    "bad", ["", "run", "run_", "run_zz" + "0" * 32, "apr_" + "0" * 32, "run_07" + "0" * 33, "{" * 500]
)
def test_not_an_id_with_a_shard(bad: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        ids.shard_of(bad)


def test_shard_out_of_range() -> None:
    with pytest.raises(ValueError, match="256"):
        ids.new_id("run", 256)


# -- pages


@given(st.text(min_size=1, max_size=200).filter(lambda text: text.isascii()), st.text(max_size=50))
def test_a_token_leads_to_its_cursor(cursor: str, query: str) -> None:
    token = paging.page_of(0, "", query).next_token(cursor)
    assert paging.page_of(10, token, query) == paging.Page(10, cursor, query)


@given(st.text(max_size=300))
def test_a_token_of_somebody_elses_making_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument) as caught:
            paging.page_of(0, token, "query")
        assert caught.value.violations[0][0] == "page_token"


def test_a_token_belongs_to_its_query() -> None:
    first = backup_pb2.ListBackupsRequest(page_size=2)
    token = paging.page_for(first).next_token("c")
    assert paging.page_for(backup_pb2.ListBackupsRequest(page_size=9, page_token=token)).cursor == "c"
    other = backup_pb2.ListRestoresRequest(page_token=token)
    with pytest.raises(InvalidArgument, match="does not belong"):
        paging.page_for(other)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (1000, 1000), (10**9, 1000)])
def test_page_sizes_are_clamped(asked: int, size: int) -> None:
    assert paging.page_of(asked, "", "").size == size


def test_negative_page_size() -> None:
    with pytest.raises(InvalidArgument, match="page_size"):
        paging.page_of(-1, "", "")


def test_the_last_page_has_no_token() -> None:
    assert paging.page_of(0, "", "").next_token(None) == ""


# -- settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://plain")
    assert ServiceSettings().redis_url == "redis://plain"
    monkeypatch.setenv("HARNESS_REDIS_URL", "redis://named")
    assert ServiceSettings().redis_url == "redis://named"
    monkeypatch.setenv("HARNESS_DRAIN_SECONDS", "")
    assert ServiceSettings().drain_seconds == 10.0


def test_settings_errors_name_the_variable_and_hide_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_MAX_MESSAGE_BYTES", "hunter2")
    monkeypatch.setenv("HARNESS_ENVIRONMENT", "prod")
    with pytest.raises(ConfigurationError, match=r"HARNESS_ENVIRONMENT.*HARNESS_MAX_MESSAGE_BYTES") as caught:
        load_settings(ServiceSettings)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_never_shown() -> None:
    settings = ServiceSettings(
        redis_url="redis://u:hunter2@h/0?password=hunter2",
        jwt_secret=SecretStr("hunter2"),
        service_token=SecretStr("hunter2"),
        jwt_jwks_url="https://u:hunter2@h/keys",
    )
    assert "hunter2" not in repr(settings.masked())
    assert "hunter2" not in repr(settings)
    assert settings.masked()["HARNESS_REDIS_URL"].startswith("redis://u:")


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@h", "unix://u:hunter2@/p", "redis://u:hun@ter2@h", "redis://h?password=hunter2"]
)
def test_mask_url(url: str) -> None:
    assert "ter2" not in mask_url(url)


# -- statuses


def details(status: Any, kind: Any) -> Any:
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_status_fits_into_headers(size: int) -> None:
    violations = [("f" * size, "w" * size)] * 1000
    for kind in (InvalidArgument, errors.FailedPrecondition, errors.Internal, errors.Unavailable):
        status = to_status(kind("R", "m" * size, violations=violations, key="v" * size), "r-1")
        # A third more in base64, and the message once more in its own header.
        assert status.ByteSize() * 4 / 3 + len(status.message) < 8000
        assert details(status, error_details_pb2.ErrorInfo).metadata["request_id"] == "r-1"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (ReadOnlyError("You can't write against a read only replica."), "STORE_UNAVAILABLE"),
        (ResponseError("MISCONF Redis is configured to save"), "STORE_UNAVAILABLE"),
        (ResponseError("READONLY You can't write"), "STORE_UNAVAILABLE"),
        (ResponseError("NOPERM this user has no permissions"), "STORE_FAILED"),
        (TimeoutError(), "TIMEOUT"),
        (KeyError("x"), "INTERNAL"),
    ],
)
def test_translate(raised: Exception, reason: str) -> None:
    assert translate(raised).reason == reason


def test_what_another_service_says_can_be_said_again() -> None:
    said = InvalidArgument("R", "message", violations=[("f", "what")], retry_after=1.5, fact="x")
    status = to_status(said, "r-1")
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    error = from_rpc(grpc.aio.AioRpcError(said.code, grpc.aio.Metadata(), metadata, status.message))
    assert type(error) is InvalidArgument
    assert (error.reason, error.message, error.violations, error.retry_after) == ("R", "message", (("f", "what"),), 1.5)
    assert error.metadata["fact"] == "x"
    bare = from_rpc(grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN, grpc.aio.Metadata(), grpc.aio.Metadata(), "?"))
    assert (bare.code, bare.reason) == (grpc.StatusCode.INTERNAL, "RPC_UNKNOWN")


def test_what_callers_are_told_has_no_secret() -> None:
    token = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"
    violations = [(f'actions[0].command.env["{token}"]', f"{token} is too long")]
    status = to_status(InvalidArgument("R", f"no {token}", violations=violations, fact=token), "r-1")
    assert token.encode() not in status.SerializeToString()
    assert status.message == f"no {REDACTED}"


def test_every_error_has_its_own_code() -> None:
    kinds = HarnessError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)


# -- logs


def test_secrets_do_not_reach_the_log() -> None:
    event = redact(
        None,
        "",
        {
            "authorization": "Bearer x",
            "redis_password": "x",
            "note": "with eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln inside",
            "url": "redis://user:hunter2@host/0",
            "plain": "nothing",
            "facts": {"key": ["ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U", 1]},
        },
    )
    assert event["authorization"] == event["redis_password"] == REDACTED
    assert event["note"] == f"with {REDACTED} inside"
    assert event["url"] == f"redis://user:{REDACTED}@host/0"
    assert event["plain"] == "nothing"
    assert event["facts"] == {"key": [REDACTED, 1]}


def test_logs_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("echo", log_format="json")
        with acting_as(ANONYMOUS, "r-1"):
            try:
                raise ValueError("redis://user:hunter2@host")
            except ValueError as exc:
                structlog.get_logger("test").error("failed", exc_info=exc, count=3)
        logging.getLogger("some.library").warning("plain %s", "text")
        logging.getLogger("some.library").info("quiet")
        structlog.get_logger("test").debug("quiet")
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = lines[0]
    assert (failed["event"], failed["level"], failed["service"], failed["request_id"], failed["count"]) == (
        "failed", "error", "echo", "r-1", 3,
    )  # fmt: skip
    assert "ValueError" in failed["exception"]
    assert "hunter2" not in failed["exception"]
    assert lines[1]["event"] == "plain text"
    assert len(lines) == 3


# -- ACL rules and call context


def test_acl_rules_hold_no_password() -> None:
    line = acl_line("approval", acl_rule("approval", "hunter2"))
    assert line.startswith("user approval reset on #")
    assert "hunter2" not in line
    assert " ~approval:* " in line


async def test_nobody_is_somebody_by_accident() -> None:
    assert current_caller() is ANONYMOUS
    assert not draining().is_set()
    ann = Caller("ann", frozenset({ROLE_USER}))
    with acting_as(ann, "r-1"):
        assert (current_caller(), current_request_id()) == (ann, "r-1")

        async def other() -> Caller:
            with acting_as(Caller("bob", frozenset())):
                await asyncio.sleep(0)
                return current_caller()

        assert (await asyncio.create_task(other())).subject == "bob"
        assert current_caller() is ann
    assert current_caller() is ANONYMOUS
    assert ann.has(ROLE_USER, ROLE_APPROVER)
    assert not ann.has(ROLE_APPROVER)
