"""What database clients understand besides SQL: commands on lines of their own, and the shells of document and key-value stores."""

from __future__ import annotations

from services.approval.risk import patterns
from services.approval.risk.languages.sql_words import DYNAMIC, FILE, PROGRAM, Finding
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

_LINE = patterns.compile(r"(?im)^[ \t]*(?:\\[^\n]*|\.[a-z]+[^\n]*|![^\n]*|delimiter[ \t]+\S+[ \t]*|(?:source|system)[ \t]+[\w./-][^\n]*|/[ \t]*)$")
_RUNS = patterns.compile(
    r"(?i)^\s*(?:\\!|\.sh(?:e|el|ell)?\b|\.sy(?:s|st|ste|stem)?\b|!|system\s|\\[ow]\s*\||\\g\w*\s*\||\.(?:o|im|rea|excel)[a-z]*(?:\s+-\S+)*\s+['\"]?\||\\copy\b.*\bprogram\b|\\setenv)"
)
_FILES = patterns.compile(
    r"(?i)^\s*(?:\\copy|\\i|\\ir|\\include\w*|\\o|\\lo_\w+|\\w|\.read|\.import|\.output|\.once|\.backup|\.restore|\.save|\.load|\.clone|\.archive|\.excel|source)\b"
)
_DELIMITER = patterns.compile(r"(?im)^[ \t]*delimiter[ \t]+(\S+)[ \t]*$")

_SENDS = patterns.compile(r"(?i)\\gexec\b")  # psql sends what the query before it gives, wherever it stands on the line

_DOCUMENTS = patterns.compile(
    r"(?i)(?:^|[\s;{(=])(?:db|getsiblingdb|conn|client)\b[^\n;]{0,200}\.\w+\s*\(|^\s*(?:show\s+(?:dbs|collections)|rs\.\w+\()"
)
_SUBSCRIPT = patterns.compile(r"""\[\s*['"`](\w{1,100})['"`]\s*\]""")
_COMMAND = patterns.compile(r"""((?:run|admin)Command\s*\(\s*)\{?\s*['"]?(\w{1,100})['"]?\s*:?""")
_STORES = (
    ("drop", HIGH, patterns.compile(r"(?i)\.(?:dropdatabase|drop|dropcollection|dropindexes|dropuser|droprole|dropalluserroles)\s*\(|command\s*\(\s*\{drop\w*:"), "Removes collections or a whole database."),
    ("delete-all", HIGH, patterns.compile(r"(?i)\.(?:deletemany|remove|findoneandremove|deleteone)\s*\(\s*(?:\{\s*\}\s*)?\)|command\s*\(\s*\{delete:[^;]*\bq['\"]?\s*:\s*\{\s*\}"), "Deletes every document."),
    ("delete", MEDIUM, patterns.compile(r"(?i)\.(?:deletemany|deleteone|remove|findoneanddelete)\s*\(|command\s*\(\s*\{delete:"), "Deletes documents."),
    ("update-all", SERIOUS, patterns.compile(r"(?i)\.(?:updatemany|update)\s*\(\s*\{\s*\}"), "Changes every document."),
    ("server", SERIOUS, patterns.compile(r"(?i)\.(?:shutdownserver|admincommand|createuser|grantrolestouser|updateuser|createrole|fsynclock|killop)\s*\(|command\s*\(\s*\{(?:shutdown|createuser|updateuser|grantrolestouser|createrole|setparameter|repl\w+|fsync):|\brs\.(?:reconfig|stepdown|remove|initiate)\("), "Changes the database server."),
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
    if "\\g" in text and _SENDS.search(text):
        found.append(DYNAMIC)
        text = _SENDS.sub(";", text)
    for match in _LINE.finditer(text):
        line = match.group()
        if _RUNS.match(line):
            found.append(PROGRAM)
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
    text = _plain_names(text)
    if not _DOCUMENTS.search(text):
        return None
    plain = _LITERALS.sub(lambda match: f"{match.group()[0]}{match.group()[-1]}", text)
    return [_factor(id, weight, message, plain) for id, weight, pattern, message in _STORES if pattern.search(plain)]


def _plain_names(text: str) -> str:
    """A script with `db["users"]` written `db.users`, `{"drop": 1}` written `{drop: 1}` and `runCommand("x")` `runCommand({x: 1})`."""
    if "[" in text:
        text = _SUBSCRIPT.sub(r".\1", text)
    if "ommand" in text:
        text = _COMMAND.sub(r"\1{\2:", text)
    return text


def _factor(id: str, weight: int, message: str, text: str) -> Factor:
    return Factor(
        f"database.{id}",
        "database",
        message,
        weight,
        excerpt=text.strip()[:200],
        safer_alternative="Select first what would change; take a backup.",
    )
