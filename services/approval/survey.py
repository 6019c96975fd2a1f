"""What actions are about, as far as the policy cares: which types of effect they have, and what nobody could read."""

from __future__ import annotations

from collections.abc import Iterable

from services.approval import risk
from services.approval.policy import API_CALL, CODE_EXECUTION, FILE_WRITE, GIT_PUSH, WORKFLOW_CREATION

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# The category of factors that say: this only looks.
_READING_CATEGORY = "discovery"

# Languages that the detectors have a reader for.
_READ_LANGUAGES = frozenset(
    {"python", "python3", "py", "javascript", "js", "typescript", "ts", "bash", "sh", "shell", "sql"}
)


def types_of(action: risk.Action, assessment: risk.Assessment, explicit: str) -> frozenset[str]:
    """The types of effect an action has; empty for reading and listing. An explicit type wins."""
    if explicit:
        return frozenset({explicit})
    match action:
        case risk.Command():
            inferred = "" if _only_looks(assessment) else CODE_EXECUTION
        case risk.CodeExecution():
            inferred = CODE_EXECUTION
        case risk.FileWrite() | risk.FileDelete():
            inferred = FILE_WRITE
        case risk.GitPush():
            inferred = GIT_PUSH
        case risk.WorkflowCreation():
            inferred = WORKFLOW_CREATION
        case risk.ApiCall(method=method):
            inferred = "" if method in _READING_METHODS else API_CALL
        case risk.StepStart() | risk.StepResult():
            inferred = ""
    return frozenset({inferred} - {""})


def _only_looks(assessment: risk.Assessment) -> bool:
    return bool(assessment.factors) and all(f.category == _READING_CATEGORY for f in assessment.factors)


def unread_in(actions: Iterable[risk.Action]) -> tuple[str, ...]:
    """Content that no detector has a reader for, named for people."""
    return tuple(name for action in actions if (name := _unread(action)))


def _unread(action: risk.Action) -> str:
    match action:
        case risk.CodeExecution(language=language) if language.lower() not in _READ_LANGUAGES:
            return f"{language} code"
        case risk.FileWrite(path=path, content=bytes()):
            return f"the content of {path} (not text)"
        case risk.ApiCall(url=url, body=bytes()):
            return f"the body sent to {url} (not text)"
        case _:
            return ""
