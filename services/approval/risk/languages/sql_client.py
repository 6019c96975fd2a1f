"""What database clients understand besides SQL: commands on lines of their own, and the shells of document and key-value stores."""

from __future__ import annotations

from services.approval.risk import patterns
from services.approval.risk.languages.sql_words import DYNAMIC, FILE, PROGRAM, Finding
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

_LINE = patterns.compile(r"(?im)^[ \t]*(?:\\[^\n]*|\.[a-z]+[^\n]*|![^\n]*|delimiter[ \t]+\S+[ \t]*|(?:source|system)[ \t]+[\w./-][^\n]*|/[ \t]*)$")
_RUNS = patterns.compile(
    r"(?i)^\s*(?:\\!|\.shell\b|\.system\b|!|system\s|\\[ow]\s*\||\\g\w*\s*\||\.(?:output|once|import)\s+['\"]?\||\\copy\b.*\bprogram\b|\\setenv)"
)
_FILES = patterns.compile(
    r"(?i)^\s*(?:\\copy|\\i|\\ir|\\include\w*|\\o|\\lo_\w+|\\w|\.read|\.import|\.output|\.once|\.backup|\.restore|\.save|\.load|\.clone|\.archive|\.excel|source)\b"
)
_DELIMITER = patterns.compile(r"(?im)^[ \t]*delimiter[ \t]+(\S+)[ \t]*$")

_DOCUMENTS = patterns.compile(
    r"(?i)(?:^|[\s;{(=])(?:db|getsiblingdb|conn|client)\b[^\n;]{0,200}\.\w+\s*\(|^\s*(?:show\s+(?:dbs|collections)|rs\.\w+\()"
)
_STORES = (
    ("drop", HIGH, patterns.compile(r"(?i)\.(?:dropdatabase|drop|dropcollection|dropindexes|dropuser|droprole|dropalluserroles)\s*\("), "Removes collections or a whole database."),
    ("delete-all", HIGH, patterns.compile(r"(?i)\.(?:deletemany|remove|findoneandremove|deleteone)\s*\(\s*(?:\{\s*\}\s*)?\)"), "Deletes every document."),
    ("delete", MEDIUM, patterns.compile(r"(?i)\.(?:deletemany|deleteone|remove|findoneanddelete)\s*\("), "Deletes documents."),
    ("update-all", SERIOUS, patterns.compile(r"(?i)\.(?:updatemany|update)\s*\(\s*\{\s*\}"), "Changes every document."),
    ("server", SERIOUS, patterns.compile(r"(?i)\.(?:shutdownserver|admincommand|createuser|grantrolestouser|updateuser|createrole|fsynclock|killop)\s*\(|\brs\.(?:reconfig|stepdown|remove|initiate)\("), "Changes the database server."),
    ("program", HIGH, patterns.compile(r"(?i)\brunprogram\s*\(|\brun\s*\(\s*['\"]|\$where|\bload\s*\(\s*['\"]"), "Runs programs or code through the database."),
)  # fmt: skip
_LITERALS = patterns.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_FLUSH = patterns.compile(r"(?i)\s*(?:flushall|flushdb)(?:\s+a?sync)?\s*;?\s*")


def has_lines(text: str) -> bool:
    """Whether a text holds commands of a database client on lines of their own."""
    return _LINE.search(text) is not None


def split(text: str) -> tuple[list[Finding], str]:
    """What the client's own commands do, and the text without them, another delimiter written as the ordinary one."""
    found: list[Finding] = []
    for match in _LINE.finditer(text):
        line = match.group()
        if _RUNS.match(line):
            found.append(PROGRAM)
        elif line.strip().lower().startswith("\\gexec"):
            found.append(DYNAMIC)
        elif _FILES.match(line):
            found.append(("file", MINOR, "Reads or writes files of the client."))
            if line.strip().lower().startswith((".load", ".restore")):
                found.append(FILE)
    delimiters = {match.group(1) for match in _DELIMITER.finditer(text)} - {";"}
    plain = _LINE.sub(" ", text) if "\\" in text or found or delimiters or has_lines(text) else text
    for delimiter in sorted(delimiters, key=len, reverse=True)[:8]:
        plain = plain.replace(delimiter, ";")
    return found, plain


def document_store(text: str) -> list[Factor] | None:
    """Factors of a document database's shell or of a key-value store; None when it is neither."""
    if _FLUSH.fullmatch(text):
        return [_factor("flush", HIGH, "Removes every key.", text)]
    if not _DOCUMENTS.search(text):
        return None
    plain = _LITERALS.sub(lambda match: f"{match.group()[0]}{match.group()[-1]}", text)
    return [_factor(id, weight, message, plain) for id, weight, pattern, message in _STORES if pattern.search(plain)]


def _factor(id: str, weight: int, message: str, text: str) -> Factor:
    return Factor(
        f"database.{id}",
        "database",
        message,
        weight,
        excerpt=text.strip()[:200],
        safer_alternative="Select first what would change; take a backup.",
    )
