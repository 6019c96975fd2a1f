"""Database clients: statements given as arguments, on standard input or in files, and their ways out to a shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.languages import sql
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


@dataclass(frozen=True, slots=True)
class Client:
    """How a client takes statements: options whose value is one, options that name a file of them, operands from `operand` on."""

    statements: tuple[str, ...]
    files: tuple[str, ...] = ()
    operand: int | None = None


CLIENTS = {
    "sqlite3": Client(("-cmd",), ("-init",), 1),
    "duckdb": Client(("-c", "-s", "-cmd"), ("-init", "-f"), 1),
    "psql": Client(("-c", "--command"), ("-f", "--file")),
    "mysql": Client(("-e", "--execute", "--init-command")),
    "clickhouse-client": Client(("-q", "--query"), ("--queries-file",)),
    "cqlsh": Client(("-e", "--execute"), ("-f", "--file")),
    "sqlcmd": Client(("-Q", "-q"), ("-i",)),
    "mongosh": Client(("--eval",), ("-f", "--file")),
    "influx": Client(("-execute",)),
    "usql": Client(("-c", "--command"), ("-f", "--file")),
    "trino": Client(("--execute",), ("-f", "--file")),
    "presto": Client(("--execute",), ("-f", "--file")),
    "hive": Client(("-e",), ("-f",)),
    "beeline": Client(("-e",), ("-f",)),
    "bq": Client(()),
    "snowsql": Client(("-q", "--query"), ("-f", "--filename")),
    "cockroach": Client(("-e", "--execute"), ("-f", "--file")),
    "pgcli": Client(("-c", "--command")),
    "mycli": Client(("-e", "--execute")),
    "litecli": Client(("-e", "--execute")),
    "isql": Client((), ("-i",)),
}  # fmt: skip

_SQL_ONLY = frozenset(CLIENTS) - {"mongosh", "influx"}  # what these take is SQL or a command of the client, or cannot be read

# What a client takes as a command of the system: `.shell ls`, `\! ls`, `system ls`, `COPY t FROM PROGRAM 'ls'`, `\o |ls`, `.once |ls`.
_SHELL_LINE = patterns.compile(r"(?:^|\n)\s*(?:\\!|\.shell|\.system|!|(?:\\!\s*)?system)\s+([^\n;]{1,1000})|(?:^|\n|;)\s*\\!([^\n]{1,1000})")
_PROGRAM = patterns.compile(
    r"(?i)\bprogram\s+'([^'\n]{1,1000})'|(?:\\(?:o|g|w)|\.once|\.output|\.import|\.excel|pager|tee)\s+['\"]?\|\s*([^\n'\"]{1,1000})"
)


def _client(walker: Walker, call: Invocation) -> None:
    client = CLIENTS[call.name]
    values = call.values(*client.statements)
    stated = frozenset(values)  # these are statements; an operand may be a file's name, or the value of an option
    for index, arg in enumerate(call.args):  # "-e DROP DATABASE test", unquoted: the rest of the line is the statement
        if arg in client.statements and index + 2 < len(call.args) and not call.args[index + 1].startswith("-"):
            values.append(" ".join(call.args[index + 1 :]))
            break
    if client.operand is not None:
        values += call.positionals[client.operand :]
    if call.name == "mongosh":
        values += [p for p in call.positionals if "." in p and "(" in p]
    if call.name == "bq" and call.positionals[:1] == ("query",):
        values += call.positionals[1:]
    for file in call.values(*client.files):
        _file(walker, call, file, values)
    if call.stdin.present:
        if call.stdin.text is not None:
            values.append(call.stdin.text)
        elif flows.FETCHED in call.stdin.taints:
            code.flag_fetched(walker, call.excerpt)
        elif not values:  # with a statement among its arguments a client reads no other
            walker.flag("database.piped", scoring.MEDIUM, "Runs statements that another program or a file gives.", call.excerpt)
    for value in values:
        walker.add(*sql.assess(value, certain=call.name in _SQL_ONLY and value in stated))
        for pattern in (_SHELL_LINE, _PROGRAM):
            for match in pattern.finditer(value):
                walker.flag("escape.sql-shell", scoring.HIGH, "Leaves the database client for a shell.", call.excerpt)
                walker.run_text(match.group(1) or match.group(2) or "")


def _file(walker: Walker, call: Invocation, file: str, values: list[str]) -> None:
    text = walker.file_text(file)
    if text is not None:
        values.append(text)
    if flows.FETCHED in walker.file_taint(file) or file.startswith(("http://", "https://")):
        code.flag_fetched(walker, call.excerpt)


HANDLERS = dict.fromkeys(CLIENTS, _client)
