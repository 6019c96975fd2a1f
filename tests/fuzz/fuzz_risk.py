"""Coverage-guided fuzzing of the risk assessment: `make fuzz SECONDS=60`.

Whatever the bytes: an assessment is given, it is the same twice, its score is in range, and a harmless line before a
script does not make it pass. Any exception, crash, hang or growth of memory ends the run with the input that caused it.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["services.approval.risk"]):
    from services.approval.risk import (
        Action,
        ApiCall,
        CodeExecution,
        Command,
        FileWrite,
        GitPush,
        Level,
        StepResult,
        StepStart,
        WorkflowCreation,
        assess,
        preview,
        redact,
    )

from benchmarks.corpora.evasions import rows

LANGUAGES = ("python", "javascript", "typescript", "ruby", "php", "go", "sql", "perl", "powershell", "bash")


def action_of(kind: int, text: str) -> Action:
    """An action of one of the kinds, made of the text."""
    match kind % 8:
        case 0:
            return Command(script=text)
        case 1:
            return Command(argv=tuple(text.split("\n")), env={"A": text[:50]})
        case 2:
            return CodeExecution(LANGUAGES[kind // 8 % len(LANGUAGES)], text)
        case 3:
            return FileWrite(text[:100], text)
        case 4:
            return ApiCall("POST", text[:200], {"h": text[:50]}, text)
        case 5:
            return StepStart("coder", text, inputs={"command": text})
        case 6:
            return StepResult("coder", text, result={"outputs": [{"code": text, "language": "python"}, text]})
        case _:
            return WorkflowCreation(text[:20], text) if kind & 8 else GitPush(text[:50], text)


def one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if not data:
        return
    action = action_of(data[0], data[1:].decode("utf-8", "surrogateescape"))
    answer = assess(action)
    assert 0 <= answer.score <= 100
    assert answer == assess(action), "the second answer differs"
    preview([action])
    for factor in answer.factors:
        assert factor.id
        assert factor.category
        assert factor.message
        assert len(factor.excerpt) <= 200
    if isinstance(action, Command) and action.script.strip() and answer.level > Level.LOW:
        assert assess(Command(script=f"true\n{action.script}")).level > Level.LOW, "a line before it lets it pass"
        assert redact(redact(action.script)) == redact(action.script)


def main() -> None:
    """Start from dressed commands, and go on for as long as the arguments say."""
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(rows()):
            if number % 7 == 0:
                command = str(row["command"])
                kind = number % 56
                text = command if kind % 8 != 1 else "\n".join(shlex.split(command, posix=False) or [command])
                Path(folder, str(number)).write_bytes(bytes([kind]) + text.encode())
        atheris.Setup([*sys.argv, folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
