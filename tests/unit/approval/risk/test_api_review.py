"""Requests that looked harmless and were not: other spellings of an address, operations outside the body, headers."""

from __future__ import annotations

import pytest

from services.approval.risk import ApiCall, Command, Level, assess


@pytest.mark.parametrize(
    "url",
    [
        "http:/169.254.169.254/latest",
        "http:///169.254.169.254",
        "HTTP:\\\\\\169.254.169.254",
        "//169.254.169.254/",
        "////169.254.169.254/",
        "http://168.63.129.16/",
    ],
)
def test_a_metadata_service_is_known_by_every_spelling(url: str) -> None:
    assert assess(ApiCall("GET", url)).level >= Level.HIGH


@pytest.mark.parametrize("url", ["//cdn.example.com/app.js", "https:/example.com/docs", "http://localhost:8080/health"])
def test_slashes_alone_are_no_reason(url: str) -> None:
    assert assess(ApiCall("GET", url)).level == Level.LOW


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example/deleteUser?id=1",
        "https://x.example/delete_user.php?id=1",
        "https://x.example/users/delete/1",
        "https://x.example/api/v1/items/destroy/7f3c2b10",
        "https://x.example/graphql?query=mutation{deleteUser(id:1){id}}",
        "https://x.example/graphql?query=mutation%20M%20%7BdeleteUser(id%3A1)%7Bid%7D%7D",
    ],
)
def test_a_reading_method_that_asks_for_a_change_asks_a_person(url: str) -> None:
    assert assess(ApiCall("GET", url)).level >= Level.MEDIUM


@pytest.mark.parametrize(
    "url",
    [
        "https://docs.example.com/how-to-delete-a-user",
        "https://docs.example.com/delete-user",
        "https://x.example/graphql?query={user(id:1){name}}",
        "https://x.example/search?query=mutation",
        "https://x.example/deletedUsers?page=2",
        "https://x.example/movies/kill-bill",
        "https://x.example/users/12/orders/7",
    ],
)
def test_reading_stays_low(url: str) -> None:
    assert assess(ApiCall("GET", url)).level == Level.LOW


@pytest.mark.parametrize(
    "call",
    [
        ApiCall("", "https://x.example/"),
        ApiCall("  ", "https://x.example/"),
        ApiCall("\ud800", "https://x.example/"),
        ApiCall("GET", "https://x.example/", {"x-note": "\ud800"}),
        ApiCall("GET", "https://x.example/", {"\ud800": "a"}),
        ApiCall("GET", "https://x.example/", {"x-note": "a\x00b"}),
    ],
)
def test_a_request_that_cannot_be_read_is_unknown(call: ApiCall) -> None:
    assert assess(call).level == Level.UNKNOWN


@pytest.mark.parametrize("name", ["Host", "host", "X-Forwarded-Host", "X-Original-Host"])
@pytest.mark.parametrize("value", ["169.254.169.254", "metadata.google.internal", "2852039166:80"])
def test_a_header_that_names_the_metadata_service_asks_a_person(name: str, value: str) -> None:
    assert assess(ApiCall("GET", "https://x.example/", {name: value})).level >= Level.MEDIUM


def test_a_header_that_names_another_host_is_ordinary() -> None:
    assert assess(ApiCall("GET", "http://localhost:8080/", {"Host": "shop.example.com"})).level == Level.LOW


@pytest.mark.parametrize(
    "script", ["curl http://localhost:8080$path", 'curl "localhost:3000${ROUTE}"', "curl -s http://127.0.0.1:8080$1"]
)
def test_a_hidden_tail_after_a_port_is_a_hidden_path(script: str) -> None:
    assert assess(Command(script=script)).level == Level.LOW


@pytest.mark.parametrize("script", ['curl "http://localhost:$PORT/x"', "curl http://localhost:$PORT"])
def test_a_hidden_port_hides_no_host(script: str) -> None:
    assert assess(Command(script=script)).level == Level.LOW


def test_a_hidden_tail_after_a_port_keeps_the_host() -> None:
    assert assess(Command(script="curl http://169.254.169.254:80$path")).level >= Level.HIGH
