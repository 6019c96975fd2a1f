"""Calls go where they were cleared to go, and bring back no more than fits."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.common.v1.action_pb2 import Action, ApiCallAction
from motherharness.agents.http import HttpAgent, api_call_action
from motherharness.errors import RetryableError, TerminalError
from motherharness.structs import MAX_RECORD_BYTES


class Api(BaseHTTPRequestHandler):
    """Answers what the path asks for, and remembers who came."""

    seen: list[str]

    def answer(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = self.path.strip("/").split("/")
        if parts[0] == "redirect":
            target = "/".join(parts[1:])
            self.reply(302, b"", {"location": target if target.startswith("http:") else f"/{target}"})
        elif parts[0] == "large":
            self.reply(200, b"x" * int(parts[1]))
        elif parts[0] == "status":
            self.reply(int(parts[1]), b"sorry")
        else:
            echoed = {"method": self.command, "headers": dict(self.headers), "body": body.decode()}
            self.reply(200, json.dumps(echoed).encode(), {"set-cookie": "session=secret"})

    do_GET = do_POST = do_DELETE = answer

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def serve() -> Iterator[tuple[str, list[str]]]:
    """Run a server and yield its address and what it has seen."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (Api,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def api() -> Iterator[tuple[str, list[str]]]:
    yield from serve()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    yield from serve()


async def call(agent: HttpAgent, inputs: dict[str, Any]) -> dict[str, Any]:
    """Make the call that a step's inputs describe."""
    return await agent.run([Action(api_call=api_call_action(inputs))])


async def test_the_call_is_made_as_described(api: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither the worker's proxy nor its credentials are part of what was cleared.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    result = await call(HttpAgent(), {"url": f"{api[0]}/echo", "method": "post", "json": {"a": 1}})
    assert result["status"] == 200
    echoed = json.loads(result["body"])
    assert (echoed["method"], echoed["body"]) == ("POST", '{"a": 1}')
    assert "authorization" not in {name.lower() for name in echoed["headers"]}
    assert "set-cookie" not in result["headers"]
    assert result["sha256"] == hashlib.sha256(result["body"].encode()).hexdigest()


async def test_redirects_are_answers(api: tuple[str, list[str]]) -> None:
    result = await call(HttpAgent(), {"url": f"{api[0]}/redirect/echo"})
    assert result["status"] == 302
    assert api[1] == ["GET /redirect/echo"]


async def test_redirects_never_leave_the_host(api: tuple[str, list[str]], elsewhere: tuple[str, list[str]]) -> None:
    agent = HttpAgent(follow_redirects=True)
    assert (await call(agent, {"url": f"{api[0]}/redirect/echo"}))["status"] == 200
    assert (await call(agent, {"url": f"{api[0]}/redirect/{elsewhere[0]}/echo"}))["status"] == 302
    assert (await call(agent, {"url": f"{api[0]}/redirect/echo", "method": "DELETE"}))["status"] == 302
    assert elsewhere[1] == []
    with pytest.raises(TerminalError) as caught:
        await call(agent, {"url": f"{api[0]}/{'redirect/' * 7}echo"})
    assert caught.value.reason == "TOO_MANY_REDIRECTS"


async def test_long_responses_are_cut_and_longer_ones_refused(api: tuple[str, list[str]]) -> None:
    result = await call(HttpAgent(), {"url": f"{api[0]}/large/1000000"})
    assert (result["size"], result["truncated"]) == (1_000_000, True)
    assert result["sha256"] == hashlib.sha256(b"x" * 1_000_000).hexdigest()
    assert len(json.dumps(result)) < MAX_RECORD_BYTES
    with pytest.raises(TerminalError) as caught:
        await call(HttpAgent(max_response_bytes=1000), {"url": f"{api[0]}/large/1001"})
    assert caught.value.reason == "RESPONSE_TOO_LARGE"


async def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(RetryableError) as caught:
        await HttpAgent(timeout=2).run([Action(api_call=ApiCallAction(method="GET", url="http://127.0.0.1:1/"))])
    assert caught.value.reason == "HTTP_UNREACHABLE"


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"url": "file:///etc/passwd"},
        {"url": "http://a", "method": "GET /"},
        {"url": "http://a", "headers": {"a": 1}},
        {"url": "http://a", "body": "x", "json": {}},
        {"url": "http://a", "follow": True},
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any]) -> None:
    with pytest.raises(TerminalError) as caught:
        api_call_action(inputs)
    assert caught.value.reason == "INVALID_INPUTS"
