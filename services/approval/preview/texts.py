"""An action as people read it: its main text, which the places of factors refer to, and the rest of it line by line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from google.protobuf.struct_pb2 import Struct

from harness.common.v1 import action_pb2
from services.approval import convert


def text_of(action: action_pb2.Action) -> str:
    """The main text of an action: what `risk` looks at for places, or what says most where it knows none."""
    match action.WhichOneof("kind"):
        case "command":
            return action.command.script or shlex.join(action.command.argv)
        case "file_write":
            content = convert.text_or_bytes(action.file_write.content)
            return content if isinstance(content, str) else ""
        case "file_delete":
            return action.file_delete.path
        case "code_execution":
            return action.code_execution.code
        case "api_call":
            return action.api_call.url
        case "git_push":
            push = action.git_push
            return shlex.join(["git", "push", *(["--force"] if push.force else []), push.remote, *push.refspecs])
        case "workflow_creation":
            return f"{action.workflow_creation.name}\n{action.workflow_creation.definition}"
        case "step_start":
            return action.step_start.description
        case "step_result":
            return _json(action.step_result.result)
        case _:
            return ""


def details_of(action: action_pb2.Action) -> Iterator[str]:
    """What else an action says, a line each."""
    match action.WhichOneof("kind"):
        case "command":
            command = action.command
            if command.working_directory:
                yield f"working directory: {command.working_directory}"
            for name, value in sorted(command.env.items()):
                yield f"env {name}={value}"
            if command.timeout_seconds:
                yield f"timeout: {command.timeout_seconds} s"
        case "file_write":
            yield f"path: {action.file_write.path}"
        case "file_delete":
            if action.file_delete.recursive:
                yield "with everything in it"
        case "code_execution":
            yield f"language: {action.code_execution.language}"
        case "api_call":
            call = action.api_call
            yield f"method: {call.method.upper()}"
            for name, value in sorted(call.headers.items()):
                yield f"header {name}: {value}"
            if call.body:
                body = convert.text_or_bytes(call.body)
                yield f"body: {body}" if isinstance(body, str) else f"body: {len(body)} bytes that are no text"
        case "git_push":
            if action.git_push.working_directory:
                yield f"working directory: {action.git_push.working_directory}"
        case "step_start":
            if action.step_start.agent:
                yield f"agent: {action.step_start.agent}"
            if action.step_start.inputs.fields:
                yield f"inputs: {_json(action.step_start.inputs)}"
        case "step_result":
            if action.step_result.agent:
                yield f"agent: {action.step_result.agent}"


def _json(struct: Struct) -> str:
    try:
        return json.dumps(convert.plain(struct), ensure_ascii=False, indent=2, sort_keys=True)
    except RecursionError:
        return "(nested deeper than is shown)"
