"""Swagger UI in a real browser: authorise, try calls out, see the answers, and load nothing from elsewhere."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.async_api import ConsoleMessage, Locator, Page, expect
from starlette.applications import Starlette

from motherharness import Client
from motherharness.devstack import Stack
from services.gateway.documents import routes_of
from services.gateway.documents.files import MERGED, folder

pytestmark = pytest.mark.timeout(240)
# Longer than anything here takes on a busy machine.
PATIENCE = 60_000
# A remark of Swagger UI's own about addresses, on every operation that is opened by one.
HARMLESS = "escaping deep link whitespace with `_`"


class Watch:
    """What a page loads and complains about."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _said(self, message: ConsoleMessage) -> None:
        # An answer that is an error is one line of the console; those are looked at in the page.
        if message.type in ("error", "warning") and HARMLESS not in message.text and "status of 4" not in message.text:
            self.complaints.append(message.text)


async def opened(page: Page, gateway: str, operation_id: str) -> Locator:
    """Open an operation by its address, as a link in a chat would, and return its part of the page."""
    service = operation_id.partition("_")[0]
    # Another address of the same page alone would load nothing.
    await page.goto("about:blank")
    await page.goto(f"{gateway}/documentation#/{service}/{operation_id}")
    operation = page.locator(f"#operations-{service}-{operation_id}")
    await expect(operation.get_by_role("button", name="Execute")).to_be_visible(timeout=PATIENCE)
    return operation


async def authorise(page: Page, token: str) -> None:
    await page.get_by_role("button", name="Authorize", exact=True).first.click()
    dialog = page.locator(".dialog-ux")
    await dialog.get_by_role("textbox").fill(token)
    await dialog.get_by_role("button", name="Apply credentials").click()
    await dialog.get_by_role("button", name="Close", exact=True).click()


async def execute(operation: Locator) -> tuple[int, Any]:
    """Try an operation out, and return status and answer as the page shows them."""
    answer = operation.locator(".live-responses-table .response")
    if await answer.count():
        # Or the answer before would be taken for the new one.
        await operation.get_by_role("button", name="Clear").click()
        await expect(answer).to_have_count(0, timeout=PATIENCE)
    await operation.get_by_role("button", name="Execute").click()
    await expect(answer).to_be_visible(timeout=PATIENCE)
    status = await answer.locator(".response-col_status").inner_text()
    body = await answer.locator(".response-col_description .highlight-code code").first.inner_text()
    return int(status.split()[0]), json.loads(body)


@asynccontextmanager
async def served(documents: Path) -> AsyncIterator[str]:
    """The pages of a folder of documents, and nothing behind them; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = Starlette(routes=routes_of(documents))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def pending(alice: Client) -> str:
    """The id of an approval that waits for somebody."""
    project = await alice.create_project("waits")
    steps = [{"id": "gated", "agent": "coder", "requireApproval": True}]
    task = await alice.create_task(project.id, "ask first", plan={"steps": steps})
    run = await alice.start_run(task.id)
    async for event in alice.watch_run(run.id):
        if event.step_id == "gated" and "approval_id" in event.data:
            return str(event.data["approval_id"])
    raise AssertionError("the run ended without an approval")


async def test_authorise_create_a_task_and_list_what_waits(page: Page, gateway: str, stack: Stack) -> None:
    watch = Watch(page)
    async with Client(stack.connection("alice")) as alice:
        approval_id = await pending(alice)
        project = await alice.create_project("tried out in a browser")

        operation = await opened(page, gateway, "TaskService_CreateTask")
        status, answer = await execute(operation)
        assert (status, answer["code"]) == (401, 16)

        await authorise(page, stack.token("alice"))
        body = operation.locator("textarea.body-param__text")
        example = json.loads(await body.input_value())
        assert example["plan"]["steps"][0]["agent"] == "shell"
        await body.fill(json.dumps({**example, "projectId": project.id}))
        status, answer = await execute(operation)
        assert status == 200, answer
        assert answer["task"]["query"] == "tidy up"
        assert (await alice.get_task(answer["task"]["id"])).owner == "alice"

    operation = await opened(page, gateway, "ApprovalService_ListApprovals")
    await authorise(page, stack.token("bob"))
    # The example of the document is what the call is for: what is pending.
    state = operation.locator("tr[data-param-name=state] select")
    assert await state.input_value() == "APPROVAL_STATE_PENDING"
    status, answer = await execute(operation)
    assert status == 200, answer
    assert approval_id in [approval["id"] for approval in answer["approvals"]]
    assert watch.complaints == []
    assert watch.hosts == {urlsplit(gateway).netloc}


async def test_every_service_has_a_document_of_its_own(page: Page) -> None:
    watch = Watch(page)
    async with served(folder()) as address:
        await page.goto(f"{address}/documentation")
        await expect(page.locator(".opblock-tag-section")).to_have_count(12, timeout=PATIENCE)
        await page.locator("#select").select_option(label="backup")
        await expect(page.locator(".opblock-tag-section")).to_have_count(1, timeout=PATIENCE)
        await expect(page.locator("#operations-tag-BackupService")).to_be_visible(timeout=PATIENCE)
    assert watch.complaints == []


async def test_a_new_call_is_shown_once_it_is_in_the_document(page: Page, tmp_path: Path) -> None:
    documents = tmp_path / "openapi"
    shutil.copytree(folder(), documents)
    merged = documents / f"{MERGED}.v31.json"
    document = json.loads(merged.read_text())
    greet = {**document["paths"]["/v1/projects"]["get"], "operationId": "GreetingService_Greet"}
    document["paths"]["/v1/greeting"] = {"get": {**greet, "tags": ["GreetingService"], "summary": "Says hello."}}
    merged.write_text(json.dumps(document))
    async with served(documents) as address:
        operation = await opened(page, address, "GreetingService_Greet")
        await expect(operation.locator(".opblock-summary-path")).to_have_text("/v1/greeting")
        await expect(operation.locator(".opblock-summary-description")).to_have_text("Says hello.")


def test_a_browser_is_there_where_it_is_required(chromium: str) -> None:
    assert Path(chromium).exists()
