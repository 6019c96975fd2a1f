"""How fast commands are assessed: `python -m benchmarks.risk_speed`.

Prints one JSON object a line:

- "library": typical commands (one in five risky) on one core, assessments a second, the best of `--rounds`
  and the median; `rss_growth_mb` is how much the process grew over all rounds after the first.
- "rpc": the same commands through AssessActions of a real approval service, in batches, two calls under way at a time:
  the service has something to do while the caller reads an answer.
- "worst": inputs made to be slow, with the seconds and the level of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator

import psutil

from benchmarks.corpora import evasions, everyday
from harness.approval.v1 import risk_pb2
from harness.common.v1 import action_pb2
from motherharness import Client
from motherharness.devstack import Stack
from services.approval.risk import Action, ApiCall, CodeExecution, Command, StepStart, assess

UNDER_WAY = 2  # calls at the same time
RISKY_SHARE = 5  # one in so many of the typical commands is a risky one

WORST: dict[str, str | Action] = {
    "1 MB of commands": "echo hello world; ls -la | grep x\n" * 30_000,
    "1 MB in one word": "x" * (1 << 20),
    "1 MB of quotes": "'" * (1 << 20),
    "250 KB of commands": "echo hello world; ls -la | grep x\n" * 7_400,
    "250 KB of arithmetic": "$[ 1 + " * 36_000,
    "10,000 substitutions deep": "$(" * 10_000 + "ls" + ")" * 10_000,
    "10,000 subshells deep": "(" * 10_000 + "ls" + ")" * 10_000,
    "10,000 conditions deep": "if true; then " * 10_000 + "ls" + "; fi" * 10_000,
    "10,000 default values deep": "echo " + "${a:-" * 10_000 + "x" + "}" * 10_000,
    "10,000 here-documents": "cat <<E\nx\nE\n" * 10_000,
    "doubling variables": "a=xxxxxxxx\n" + "a=$a$a\n" * 5_000 + "rm $a",
    "brace lists": "echo " + "{a,b}" * 5_000,
    "functions that call each other": "".join(f"f{i}() {{ f{i + 1}; f{i + 1}; }}\n" for i in range(2_000)) + "f0",
    "25,000 negations": "! " * 25_000 + "ls",
    "13,000 addresses": "curl" + "".join(f" http://h{i}.io/" for i in range(13_000)),
    "20,000 words of sudo": "sudo " * 20_000 + "ls",
    "13,000 additions to a variable": "".join(f"a+=x{i}\n" for i in range(13_000)) + "eval $a",
    "16,000 changes of folder": "cd ..\ncd folder\n" * 8_000,
    "8,000 clones": "".join(f"git clone http://a/b{i}; b{i}/x\n" for i in range(2_000)),
    "40,000 open expansions": "${" * 40_000,
    "4,000 words of ssh keys": "mv" + " ~/.ssh/id" * 4_000,
    "10,000 redirections": "ls" + "".join(f" >f{i}" for i in range(10_000)),
    "a request that names 40,000 addresses": ApiCall(
        "POST", "http://a.io/", body="".join(f"http://a{i}.io/b " for i in range(40_000))
    ),
    "a request of 20,000 passwords": ApiCall(
        "POST", "http://a.io/", body="".join(f'{{"password":"hunter{i}x"}},' for i in range(20_000))
    ),
    **{
        f"{language} that is {unit!r} over and over": CodeExecution(language, unit * (size // len(unit)))
        for language, units in {
            "ruby": ('"a ', "f(&a ", "`ls` + a ", "/x/ a "),
            "php": ("$a ", "@a ", '"{$a', "`ls`.a "),
            "go": ("f(a ", "1+a ", '"', "x[a "),
            "javascript": ("{a ", "a[a ", "x=x+a ", "a=>a "),
            "typescript": ("{[k:a ", "{a ", "a<a "),
        }.items()
        for unit in units
        for size in (13_900, 23_900)
    },
    "Python of 4,000 removals": CodeExecution(
        "python", "import shutil\n" + "".join(f"shutil.rmtree('a{i}')\n" for i in range(4_000))
    ),
    "Python of 4,000 classes": CodeExecution(
        "python", "".join(f"class A{i}:\n def f(self): self.f()\n" for i in range(2_000))
    ),
    "SQL of 6,000 conditions": CodeExecution(
        "sql", "DELETE FROM t WHERE " + "".join(f"a{i}={i} OR " for i in range(6_000))
    ),
    "prose that names 1,000 commands": StepStart("coder", "using rm -rf x " * 1_000),
    "Python that quotes itself 200 times": CodeExecution("python", 's="1"\n' + "s=repr(s)\n" * 200 + "exec(s)"),
}


def typical(count: int) -> list[str]:
    """Everyday commands with risky ones among them."""
    ordinary = everyday.commands(count)
    risky = evasions.COMMANDS
    return [risky[i // RISKY_SHARE % len(risky)] if i % RISKY_SHARE == 0 else text for i, text in enumerate(ordinary)]


def main() -> int:
    """Measure and print. Exit code 1 means that an input took more than a second."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.risk_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--commands", type=int, default=4000, help="a round, default %(default)s")
    parser.add_argument("--batch", type=int, default=500, help="items a call, default %(default)s")
    arguments = parser.parse_args()
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    commands = typical(arguments.commands)
    print(json.dumps({"measure": "library", **library(commands, arguments.rounds), **machine}), flush=True)
    with Stack(agents="") as stack:
        rates = asyncio.run(rpc(stack, commands, arguments.rounds, arguments.batch))
    print(json.dumps({"measure": "rpc", "batch": arguments.batch, **rates, **machine}), flush=True)
    slow = False
    for name, text in WORST.items():
        action = Command(script=text) if isinstance(text, str) else text
        started = time.perf_counter()
        level = assess(action).level
        seconds = time.perf_counter() - started
        slow = slow or seconds > 1
        print(
            json.dumps({"measure": "worst", "input": name, "level": level.name, "seconds": round(seconds, 3)}),
            flush=True,
        )
    return int(slow)


def library(commands: list[str], rounds: int) -> dict[str, object]:
    """Assess in this process."""
    process = psutil.Process()
    rates: list[float] = []
    grown = 0
    for number in range(rounds + 1):  # the first is the warm-up
        started = time.perf_counter()
        for command in commands:
            assess(Command(script=command))
        rates.append(len(commands) / (time.perf_counter() - started))
        if number == 0:
            grown = -process.memory_info().rss
    return summary(rates[1:]) | {"rss_growth_mb": round((grown + process.memory_info().rss) / 1e6, 1)}


async def rpc(stack: Stack, commands: list[str], rounds: int, batch: int) -> dict[str, object]:
    """Assess through the service."""
    items = [
        risk_pb2.AssessItem(actions=[action_pb2.Action(command=action_pb2.CommandAction(script=command))])
        for command in commands
    ]
    rates: list[float] = []
    async with Client(stack.connection("alice"), timeout=60) as client:
        for _ in range(rounds + 1):
            started = time.perf_counter()
            waiting = iter(range(0, len(items), batch))
            await asyncio.gather(*(ask(client, items, waiting, batch) for _ in range(UNDER_WAY)))
            rates.append(len(items) / (time.perf_counter() - started))
    return summary(rates[1:])


async def ask(client: Client, items: list[risk_pb2.AssessItem], waiting: Iterator[int], batch: int) -> None:
    """Ask for one batch after the other until none is left."""
    for at in waiting:
        await client.assess(items[at : at + batch])


def summary(rates: list[float]) -> dict[str, object]:
    """The best and the median rate."""
    return {"best_per_s": round(max(rates)), "median_per_s": round(statistics.median(rates)), "rounds": len(rates)}


if __name__ == "__main__":
    sys.exit(main())
