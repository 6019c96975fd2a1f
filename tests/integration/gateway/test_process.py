"""The gateway as a process, in front of the real services: one task, its approval, and its history, over HTTP alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from motherharness.devstack import Stack
from tests.support.processes import ROOT, ServiceProcess

ENVIRONMENT = {"approval": {"HARNESS_APPROVAL_PUBLISH_SECONDS": "0.2"}}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(agents="shell", gateway=True, environment=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
async def alice(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with client(stack, "alice") as it:
        yield it


@pytest.fixture(scope="module")
async def bob(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with client(stack, "bob") as it:
        yield it


def client(stack: Stack, subject: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {stack.token(subject)}"}
    return httpx.AsyncClient(base_url=f"http://{stack.address('gateway')}", headers=headers, timeout=50)


async def made(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """What is answered to a POST, asked again while a service has not yet found another."""
    answer = await http.post(path, json={**body, "requestId": secrets.token_hex(8)})
    while answer.status_code == 503:
        answer = await http.post(path, content=answer.request.content)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def all_serve(http: httpx.AsyncClient) -> None:
    """Return when the gateway has seen every service serve, which a busy machine may delay."""
    wanted = {"orchestrator": "SERVING", "approval": "SERVING", "backup": "SERVING"}
    seen: dict[str, str] = {}
    while seen != wanted:
        seen = (await http.get("/health")).json()["services"]


async def events(http: httpx.AsyncClient, path: str, last: str = "") -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The id and the data of each event of a stream."""
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    async with http.stream("GET", path, headers=headers) as answer:
        event_id = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = value
            elif name == "event" and value == "end":
                return
            elif name == "data":
                yield event_id, json.loads(value)["event"]


async def test_a_run_and_its_approval_over_http(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    project = (await made(alice, "/v1/projects", {"displayName": "tour"}))["project"]
    steps = [{"id": "clean", "agent": "shell", "inputs": {"command": "rm -rf build"}}]
    body = {"projectId": project["id"], "query": "tidy up", "plan": {"steps": steps}}
    task = (await made(alice, "/v1/tasks", body))["task"]
    run = (await made(alice, f"/v1/tasks/{task['id']}:run", {}))["run"]

    seen = []
    async for event_id, event in events(alice, f"/v1/runs/{run['id']}:watch"):
        seen.append((event_id, event["type"]))
        assert event["sequence"] == event_id
        if event["type"] == "EVENT_TYPE_APPROVAL_REQUESTED":
            break
    pending = (await bob.get("/v1/approvals", params={"state": "APPROVAL_STATE_PENDING"})).json()["approvals"]
    approval = next(it for it in pending if it["context"]["runId"] == run["id"])
    assert (
        await alice.post(f"/v1/approvals/{approval['id']}:decide", json={"verdict": "VERDICT_APPROVE"})
    ).status_code == 403
    decided = await bob.post(f"/v1/approvals/{approval['id']}:decide", json={"verdict": "VERDICT_APPROVE"})
    assert decided.json()["approval"]["state"] == "APPROVAL_STATE_APPROVED"

    async for event_id, event in events(alice, f"/v1/runs/{run['id']}:watch", last=seen[-1][0]):
        seen.append((event_id, event["type"]))
    assert [int(event_id) for event_id, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] == "EVENT_TYPE_RUN_TERMINATED"
    ended = (await alice.get(f"/v1/runs/{run['id']}")).json()["run"]
    assert (ended["terminationReason"], ended["version"].isdigit()) == ("TERMINATION_REASON_COMPLETED", True)
    history = (await alice.get(f"/v1/runs/{run['id']}/events", params={"pageSize": 2})).json()
    assert (len(history["events"]), history["nextPageToken"] != "") == (2, True)


async def test_a_guarded_update_and_its_refusals(alice: httpx.AsyncClient) -> None:
    project = (await alice.post("/v1/projects", json={"display_name": "one"})).json()["project"]
    path = f"/v1/projects/{project['id']}"
    changed = (await alice.patch(path, json={"displayName": "two"})).json()["project"]
    assert (changed["displayName"], changed["environment"]) == ("two", project["environment"])
    guarded = {"displayName": "three", "etag": project["etag"]}
    stale = await alice.patch(path, json=guarded, params={"updateMask": "display_name"})
    assert (stale.status_code, stale.json()["code"]) == (409, 10)
    unknown = await alice.patch(path, json={"displayName": "three", "colour": "red"})
    assert (unknown.status_code, "project.colour" in unknown.json()["message"]) == (400, True)
    invalid = await alice.post("/v1/projects", json={"displayName": "x" * 10_000})
    violation = next(it for it in invalid.json()["details"] if it["@type"].endswith("BadRequest"))
    assert (invalid.status_code, violation["fieldViolations"][0]["field"]) == (400, "display_name")


async def test_documents_are_beside_the_calls(alice: httpx.AsyncClient) -> None:
    assert (await alice.get("/documentation")).status_code == 200
    described = (await alice.get("/documentation/json")).json()
    assert "/v1/projects" in described["paths"]
    await all_serve(alice)


async def test_a_service_that_comes_back_is_found_again(stack: Stack, alice: httpx.AsyncClient) -> None:
    stack.kill("backup")
    async with client(stack, "root") as root:
        down = await root.get("/v1/backup-targets")
        assert (down.status_code, down.json()["details"][0]["reason"]) == (503, "SERVICE_UNAVAILABLE")
        assert (await alice.get("/v1/projects")).status_code == 200
        stack.launch("backup")
        while (answer := await root.get("/v1/backup-targets")).status_code == 503:
            assert answer.json()["details"][0]["reason"] == "SERVICE_UNAVAILABLE"
        assert answer.status_code == 200


async def test_a_drain_finishes_what_is_in_flight_and_ends_streams(stack: Stack, tmp_path: Path) -> None:
    environment = {
        "HARNESS_ORCHESTRATOR_ADDRESS": stack.address("orchestrator"),
        "HARNESS_APPROVAL_ADDRESS": stack.address("approval"),
        "HARNESS_BACKUP_ADDRESS": stack.address("backup"),
        "HARNESS_GATEWAY_EVENT_GRACE_SECONDS": "0.05",
        "HARNESS_METRICS_LISTEN": "127.0.0.1:0",
    }
    process = ServiceProcess("services.gateway", tmp_path, environment)
    address = await process.start()
    headers = {"authorization": f"Bearer {stack.token('bob')}", "accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=50) as http,
        http.stream("GET", "/v1/approvals:watchEvents") as answer,
    ):
        process.process.send_signal(signal.SIGTERM)
        text = "".join([part async for part in answer.aiter_text()])
    assert "DRAINING" in text
    assert await process.stop() == 0
    assert "stopped" in process.log()
    assert stack.token("bob") not in process.log()


def test_settings_are_printed_and_checked() -> None:
    command = [sys.executable, "-m", "services.gateway"]
    environment = {"PYTHONPATH": ":".join(sys.path), "HARNESS_GATEWAY_MAX_STREAMS": "7"}
    printed = subprocess.run([*command, "--print-config"], capture_output=True, check=True, timeout=50, env=environment)
    shown = json.loads(printed.stdout)
    assert (shown["HARNESS_GATEWAY_MAX_STREAMS"], shown["HARNESS_LISTEN"]) == ("7", "127.0.0.1:8000")
    environment["HARNESS_GATEWAY_MAX_STREAMS"] = "-1"
    wrong = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, env=environment)
    assert (wrong.returncode, "HARNESS_GATEWAY_MAX_STREAMS" in wrong.stderr) == (2, True)


EXAMPLE = re.compile(r"```sh\n(.*?)```\n(?:```(?:json|text)\n(.*?)```\n)?", re.DOTALL)


async def test_every_example_of_the_page_does_what_it_shows(
    stack: Stack, alice: httpx.AsyncClient, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the examples of docs/http.md want curl")
    await all_serve(alice)
    examples = EXAMPLE.findall((ROOT / "docs" / "http.md").read_text())
    mark = "#### the next example"
    script = f"\necho; echo '{mark}'\n".join(commands for commands, _ in examples)
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY": f"http://{stack.address('gateway')}",
        "ALICE": stack.token("alice"),
    }
    # One shell for all, as a reader has: `-e` and not `-o pipefail`, for `head` may leave before curl has ended.
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euc", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    outputs = [output.strip() for output in done.stdout.split(mark)]
    assert len(outputs) == len(examples) == 7
    for (commands, shown), output in zip(examples, outputs, strict=True):
        pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
        assert re.fullmatch(pattern, output, re.DOTALL), f"{commands}\nshows\n{shown}\nand does\n{output}"
