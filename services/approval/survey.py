"""What actions are about, as far as the policy cares: which types of effect they have, and what nobody could read."""

from __future__ import annotations

from collections.abc import Iterable

from services.approval import risk
from services.approval.policy import API_CALL, CODE_EXECUTION, FILE_WRITE, GIT_PUSH, WORKFLOW_CREATION
from services.approval.risk import patterns
from services.approval.risk.detectors.prose import infer_type
from services.approval.risk.languages.source import LANGUAGES

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Programs that have no option to write, run or change anything.
_LOOKERS = frozenset(
    {
        *("cat", "cmp", "cut", "df", "diff", "du", "echo", "grep", "head", "id", "ls", "md5sum"),
        *("nl", "pwd", "sha256sum", "stat", "tail", "uname", "wc", "whoami"),
    }
)
# A command line of plain words: nothing in it is special to a shell, so its words are what they seem.
_PLAIN = patterns.compile(r"[\w./:,=@%+-]+(?: +[\w./:,=@%+-]+)*")


def types_of(action: risk.Action, explicit: str) -> frozenset[str]:
    """The types of effect an action has; empty for reading and listing.

    An explicit type adds to what the action itself is, for whoever asks names it: it must not open what policy closes.
    """
    match action:
        case risk.Command():
            inferred = "" if _only_looks(action) else CODE_EXECUTION
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
        case risk.StepStart(description=description):
            inferred = infer_type(description)
        case risk.StepResult():
            inferred = ""
    return frozenset({inferred, explicit} - {""})


def _only_looks(command: risk.Command) -> bool:
    """Whether a command surely only reads or lists: one known program, no shell syntax, no environment of its own."""
    if command.env:
        return False
    if command.script:
        script = command.script.strip()
        return script.partition(" ")[0] in _LOOKERS and _PLAIN.fullmatch(script) is not None
    return bool(command.argv) and command.argv[0] in _LOOKERS


def unread_in(actions: Iterable[risk.Action]) -> tuple[str, ...]:
    """Content that no detector has a reader for, named for people."""
    return tuple(risk.redact(name) for action in actions if (name := _unread(action)))


def _unread(action: risk.Action) -> str:
    match action:
        case risk.CodeExecution(language=language) if language.lower() not in LANGUAGES:
            return f"{language} code"
        case risk.FileWrite(path=path, content=bytes()):
            return f"the content of {path} (not text)"
        case risk.ApiCall(url=url, body=bytes()):
            return f"the body sent to {url} (not text)"
        case _:
            return ""
