"""The gateway does what its document says: schemathesis sends what the document allows, and what it does not.

Each role has a run of its own. HARNESS_CONFORMANCE_SECONDS is for all of them; `make test-documents` gives more.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import jsonschema_rs
import pytest

from motherharness import Client
from motherharness.devstack import Stack
from tests.support.gateway import gateway_of

pytestmark = [pytest.mark.documents, pytest.mark.timeout(0)]

ROOT = Path(__file__).resolve().parents[3]
ROLES = ["user", "approver", "admin", "agent", "service"]
SECONDS = float(os.environ.get("HARNESS_CONFORMANCE_SECONDS", "50"))

# Replaced by exact ones in tests/support/conformance.py.
REPLACED = ["positive_data_acceptance", "negative_data_rejection"]
# A method that a path is not there for is answered with 501, as by grpc-gateway: the gateway's own tests try that.
CONFIGURATION = "[phases.coverage]\nunexpected-methods = []\n"
# It takes a service's data away while it runs, after which anything may be.
LEFT_OUT = ["BackupService_RestoreBackup"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(agents="") as running:
        yield running


@pytest.fixture(scope="module")
async def gateway(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with gateway_of(stack, tmp_path_factory.mktemp("gateway")) as address:
        yield address


async def test_streams_are_as_the_document_has_them(gateway: str, stack: Stack) -> None:
    async with Client(stack.connection("alice")) as alice:
        project = await alice.create_project("streams")
        task = await alice.create_task(project.id, "wait", plan={"steps": [{"id": "one", "agent": "coder"}]})
        run = await alice.start_run(task.id)
        await alice.cancel_run(run.id)
    headers = {"authorization": f"Bearer {stack.token('alice')}"}
    async with httpx.AsyncClient(base_url=gateway, headers=headers, timeout=50) as client:
        document = (await client.get("/documentation/json")).json()
        lines = await client.get(f"/v1/runs/{run.id}:watch")
        events = await client.get(f"/v1/runs/{run.id}:watch", headers={"accept": "text/event-stream"})
        last = re.findall(r"^id: (\d+)$", events.text, re.MULTILINE)[-1]
        resumed = await client.get(
            f"/v1/runs/{run.id}:watch", headers={"accept": "text/event-stream", "last-event-id": last}
        )
    answers = document["paths"]["/v1/runs/{runId}:watch"]["get"]["responses"]
    assert {answer.headers["content-type"].partition(";")[0] for answer in (lines, events)} == set(
        answers["200"]["content"]
    )
    item = {**answers["200"]["content"]["application/json"]["schema"], "components": document["components"]}
    message = {**document["components"]["schemas"]["WatchRunResponse"], "components": document["components"]}
    told = [json.loads(line) for line in lines.text.splitlines()]
    assert len(told) > 2
    for value in told:
        jsonschema_rs.Draft202012Validator(item).validate(value)
    parts = re.findall(r"^(?:event: (\w+)\n)?(?:id: \d+\n)?data: (.*)$", events.text, re.MULTILINE)
    assert [json.loads(data) for name, data in parts if not name] == [value["result"] for value in told]
    assert [name for name, _ in parts if name] == ["end"]
    for value in told:
        jsonschema_rs.Draft202012Validator(message).validate(value["result"])
    assert (resumed.status_code, resumed.content) == (204, b"")
    assert "204" in answers


@pytest.mark.parametrize("role", ROLES)
async def test_the_gateway_does_what_the_document_says(gateway: str, stack: Stack, role: str, tmp_path: Path) -> None:
    async with httpx.AsyncClient() as client:
        document = (await client.get(f"{gateway}/documentation/json")).json()
    operations = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    # A live stream has no end; lines and events are looked at in the gateway's own tests.
    streams = [o["operationId"] for o in operations if "text/event-stream" in o["responses"]["200"]["content"]]
    assert len(streams) < len(operations) / 4
    left_out = [argument for name in (*streams, *LEFT_OUT) for argument in ("--exclude-operation-id", name)]
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    # One worker: Python before 3.11.8 fails now and then when two threads parse code at once, as Hypothesis does.
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", configuration, "--no-color", "run"),
        f"{gateway}/documentation/json",
        *("--url", gateway, "--header", f"Authorization: Bearer {stack.token(role, role)}"),
        *left_out,
        *("--checks", "all", "--exclude-checks", ",".join(REPLACED)),
        *("--max-time", str(max(1, round(SECONDS / len(ROLES)))), "--workers", "1", "--request-timeout", "20"),
        *("--max-examples", "3", "--continue-on-failure", "--no-shrink", "--warnings", "off"),
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.support.conformance",
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "sdk", "gen/python")),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()[-20000:]
