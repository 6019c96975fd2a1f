"""Command lines that are no program but a database statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.languages import sql
from services.approval.risk.model import Factor
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

# One database statement given as a command line. Nothing in it could be read as a second command.
_STATEMENT = patterns.compile(
    r"(?is)^\s*(?:select\b[^;|&`$]*\bfrom\b|insert\s+into\b|create\s+(?:unique\s+)?(?:table|index|view|schema)\b|alter\s+table\b|update\s+\S+\s+set\b|delete\s+from\b"
    r"|with\s+\w+\s+as\b|db(?:\.[\w-]+)+\s*\()[^;|&`$]*;?\s*$"
)
_FUNCTION = patterns.compile(r"(?i)^\s*select\s+\w+\s*\(")  # to the shell the beginning of a function of its own


def add_factors(walker: Walker, text: str, *, read: bool) -> bool:
    """Whether a text is one database statement instead of a shell command; its factors are added.

    A text that the shell can `read` is one to it, but for a SELECT of a function: that defines a function no script has.
    """
    if len(text) > 10_000 or "\n" in text.strip() or (read and ("(" not in text or not _FUNCTION.match(text))) or not _STATEMENT.match(text):
        return False
    walker.add(*sql.assess(text))
    return True


_SQL_VERBS = frozenset("drop delete truncate update alter insert select grant revoke create with merge replace".split())
_SQL_SECOND = patterns.compile(r"(?i)^(?:from|table|database|schema|index|user|role|into|\*|all|view|column|or|distinct|count\(.*|[\w.`\"]+)$")
_REDIS_VERBS = frozenset("flushall flushdb".split())


def as_statement(call: Invocation) -> list[Factor] | None:
    """The factors of a command line that is no program but a database statement; None when it is an ordinary command."""
    if "/" in call.typed:
        return None
    if call.name in _REDIS_VERBS or (call.typed.isupper() and call.name == "shutdown"):
        if call.name in _REDIS_VERBS:
            return sql.assess(f"{call.name} {' '.join(call.args)}") or []
        return None
    if call.name not in _SQL_VERBS or not call.args or not _SQL_SECOND.match(call.args[0]):
        return None
    if call.name in ("with", "replace", "create", "merge") and call.args[0].lower() not in ("or", "table", "user", "role", "into", "database"):
        return None
    return sql.assess(f"{call.name} {' '.join(call.args)}")
