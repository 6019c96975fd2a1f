"""`harness dev`: the suite, left running, with all that is needed to try it."""

import json
import signal
import threading
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from motherharness.devstack.stack import IDENTITIES, Stack, StackError

POLL_SECONDS = 0.5


def serve(home: Path | None, root: Path | None, *, as_json: bool) -> None:
    """Run the suite until SIGINT or SIGTERM.

    Raises:
        StackError: a process ended by itself.
        RedisMissing: there is no redis-server.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    console.print("starting ...", style="dim")
    with Stack(home, root=root, gateway=True, default_ports=True) as stack:
        if as_json:
            print(json.dumps(described(stack)), flush=True)
        else:
            introduce(stack, console)
        while not stopping.wait(POLL_SECONDS):
            ended = stack.failed()
            if ended:
                raise StackError(f"{', '.join(ended)} ended; the end of the log:\n{stack.end_of_log(ended[0])}")
        console.print("stopping ...", style="dim")


def described(stack: Stack) -> dict[str, object]:
    """Return addresses, tokens and folders for programs."""
    return {
        "addresses": {name: stack.address(name) for name in stack.servers},
        "tokens": {subject: stack.token(subject) for subject in IDENTITIES},
        "jwt_secret": stack.secret,
        "logs": str(stack.home / "logs"),
        "root": str(stack.root),
    }


def introduce(stack: Stack, console: Console) -> None:
    """Print addresses, tokens and lines to try."""
    places = Table("SERVICE", "ADDRESS", box=None, pad_edge=False)
    for name in stack.servers:
        places.add_row(name, stack.address(name))
    console.print(places)
    console.print(f"\nlogs in {stack.home / 'logs'}; the worker's agents work in {stack.root}\n")
    console.print("Tokens (alice asks, bob approves, root administers, worker carries out):", style="bold")
    for subject in IDENTITIES:
        console.print(Text(f"export {subject.upper()}={stack.token(subject)}"))
    console.print("\nFor `harness` in another terminal, as alice:", style="bold")
    for variable, value in stack.client_environment("alice").items():
        console.print(Text(f"export {variable}={'$ALICE' if variable == 'HARNESS_TOKEN' else value}"))
    console.print("\nFive lines for grpcurl (`make tools` builds it into .build/bin):", style="bold")
    for command in grpcurl_lines(stack):
        console.print(Text(command))
    documentation = f"http://{stack.address('gateway')}/documentation"
    console.print(f"\nThe same over HTTP; {documentation} describes it all:", style="bold")
    for command in curl_lines(stack):
        console.print(Text(command))
    console.print("\nCtrl-C stops everything.", style="dim")


def grpcurl_lines(stack: Stack) -> list[str]:
    """Return five calls that work as they stand, through reflection."""
    orchestrator, approval = stack.address("orchestrator"), stack.address("approval")
    alice, bob = '-H "authorization: Bearer $ALICE"', '-H "authorization: Bearer $BOB"'
    return [
        f"grpcurl -plaintext {orchestrator} list",
        f"grpcurl -plaintext {orchestrator} grpc.health.v1.Health/Check",
        f'grpcurl -plaintext {alice} -d \'{{"display_name": "first"}}\' {orchestrator} '
        "harness.orchestrator.v1.ProjectService/CreateProject",
        f"grpcurl -plaintext {alice} {orchestrator} harness.orchestrator.v1.ProjectService/ListProjects",
        f'grpcurl -plaintext {bob} -d \'{{"state": "APPROVAL_STATE_PENDING"}}\' {approval} '
        "harness.approval.v1.ApprovalService/ListApprovals",
    ]


def curl_lines(stack: Stack) -> list[str]:
    """Return three calls through the gateway."""
    gateway = f"http://{stack.address('gateway')}"
    alice, bob = '-H "Authorization: Bearer $ALICE"', '-H "Authorization: Bearer $BOB"'
    return [
        f"curl -s {gateway}/health",
        f"curl -s {alice} {gateway}/v1/projects",
        f"curl -s {bob} '{gateway}/v1/approvals?state=APPROVAL_STATE_PENDING'",
    ]
