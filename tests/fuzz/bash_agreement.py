"""What bash would run, the walker sees: `make fuzz`.

Joins random pieces of shell syntax around one dangerous command. Where bash itself, asked to print how it reads the
text (`bash --pretty-print`, 5.2 and later, which runs nothing), shows that command at the start of a line, the
assessment must not be LOW. Prints each text that fools it; exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from services.approval.risk import Command, Level, assess

DANGEROUS = "rm -rf /"
HARMLESS = "no-such-program -rf /"  # what bash gets to see instead, though it only prints it
SHOWN = re.compile(rf"^\s*(?:! |time )?{HARMLESS}", re.MULTILINE)
PIECES = [
    *(
        "ls",
        "echo a",
        "cat",
        "true",
        "exec",
        "time",
        "coproc",
        "!",
        "eval",
        "x=1",
        "a=(",
        "-n",
        "~",
        "*",
        "?",
        "%",
        "^",
    ),
    *(
        "if true",
        "then",
        "else",
        "fi",
        "for i in a b",
        "do",
        "done",
        "case x in",
        "a)",
        ";;",
        ";&",
        "esac",
        "while false",
    ),
    *("until", "select", "in", "{", "}", "(", ")", "f() {", "function g", "[[ a == b ]]", "[ -f x ]", "[[", "]]", "=~"),
    *(
        "((",
        "))",
        "$((",
        "$[1]",
        "&&",
        "||",
        "|",
        "|&",
        "&",
        ";",
        "\n",
        "\n",
        "\n\\",
        "\\\n",
        "\\",
        " ",
        "  ",
        "\t",
        "\r",
    ),
    *("#", "# c", "'", '"', "`", "$(", "<(", "$x", "${x}", "${x:-", "${a[0]}", "$#", "$@", "${#x}", "$'a'", '$"b"'),
    *(
        "\\'",
        '\\"',
        "{a,b}",
        "@(a|b)",
        "1+1",
        "=",
        "é",
        "<<E",
        "<<-E",
        "<<'E'",
        "\nE\n",
        "<<<",
        "<",
        ">",
        ">>",
        ">|",
        "&>",
    ),
    *("2>&1", "<&0", "{fd}>x"),
]


def sample(chance: random.Random) -> str:
    """A text of up to eight pieces with the dangerous command among them."""
    pieces = [chance.choice(PIECES) for _ in range(chance.randint(1, 7))]
    pieces.insert(chance.randint(0, len(pieces)), DANGEROUS)
    return "".join(piece + (" " if chance.random() < 0.4 else "") for piece in pieces)


def reading(text: str, file: Path) -> str | None:
    """How bash reads a text, None when it refuses it."""
    file.write_text(text.replace(DANGEROUS, HARMLESS), encoding="utf-8")
    command = ["bash", "--norc", "--pretty-print", str(file)]
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def quoted(text: str) -> bool:
    """Whether the command may start a line inside quotes, an expansion, arithmetic or a here-document, as text."""
    before = text[: text.index(DANGEROUS)]
    return any(mark in before for mark in ("'", '"', "`", "${", "((", "<<"))


def main() -> int:
    """Try texts for so long; exit code 1 when one was misread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    help_text = subprocess.run(["bash", "--help"], capture_output=True, text=True, check=False).stdout
    if "pretty-print" not in help_text:
        print("skipped: bash 5.2 or later is needed to print how it reads a script")
        return 0
    chance = random.Random(arguments.seed)
    tried = asked = fooled = 0
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            text = sample(chance)
            tried += 1
            if quoted(text) or assess(Command(script=text)).level > Level.LOW:
                continue
            asked += 1
            shown = reading(text, Path(folder, "script"))
            if shown is not None and SHOWN.search(shown):
                fooled += 1
                print(f"misread: {text!r}\n  bash reads: {shown!r}")
    print(f"bash agreement: {tried} texts, {asked} of them LOW and asked about, {fooled} misread")
    return int(fooled > 0)


if __name__ == "__main__":
    sys.exit(main())
