"""Commands that developers and operators type all day, and that nobody wants to be asked about.

Templates with slots, filled in at random from a seed; each template is a command with its usual options. As a
program, prints labelled rows that `benchmarks.risk_detection` reads:

    .venv/bin/python -m benchmarks.corpora.everyday --rows 5000 > everyday.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

_DATA = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SLOTS: dict[str, list[str]] = _DATA["slots"]
TEMPLATES: list[str] = _DATA["templates"]
_SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, chance: random.Random) -> str:
    """One command of a template."""
    text = _SLOT.sub(lambda slot: chance.choice(SLOTS[slot.group(1)]), template)
    return text.replace("{{", "{").replace("}}", "}").replace("⏎", "\n")


def commands(count: int, seed: int = 0) -> list[str]:
    """`count` commands (or as many as there are), each once, every template used before any is used again."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    for _ in range(400):
        for template in TEMPLATES:
            if len(found) >= count:
                return list(found)
            found[fill(template, chance)] = None
    return list(found)


def rows(count: int, seed: int = 0) -> Iterator[dict[str, object]]:
    """Labelled rows."""
    for number, command in enumerate(commands(count, seed)):
        yield {"id": f"everyday-{number}", "command": command, "language": "bash", "risky": False, "corpus": "everyday"}


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for row in rows(arguments.rows, arguments.seed):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
