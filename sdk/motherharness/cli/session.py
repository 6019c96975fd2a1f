"""What every command shares: who it calls as, and how a call's failure ends the program."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from motherharness.cli.output import fail
from motherharness.client import Client
from motherharness.errors import HarnessError
from motherharness.transport import Connection

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout: one value a line.")]

TIMEOUT = 10.0


def call(action: Callable[[Client], Awaitable[T]], *, as_json: bool) -> T:
    """Run a command's calls with a client from the environment; exit with the error's code when one fails."""

    async def run() -> T:
        async with Client(Connection.from_env(), timeout=TIMEOUT) as client:
            return await action(client)

    try:
        return asyncio.run(run())
    except HarnessError as error:
        fail(error, as_json=as_json)
