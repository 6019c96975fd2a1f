"""`harness approvals edit|withdraw`: other actions in place of those that were asked for, or none at all.

An action is edited as text: a script, code, a definition, the content of a file and a path as they are, everything else
as JSON with the contract's field names.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from harness.approval.v1 import approval_pb2
from harness.common.v1.action_pb2 import Action
from motherharness.cli.output import say, short, show
from motherharness.cli.session import Json, call
from motherharness.client import Client
from motherharness.text import line

# The field of an action that is its text, and how a file with it is called, so that an editor knows what it is.
TEXTS = {
    "command": ("script", ".sh"),
    "file_write": ("content", ""),
    "file_delete": ("path", ".txt"),
    "code_execution": ("code", ""),
    "workflow_creation": ("definition", ".txt"),
}
CODE_SUFFIXES = {"python": ".py", "bash": ".sh", "sh": ".sh", "javascript": ".js", "typescript": ".ts", "sql": ".sql"}
NOT_EDITABLE = {
    "step_start": "the start of a step cannot be edited; reject it with a reason instead",
    "step_result": "the result of a step cannot be edited; reject it with a reason instead",
}
# Whoever asks chooses the path: nothing else of it gets into the name of a file here.
HARMLESS_SUFFIX = re.compile(r"\.[A-Za-z0-9_-]{1,16}")
MAX_BYTES = 2 << 20


class EditError(ValueError):
    """What was written is no such action, or the action cannot be edited as text; the message says why."""


@dataclass(frozen=True)
class Editable:
    """An action as text, the suffix of a file with such text, and whether all of the action is in it, as JSON."""

    text: str
    suffix: str
    is_json: bool = False


def editable(action: Action) -> Editable:
    """An action as the text that people edit.

    Raises:
        EditError: it has none.
    """
    kind = str(action.WhichOneof("kind"))
    if kind in NOT_EDITABLE:
        raise EditError(NOT_EDITABLE[kind])
    inner = getattr(action, kind)
    field, suffix = TEXTS.get(kind, ("", ""))
    if not field or (kind == "command" and not inner.script):
        shown = MessageToDict(inner, preserving_proto_field_name=True)
        if kind == "api_call":
            shown["body"] = _decoded(inner.body, "the body of the call")
        return Editable(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", ".json", is_json=True)
    if kind == "file_write":
        suffix = Path(inner.path).suffix
        return Editable(_decoded(inner.content, inner.path), suffix if HARMLESS_SUFFIX.fullmatch(suffix) else "")
    if kind == "code_execution":
        suffix = CODE_SUFFIXES.get(inner.language.lower(), ".txt")
    return Editable(getattr(inner, field), suffix)


def edited(action: Action, text: str) -> Action:
    """An action with what people made of its text.

    Editors end a text with a newline: where there was none, one is taken away.

    Raises:
        EditError: it is no such action.
    """
    before = editable(action)
    if text.endswith("\n") and not before.text.endswith("\n"):
        text = text[:-1]
    made, kind = Action(), str(action.WhichOneof("kind"))
    made.CopyFrom(action)
    inner = getattr(made, kind)
    if before.is_json:
        try:
            given = json.loads(text)
            if not isinstance(given, dict):
                raise EditError("must be one JSON object")
            body = given.pop("body", "") if kind == "api_call" else ""
            inner.CopyFrom(ParseDict(given, type(inner)()))
            if body:
                inner.body = str(body).encode()
        except (json.JSONDecodeError, ParseError, RecursionError) as error:
            raise EditError(f"is no {kind} as JSON: {error}") from error
        return made
    if not text.strip() and kind != "file_write":
        raise EditError("is empty; to have nothing done, reject it")
    field, _ = TEXTS[kind]
    setattr(inner, field, text.encode() if kind == "file_write" else text)
    return made


def _decoded(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise EditError(f"{what} is no UTF-8 text") from None


def pick(approval: approval_pb2.Approval, number: int) -> int:
    """The index of the action to edit; `number` counts from 1, and 0 means the only one.

    Raises:
        EditError: there is none with that number, or there are several.
    """
    count = len(approval.actions)
    if number == 0 and count > 1:
        raise EditError(f"has {count} actions; say which of them")
    if not 0 <= number <= count or not count:
        raise EditError(f"has {count} actions, and no number {number}")
    return max(number, 1) - 1


def revised(approval: approval_pb2.Approval, index: int, text: str) -> list[Action]:
    """All actions of an approval, one of them with another text.

    Raises:
        EditError: it is no such action, or nothing has changed.
    """
    actions = list(approval.actions)
    actions[index] = edited(actions[index], text)
    if actions[index] == approval.actions[index]:
        raise EditError("is as it was: nothing to send")
    return actions


def editor_command() -> list[str]:
    """The words of the command that edits a file: $VISUAL, $EDITOR, or vi."""
    return shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")


def in_editor(before: Editable) -> str:
    """Have the caller edit a text in their editor, in this terminal.

    Raises:
        EditError: the editor could not be started, failed, or left no UTF-8 text.
    """
    with tempfile.TemporaryDirectory(prefix="harness-edit-") as folder:  # for the caller alone
        file = Path(folder) / f"action{before.suffix}"
        file.write_bytes(before.text.encode())
        try:
            done = subprocess.run([*editor_command(), str(file)], check=False)
        except (OSError, ValueError) as error:
            raise EditError(f"the editor could not be started ({error}); set EDITOR") from error
        if done.returncode:
            raise EditError(f"the editor ended with {done.returncode}: nothing was sent")
        return _decoded(file.read_bytes(), "what was written")


def edit(
    approval_id: str,
    file: Annotated[Path | None, typer.Option(help='What the action is to be; "-" is standard input.')] = None,
    script: Annotated[str, typer.Option(help="The shell script that a command is to be.")] = "",
    action: Annotated[int, typer.Option(min=0, help="Which action, from 1, where there are several.")] = 0,
    reason: Annotated[str, typer.Option(help="Why, for those who vote.")] = "",
    digest: Annotated[str, typer.Option(help="Edit only if the actions still have this digest.")] = "",
    json_output: Json = False,
) -> None:
    """Put another action in place of the one that was asked for. Without --file and --script, in your $EDITOR.

    A script, code, a definition, a file's content and a path are edited as they are, anything else as JSON. The result
    is assessed anew, votes are cleared, and you may not vote on it.
    """
    if file is not None and script:
        raise typer.BadParameter("give one of --file and --script", param_hint="--script")
    if file is None and not script and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to edit in; give --file or --script", param_hint="--file")
    if not reason:
        reason = typer.prompt("Why") if sys.stdin.isatty() and str(file) != "-" else ""
    if not reason:
        raise typer.BadParameter("those who vote need to know why", param_hint="--reason")

    async def get(client: Client) -> approval_pb2.Approval:
        return await client.get_approval(approval_id)

    seen = call(get, as_json=json_output)
    try:
        index = pick(seen, action)
        if script:
            if seen.actions[index].WhichOneof("kind") != "command":
                raise EditError("is no command; give --file")
            actions = list(seen.actions)
            actions[index].command.script = script
            actions[index].command.ClearField("argv")
        else:
            before = editable(seen.actions[index])
            actions = revised(seen, index, in_editor(before) if file is None else read(file))
    except EditError as error:
        raise typer.BadParameter(line(f"{approval_id}: {error}")) from error

    async def send(client: Client) -> approval_pb2.Approval:
        return await client.revise_approval(approval_id, actions, digest=digest or seen.digest, reason=reason)

    made = call(send, as_json=json_output)
    if json_output:
        show(made, as_json=True)
    else:
        say(made.id, f"revision {made.revision},", made.digest)


def read(file: Path) -> str:
    """Read what an action is to be.

    Raises:
        EditError: there is no such file, or it is no UTF-8 text, or too long.
    """
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise EditError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise EditError(f"{file} is longer than the {MAX_BYTES} bytes that an action may have")
    return _decoded(content, str(file))


def withdraw(
    approval_id: str,
    reason: Annotated[str, typer.Option(help="Why it is not wanted any more.")] = "",
    json_output: Json = False,
) -> None:
    """Take back what you have asked for, while it is pending."""

    async def send(client: Client) -> approval_pb2.Approval:
        return await client.withdraw_approval(approval_id, reason=reason)

    withdrawn = call(send, as_json=json_output)
    if json_output:
        show(withdrawn, as_json=True)
    else:
        say(withdrawn.id, short(approval_pb2.ApprovalState.Name(withdrawn.state)))


def register(approvals: typer.Typer) -> None:
    """Add the commands."""
    approvals.command("edit")(edit)
    approvals.command("withdraw")(withdraw)
