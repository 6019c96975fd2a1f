"""Headers as metadata, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import metadata
from services.runtime.errors import InvalidArgument


def sent(client: str = "", **headers: str) -> dict[str, str | bytes]:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return dict(metadata.incoming(pairs, client))


def test_what_is_passed_on() -> None:
    assert sent(
        authorization="Bearer x",
        host="api.example",
        user_agent="curl",
        accept="*/*",
        x_custom="dropped",
        connection="close",
        transfer_encoding="chunked",
        traceparent="00-a-b-01",
        grpc_metadata_team="blue",
        grpc_metadata_key_bin="AP8",
    ) == {
        "authorization": "Bearer x",
        "grpcgateway-host": "api.example",
        "grpcgateway-user-agent": "curl",
        "grpcgateway-accept": "*/*",
        "traceparent": "00-a-b-01",
        "team": "blue",
        "key-bin": b"\x00\xff",
        "x-forwarded-host": "api.example",
    }


def test_who_calls_is_told_by_the_gateway() -> None:
    assert sent("10.0.0.9", x_forwarded_for="1.2.3.4", x_forwarded_host="outside", host="inside") == {
        "x-forwarded-for": "1.2.3.4, 10.0.0.9",
        "x-forwarded-host": "outside",
        "grpcgateway-host": "inside",
    }
    assert sent("10.0.0.9", x_forwarded_for="b\xe4d") == {"x-forwarded-for": "10.0.0.9"}


@pytest.mark.parametrize(
    "name",
    [
        "grpc_metadata_x_forwarded_for", "grpc_metadata_x_forwarded_host", "grpc_metadata_x_request_id",
        "grpc_metadata_grpcgateway_host", "grpc_metadata_grpc_timeout", "grpc_metadata_", "grpc_metadata_a:b",
    ],
)  # fmt: skip
def test_what_only_the_gateway_may_set(name: str) -> None:
    assert sent(**{name: "x"}) == {}


def test_values_that_grpc_cannot_carry_are_left_out() -> None:
    assert sent(authorization="Bearer \xe9", grpc_metadata_a="\xe9", user_agent="\x01", traceparent="\x7f") == {}
    with pytest.raises(InvalidArgument, match="grpc-metadata-a-bin must be base64"):
        sent(grpc_metadata_a_bin="*")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("", None), ("0S", None), ("5S", 5.0), ("2M", 120.0), ("1H", 3600.0), ("250m", 0.25),
        ("99999999999H", 365 * 86400.0), ("5u", 5e-6), ("7n", 7e-9),
    ],
)  # fmt: skip
def test_deadlines(text: str | None, seconds: float | None) -> None:
    assert metadata.timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "S", "5s", "-5S", "1.5S", " 5S", "5 S", "x", "\u0665S", "9" * 30 + "S"])
def test_deadlines_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Grpc-Timeout"):
        metadata.timeout(text)


def test_answers() -> None:
    given = (("colour", "blue"), ("shape-bin", b"\x00"), ("grpc-status-details-bin", b"x"), ("x-request-id", "r"))
    assert metadata.outgoing(given, metadata.PREFIX) == [
        ("grpc-metadata-colour", "blue"),
        ("grpc-metadata-shape-bin", "AA=="),
    ]
    assert metadata.outgoing(None, metadata.TRAILER_PREFIX) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"grpc-metadata-a", b"grpc-metadata-b-bin", b"host", b"cookie"]), st.binary(max_size=8)
        )
    )
)
def test_any_headers_are_passed_on_left_out_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        pairs = metadata.incoming(headers, "::1")
    except InvalidArgument:
        return
    for key, value in pairs:
        assert isinstance(value, bytes) == key.endswith("-bin")
        assert isinstance(value, bytes) or value.isascii()
