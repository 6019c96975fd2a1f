"""`harness dev|demo|token`: the suite on this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from motherharness.cli.output import FAILED, emit, note, say
from motherharness.cli.session import Json
from motherharness.devstack import RedisMissing, StackError
from motherharness.devstack.demo import play
from motherharness.devstack.dev import serve
from motherharness.tokens import ROLES, mint


def dev(
    data: Annotated[Path | None, typer.Option(help="Keep data and logs here; default a temporary folder.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where the worker's agents work.")] = None,
    json_output: Json = False,
) -> None:
    """Run Redis, the three services and a worker here until Ctrl-C; print ports, tokens and grpcurl lines to try."""
    try:
        serve(data, root, as_json=json_output)
    except (RedisMissing, StackError) as error:
        note(error, style="bold red")
        raise typer.Exit(FAILED) from error


def demo(json_output: Json = False) -> None:
    """Play a real scenario through every service, and verify each claim made on the way."""
    try:
        passed = play(as_json=json_output)
    except (RedisMissing, StackError) as error:
        note(error, style="bold red")
        raise typer.Exit(FAILED) from error
    if not passed:
        raise typer.Exit(FAILED)


def token(
    subject: Annotated[str, typer.Option(help="Who the token is for.")],
    role: Annotated[list[str], typer.Option(help=f"Of {', '.join(ROLES)}; may be repeated.")],
    ttl: Annotated[float, typer.Option(help="Seconds until it expires.")] = 3600.0,
    json_output: Json = False,
) -> None:
    """Make a development token, signed with the secret in HARNESS_JWT_SECRET."""
    secret = os.environ.get("HARNESS_JWT_SECRET", "")
    if not secret:
        raise typer.BadParameter("set HARNESS_JWT_SECRET to the secret that the services have")
    try:
        minted = mint(secret, subject, role, ttl=ttl)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if json_output:
        emit({"token": minted, "subject": subject, "roles": role, "expires_in": ttl})
    else:
        say(minted)
