"""Database clients: statements given as arguments, on standard input or in files, and their ways out to a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.languages import sql
from services.approval.risk.shell import flows, options
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


@dataclass(frozen=True, slots=True)
class Client:
    """How a client takes statements: options whose value is one, options that name a file of them, operands from `operand` on.

    `values` are its other short options that take a value, `attached` those whose value can only be attached. None: its
    options are words behind one dash, which are never joined.
    """

    statements: tuple[str, ...]
    files: tuple[str, ...] = ()
    operand: int | None = None
    values: str | None = None
    attached: str = ""


CLIENTS = {
    "sqlite3": Client(("-cmd",), ("-init",), 1),
    "duckdb": Client(("-c", "-s", "-cmd"), ("-init", "-f"), 1),
    "psql": Client(("-c", "--command"), ("-f", "--file"), values="-d -F -h -L -o -p -P -R -T -U -v"),
    "mysql": Client(("-e", "--execute", "--init-command"), values="-D -h -P -S -u", attached="-p -#"),
    "clickhouse-client": Client(("-q", "--query"), ("--queries-file",), values="-h -u -d"),
    "cqlsh": Client(("-e", "--execute"), ("-f", "--file"), values="-u -p -k"),
    "sqlcmd": Client(("-Q", "-q"), ("-i",), values="-S -U -P -d -o -h -s -w -v -l -t -H -K -m -y -Y -a -c -D -V -f"),
    "mongosh": Client(("--eval",), ("-f", "--file"), values="-u -p"),
    "influx": Client(("-execute",)),
    "usql": Client(("-c", "--command"), ("-f", "--file"), values="-d -F -h -o -p -P -R -T -U -v"),
    "trino": Client(("--execute",), ("-f", "--file"), values=""),
    "presto": Client(("--execute",), ("-f", "--file"), values=""),
    "hive": Client(("-e",), ("-f",), values="-d -h -i -p"),
    "beeline": Client(("-e",), ("-f",), values="-u -n -p -d -i -w"),
    "bq": Client((), values=""),
    "snowsql": Client(("-q", "--query"), ("-f", "--filename"), values="-a -u -d -s -r -w -m -o -D -c"),
    "cockroach": Client(("-e", "--execute"), ("-f", "--file"), values="-u -p -d"),
    "pgcli": Client(("-c", "--command"), values="-d -h -p -U -u"),
    "mycli": Client(("-e", "--execute"), values="-D -h -P -S -u", attached="-p"),
    "litecli": Client(("-e", "--execute"), values="-D"),
    "isql": Client((), ("-i",), values="-u -p -s -m"),
}  # fmt: skip

_SYNTAX = {
    name: options.syntax(values=" ".join((*client.statements, *client.files, client.values)), optional=client.attached)
    for name, client in CLIENTS.items()
    if client.values is not None
}
_SQL_ONLY = frozenset(CLIENTS) - {"mongosh", "influx"}  # what these take is SQL or a command of the client, or cannot be read

# What a client takes as a command of the system: `.shell ls`, `\! ls`, `system ls`, `COPY t FROM PROGRAM 'ls'`, `\o |ls`, `.once |ls`.
_SHELL_LINE = patterns.compile(
    r"(?:^|\n)\s*(?:\\!|\.sh(?:e|el|ell)?|\.sy(?:s|st|ste|stem)?|!|(?:\\!\s*)?system)\s+([^\n;]{1,1000})|(?:^|\n|;)\s*\\!([^\n]{1,1000})"
)
_PROGRAM = patterns.compile(
    r"(?i)\bprogram\s*'([^'\n]{1,1000})'|(?:\\(?:o|g|w)|\.(?:o|im|rea|excel)[a-z]*(?:\s+-\S+)*|pager|tee)\s+['\"]?\|\s*([^\n'\"]{1,1000})"
)
_VACUUM_INTO = patterns.compile(r"(?i)^\s*vacuum\s+(?:\w+\s+)?into\s*['\"]([^'\"\n]{1,1000})['\"]")  # SQLite writes a copy of the database


def _given(call: Invocation, names: tuple[str, ...]) -> list[str]:
    """The values that were given to any of these options of a client."""
    table = _SYNTAX.get(call.name)
    if table is None:
        return call.values(*names)
    return [word.text for word in options.given(options.split(table, call.words)[0], *names)]


def _client(walker: Walker, call: Invocation) -> None:
    client = CLIENTS[call.name]
    values = _given(call, client.statements)
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
    for file in _given(call, client.files):
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
        if copy := _VACUUM_INTO.search(value):
            flows.writes(walker, copy.group(1), Flow())


def _file(walker: Walker, call: Invocation, file: str, values: list[str]) -> None:
    text = walker.file_text(file)
    if text is not None:
        values.append(text)
    if flows.FETCHED in walker.file_taint(file) or file.startswith(("http://", "https://")):
        code.flag_fetched(walker, call.excerpt)


# What redis-cli does instead of reading commands.
_REDIS_REPORTS = frozenset(
    "--scan --bigkeys --memkeys --hotkeys --stat --latency --latency-history --latency-dist --intrinsic-latency --rdb --functions-rdb --replica "
    "--slave --lru-test --help --version".split()
)


def _redis(walker: Walker, call: Invocation) -> None:
    """What redis-cli reads when no command stands among its arguments: one on each line, or Redis' own protocol."""
    if call.positionals or not call.stdin.present or not call.flags.isdisjoint(_REDIS_REPORTS):
        return
    text = call.stdin.text
    if text is None:
        if flows.FETCHED in call.stdin.taints:
            code.flag_fetched(walker, call.excerpt)
        else:
            walker.flag("database.piped", scoring.MEDIUM, "Runs commands that another program or a file gives.", call.excerpt)
        return
    lines = text.splitlines()
    if text.startswith("*"):  # *2 $3 GET $1 a, each on a line of its own
        lines = [" ".join(part.split("\n")[2::2]) for part in "\n".join(lines).split("\n*")]
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError:  # a quote without an end
            words = line.split()
        if words:
            walker.run_words([Word(call.name), *(Word(word, call.stdin.taints) for word in words)])


# Programs of another kind that take a statement: options whose value is one, and after which operands the next one is one.
_STATING: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "wrangler": (("--command",), ()),
    "turso": ((), (("db", "shell", "*"),)),
    "wp": ((), (("db", "query"),)),
    "drush": ((), (("sql-query",), ("sql:query",), ("sqlq",))),
    "sqlite-utils": ((), (("query", "*"), ("memory", "*"), ("*",))),
    "dolt": (("-q", "--query"), (("sql",),)),
    "doltgres": (("-q", "--query"), (("sql",),)),
}


def _stated(walker: Walker, call: Invocation) -> None:
    """Statements for a database among the arguments of a program that does more than that."""
    names, places = _STATING[call.name]
    values = call.values(*names)
    for place in places:
        if len(call.positionals) > len(place) and all(want in ("*", word) for want, word in zip(place, call.positionals, strict=False)):
            values.append(call.positionals[len(place)])
    for value in values:
        walker.add(*sql.assess(value))


HANDLERS = {**dict.fromkeys(_STATING, _stated), **dict.fromkeys(CLIENTS, _client), "redis-cli": _redis}
