"""What an approver sees first: the files, commands, requests and workflow of a set of actions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from services.approval.risk.actions import (
    Action,
    ApiCall,
    CodeExecution,
    Command,
    FileDelete,
    FileWrite,
    GitPush,
    StepResult,
    StepStart,
    WorkflowCreation,
)
from services.approval.risk.detectors import nested, secrets
from services.approval.risk.detectors.prose import commands_in
from services.approval.risk.model import Preview
from services.runtime.redaction import redact_all


class _Collected:
    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.commands: dict[str, None] = {}
        self.api_calls: dict[str, None] = {}
        self.workflow = ""

    def nested(self, value: object) -> None:
        try:
            for found in nested.walk(value):
                if found.kind == "path":
                    self.files[secrets.redact(found.text)] = None
                elif found.kind == "command":
                    self.commands[secrets.redact(found.text)] = None
                elif found.kind == "argv":
                    self.commands[secrets.redact(shlex.join(redact_all(found.text.split("\0"))))] = None
                elif found.kind == "url":
                    self.api_calls[secrets.redact(f"{found.extra} {found.text}".strip())] = None
                elif found.kind == "workflow" and not self.workflow:
                    self.workflow = secrets.redact(found.text)
        except nested.TooMuch:
            return


def preview(actions: Iterable[Action]) -> Preview:
    """What the actions would touch, secrets masked, in the order of the actions and each once."""
    found = _Collected()
    for action in actions:
        match action:
            case Command():
                found.commands[secrets.redact(action.script or shlex.join(redact_all(action.argv)))] = None
            case FileWrite() | FileDelete():
                found.files[secrets.redact(action.path)] = None
            case CodeExecution():
                found.commands[secrets.redact(f"{action.language}: {action.code}")] = None
            case ApiCall():
                found.api_calls[secrets.redact(f"{action.method.upper()} {action.url}")] = None
            case GitPush():
                force = " --force" if action.force else ""
                found.commands[secrets.redact(f"git push{force} {action.remote} {action.refspec}").strip()] = None
            case WorkflowCreation():
                found.workflow = found.workflow or secrets.redact(action.name)
            case StepStart():
                # Half a surrogate pair makes the description UNKNOWN; what it names is shown all the same.
                for command in commands_in(action.description.encode("utf-8", "replace").decode()):
                    found.commands[secrets.redact(command)] = None
                found.nested(action.inputs)
            case StepResult():
                found.nested(action.result)
    return Preview(tuple(found.files), tuple(found.commands), tuple(found.api_calls), found.workflow)
