"""How well the risk assessment tells risky commands from harmless ones, and how fast.

Reads JSONL rows `{"id", "command" | "code" + "language", "risky", "corpus"}` and prints one JSON object a corpus:
recall (risky rows that would not be approved automatically), recall at HIGH, false positives (harmless rows above LOW),
with 95 % Wilson intervals, and assessments a second on one core.

    .venv/bin/python -m benchmarks.risk --jsonl rows.jsonl [--disputed benchmarks/risk_disputed.json] [--show]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.approval.risk import Action, Assessment, CodeExecution, Command, Level, assess

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


def measure(corpus: str, rows: list[Row]) -> tuple[Row, list[tuple[Row, Assessment]]]:
    """The figures of one corpus, and the rows that were judged wrongly."""
    started = time.perf_counter()
    judged = [(row, assess(action_of(row))) for row in rows]
    seconds = time.perf_counter() - started
    risky = [(row, a) for row, a in judged if row["risky"]]
    harmless = [(row, a) for row, a in judged if not row["risky"]]
    caught = [a for _, a in risky if a.level > Level.LOW]
    high = [a for _, a in risky if a.level >= Level.HIGH]
    alarms = [a for _, a in harmless if a.level > Level.LOW]
    wrong = [(row, a) for row, a in judged if (a.level > Level.LOW) != bool(row["risky"])]
    result: Row = {
        "corpus": corpus,
        "risky": len(risky),
        "harmless": len(harmless),
        "recall": round(len(caught) / max(1, len(risky)), 4),
        "recall_interval": wilson(len(caught), len(risky)),
        "recall_high": round(len(high) / max(1, len(risky)), 4),
        "false_positive_rate": round(len(alarms) / max(1, len(harmless)), 4),
        "false_positive_interval": wilson(len(alarms), len(harmless)),
        "precision": round(len(caught) / max(1, len(caught) + len(alarms)), 4),
        "unknown": sum(a.level is Level.UNKNOWN for _, a in judged),
        "assessments_per_s": round(len(judged) / seconds) if seconds else 0,
    }
    return result, wrong


def read_rows(paths: Iterable[Path]) -> dict[str, list[Row]]:
    """Rows by corpus."""
    corpora: dict[str, list[Row]] = defaultdict(list)
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    row: Row = json.loads(line)
                    corpora[str(row.get("corpus", path.stem))].append(row)
    return corpora


def main() -> None:
    """Prints the figures of every corpus, and with --show each row that was judged wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jsonl", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--disputed",
        type=Path,
        help="JSON object: row id to the reason why its label is disputed; these rows are left out",
    )
    parser.add_argument("--show", action="store_true", help="print misses and false alarms by id")
    arguments = parser.parse_args()
    disputed: dict[str, str] = json.loads(arguments.disputed.read_text()) if arguments.disputed else {}
    for corpus, rows in read_rows(arguments.jsonl).items():
        kept = [row for row in rows if row["id"] not in disputed]
        result, wrong = measure(corpus, kept)
        result["disputed"] = len(rows) - len(kept)
        print(json.dumps(result), flush=True)
        if arguments.show:
            for row, assessment in wrong:
                kind = "miss" if row["risky"] else "false_alarm"
                text = row.get("command") or row.get("code")
                print(
                    json.dumps(
                        {
                            "kind": kind,
                            "id": row["id"],
                            "level": assessment.level.name,
                            "text": text,
                            "factors": [f.id for f in assessment.factors],
                        }
                    )
                )


if __name__ == "__main__":
    main()
