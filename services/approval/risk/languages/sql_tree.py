"""SQL by its syntax tree (sqlglot): which rows a statement removes or changes, at any depth."""

from __future__ import annotations

import logging

from sqlglot import Dialect, exp
from sqlglot.errors import SqlglotError

from services.approval.risk.languages.sql_words import (
    CHANGE,
    DATA_KINDS,
    DROP_DATA,
    DROP_OBJECT,
    DROP_PART,
    REPLACE,
    RIGHTS,
    TRUNCATE,
    Finding,
)
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement that it does not cover

# Tried in this order; the first that covers the statement decides. Postgres is the most tolerant.
_DIALECTS = tuple(Dialect.get_or_raise(name) for name in ("postgres", "mysql", "tsql", "bigquery", "oracle", "snowflake", "sqlite", "hive"))
MAX_NESTING = 60  # parentheses in each other; the parser calls itself for each
_TOKENS_A_STATEMENT = 20  # what a parse costs besides its tokens, in tokens
_DEPTH = 40  # of a condition that is evaluated
READS = (exp.Select, exp.SetOperation, exp.Values)
_MOST = "most"  # a condition that nearly every row meets

DELETE_ALL = ("delete-all", HIGH, "Deletes every row of a table.")
UPDATE_ALL = ("update-all", HIGH, "Changes every row of a table.")


def parse(text: str, size: int, budget: list[int]) -> exp.Expr | None:
    """The tree of one statement in whichever dialect covers it; None when none does or the budget of tokens is spent.

    `size` is the number of its tokens.
    """
    for dialect in _DIALECTS:
        budget[0] -= size + _TOKENS_A_STATEMENT
        if budget[0] <= 0:
            return None
        try:
            tokens = dialect.tokenize(text)
            trees = dialect.parser().parse(tokens, text)
        except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, IndexError, KeyError):
            continue  # not a statement of this dialect; a parser that fails in another way has not read it either
        if len(trees) == 1 and trees[0] is not None and not any(isinstance(node, exp.Command) for node in trees[0].walk()):
            return trees[0]
    return None


def findings(tree: exp.Expr) -> list[Finding]:
    """What a statement does, by every node of its tree."""
    found: list[Finding] = []
    for node in tree.walk():
        if isinstance(node, exp.Delete):
            found.append(_rows(node, DELETE_ALL, bool(node.args.get("using") or node.find(exp.Join))))
        elif isinstance(node, exp.Update):
            if not isinstance(node.parent, exp.When | exp.OnConflict):
                found.append(_rows(node, UPDATE_ALL, bool(node.find(exp.Join))))
        elif isinstance(node, exp.Drop):
            kind = str(node.args.get("kind") or "").upper()
            if isinstance(node.parent, exp.Alter):
                found.append(DROP_PART)
            else:
                found.append(DROP_DATA if kind in DATA_KINDS else DROP_OBJECT)
        elif isinstance(node, exp.DropPartition):
            found.append(DROP_PART)
        elif isinstance(node, exp.TruncateTable):
            found.append(TRUNCATE)
        elif isinstance(node, exp.Grant | exp.Revoke):
            found.append(RIGHTS)
        elif isinstance(node, exp.Merge):
            found.append(_merge(node))
        elif isinstance(node, exp.Insert):
            found += _insert(node)
        elif isinstance(node, exp.Create) and node.args.get("replace") and str(node.args.get("kind") or "").upper() == "TABLE":
            found.append(REPLACE)
    return found


def _rows(node: exp.Expr, everything: Finding, joined: bool) -> Finding:
    """Removing or changing rows weighs by what limits it: nothing, a condition that is always true, a join, a real one."""
    id, _, message = everything
    where = node.args.get("where")
    if where is None:
        return (f"{id}-joined", MEDIUM, message) if joined or node.args.get("limit") else everything
    truth = always(where.this)
    if truth is None and where.find(exp.Column, exp.Placeholder, exp.Parameter, exp.Subquery, exp.Select, exp.Identifier) is None:
        truth = True  # the same for every row
    elif truth is None and _of_itself(node, where.this):
        truth = _MOST
    if truth is True:
        return everything
    if truth == _MOST:
        return (id, MEDIUM, message)
    return CHANGE


def _of_itself(node: exp.Expr, condition: exp.Expr) -> bool:
    """Whether a condition is that a row is one of all rows of the same table."""
    if not isinstance(condition, exp.In) or condition.args.get("query") is None:
        return False
    inner, own = condition.args["query"].find(exp.Select), node.find(exp.Table)
    table = inner.find(exp.Table) if inner is not None and inner.args.get("where") is None and inner.args.get("limit") is None else None
    return table is not None and own is not None and table.name == own.name and inner is not None and inner.find(exp.Join) is None


def _merge(node: exp.Merge) -> Finding:
    removes = any(str(when.args.get("then")).upper().startswith("DELETE") for when in node.find_all(exp.When))
    return ("merge-delete", MEDIUM, "Deletes the rows that a merge finds.") if removes else CHANGE


def _insert(node: exp.Insert) -> list[Finding]:
    if node.args.get("overwrite"):
        return [("overwrite", HIGH, "Replaces what is in a table.")]
    table = node.this.find(exp.Table) if isinstance(node.this, exp.Expr) else None
    name = f"{table.db}.{table.name}".lower() if table is not None else ""
    if name in ("mysql.user", "pg_catalog.pg_authid", "sqlite_master.", ".sqlite_master"):
        return [RIGHTS]
    if str(node.args.get("alternative") or "").upper() == "REPLACE":
        return [("replace-rows", MINOR, "Replaces rows.")]
    return []


def always(node: exp.Expr | None, depth: int = 0) -> bool | str | None:
    """Whether a condition is always true or false, or true for nearly every row ("most"); None when it depends on the row."""
    if node is None or depth > _DEPTH:
        return None
    if isinstance(node, exp.Paren):
        return always(node.this, depth + 1)
    if isinstance(node, exp.Not):
        inner = always(node.this, depth + 1)
        return not inner if isinstance(inner, bool) else None
    if isinstance(node, exp.Is) and node.args.get("negate") and isinstance(node.expression, exp.Null):
        return _MOST
    if isinstance(node, exp.And | exp.Or):
        return _connected(node, depth)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Literal):
        return node.is_string or node.name not in ("0", "0.0")
    if isinstance(node, exp.Exists):
        return True if isinstance(node.this, exp.Select) and node.this.find(exp.From) is None else None
    if isinstance(node, exp.Like | exp.ILike):
        return True if isinstance(node.expression, exp.Literal) and node.expression.name.strip("%") == "" and node.expression.name else None
    if isinstance(node, exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.NullSafeEQ):
        return _compared(node)
    if isinstance(node, exp.In):
        return any(node.this == each for each in node.expressions) or None
    if isinstance(node, exp.Between):
        return True if all(isinstance(each, exp.Literal) for each in (node.this, node.args["low"], node.args["high"])) else None
    return None


def _connected(node: exp.And | exp.Or, depth: int) -> bool | str | None:
    kind = type(node)
    parts, todo = [], [node]
    while todo:  # a chain of thousands is one condition, not a deep one
        each: exp.Expr = todo.pop()
        if isinstance(each, kind):
            todo += [each.this, each.expression]
        else:
            parts.append(always(each, depth + 1))
    if kind is exp.And:
        if False in parts:
            return False
        if all(parts):
            return True if all(part is True for part in parts) else _MOST
        return None
    if True in parts:
        return True
    if _MOST in parts:
        return _MOST
    return False if all(part is False for part in parts) else None


def _compared(node: exp.Expr) -> bool | str | None:
    left, right = node.this, node.expression
    if left == right:
        return isinstance(node, exp.EQ | exp.GTE | exp.LTE | exp.NullSafeEQ)
    a, b = _number(left), _number(right)
    if a is not None and b is not None:
        if isinstance(node, exp.EQ | exp.NEQ):
            return (a == b) == isinstance(node, exp.EQ)
        return a > b if isinstance(node, exp.GT) else a >= b if isinstance(node, exp.GTE) else a < b if isinstance(node, exp.LT) else a <= b
    if isinstance(left, exp.Literal) and isinstance(right, exp.Literal):
        return isinstance(node, exp.NEQ)
    if isinstance(node, exp.GT | exp.GTE) and b is not None and b <= 0 and isinstance(left, exp.Column):
        return _MOST  # id > 0: identifiers and counts start there
    return None


def _number(node: exp.Expr) -> float | None:
    negative = isinstance(node, exp.Neg)
    literal = node.this if negative else node
    if not isinstance(literal, exp.Literal) or literal.is_string:
        return None
    try:
        return -float(literal.name) if negative else float(literal.name)
    except ValueError:
        return None
