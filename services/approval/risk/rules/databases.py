"""Databases: the clients' own destructive commands."""

from __future__ import annotations

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

RULES = (
    Rule("database.flush", "redis-cli", HIGH, "Removes every key.", arg=r"(?i)^(?:flushall|flushdb)$", safer="Remove the keys of one prefix."),
    Rule("database.admin", "redis-cli", SERIOUS, "Changes or stops the server.",
         arg=r"(?i)^(?:shutdown|debug|slaveof|replicaof|module|failover|eval|script|swapdb|acl|cluster|migrate|restore)$"),
    Rule("database.admin", "redis-cli", SERIOUS, "Changes the server's settings.",
         when=lambda c: len(c.positionals) > 1 and c.positionals[0].lower() == "config" and c.positionals[1].lower() in ("set", "rewrite", "resetstat")),
    Rule("database.delete", "redis-cli", MEDIUM, "Removes keys.", sub="del|unlink|expire|rename|hdel|srem|zrem|ltrim"),
    Rule("database.drop", "dropdb dropuser", HIGH, "Removes a database or its user.", safer="Take a backup first."),
    Rule("database.drop", "mysqladmin", HIGH, "Removes a database.", when=lambda c: bool({"drop", "shutdown", "password"} & set(c.args))),
    Rule("database.restore", "pg_restore mongorestore", SERIOUS, "Overwrites a database.", without="-l --list --dryRun"),
    Rule("database.dump", "mysqldump pg_dump pg_dumpall mongodump mongoexport", MINOR, "Copies a whole database out.", without="--schema-only -s --no-data -d --version --help"),
    Rule("database.migrate", "rails rake artisan manage.py prisma alembic flyway liquibase knex sequelize typeorm", SERIOUS, "Drops or resets a database.",
         arg=r"(?i)^(?:db:(?:drop|reset|purge|schema:load|migrate:reset|seed:replant)|migrate:(?:fresh|reset|rollback)|flush|clean|downgrade|reset|reset_db|db:wipe|dropall|drop-all|schema:drop|db:migrate:undo:all)$"),
    Rule("database.kafka", "kafka-topics kafka-topics.sh kafka-delete-records kafka-delete-records.sh", SERIOUS, "Removes messages or topics.", flags="--delete --offset-json-file"),
    Rule("database.etcd", "etcdctl consul zkcli zkcli.sh zookeeper-shell", SERIOUS, "Removes configuration that services run on.", arg=r"(?i)^(?:del|delete|rmr|deleteall|rm)$"),
    Rule("database.queue", "rabbitmqctl rabbitmqadmin", SERIOUS, "Removes or resets queues.", arg=r"^(?:delete_\w+|delete|reset|force_reset|purge_queue|purge|stop_app|stop)$"),
)  # fmt: skip
