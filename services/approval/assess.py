"""Assess rows of JSON without a server: `python -m services.approval.assess [--root DIR] [FILE]`.

FILE "-" or nothing is standard input. With `--root`, paths are judged from that folder, which is the one that may be
changed, and the symbolic links below it that a row names are followed: at most 256, a row that names more is UNKNOWN.

A row has an `id` and one of these, which says what its actions are:

| row                                    | action                                                                     |
|----------------------------------------|----------------------------------------------------------------------------|
| `command`                              | CommandAction{script}                                                      |
| `code` and `language` bash, sh, shell  | CommandAction{script}                                                      |
| `code` and another `language`          | CodeExecutionAction{language, code}; without a language, "unknown"         |
| `path`                                 | FileWriteAction{path}, without content                                     |
| `method` and `url`                     | ApiCallAction{method, url}; `url` alone is a GET                           |
| `description`                          | StepStartAction{agent, description}                                        |
| `result` (also beside any of these)    | StepResultAction{agent, result}; one that is no object is {"value": result} |

They are looked for in this order and the first found counts. `agent`, `environment` ("development" if absent) and
`approval_type` (as in "file_write") go to the context. A client that asks the RPC instead builds the same messages, and
asks with `policy_environment` DEVELOPMENT: the environment of a row changes its assessment, never whose policy is
asked.

The rules in force are the built-in ones and the packs that HARNESS_RISK_RULE_PACKS names, as for the service.

Each row gives one row: `{"id", "level", "score", "auto_approved", "factors": [...]}`. A row that cannot be read gives
level UNKNOWN, `auto_approved` false and an `error`, and the rest goes on. One row is held in memory at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog
from google.protobuf.json_format import ParseDict, ParseError
from protovalidate import ValidationError, validate

from harness.approval.v1 import risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert
from services.approval.judge import judge
from services.approval.lifecycle import Outcome
from services.approval.links import TooManyError, links_in
from services.approval.policy import DEFAULTS
from services.approval.risk.rules import RuleBook
from services.approval.rule_packs import SETTING, rule_book
from services.runtime.errors import ConfigurationError
from services.runtime.redaction import redact

_SHELLS = frozenset({"bash", "sh", "shell"})
_ENVIRONMENTS = ("development", "staging", "production")


class RowError(ValueError):
    """A row that says nothing that could be assessed; the message says why."""


def item_of(row: dict[str, Any]) -> risk_pb2.AssessItem:
    """The message that a row means; see the module for the rules. Raises RowError."""
    row = {name: value for name, value in row.items() if value is not None}
    actions: list[dict[str, Any]] = []
    agent = _text(row, "agent")
    if "command" in row:
        actions.append({"command": {"script": _text(row, "command")}})
    elif "code" in row:
        language = _text(row, "language") or "unknown"
        code = _text(row, "code")
        if language.lower() in _SHELLS:
            actions.append({"command": {"script": code}})
        else:
            actions.append({"code_execution": {"language": language, "code": code}})
    elif "path" in row:
        actions.append({"file_write": {"path": _text(row, "path")}})
    elif "url" in row:
        actions.append({"api_call": {"method": _text(row, "method") or "GET", "url": _text(row, "url")}})
    elif "description" in row:
        actions.append({"step_start": {"agent": agent, "description": _text(row, "description")}})
    if "result" in row:
        result = row["result"] if isinstance(row["result"], dict) else {"value": row["result"]}
        actions.append({"step_result": {"agent": agent, "result": result}})
    if not actions:
        raise RowError("nothing to assess: give command, code and language, path, method and url, or description")
    item = {"actions": actions, "context": {"agent": agent} | _enums(row)}
    try:
        message = ParseDict(item, risk_pb2.AssessItem())
        validate(message)
    except (ParseError, ValidationError) as error:
        raise RowError(str(error)) from error
    return message


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise RowError(f"{name} must be a string")
    return value


def _enums(row: dict[str, Any]) -> dict[str, str]:
    environment = (_text(row, "environment") or "development").lower()
    if environment not in _ENVIRONMENTS:
        raise RowError(f"environment {environment!r} is none of {', '.join(_ENVIRONMENTS)}")
    enums = {"environment": f"ENVIRONMENT_{environment.upper()}"}
    approval_type = _text(row, "approval_type")
    if approval_type:
        name = f"APPROVAL_TYPE_{approval_type.upper()}"
        if name not in action_pb2.ApprovalType.keys() or name.endswith("UNSPECIFIED"):  # noqa: SIM118 - not a dict
            raise RowError(f"approval_type {approval_type!r} is not known")
        enums["approval_type"] = name
    return enums


def answer_of(row: dict[str, Any], rules: RuleBook | None = None, root: Path | None = None) -> dict[str, Any]:
    """Assess one row, with `root` from that folder. Raises RowError."""
    item = item_of(row)
    if root is not None:
        item.context.working_directory = str(root)
        try:
            item.context.links.update(links_in(_texts(row), root))
        except TooManyError as error:
            raise RowError(str(error)) from error
    context = convert.context_of(item.context, "development", rules)
    judged = judge(item.actions, context, DEFAULTS["development"], require_approval=item.require_approval)
    return {
        "id": row.get("id"),
        "level": judged.assessment.level.name,
        "score": judged.assessment.score,
        "auto_approved": judged.verdict.outcome is Outcome.AUTO,
        "factors": [
            {
                "id": factor.id,
                "category": factor.category,
                "explanation": factor.message,
                "weight": factor.weight,
                "excerpt": factor.excerpt,
                "safer_alternative": factor.safer_alternative,
                "span": [factor.span.start, factor.span.end] if factor.span else None,
            }
            for factor in judged.assessment.factors
        ],
    }


def _texts(value: object) -> Iterator[str]:
    """Every text of a row, at any depth: JSON that was parsed is nested no deeper than its parser goes."""
    todo = [value]
    while todo:
        current = todo.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, dict | list):
            todo.extend(current.values() if isinstance(current, dict) else current)


def answers(
    lines: Iterable[bytes], rules: RuleBook | None = None, root: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Assess lines of JSON, one answer a line that is not blank, each before the next line is read."""
    for line in lines:
        if not line.strip():
            continue
        row: Any = None
        try:
            row = orjson.loads(line)
            if not isinstance(row, dict):
                raise RowError("a row must be a JSON object")
            yield answer_of(row, rules, root)
        except (RowError, orjson.JSONDecodeError) as error:
            row_id = row.get("id") if isinstance(row, dict) else None
            unknown: dict[str, Any] = {
                "id": row_id,
                "level": "UNKNOWN",
                "score": 0,
                "auto_approved": False,
                "factors": [],
            }
            yield unknown | {"error": redact(str(error))}


def run(source: BinaryIO, sink: BinaryIO, rules: RuleBook | None = None, root: Path | None = None) -> None:
    """Answer every row of `source` on `sink`, each as soon as it is known."""
    for answer in answers(source, rules, root):
        sink.write(orjson.dumps(answer) + b"\n")
        sink.flush()


def main(arguments: list[str]) -> int:
    """Exit codes: 0 all rows answered, 2 the file, the root or a rule pack cannot be read."""
    root = None
    if arguments[:1] == ["--root"] and len(arguments) > 1:
        root, arguments = Path(arguments[1]).resolve(), arguments[2:]
        if not root.is_dir():
            print(f"{root} is no folder", file=sys.stderr)
            return 2
    if len(arguments) > 1 or (arguments and arguments[0] in ("-h", "--help")):
        print(__doc__, file=sys.stderr)
        return 2
    # Standard output is for answers only.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        rules = rule_book(os.environ.get(SETTING, ""))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        source = open(arguments[0], "rb") if arguments and arguments[0] != "-" else sys.stdin.buffer  # noqa: SIM115
    except OSError as error:
        print(f"cannot read {arguments[0]}: {error.strerror}", file=sys.stderr)
        return 2
    with source:
        try:
            run(source, sys.stdout.buffer, rules, root)
        except BrokenPipeError:
            # Whoever read the answers has left; there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
