"""What the CLI prints: JSON on stdout for programs, text for people, nothing that could drive their terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.text import Text

from motherharness.errors import HarnessError
from motherharness.tables import Grid
from motherharness.text import line, safe

FAILED = 1
USAGE = 2
DENIED = 3
NOT_FOUND = 4
PRECONDITION = 5
UNAVAILABLE = 6

EXIT_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.OUT_OF_RANGE: USAGE,
    grpc.StatusCode.UNAUTHENTICATED: DENIED,
    grpc.StatusCode.PERMISSION_DENIED: DENIED,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION: PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS: PRECONDITION,
    grpc.StatusCode.ABORTED: PRECONDITION,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNAVAILABLE,
}
ADVICE = {
    grpc.StatusCode.UNAUTHENTICATED: "set HARNESS_TOKEN; in development, `harness token` makes one",
    grpc.StatusCode.UNAVAILABLE: "is the suite running? `harness doctor` looks",
}

# Where there is no terminal there is no width to fit into, and programs want whole ids.
UNLIMITED = 10_000

stdout = Console(highlight=False, width=None if sys.stdout.isatty() else UNLIMITED)
stderr = Console(stderr=True, highlight=False)


def words(*parts: object, style: str = "") -> Text:
    """Text for people, with no markup interpreted in it, and nothing that could drive their terminal."""
    return Text(" ".join(safe(part) for part in parts), style=style)


def phrase(*parts: object, style: str = "") -> Text:
    """As words, on one line: nobody's text can look like a line of ours."""
    return Text(" ".join(line(part) for part in parts), style=style)


def say(*parts: object, style: str = "") -> None:
    """Print a line for people."""
    stdout.print(words(*parts, style=style), soft_wrap=True)


def note(*parts: object, style: str = "dim") -> None:
    """Print a line for people beside the result, on stderr."""
    stderr.print(words(*parts, style=style), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; what does not fit into a terminal is cut off in the last column."""
    stdout.print(Grid(columns, rows))


def as_dict(message: Message) -> dict[str, Any]:
    """Return the proto3 JSON form with original field names; fields that are not set included."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def emit(value: object) -> None:
    """Print one JSON value as one line of ASCII, in which nothing can drive a terminal."""
    sys.stdout.write(json.dumps(value).replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def show(message: Message, *, as_json: bool) -> None:
    """Print a message: as one JSON line, or as indented text."""
    if as_json:
        emit(as_dict(message))
    else:
        say(json.dumps(as_dict(message), indent=2, ensure_ascii=False))


def fail(error: HarnessError, *, as_json: bool) -> NoReturn:
    """Print an error and exit with its code."""
    if as_json:
        violations = [{"field": entry.field, "description": entry.description} for entry in error.violations]
        details = {
            "code": error.code.name,
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
            "violations": violations,
            "request_id": error.request_id,
        }
        emit({"error": details})
    else:
        note(str(error), style="bold red")
        if error.code in ADVICE:
            note(ADVICE[error.code])
        if error.request_id:
            note(f"request id {error.request_id}")
    raise typer.Exit(EXIT_CODES.get(error.code, FAILED))


def when(timestamp: Timestamp) -> str:
    """Return a time in UTC for people; empty if it is not set."""
    if not timestamp.seconds:
        return ""
    moment = datetime.fromtimestamp(timestamp.seconds + timestamp.nanos / 1e9, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def short(name: str) -> str:
    """Return the name of an enum value without its prefix, in lower case: RUN_STATUS_CREATED is created."""
    for prefix in ("RUN_STATUS_", "TASK_STATUS_", "STEP_STATUS_", "EVENT_TYPE_", "TERMINATION_REASON_"):
        name = name.removeprefix(prefix)
    for prefix in (
        "APPROVAL_STATE_",
        "APPROVAL_TYPE_",
        "RISK_LEVEL_",
        "POLICY_OUTCOME_",
        "ENVIRONMENT_",
        "AUDIT_EVENT_TYPE_",
    ):
        name = name.removeprefix(prefix)
    for prefix in ("BACKUP_STATE_", "RESTORE_STATE_", "RESTORE_OUTCOME_", "PHASE_"):
        name = name.removeprefix(prefix)
    return name.lower()
