"""The typed actions an agent can propose: plain data, one class an effect.

These mirror `harness.common.v1.action` without depending on it; the approval service translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start: either `argv` (run without a shell) or `script` (given to a POSIX shell).

    Exactly one of the two is set. `env` holds the variables set for the process, on top of its own.
    """

    argv: tuple[str, ...] = ()
    script: str = ""
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileWrite:
    """A file created or replaced with `content` (text; bytes that are no UTF-8 are passed as bytes)."""

    path: str
    content: str | bytes = ""


@dataclass(frozen=True, slots=True)
class FileDelete:
    """A file, or with `recursive` a folder and everything in it, removed."""

    path: str
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class CodeExecution:
    """Source code run by the interpreter of `language` ("python", "bash", "javascript", ...)."""

    language: str
    code: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """An HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = ""


@dataclass(frozen=True, slots=True)
class GitPush:
    """Commits sent to a remote. An empty `refspec` pushes the current branch."""

    remote: str
    refspec: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class WorkflowCreation:
    """An automation stored to run later, with its definition as text (YAML or JSON)."""

    name: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class StepStart:
    """A step about to start: prose and inputs, before any typed action is known."""

    agent: str
    description: str
    approval_type: str = ""
    inputs: object = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a finished step returned, assessed before anything that depends on it starts."""

    agent: str
    description: str
    approval_type: str = ""
    inputs: object = None
    result: object = None


Action = Command | FileWrite | FileDelete | CodeExecution | ApiCall | GitPush | WorkflowCreation | StepStart | StepResult
