"""`harness approvals inbox`: what waits for whoever calls, live, in the whole terminal.

`feed` knows what waits, `rows` arranges it, `lines` draws text of any kind, `dialogs` ask, and `app` is all of it.
"""

import asyncio
import os
import select
import signal
import sys

import typer

from motherharness.cli.inbox.app import Inbox
from motherharness.cli.inbox.feed import Feed
from motherharness.cli.output import USAGE, fail, note
from motherharness.cli.session import TIMEOUT
from motherharness.client import Client
from motherharness.errors import HarnessError
from motherharness.transport import Connection

NO_TERMINAL = (
    "the inbox needs a terminal. Without one there are `harness approvals list --mine`, `show ID`, `approve ID`, "
    "`reject ID`, `comment ID TEXT` and `edit ID --file FILE`, each with --help"
)


def open_inbox(*, everything: bool, project: str) -> None:
    """Show the inbox until it is left.

    Exits with the code for wrong usage without a terminal, and with that of the error if what waits cannot be read.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") in ("dumb", ""):
        note(NO_TERMINAL, style="bold red")
        raise typer.Exit(USAGE)

    async def run() -> None:
        async with Client(Connection.from_env(), timeout=TIMEOUT) as client:
            feed = Feed(client, everything=everything, project=project)
            await feed.load()
            with_terminal = asyncio.create_task(_end_with_the_terminal())
            try:
                await Inbox(client, feed).run_async()
            finally:
                with_terminal.cancel()

    try:
        asyncio.run(run())
    except HarnessError as error:
        fail(error, as_json=False)


async def _end_with_the_terminal() -> None:
    """End as a hang-up ends a process. A shell that goes leaves a process that it does not tell, and what reads the
    keys would then read the end of the file over and over."""
    terminal = select.poll()
    terminal.register(sys.stdin, 0)  # a hang-up is told whatever is asked for
    while not terminal.poll(0):  # noqa: ASYNC110 - the loop would be woken by every key
        await asyncio.sleep(1.0)
    signal.raise_signal(signal.SIGHUP)
