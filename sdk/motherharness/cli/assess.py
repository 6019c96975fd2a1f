"""`harness assess`: how risky something would be, with a server or without."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any

import grpc
import typer
from google.protobuf.json_format import ParseDict, ParseError
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness.approval.v1 import risk_pb2
from harness.common.v1 import action_pb2
from motherharness.cli.detail import LEVEL_STYLES
from motherharness.cli.output import FAILED, emit, fail, note, say, short, stderr
from motherharness.cli.session import TIMEOUT, Json
from motherharness.client import Client
from motherharness.errors import HarnessError
from motherharness.transport import Connection

SHELLS = frozenset({"bash", "sh", "shell"})
ENVIRONMENTS = ("development", "staging", "production")
BATCH_ITEMS = 200
# Half of the largest message a service takes by default.
BATCH_BYTES = 2 * 1024 * 1024
ENTRY_POINT = "services.approval.assess"

Row = dict[str, Any]


class RowError(ValueError):
    """A row that says nothing that could be assessed."""


def assess(
    text: Annotated[str | None, typer.Argument(help="A shell command; with --language, code.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help='File of JSON rows, "-" for standard input.')] = None,
    server: Annotated[bool, typer.Option("--server", help="Ask the approval service, not a process here.")] = False,
    language: Annotated[str, typer.Option(help="Assess the text as code in this language.")] = "",
    agent: str = "",
    environment: Annotated[str, typer.Option(help="development, staging or production")] = "development",
    root: Annotated[
        Path | None,
        typer.Option(help="The folder that may be changed: paths start there, and its symbolic links are followed."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Say how risky commands, code, paths, API calls or descriptions are, and why. Runs and stores nothing.

    Rows of --jsonl have an "id" and one of "command", "code" with "language", "path", "method" with "url", or
    "description"; optionally "agent", "environment", "approval_type", "result". Each gives one row: {"id", "level",
    "score", "auto_approved", "factors"}.
    """
    if (text is None) == (jsonl is None):
        raise typer.BadParameter("give a command, or --jsonl FILE")
    if root is not None and server:
        raise typer.BadParameter("a server does not read this machine's folders", param_hint="--root")
    if jsonl is not None:
        try:
            source = sys.stdin.buffer if str(jsonl) == "-" else jsonl.open("rb")
        except OSError as error:
            raise typer.BadParameter(f"cannot read {jsonl}: {error.strerror}", param_hint="--jsonl") from error
        with source, counter(hidden=not stderr.is_terminal) as bar:
            job = bar.add_task("0 rows", total=None)
            for number, answer in enumerate(answers(source, server=server, json_output=True, root=root), start=1):
                emit(answer)
                bar.update(job, description=f"{number} rows")
        return
    row: Row = {"id": "1", "agent": agent, "environment": environment}
    row |= {"code": text, "language": language} if language else {"command": text}
    lines = [json.dumps(row).encode() + b"\n"]
    answer = next(iter(answers(lines, server=server, json_output=json_output, root=root)))
    if json_output:
        emit(answer)
    else:
        explain(answer)


def answers(lines: Iterable[bytes], *, server: bool, json_output: bool, root: Path | None = None) -> Iterator[Row]:
    """Yield an answer for each line of JSON, in order."""
    return from_server(lines, json_output) if server else from_process(lines, root)


def from_process(lines: Iterable[bytes], root: Path | None = None) -> Iterator[Row]:
    """Ask the approval service's own entry point, as a process that needs no server and no Redis."""
    command = [sys.executable, "-m", ENTRY_POINT, *(["--root", str(root)] if root else []), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # Rows go in while answers come out: doing one after the other would block both ends on full pipes.
        feeder = threading.Thread(target=feed, args=(lines, process.stdin), daemon=True)
        feeder.start()
        for answer in process.stdout:
            yield json.loads(answer)
        feeder.join()
    if process.returncode:
        note(f"{ENTRY_POINT} ended with exit code {process.returncode}", style="red")
        raise typer.Exit(FAILED)


def feed(lines: Iterable[bytes], sink: IO[bytes]) -> None:
    """Write lines and close; the process says itself why it stopped reading."""
    with contextlib.suppress(BrokenPipeError), sink:
        for text in lines:
            sink.write(text if text.endswith(b"\n") else text + b"\n")


def from_server(lines: Iterable[bytes], json_output: bool) -> Iterator[Row]:
    """Ask the approval service, in batches."""
    for batch in batches(lines):
        try:
            yield from asyncio.run(ask(batch))
        except HarnessError as error:
            fail(error, as_json=json_output)


def batches(lines: Iterable[bytes]) -> Iterator[list[tuple[Any, risk_pb2.AssessItem | RowError]]]:
    """Yield rows as pairs of id and message, as many as one call takes."""
    batch: list[tuple[Any, risk_pb2.AssessItem | RowError]] = []
    size = 0
    for text in lines:
        if not text.strip():
            continue
        row_id, item = read(text)
        bytes_of_item = item.ByteSize() if isinstance(item, risk_pb2.AssessItem) else 0
        if batch and (len(batch) == BATCH_ITEMS or size + bytes_of_item > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((row_id, item))
        size += bytes_of_item
    if batch:
        yield batch


def read(text: bytes) -> tuple[Any, risk_pb2.AssessItem | RowError]:
    """Return a row's id and what it asks, or why it cannot be read."""
    row_id = None
    try:
        row = json.loads(text, parse_constant=no_constant)
        if not isinstance(row, dict):
            raise RowError("a row must be a JSON object")
        row_id = row.get("id")
        return row_id, item_of(row)
    except RowError as error:
        return row_id, error
    except (ValueError, RecursionError) as error:
        return row_id, RowError(str(error))


def no_constant(name: str) -> None:
    """Refuse NaN and infinity, which Python reads and JSON does not have."""
    raise RowError(f"{name} is not JSON")


async def ask(batch: list[tuple[Any, risk_pb2.AssessItem | RowError]]) -> list[Row]:
    """Return the answers of one batch, in its order."""
    async with Client(Connection.from_env(), timeout=TIMEOUT) as client:
        items = [item for _, item in batch if isinstance(item, risk_pb2.AssessItem)]
        assessed = iter(await assess_all(client, items))
        return [
            unknown(row_id, str(item)) if isinstance(item, RowError) else shaped(row_id, next(assessed))
            for row_id, item in batch
        ]


async def assess_all(client: Client, items: list[risk_pb2.AssessItem]) -> list[risk_pb2.AssessedItem | RowError]:
    """Assess items; one that the service refuses becomes an error of its own and spoils no other."""
    if not items:
        return []
    try:
        return list(await client.assess(items, policy_environment=action_pb2.ENVIRONMENT_DEVELOPMENT))
    except HarnessError as error:
        refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
        if error.code not in refused:
            raise
        if len(items) == 1:
            told = [f"{v.field.removeprefix('items[0].')}: {v.description}" for v in error.violations]
            return [RowError("; ".join(told) or error.message)]
    middle = len(items) // 2
    return [*await assess_all(client, items[:middle]), *await assess_all(client, items[middle:])]


def item_of(row: Mapping[str, Any]) -> risk_pb2.AssessItem:
    """Return the message that a row means; the rules are those of the service's own entry point.

    Raises:
        RowError: saying what is wrong with it.
    """
    row = {name: value for name, value in row.items() if value is not None}
    actions: list[Row] = []
    agent = text_of(row, "agent")
    if "command" in row:
        actions.append({"command": {"script": text_of(row, "command")}})
    elif "code" in row:
        language = text_of(row, "language") or "unknown"
        if language.lower() in SHELLS:
            actions.append({"command": {"script": text_of(row, "code")}})
        else:
            actions.append({"code_execution": {"language": language, "code": text_of(row, "code")}})
    elif "path" in row:
        actions.append({"file_write": {"path": text_of(row, "path")}})
    elif "url" in row:
        actions.append({"api_call": {"method": text_of(row, "method") or "GET", "url": text_of(row, "url")}})
    elif "description" in row:
        actions.append({"step_start": {"agent": agent, "description": text_of(row, "description")}})
    if "result" in row:
        result = row["result"] if isinstance(row["result"], dict) else {"value": row["result"]}
        actions.append({"step_result": {"agent": agent, "result": result}})
    if not actions:
        raise RowError("nothing to assess: give command, code and language, path, method and url, or description")
    context = {"agent": agent, "environment": environment_of(row)}
    approval_type = text_of(row, "approval_type")
    if approval_type:
        if approval_type.upper() == "UNSPECIFIED":
            raise RowError(f"approval_type {approval_type!r} is not known")
        context["approval_type"] = f"APPROVAL_TYPE_{approval_type.upper()}"
    try:
        return ParseDict({"actions": actions, "context": context}, risk_pb2.AssessItem())
    except ParseError as error:
        raise RowError(str(error)) from error


def text_of(row: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a string; empty if it is absent."""
    value = row.get(name, "")
    if not isinstance(value, str):
        raise RowError(f"{name} must be a string")
    return value


def environment_of(row: Mapping[str, Any]) -> str:
    """Return the name of a row's environment."""
    environment = (text_of(row, "environment") or "development").lower()
    if environment not in ENVIRONMENTS:
        raise RowError(f"environment {environment!r} is none of {', '.join(ENVIRONMENTS)}")
    return f"ENVIRONMENT_{environment.upper()}"


def shaped(row_id: Any, item: risk_pb2.AssessedItem | RowError) -> Row:
    """Return an answer as a row."""
    if isinstance(item, RowError):
        return unknown(row_id, str(item))
    assessment = item.assessment
    factors = [
        {
            "id": factor.id,
            "category": factor.category,
            "explanation": factor.explanation,
            "weight": factor.weight,
            "excerpt": factor.excerpt,
            "safer_alternative": factor.safer_alternative,
            "span": [factor.span.start, factor.span.end] if factor.HasField("span") else None,
        }
        for factor in assessment.factors
    ]
    return {
        "id": row_id,
        "level": short(risk_pb2.RiskLevel.Name(assessment.level)).upper(),
        "score": assessment.score,
        "auto_approved": item.outcome == risk_pb2.POLICY_OUTCOME_AUTO,
        "factors": factors,
    }


def unknown(row_id: Any, error: str) -> Row:
    """Return the answer for a row that cannot be read: never approved by itself."""
    return {"id": row_id, "level": "UNKNOWN", "score": 0, "auto_approved": False, "factors": [], "error": error}


def explain(answer: Row) -> None:
    """Print an answer for people."""
    level = str(answer["level"]).lower()
    gate = "passes by itself in development" if answer["auto_approved"] else "asks a human"
    say(f"{level} (score {answer['score']}), {gate}", style=LEVEL_STYLES.get(level, ""))
    for factor in answer["factors"]:
        say(f"  - {factor['explanation']} [{factor['id']}]", f"in: {factor['excerpt']}" if factor["excerpt"] else "")
        if factor["safer_alternative"]:
            say(f"    safer: {factor['safer_alternative']}", style="green")
    if "error" in answer:
        note(answer["error"], style="red")


def counter(*, hidden: bool) -> Progress:
    """Return a display of how many rows are done, on stderr."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=stderr, transient=True, disable=hidden)
