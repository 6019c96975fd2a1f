"""A real browser, in front of the real gateway and services.

The browser is the one that is installed, such as Debian's `chromium`; HARNESS_CHROMIUM names another. Without one the
tests are skipped, unless HARNESS_BROWSER_REQUIRED is set, as .ci/run does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from motherharness.devstack import Stack
from tests.support.gateway import gateway_of

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    named = os.environ.get("HARNESS_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, NAMES)), "")
    if not found:
        missing = "no Chromium: install it (`make browser`), or name one in HARNESS_CHROMIUM"
        if os.environ.get("HARNESS_BROWSER_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A browser with a new, empty folder for its data."""
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        await opened.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab that shares nothing with those of other tests."""
    context = await browser.new_context(viewport={"width": 1400, "height": 1000})
    yield await context.new_page()
    await context.close()


@pytest.fixture(scope="session")
def stack(chromium: str) -> Iterator[Stack]:
    with Stack(agents="") as running:
        yield running


@pytest.fixture(scope="session")
async def gateway(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a gateway in front of the stack."""
    async with gateway_of(stack, tmp_path_factory.mktemp("gateway")) as address:
        yield address
