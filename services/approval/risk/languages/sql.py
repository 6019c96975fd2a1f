"""SQL, and the shells of document and key-value stores: statements that remove, change everything, give rights, or leave the database.

A script is split into statements by their words (`sql_lexer`). A statement that only reads is known by its words; one that
changes anything is read by sqlglot (`sql_tree`), whatever its dialect; what no parser covers is judged by its words
(`sql_words`), and is UNKNOWN when those say nothing. Statements inside procedures, blocks and literals that are executed count.

`DELETE` and `UPDATE` with a real condition are noted and decide nothing: a person who is asked about each would approve them
unread. What removes or changes every row, or nearly every one, asks.
"""

from __future__ import annotations

from services.approval.risk import normalise, patterns
from services.approval.risk.detectors.paths import HIDDEN, read_factor
from services.approval.risk.languages import sql_client, sql_tree, sql_words
from services.approval.risk.languages.sql_lexer import SIGN, TEXT, WORD, Token, Unbalanced, rendered, statements, tokens
from services.approval.risk.model import Factor

MAX_SQL = 80_000  # characters of a script
MAX_PARSED = 24_000  # tokens that the parser gets, each try in a dialect counted: about 0.3 s
_MAX_INSIDE = 4  # literals that are executed, in literals that are executed
_MAX_PIECES = 2_000  # statements inside blocks that no parser reads as a whole

# Whether a text may say anything here: the first word of a statement or call that acts. Text without any is never parsed.
_ACTS = patterns.compile(
    r"(?i)\b(?:delete|update|drop|truncate|grant|revoke|alter|merge|create|replace|overwrite|copy|exec\w*|call|do|kill|shutdown|attach|gexec|load|infile|"
    r"outfile|dumpfile|prepare|flush\w*|reset|purge|pragma|restore|backup|import|export|unload|install|bulk|deny|reassign|rename|stop|change|"
    r"set|undrop|dbcc|reconfigure|sleep|benchmark|delay|pg_\w+|lo_\w+|xp_\w+|sp_\w+|sys\w*|utl_\w+|dbms_\w+|dblink\w*|open\w+|mysql|remote|url|s3|http\w*|"
    r"readfile|writefile|load_\w+|set_config|dba_users|sql_logins|security|db|rs|sh)\b|/\*M?!|user\$|(?m:^\s*[\\.!])"
)
_VERBS = frozenset("DELETE UPDATE DROP TRUNCATE ALTER CREATE GRANT REVOKE INSERT MERGE EXEC EXECUTE REPLACE SHUTDOWN KILL CALL".split())
_KINDS = (
    r"table|database|schema|index|view|user|role|login|function|procedure|proc|trigger|sequence|type|tablespace|keyspace|extension|policy|server|system|owned|event"
    r"|assembly|language|library|domain|aggregate|rule|publication|subscription|group|profile|collection|column|constraint|session|default|stage|warehouse|pipe|stream|task"
)
_STATEMENT = patterns.compile(
    r"(?i)^[\s(]*(?:select\s|insert\s+(?:into|overwrite|ignore|or)\s|update\s+\S+\s+(?:as\s+)?(?:\S+\s+)?(?:set|join|inner|left)\b|update\s*[\"`\[][^;]*[\"`\]]\s*(?:as\s+)?(?:\w+\s+)?set\b|delete\s+(?:\S+\s+)?from\b"
    rf"|(?:drop|create|alter)\s+(?:or\s+replace\s+|unique\s+|temp\w*\s+|materialized\s+|global\s+|external\s+)*(?:{_KINDS})\b|truncate\s*[\"`\[]|truncate\s+(?:table\s|only\s|[^\s,;]+(?:\s*,\s*[^\s,;]+)*\s*(?:;|$|cascade|restrict|restart|continue))"
    r"|(?:grant|revoke)\s[^;]*\s(?:on|to|from)\s|with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?as\s|merge\s+into|replace\s+into|exec(?:ute)?\b\s*\S|call\s+\w+\s*\(|copy\s+\S+.*\s(?:from|to)\s"
    r"|do\s+(?:\$|'|language)|set\s+(?:global|session|password|role|persist|\w+\s*=)|begin\s*(?:;|$|\w)|declare\s+\S|load\s+data|attach\s+(?:database\s|'|\S+\s+as\s)|pragma\s+\w"
    r"|flush\s+\w+|shutdown\s*(?:;|$)|kill\s+\d|if\s+(?:not\s+)?exists|vacuum\b|prepare\s+\w+\s+(?:from|as)|explain\s|purge\s+b|reset\s+(?:master|slave)|(?:backup|restore)\s+database|--|/\*)"
)
_BLOCKS = frozenset("IF BEGIN WHILE DECLARE ELSE LOOP FOR".split())  # statements around statements: no parser reads them with certainty
# Behind these, a verb is no statement: ON DELETE CASCADE, FOR UPDATE, BEFORE UPDATE ON, GRANT DELETE ON ..
_NO_STATEMENT_BEHIND = frozenset("ON FOR KEY DO BEFORE AFTER OF OR NO GRANT REVOKE INSTEAD , ( ALL AND UPDATE DELETE INSERT NOT .".split())


_EXECUTABLE = patterns.compile(r"/\*M?!\d*")  # MySQL runs what stands behind it
_COMMENT = patterns.compile(r"(?s)/\*.*?\*/")


def _looks_like_statement(text: str) -> bool:
    """Whether a text begins as a statement does; comments between its words are blanks."""
    if _STATEMENT.match(text):
        return True
    if "/*" not in text:
        return False
    return _STATEMENT.match(_COMMENT.sub(" ", _EXECUTABLE.sub(" ", text)).replace("*/", " ")) is not None


def assess(text: str, *, certain: bool = False) -> list[Factor]:
    """Factors of a text that may be SQL. `certain`: it is, so that what cannot be read is UNKNOWN even when it looks like no statement."""
    if len(text) > MAX_SQL:
        return [normalise.unreadable("too-large", f"SQL of {len(text)} characters; at most {MAX_SQL} are analysed.")]
    if not _ACTS.search(text) and (not certain or _looks_like_statement(text) or not text.strip()):
        return []
    if (found := sql_client.document_store(text)) is not None:
        return found
    if not certain and not _looks_like_statement(text) and not sql_client.has_lines(text):
        return []
    script = _Script()
    script.read(text.replace(HIDDEN, "hidden"))
    return list(script.factors.values())


class _Script:
    def __init__(self) -> None:
        self.factors: dict[str, Factor] = {}
        self._budget = [MAX_PARSED]
        self._pieces = 0
        self._inside = 0
        self._sent = False  # whether what a query gives is run
        self._constants: set[str] = set()  # variables that were set to a literal, whose statement is read there

    def read(self, text: str) -> None:
        lines, plain = sql_client.split(text)
        self._sent = self._sent or sql_words.DYNAMIC in lines
        self._keep(lines, text)
        ways = (False, True) if "\\" in plain or "#" in plain or '"' in plain else (False,)
        unread: list[Factor] = []
        failed = 0
        for mysql in ways:
            self._failed: Factor | None = None
            try:
                for part in statements(tokens(plain, mysql=mysql)):
                    self._statement(part)
            except Unbalanced:
                self._failed = normalise.unreadable("sql-syntax", "A literal or a comment without an end.", plain[:80])
            if self._failed is not None:
                unread.append(self._failed)
                failed += 1
        if failed == len(ways) or self._budget[0] <= 0:  # one way of reading it is enough: it is the one its dialect means
            self._add(unread[0] if unread else normalise.unreadable("too-large", "More SQL than is analysed."))

    def _statement(self, part: list[Token]) -> None:
        shown = _shown(part)
        self._keep(sql_words.findings(part), shown)
        self._executed(part)
        self._prepared(part, shown)
        words = {token.value for token in part if token.kind == WORD}
        if "COPY" in words or "database.program" in self.factors:
            for token in part:
                if token.kind == TEXT and "/" in token.value and (found := read_factor(token.value)):
                    self._add(found)
        if not words & _VERBS and not words & {"OVERWRITE", "KILL"}:
            self._by_words(part, shown)
            return
        if part[0].value == "EXPLAIN":
            if "ANALYZE" not in words and "ANALYSE" not in words:
                return
            start = next((i for i, token in enumerate(part) if token.value in _VERBS or token.value in ("SELECT", "WITH")), 0)
            part = part[start:]
        self._changing(part, shown)

    def _changing(self, part: list[Token], shown: str) -> None:
        """A statement with a verb in it: by its tree, else piece by piece."""
        if (
            part[0].value not in _BLOCKS
            and _nested(part) <= sql_tree.MAX_NESTING
            and (tree := sql_tree.parse(rendered(part), len(part), self._budget)) is not None
        ):
            self._keep(sql_tree.findings(tree), shown)
            found, _ = sql_words.verb(part)
            self._keep([f for f in found if f[0] not in ("drop", "truncate", "call")], shown)
            if isinstance(tree, sql_tree.READS):  # SQL Server needs no semicolon: SELECT 1 DELETE FROM t
                for piece in _pieces(part, frozenset({"SELECT", "AS"}))[1:]:
                    if (tree := sql_tree.parse(rendered(piece), len(piece), self._budget)) is not None:
                        self._keep(sql_tree.findings(tree), shown)
            return
        pieces = _pieces(part)
        self._pieces += len(pieces)
        if self._pieces > _MAX_PIECES or self._budget[0] <= 0:
            self._failed = normalise.unreadable("too-large", "More SQL than is analysed.")
            return
        if len(pieces) == 1:
            self._by_words(part, shown, parsed=False)
            return
        for piece in pieces:
            if piece[0].value in _VERBS and _nested(piece) <= sql_tree.MAX_NESTING:
                tree = sql_tree.parse(rendered(piece), len(piece), self._budget)
                if tree is not None:
                    self._keep(sql_tree.findings(tree), shown)
                    continue
            self._by_words(piece, shown, parsed=piece[0].value not in _VERBS)

    def _by_words(self, part: list[Token], shown: str, *, parsed: bool = True) -> None:
        """A statement judged by its first words; one that should have been parsed and was not is UNKNOWN when they say nothing."""
        found, known = sql_words.verb(part)
        self._keep(found, shown)
        rows = not parsed and part[0].value in ("DELETE", "UPDATE", "MERGE", "WITH", "INSERT", "REPLACE", "SELECT")
        if rows and part[0].value in ("DELETE", "UPDATE") and not any(token == Token(WORD, "WHERE") for token in part):
            self._keep([sql_tree.DELETE_ALL if part[0].value == "DELETE" else sql_tree.UPDATE_ALL], shown)
        elif rows or not (known or (part[0].kind == SIGN and len(part) == 1)):
            self._failed = normalise.unreadable("sql-syntax", "A statement that cannot be read with certainty.", shown)

    def _executed(self, part: list[Token]) -> None:
        """The literals of a statement that runs them, or that defines code."""
        if (
            not self._sent and part[0].value not in ("DO", "EXEC", "EXECUTE", "PREPARE", "CREATE", "CALL", "DECLARE", "BEGIN", "SET", "ALTER")
        ) or self._inside >= _MAX_INSIDE:
            return
        self._inside += 1
        outer = self._failed
        for token in part:
            if token.kind == TEXT and _looks_like_statement(token.value):
                self.read(token.value)
        self._failed = outer
        self._inside -= 1

    def _prepared(self, part: list[Token], shown: str) -> None:
        """PREPARE s FROM @a, where @a was set to no literal: its statement is made while it runs."""
        if part[0].value == "SET":
            ends = [*(token == Token(SIGN, ",") for token in part[1:]), True]
            for index, token in enumerate(part):
                if index > 2 and token.kind == TEXT and ends[index] and part[index - 1].value == "=":
                    self._constants.add(part[index - (3 if part[index - 2].value == ":" else 2)].value)
        elif part[0].value == "PREPARE" and len(part) == 4 and part[3].value.startswith("@") and part[3].value not in self._constants:
            self._keep([sql_words.DYNAMIC], shown)

    def _keep(self, found: list[sql_words.Finding], shown: str) -> None:
        for id, weight, message in found:
            self._add(
                Factor(
                    f"database.{id}",
                    "database",
                    message,
                    weight,
                    excerpt=shown[:200],
                    safer_alternative="Select first what would change; take a backup.",
                )
            )

    def _add(self, factor: Factor) -> None:
        known = self.factors.get(factor.id)
        if known is None or known.weight < factor.weight:
            self.factors[factor.id] = factor


def _pieces(part: list[Token], quiet: frozenset[str] = frozenset()) -> list[list[Token]]:
    """A block of statements, cut before each verb that begins one; `quiet`: words behind which a verb is a name."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for index, token in enumerate(part):
        if token.kind == SIGN and token.value in "()":
            depth += 1 if token.value == "(" else -1
        begins = token.kind == WORD and token.value in _VERBS and depth <= 0
        if begins and index and part[index - 1].value not in _NO_STATEMENT_BEHIND | quiet:
            pieces.append([])
        pieces[-1].append(token)
    return [piece for piece in pieces if piece]


def _nested(part: list[Token]) -> int:
    """How many brackets are open at once, and how many signs that the parser calls itself for stand in a row."""
    depth = most = row = 0
    for token in part:
        if token.kind == SIGN and token.value in "([{<":
            depth += 1
            most = max(most, depth)
        elif token.kind == SIGN and token.value in ")]}>":
            depth -= 1
        row = row + 1 if token.value in ("NOT", "-", "~", "CASE", "INTERVAL", "JOIN", "+") else 0 if token.kind == WORD else row
        most = max(most, row)
    return most


def _shown(part: list[Token]) -> str:
    """The start of a statement for people, its literals left out."""
    return " ".join("'…'" if token.kind == TEXT else token.value for token in part[:40])[:200]
