"""`harness keys`: what the approval service signs grants with."""

from pathlib import Path
from typing import Annotated

import typer

from motherharness.cli.output import emit, say
from motherharness.cli.session import Json
from motherharness.signing_keys import create

keys = typer.Typer(no_args_is_help=True, help="Keys that the approval service signs grants with.")


@keys.command()
def new(
    folder: Annotated[Path, typer.Argument(help="What HARNESS_APPROVAL_SIGNING_KEYS names; made if it is missing.")],
    begins_in: Annotated[
        float, typer.Option(min=0.0, help="Seconds until it signs, for every process to have it by then.")
    ] = 0.0,
    json_output: Json = False,
) -> None:
    """Make an Ed25519 key in a folder. The services that use the folder need no restart."""
    try:
        path = create(folder, begins_in=begins_in)
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {folder}: {error.strerror}") from error
    if json_output:
        emit({"file": str(path)})
    else:
        say(path)
