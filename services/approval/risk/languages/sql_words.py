"""SQL by its words: what needs no grammar, and what no grammar of a dialect covers. Literals are no words."""

from __future__ import annotations

from services.approval.risk.languages.sql_lexer import NAME, SIGN, TEXT, WORD, Token
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

Finding = tuple[str, int, str]  # the factor id behind "database.", its weight, what it means

DROP_DATA = ("drop", HIGH, "Removes tables or a whole database.")
DROP_OBJECT = ("drop", SERIOUS, "Removes a database object.")
DROP_PART = ("drop", SERIOUS, "Removes part of a table.")
TRUNCATE = ("truncate", HIGH, "Empties a table.")
RIGHTS = ("rights", SERIOUS, "Changes who may do what in the database.")
PROGRAM = ("program", HIGH, "Reaches files or programs through the database.")
FILE = ("file", MEDIUM, "Reads or writes files of the database server.")
SERVER = ("server", SERIOUS, "Changes or stops the database server.")
HASHES = ("hashes", SERIOUS, "Reads password hashes from the database.")
DYNAMIC = ("dynamic", MEDIUM, "Runs a statement that is made while it runs.")
REPLACE = ("replace", SERIOUS, "Replaces a table and what is in it.")
CHANGE = ("change", NOTE, "Changes rows.")
DATA_KINDS = frozenset("TABLE DATABASE SCHEMA TABLESPACE KEYSPACE COLLECTION".split())


def _functions(finding: Finding, names: str) -> dict[str, Finding]:
    return dict.fromkeys(names.upper().split(), finding)


# Called in any statement; a name counts when a parenthesis follows it.
FUNCTIONS = {
    **_functions(PROGRAM, "xp_cmdshell sys_exec sys_eval load_file lo_import lo_export pg_read_file pg_read_binary_file pg_ls_dir pg_file_write load_extension "
                          "writefile readfile utl_http utl_file utl_smtp utl_tcp httpuritype dbms_scheduler dbms_java openrowset opendatasource xp_regwrite xp_regread xp_dirtree "
                          "query_to_xml createproc"),
    **_functions(("network", SERIOUS, "Connects the database to another server."), "dblink dblink_connect dblink_exec openquery http_get http_post net_http_get remote mysql url s3"),
    **_functions(SERVER, "pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_switch_wal pg_promote pg_drop_replication_slot set_config"),
    **_functions(("resource", MEDIUM, "Keeps the database busy on purpose."), "sleep pg_sleep pg_sleep_for benchmark dbms_lock"),
}  # fmt: skip
_ANYWHERE = {  # counts without a parenthesis
    **_functions(PROGRAM, "xp_cmdshell sp_oacreate sp_oamethod xp_regwrite xp_dirtree sp_start_job sp_add_job sp_addextendedproc utl_http utl_file dbms_scheduler"),
    **_functions(RIGHTS, "sp_addrolemember sp_addsrvrolemember sp_addlogin sp_password"),
    **_functions(SERVER, "sp_configure reconfigure sp_dropserver"),
    **_functions(DYNAMIC, "sp_executesql"),
    **_functions(HASHES, "pg_shadow pg_authid sql_logins dba_users syslogins sysxlogins user$"),
}  # fmt: skip
_QUALIFIED = {
    ("MYSQL", "USER"): HASHES,
    ("SYS", "USER$"): HASHES,
    ("DBMS_LOCK", "SLEEP"): ("resource", MEDIUM, "Keeps the database busy on purpose."),
}

# The first word of a statement, or its first two: what it does. None: nothing that a person should look at.
_QUIET = frozenset(
    "SELECT SHOW EXPLAIN DESCRIBE DESC VALUES WITH USE BEGIN START COMMIT ROLLBACK END SAVEPOINT RELEASE DECLARE OPEN FETCH CLOSE LISTEN NOTIFY UNLISTEN "
    "DEALLOCATE LOCK UNLOCK ANALYZE ANALYSE VACUUM OPTIMIZE CHECK CHECKSUM REPAIR REINDEX CLUSTER COMMENT CHECKPOINT DISCARD RESET HELP HANDLER PRINT RAISE "
    "RETURN RETURNS REFRESH INSERT TABLE SET ABORT MOVE SIGNAL LEAVE ITERATE LOOP IF ELSE ELSEIF ELSIF WHILE FOR REPEAT UNTIL CASE WHEN EXCEPTION NULL AS GO PERFORM DETACH "
    "DESCRIPTION EXISTS NOT CACHE UNCACHE MSCK LIST ASSERT WAITFOR PRAGMA ANALYZE TRUE QUIT EXIT CONNECT".split()
)  # fmt: skip
_FIRST: dict[str, Finding] = {
    "GRANT": RIGHTS, "REVOKE": RIGHTS, "DENY": RIGHTS, "SHUTDOWN": SERVER, "KILL": SERVER, "STARTUP": SERVER, "RECONFIGURE": SERVER, "TRUNCATE": TRUNCATE,
    "CALL": ("call", MINOR, "Runs a stored procedure."), "EXEC": ("call", MINOR, "Runs a stored procedure."), "EXECUTE": ("call", MINOR, "Runs a stored procedure."),
    "PREPARE": ("call", NOTE, "Prepares a statement."), "DO": ("block", NOTE, "Runs a block of statements."), "LOAD": PROGRAM, "BULK": PROGRAM,
    "ATTACH": ("file", MINOR, "Opens another database file."), "RESTORE": ("restore", SERIOUS, "Overwrites a database."),
    "BACKUP": ("dump", MINOR, "Copies a whole database out."), "EXPORT": ("dump", MINOR, "Copies a whole database out."), "UNLOAD": ("dump", MEDIUM, "Copies data out."),
    "IMPORT": ("restore", MEDIUM, "Brings in what a file holds."), "DBCC": ("server", MINOR, "Checks or repairs the database."), "PURGE": SERVER,
    "RENAME": ("rename", MINOR, "Renames a table."), "UNDROP": ("rename", MINOR, "Brings a table back."), "REASSIGN": RIGHTS, "REPLACE": ("replace-rows", MINOR, "Replaces rows."),
    "FLUSHALL": ("flush", HIGH, "Removes every key."), "FLUSHDB": ("flush", HIGH, "Removes every key."), "COPY": CHANGE, "SECURITY": RIGHTS,
}  # fmt: skip
_FIRST_TWO: dict[tuple[str, str], Finding] = {
    ("ALTER", "SYSTEM"): SERVER, ("SET", "GLOBAL"): SERVER, ("SET", "PERSIST"): SERVER, ("RESET", "MASTER"): SERVER, ("RESET", "SLAVE"): SERVER, ("STOP", "SLAVE"): SERVER,
    ("STOP", "REPLICA"): SERVER, ("CHANGE", "MASTER"): SERVER, ("CHANGE", "REPLICATION"): SERVER, ("FLUSH", "PRIVILEGES"): SERVER, ("FLUSH", "LOGS"): SERVER,
    ("FLUSH", "TABLES"): ("server", MINOR, "Writes out the server's caches."), ("FLUSH", "HOSTS"): SERVER, ("SET", "PASSWORD"): RIGHTS, ("SET", "ROLE"): ("rights", MEDIUM, "Acts as somebody else."),
    ("SET", "SESSION_AUTHORIZATION"): RIGHTS, ("SET", "DEFAULT"): RIGHTS, ("ALTER", "DATABASE"): SERVER, ("ALTER", "DEFAULT"): RIGHTS, ("ALTER", "SESSION"): ("server", NOTE, "Changes the session."),
    ("DROP", "OWNED"): DROP_DATA, ("WAITFOR", "DELAY"): ("resource", MEDIUM, "Keeps the database busy on purpose."), ("RENAME", "USER"): RIGHTS,
    ("CREATE", "SERVER"): PROGRAM, ("CREATE", "EXTENSION"): ("extension", MINOR, "Adds an extension to the database."), ("CREATE", "SUBSCRIPTION"): PROGRAM,
    ("CREATE", "EVENT"): ("persistence", MEDIUM, "Makes statements run by themselves, later."), ("CREATE", "TRIGGER"): ("trigger", NOTE, "Makes statements run with others."),
    ("CREATE", "ASSEMBLY"): PROGRAM, ("CREATE", "LIBRARY"): PROGRAM, ("CREATE", "LANGUAGE"): PROGRAM, ("CREATE", "POLICY"): RIGHTS, ("ALTER", "POLICY"): RIGHTS,
}  # fmt: skip
_ACCOUNTS = frozenset("USER ROLE LOGIN GROUP PROFILE CREDENTIAL".split())
_UNTRUSTED = frozenset("PLPYTHONU PLPYTHON2U PLPYTHON3U PLPERLU PLTCLU PLSH C ADMINPACK FILE_FDW DBLINK PG_CRON LO".split())


def findings(part: list[Token]) -> list[Finding]:
    """What the words of one statement say, wherever they stand."""
    found: list[Finding] = []
    upper = [token.value.upper() if token.kind != TEXT else "" for token in part]
    for index, word in enumerate(upper):
        if not word or part[index].kind not in (WORD, NAME):
            continue
        following = upper[index + 1] if index + 1 < len(upper) else ""
        if word in _ANYWHERE:
            found.append(_ANYWHERE[word])
        elif following == "(" and word in FUNCTIONS and (index == 0 or upper[index - 1] not in ("TABLE", "INTO", "INDEX", "FUNCTION")):
            found.append(FUNCTIONS[word])
        elif following == "." and index + 2 < len(upper) and (word, upper[index + 2]) in _QUALIFIED:
            found.append(_QUALIFIED[word, upper[index + 2]])
        elif word in ("OUTFILE", "DUMPFILE", "SONAME") or (word == "PROGRAM" and upper[0] == "COPY") or (word == "INFILE" and "LOAD" in upper):
            found.append(PROGRAM)
        elif word == "WRITABLE_SCHEMA" and upper[0] == "PRAGMA":
            found.append(SERVER)
    return found


def verb(part: list[Token]) -> tuple[list[Finding], bool]:
    """What the first words of a statement say, and whether they are known at all."""
    words = [token.value.upper() if token.kind in (WORD, NAME) else "" for token in part[:12]]
    first, second = words[0], words[1] if len(words) > 1 else ""
    skipped = [
        w
        for w in words
        if w not in ("OR", "REPLACE", "TEMPORARY", "TEMP", "GLOBAL", "LOCAL", "IF", "EXISTS", "NOT", "UNIQUE", "EXTERNAL", "MATERIALIZED", "PUBLIC")
    ]
    kind = skipped[1] if len(skipped) > 1 else ""
    if first in ("CREATE", "ALTER") and kind in _ACCOUNTS:
        return [RIGHTS], True
    if first == "CREATE" and kind == "EXTENSION" and _UNTRUSTED & set(words):
        return [PROGRAM], True
    if (first, second) in _FIRST_TWO:
        return [_FIRST_TWO[first, second]], True
    if first == "DROP" and kind:
        return [DROP_DATA if kind in DATA_KINDS else DROP_OBJECT], True
    if first == "CREATE" and kind == "RULE":
        return [("rule", MEDIUM, "Makes other statements run in place of those that are given.")], True
    if first == "ALTER" and kind:
        every = {token.value for token in part if token.kind == WORD}
        if every >= {"ROW", "SECURITY"} and every & {"DISABLE", "NO"}:
            return [RIGHTS], True
        return [DROP_PART] if every & {"DROP", "TRUNCATE", "DISCARD"} else [], True
    if first == "CREATE" and kind in ("FUNCTION", "PROCEDURE", "PROC"):
        every = {token.value.upper() for token in part if token.kind in (WORD, NAME)}
        last = [token.value.upper() for token in part if token.kind == TEXT]
        return [PROGRAM] if ("LANGUAGE" in every and every & (_UNTRUSTED - {"LO"})) or "C" in last else [], True
    if first == "CREATE" and kind:
        return [], True
    if first == "COPY":
        return _copy(part), True
    if first == "INSTALL" or (first == "LOAD" and second not in ("DATA", "XML", "LOCAL")):
        return [("extension", MEDIUM, "Loads a library into the database.")], True
    if first in ("EXEC", "EXECUTE") and (second == "IMMEDIATE" or (len(part) > 1 and part[1] == Token(SIGN, "("))):
        return [] if any(token.kind == TEXT for token in part) and not _joined(part) else [DYNAMIC], True
    if first in _FIRST:
        return [_FIRST[first]], True
    return [], first in _QUIET


def _joined(part: list[Token]) -> bool:
    """Whether a statement in a literal is put together with something that is not known."""
    return any(token == Token(SIGN, sign) for token in part for sign in ("+", "|")) or any(token.value == "CONCAT" for token in part)


def _copy(part: list[Token]) -> list[Finding]:
    """COPY between a table and the client is a load or an export; between a table and a file of the server, more."""
    for index, token in enumerate(part[:-1]):
        if token.kind == WORD and token.value in ("TO", "FROM") and part[index + 1].kind == TEXT:
            return [FILE]
    return [CHANGE]
