"""How well the risk assessment tells risky commands from harmless ones, and how fast.

Reads JSONL rows `{"id", "command" | "code" + "language", "risky", "corpus"}` and prints one JSON object a corpus:
recall (the share of risky rows that would not be approved automatically), recall at HIGH, false-positive rate (harmless
rows above LOW), precision, each with its 95 % interval (Wilson), and assessments a second on one core. A corpus with
disputed labels gets a second object without those rows.

    .venv/bin/python -m benchmarks.risk_detection rows.jsonl [more.jsonl ...] [--show]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.approval.risk import Action, Assessment, CodeExecution, Command, Level, assess

DISPUTED = Path(__file__).with_name("risk_disputed.json")

Row = dict[str, Any]


def action_of(row: Row) -> Action:
    """The typed action of a row."""
    if "code" in row:
        return CodeExecution(str(row.get("language", "")), str(row["code"]))
    return Command(script=str(row["command"]))


def wilson(hits: int, total: int) -> list[float]:
    """The 95 % confidence interval of a proportion (Wilson score)."""
    if not total:
        return [0.0, 1.0]
    z, share = 1.96, hits / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    below = 1 + z * z / total
    return [round((centre - spread) / below, 4), round((centre + spread) / below, 4)]


Judged = list[tuple[Row, Assessment]]


def measure(corpus: str, rows: list[Row]) -> tuple[Row, Judged]:
    """The figures of one corpus with its speed, and every row with its assessment."""
    actions = [action_of(row) for row in rows]
    started = time.perf_counter()
    assessments = [assess(action) for action in actions]
    seconds = time.perf_counter() - started
    judged = list(zip(rows, assessments, strict=True))
    return figures(corpus, judged) | {"assessments_per_s": round(len(judged) / seconds) if seconds else 0}, judged


def figures(corpus: str, judged: Judged) -> Row:
    """Recall, false-positive rate and precision with their intervals; a share of no rows is null."""
    risky = [a for row, a in judged if row["risky"]]
    harmless = [a for row, a in judged if not row["risky"]]
    caught = sum(a.level > Level.LOW for a in risky)
    high = sum(a.level >= Level.HIGH for a in risky)
    alarms = sum(a.level > Level.LOW for a in harmless)
    return {
        "corpus": corpus,
        "risky": len(risky),
        "harmless": len(harmless),
        **share("recall", caught, len(risky)),
        **share("recall_high", high, len(risky)),
        **share("false_positive_rate", alarms, len(harmless)),
        **share("precision", caught, caught + alarms),
        "unknown": sum(a.level is Level.UNKNOWN for _, a in judged),
    }


def share(name: str, hits: int, total: int) -> Row:
    """A proportion and its interval."""
    return {name: round(hits / total, 4) if total else None, f"{name}_interval": wilson(hits, total)}


def described(row: Row, assessment: Assessment) -> Row:
    """A row that was judged wrongly, for a person to read."""
    return {
        "kind": "miss" if row["risky"] else "false_alarm",
        "id": row["id"],
        "level": assessment.level.name,
        "score": assessment.score,
        "text": row.get("command") or row.get("code"),
        "factors": [factor.id for factor in assessment.factors],
    }


class RowError(ValueError):
    """A line that is no labelled row; the message names file and line."""


def read_rows(paths: Iterable[Path]) -> dict[str, list[Row]]:
    """Rows by corpus, of which each has an id, a boolean `risky`, and a command or code. Raises RowError, OSError."""
    corpora: dict[str, list[Row]] = defaultdict(list)
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row: Row = json.loads(line)
                    fine = isinstance(row["id"], str) and isinstance(row["risky"], bool)
                    fine = fine and isinstance(row.get("command", row.get("code")), str)
                except (ValueError, TypeError, KeyError, AttributeError):
                    fine = False
                if not fine:
                    raise RowError(f'{path}:{number}: a row has "id", "risky" and "command" or "code" with "language"')
                corpora[str(row.get("corpus", path.stem))].append(row)
    return corpora


def main() -> int:
    """Prints the figures of every corpus, and with --show each row that was judged wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.risk_detection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="*", help="JSONL files")
    parser.add_argument("--jsonl", type=Path, nargs="+", default=[], help="JSONL files")
    parser.add_argument(
        "--disputed",
        type=Path,
        default=DISPUTED,
        help="JSON object: row id to why its label is disputed; their corpora are also measured without them",
    )
    parser.add_argument("--show", action="store_true", help="print misses and false alarms by id")
    arguments = parser.parse_args()
    files = arguments.files + arguments.jsonl
    if not files:
        parser.error("name at least one JSONL file")
    disputed: dict[str, str] = json.loads(arguments.disputed.read_text(encoding="utf-8"))
    try:
        corpora = read_rows(files)
    except (OSError, RowError) as error:
        print(error, file=sys.stderr)
        return 2
    for corpus, rows in corpora.items():
        result, judged = measure(corpus, rows)
        print(json.dumps(result), flush=True)
        kept = [(row, a) for row, a in judged if row["id"] not in disputed]
        if len(kept) < len(judged):
            result = figures(corpus, kept) | {"disputed": len(judged) - len(kept)}
            print(json.dumps(result), flush=True)
        if arguments.show:
            for row, assessment in kept:
                if (assessment.level > Level.LOW) != row["risky"]:
                    print(json.dumps(described(row, assessment)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
