"""Unary calls through a gateway and a real service: paths, bodies, queries, answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


async def test_a_path_and_a_query_become_a_request(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/shelves/1/books/two%20words", params={"text": "hello"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "name": "shelves/1/books/two words",
        "displayName": "hello",
        "author": None,
        "labels": {},
        "data": None,
    }


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/books/b", "b"),
        ("GET", "/v1/books/", ""),
        ("LOCK", "/v1/shelves/s/books/b:lock", "shelves/s/books/b"),
        ("GET", "/v1/shelves/s/books/b:lock", "shelves/s/books/b:lock"),
        ("GET", "/v1/files/a/b/c", "a/b/c"),
        ("GET", "/v1/files", ""),
        ("GET", "/v1/books/%C3%A9", "é"),
        ("GET", "/v1/books/a%0Ab%0A", "a\nb\n"),
        # As with grpc-gateway, an encoded slash is one that separates.
        ("GET", "/v1/files/a%2Fb", "a/b"),
        ("GET", "/v1/shelves/s%2Fbooks/b", "shelves/s/books/b"),
    ],
)
async def test_bound_paths(http: httpx.AsyncClient, method: str, path: str, name: str) -> None:
    request = http.build_request(method, "/")
    # As it stands, escapes and all.
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await http.send(request)
    assert (answer.status_code, answer.json().get("name")) == (200, name)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/v1/nowhere", 404, "PATH_UNKNOWN"),
        ("GET", "/v1/now%0Ahere", 404, "PATH_UNKNOWN"),
        ("GET", "/v1/shelves/1/books/2/3", 404, "PATH_UNKNOWN"),
        ("GET", "//v1/search", 404, "PATH_UNKNOWN"),
        ("GET", "/v1/search/", 404, "PATH_UNKNOWN"),
        ("GET", "/v1/books%2F%2F", 404, "PATH_UNKNOWN"),
        ("POST", "/v1/search", 501, "METHOD_NOT_ALLOWED"),
        ("HEAD", "/v1/search", 501, ""),
        ("GET", "/v1/tags", 501, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/books/%zz", 400, "PATH_INVALID"),
        ("GET", "/v1/books/%ff", 400, "PATH_INVALID"),
        ("POST", "/v1/things/x:echo", 400, "PATH_INVALID"),
        ("GET", "/v1/search?number=%zz", 400, "QUERY_INVALID"),
        ("GET", "/v1/search?number=x", 400, "QUERY_INVALID"),
    ],
)
async def test_what_is_not_bound_or_not_readable(
    http: httpx.AsyncClient, method: str, path: str, status: int, reason: str
) -> None:
    request = http.build_request(method, "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await http.send(request)
    assert answer.status_code == status
    if reason:
        assert answer.json()["details"][0]["reason"] == reason


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"book": "b"}, None),
        ({"displayName": "d", "author": {"full_name": "f", "age": 3}}, {"displayName": "d"}),
        ({}, {"displayName": ""}),
    ],
)
async def test_a_body_goes_into_a_field_and_a_part_of_the_answer_comes_back(
    http: httpx.AsyncClient, body: Any, made: Any
) -> None:
    answer = await http.post("/v1/shelves/s/books?book_id=7", json=body)
    if made is None:
        assert answer.status_code == 400
        assert "book.book" in answer.json()["message"]
    else:
        assert answer.json()["name"] == "shelves/s/books/7"
        assert answer.json()["displayName"] == made["displayName"]


async def test_a_body_that_is_a_list(http: httpx.AsyncClient) -> None:
    answer = await http.put("/v1/tags", json=["a", "b"], params={"text": "t", "words": "ignored"})
    assert (answer.json()["words"], answer.json()["text"]) == (["a", "b"], "t")


async def test_the_path_wins_over_the_body(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/things/7:echo", json={"number": 9, "text": "t"}, params={"text": "ignored"})
    assert answer.json()["request"]["number"] == 7
    assert answer.json()["request"]["text"] == "t"


async def test_no_body_is_an_empty_request(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/things/7:echo")).json()["request"]["number"] == 7
    assert (await http.post("/v1/shelves/s/books")).json()["name"] == "shelves/s/books/"


async def test_a_patch_without_a_mask_gets_one_from_its_body(http: httpx.AsyncClient) -> None:
    body = {"displayName": "d", "author": {"age": 4}, "labels": {"a": "b"}, "data": {"x": {"y": 1}, "z": []}}
    answer = await http.patch("/v1/shelves/s/books/b", json=body)
    assert answer.json()["updateMask"] == "author.age,data.x.y,data.z,displayName,labels"
    assert answer.json()["book"]["name"] == "shelves/s/books/b"
    answer = await http.patch("/v1/shelves/s/books/b?updateMask=author", json=body)
    assert answer.json()["updateMask"] == "author"
    answer = await http.patch("/v1/shelves/s/books/b", json={})
    assert answer.json()["updateMask"] == ""
