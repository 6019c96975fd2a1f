"""SQL, and the shells of document databases: statements that remove, change everything, or give rights."""

from __future__ import annotations

import re

from services.approval.risk import normalise
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, SERIOUS

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_LITERALS = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_IDENT = r"[\w.`\"\[\]\ufffc-]+"

_STATEMENTS: tuple[tuple[str, int, str, str], ...] = (
    ("drop", HIGH, rf"\bdrop\s+(?:database|schema|table|tablespace|keyspace|collection)\s+(?:if\s+exists\s+)?{_IDENT}", "Removes tables or a whole database."),
    ("drop", SERIOUS, rf"\bdrop\s+(?:index|view|materialized\s+view|role|user|function|procedure|trigger|sequence|type|column|constraint|extension|policy|publication|server)\s+(?:concurrently\s+)?(?:if\s+exists\s+)?{_IDENT}", "Removes a database object."),
    ("drop", SERIOUS, r"\balter\s+table\b[^;]*\bdrop\b", "Removes part of a table."),
    ("truncate", HIGH, rf"\btruncate\s+(?:table\s+)?{_IDENT}", "Empties a table."),
    ("delete-all", HIGH, rf"\bdelete\s+from\s+{_IDENT}(?![^;]*\bwhere\b)", "Deletes every row of a table."),
    ("delete-all", HIGH, r"\bdelete\s+from\b[^;]*\bwhere\s+(?:1\s*=\s*1|true|''='')", "Deletes every row of a table."),
    ("update-all", HIGH, rf"\bupdate\s+{_IDENT}\s+set\b(?![^;]*\bwhere\b)", "Changes every row of a table."),
    ("update-all", HIGH, r"\bupdate\b[^;]*\bset\b[^;]*\bwhere\s+(?:1\s*=\s*1|true)", "Changes every row of a table."),
    ("rights", SERIOUS, r"\b(?:grant|revoke)\s+(?:all\b|[\w, ]{1,200}?\s+on\b|[\w, ]{1,80}?\s+to\b)|\b(?:create|alter)\s+(?:user|role|login)\b", "Changes who may do what in the database."),
    ("program", HIGH, r"\b(?:copy\b[^;]*\b(?:to|from)\s+program\b|xp_cmdshell|sys_exec|sys_eval|into\s+(?:outfile|dumpfile)|load_file\s*\(|lo_(?:import|export)|pg_read_file|utl_http|dbms_scheduler|load\s+data\s+(?:local\s+)?infile|load_extension|createproc)", "Reaches files or programs through the database."),
    ("server", SERIOUS, r"\b(?:shutdown\s*(?:;|$|immediate|abort|with)|alter\s+system\b|set\s+global\b|drop\s+owned\b|reassign\s+owned\b|kill\s+\d+|flush\s+(?:privileges|logs)|pg_terminate_backend|reset\s+master|purge\s+binary)", "Changes or stops the database server."),
    ("hashes", SERIOUS, r"\bfrom\s+(?:mysql\.user|pg_shadow|pg_authid|sys\.sql_logins|dba_users)\b", "Reads password hashes from the database."),
)  # fmt: skip
_PATTERNS = [(id, weight, re.compile(pattern, re.I), message) for id, weight, pattern, message in _STATEMENTS]
_MONGO = (
    ("drop", HIGH, re.compile(r"(?i)\.(?:dropdatabase|drop|dropcollection|dropindexes|dropuser|droprole)\s*\("), "Removes collections or a whole database."),
    ("delete-all", HIGH, re.compile(r"(?i)\.(?:deletemany|remove|findoneandremove|deleteone)\s*\(\s*(?:\{\s*\}\s*)?\)"), "Deletes every document."),
    ("delete", MEDIUM, re.compile(r"(?i)\.(?:deletemany|deleteone|remove|findoneanddelete)\s*\("), "Deletes documents."),
    ("server", SERIOUS, re.compile(r"(?i)\.(?:shutdownserver|admincommand|createuser|grantrolestouser|updateuser)\s*\("), "Changes the database server."),
)  # fmt: skip
_MAX_STATEMENT = 16_384  # characters; patterns look ahead to the end of a statement, so a longer one is UNKNOWN
_MAX_SQL = 200_000  # characters of all statements


def assess(text: str) -> list[Factor]:
    """Factors of SQL (or of a document database's shell). Literals and comments are data and never match."""
    if len(text) > _MAX_SQL:
        return [normalise.unreadable("too-large", f"SQL of {len(text)} characters; at most {_MAX_SQL} are analysed.")]
    plain = _LITERALS.sub("''", _COMMENTS.sub(" ", text))
    found: dict[str, Factor] = {}
    for statement in plain.split(";"):
        if len(statement) > _MAX_STATEMENT:
            unread = normalise.unreadable("too-large", f"A statement of more than {_MAX_STATEMENT} characters.")
            found[unread.id] = unread
            continue
        for id, weight, pattern, message in _PATTERNS:
            if pattern.search(statement):
                _keep(found, f"database.{id}", weight, message, statement)
    for id, weight, pattern, message in _MONGO:
        if "." in plain and pattern.search(plain):
            _keep(found, f"database.{id}", weight, message, plain)
    if re.fullmatch(r"(?i)\s*(?:flushall|flushdb)(?:\s+a?sync)?\s*", plain):
        _keep(found, "database.flush", HIGH, "Removes every key.", plain)
    return list(found.values())


def _keep(found: dict[str, Factor], id: str, weight: int, message: str, text: str) -> None:
    if id not in found or found[id].weight < weight:
        found[id] = Factor(
            id, "database", message, weight, excerpt=text.strip()[:200], safer_alternative="Select first what would change; take a backup."
        )
