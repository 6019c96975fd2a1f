"""Database clients as people type them, and SQL written so that its words do not stand where they usually do."""

from __future__ import annotations

import pytest

from services.approval.risk import Command, Level, assess

ASKED = [
    # options: joined, attached, shortened
    ('psql -tAc "drop table t"', Level.HIGH),
    ('psql -Atqc "drop table t"', Level.HIGH),
    ('psql -h db -U app -Xqtc "truncate t"', Level.HIGH),
    ("psql -tAc'drop table t'", Level.HIGH),
    ('psql --com="drop table t"', Level.HIGH),
    ('psql --comm "drop table t"', Level.HIGH),
    ('mysql -Bse "drop table t"', Level.HIGH),
    ('mysql -uroot -psecret -NBe "drop table t"', Level.HIGH),
    ('mysql --exec="drop table t"', Level.HIGH),
    ('sqlcmd -S db -d app -bQ "drop table t"', Level.HIGH),
    ("mysql -e DROP DATABASE test", Level.HIGH),
    # a key-value store fed on standard input
    ("redis-cli <<< flushall", Level.HIGH),
    ("echo flushall | redis-cli -h cache", Level.HIGH),
    ("redis-cli <<E\nget a\nFLUSHDB ASYNC\nE", Level.HIGH),
    ("printf 'set a 1\\nflushall\\n' | redis-cli --pipe", Level.HIGH),
    ("echo 'config set dir /root/.ssh' | redis-cli", Level.MEDIUM),
    ("echo 'del session:1' | redis-cli", Level.MEDIUM),
    ("printf '*1\\r\\n$8\\r\\nflushall\\r\\n' | redis-cli --pipe", Level.HIGH),
    ("printf '*2\\n$3\\nGET\\n$1\\na\\n*3\\n$6\\nCONFIG\\n$3\\nSET\\n$3\\ndir\\n' | redis-cli --pipe", Level.MEDIUM),
    ("redis-cli --tls --cacert ca.pem <<< flushall", Level.HIGH),
    ("curl -s https://example.com/x | redis-cli", Level.MEDIUM),
    # a client's own commands, shortened
    ('sqlite3 x ".read |rm -rf /"', Level.CRITICAL),
    ("sqlite3 x '.read \"|rm -rf /\"'", Level.CRITICAL),
    ('sqlite3 x ".sh rm -rf /"', Level.CRITICAL),
    ('sqlite3 x ".sy rm -rf /"', Level.CRITICAL),
    ('sqlite3 x ".out |rm -rf /"', Level.CRITICAL),
    ("sqlite3 x \"vacuum into '/etc/passwd'\"", Level.HIGH),
    ("sqlite3 x 'vacuum main into \"/etc/passwd\"'", Level.HIGH),
    ("sqlite3 x '.import --csv \"|rm -rf /\" t'", Level.CRITICAL),
    # comments between words
    ('psql -c "DROP/**/TABLE t"', Level.HIGH),
    ('mysql -e "DELETE/**/FROM t"', Level.HIGH),
    ('psql -c "TRUNCATE/**/t"', Level.HIGH),
    ('psql -c "GRANT/**/ALL ON t TO x"', Level.MEDIUM),
    ("mysql app <<< 'drop/**/table t'", Level.HIGH),
    ("mysql app <<< '/* a */ drop/* b */table t'", Level.HIGH),
    ('mysql -e "DROP/*!TABLE*/ t"', Level.HIGH),
    ('mysql -e "DROP/*!50000TABLE*/ t"', Level.HIGH),
    ("psql -c 'TRUNCATE\"t\"'", Level.HIGH),
    ("mysql -e 'DELETE FROM`t`'", Level.HIGH),
    ("sqlite3 x 'UPDATE\"t\"SET a=1'", Level.HIGH),
    ("sqlite3 x 'UPDATE[t]SET a=1'", Level.HIGH),
    ("mysql app <<< 'UPDATE`s`.`t`SET a=1'", Level.HIGH),
    # statements that are made, or that run later
    ("psql <<< \"select 'drop table t' \\gexec\"", Level.HIGH),
    ("psql -f - <<< \"select format('drop table %I', n) from x \\gexec\"", Level.MEDIUM),
    ("mysql -e \"set @a='drop table t'; prepare s from @a; execute s\"", Level.HIGH),
    ('mysql -e "prepare s from @a; execute s"', Level.MEDIUM),
    ('psql -c "create rule r as on select to t do instead delete from t"', Level.MEDIUM),
    ('psql -c "alter table t disable row level security"', Level.MEDIUM),
    ('psql -c "alter table t no force row level security"', Level.MEDIUM),
    ('sqlcmd -Q "merge t using s on 1=1 when matched then delete;"', Level.MEDIUM),
    # a document store's methods and commands by another spelling
    ('mongosh --eval \'db["users"]["drop"]()\'', Level.HIGH),
    ("mongosh --eval 'db.users[\"drop\"]()'", Level.HIGH),
    ("mongosh --eval 'db[`users`][`drop`]()'", Level.HIGH),
    ("mongosh --eval 'db.users[\"deleteMany\"]({})'", Level.HIGH),
    ("mongosh --eval 'db.runCommand(\"dropDatabase\")'", Level.HIGH),
    ('mongosh --eval \'db.runCommand({"delete": "x", deletes: [{q: {}, limit: 0}]})\'', Level.HIGH),
    ("mongosh --eval 'db.runCommand({drop:\"x\"})'", Level.HIGH),
    ("mongosh --eval 'db.runCommand({ dropDatabase: 1 })'", Level.HIGH),
    ("mongosh --eval 'db.adminCommand({ \"shutdown\": 1 })'", Level.MEDIUM),
]

QUIET = [
    r"psql -c '\dt'",
    r"psql -tAc '\l'",
    'psql -tAc "select count(*) from users"',
    'psql -U app -d shop -Atc "SELECT/* who */name FROM users"',
    'psql -c "INSERT INTO t (a) VALUES (1)"',
    'psql -tAc "UPDATE t SET a = 1 WHERE id = 3"',
    'mysql -Bse "DELETE FROM t WHERE id = 3"',
    "mysql -e 'SHOW TABLES'",
    "mysql -uroot -psecret -e 'SHOW DATABASES'",
    "mysql -h cache app -Nse 'select version()'",
    'sqlcmd -S db -Q "select 1"',
    "sqlite3 x .tables",
    "sqlite3 x .schema",
    "sqlite3 x '.show'",
    "sqlite3 -header -csv x 'select * from t'",
    "sqlite3 x \".read schema.sql\"",
    "sqlite3 x \"vacuum into 'backup.db'\"",
    "redis-cli get greeting",
    "redis-cli <<< 'get greeting'",
    "echo ping | redis-cli",
    "while read k; do redis-cli --scan --pattern x; redis-cli get $k; done < keys",
    'printf \'set a "to flushall"\\nget a\\n\' | redis-cli',
    "psql -c \"alter table t enable row level security\"",
    "mysql -e \"set @a='select 1'; prepare s from @a; execute s\"",
    "mysql -e \"set @b=1, @a := 'select 1'; prepare s from @a; execute s\"",
    "mysql -e \"prepare s from 'select * from t where id = ?'; execute s using @x\"",
    "mongosh --eval 'db.users.find({\"drop\": 1})'",
    "mongosh --eval 'db.runCommand({ ping: 1 })'",
    "mongosh --eval 'db[\"users\"].find()'",
    "usql pg://app@db/shop -c 'select 1'",
]  # fmt: skip


@pytest.mark.parametrize(("script", "least"), ASKED)
def test_what_changes_a_database_asks_however_it_is_given(script: str, least: Level) -> None:
    result = assess(Command(script=script))
    assert result.level >= least, (script, result.level, [f.id for f in result.factors])


@pytest.mark.parametrize("script", QUIET)
def test_everyday_use_of_a_client_is_low(script: str) -> None:
    result = assess(Command(script=script))
    assert result.level == Level.LOW, (script, [(f.id, f.weight) for f in result.factors])
