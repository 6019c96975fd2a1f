"""How fast policies decide: `python -m benchmarks.policy_speed`.

Prints one JSON object a line; times are processor time of this process, microseconds unless the name says otherwise:

- "decision": one decision of a policy with `--rules` rules of all kinds, about one action; p50, p99, and the most.
- "actions": the same about a request of 32 actions.
- "default": a decision of each shipped policy, which has no rules.
- "judge": assessing and deciding typical commands, under the policy for development and under the one with rules;
  `of_assess` is how many times the assessment alone that takes.
- "worst": a decision of rules made to be slow, as many as a policy takes, about inputs made to be slow; milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.risk_speed import typical
from harness.common.v1 import action_pb2
from services.approval import risk
from services.approval.judge import judge
from services.approval.lifecycle import Outcome
from services.approval.policy import DEFAULTS, Policy, Question, Rule, cel, evaluate
from services.approval.policy.names import MAX_ITEMS, MAX_TEXT
from services.approval.quorum import Seat

CONDITIONS = (
    "environment == 'production' && action.kind == 'git_push' && action.force",
    "'history.force-push' in factors.ids",
    "action.programs.exists(each, each in ['terraform', 'kubectl', 'helm'])",
    "action.path.startsWith('deploy/') || action.path.startsWith('.github/')",
    "assessment.level >= HIGH && agent == 'coder-{n}'",
    "'credential' in factors.categories && project == 'prj_{n}'",
    r"action.url.matches(r'^https://[a-z0-9-]+\.internal-{n}\.example\.com/')",
    "time.weekday in [SATURDAY, SUNDAY] && requester != 'user-{n}'",
    "action.words.exists(each, each == '--production-{n}')",
    "action.script.contains('DROP TABLE t{n}')",
)
SLOW = (
    "action.words.exists(each, each.matches(r'(x+x+)+y{n}'))",
    r"action.script.matches(r'(\w+\s?)*[a-z]{{20,40}}\$$')",
    "action.words.all(each, each + each + each + each != 'x' && each.contains('x'))",
)


def policy_of(conditions: Sequence[str], count: int) -> Policy:
    """A policy of so many rules that each have a condition of their own."""
    outcomes = (Outcome.HUMAN, Outcome.DENY, Outcome.AUTO)
    rules = []
    for n in range(count):
        when = cel.compile(conditions[n % len(conditions)].replace("{n}", str(n)).replace("{{", "{").replace("}}", "}"))
        outcome = outcomes[n % 3]
        quorum = (Seat("approver", "", 2),) if outcome is Outcome.HUMAN else ()
        rules.append(Rule(f"rule-{n}", outcome, when, "a rule", quorum))
    return Policy(enabled=True, rules=tuple(rules))


def timed(work: Callable[[], object]) -> float:
    """Processor time of one call, microseconds."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1000


def spread(times: Sequence[float]) -> dict[str, float]:
    """The middle, the 99th of a hundred, and the most."""
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[len(ordered) * 99 // 100], 1),
        "max": round(ordered[-1], 1),
    }


def questions(commands: Sequence[str], actions: int = 1) -> Iterator[Question]:
    """A question for each command, as `judge` makes them, of so many actions."""
    context = risk.Context(environment="production", agent="coder-4")
    for command in commands:
        action = risk.Command(script=command)
        found = risk.assess(action, context)
        yield Question(
            level=found.level,
            types=frozenset({"code_execution"}),
            score=found.score,
            factors=found.factors,
            actions=(action,) * actions,
            where=context,
            project="prj_5",
            requester="user-7",
            now_ms=1_735_732_800_000,
        )


def message_of(script: str) -> list[action_pb2.Action]:
    """The command as a request has it."""
    return [action_pb2.Action(command=action_pb2.CommandAction(script=script))]


def main() -> int:
    """Measure; exit code 1 if the 99th of a hundred decisions takes 2 ms or more."""
    parser = argparse.ArgumentParser(description="Measures how fast policies decide.")
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--commands", type=int, default=2000)
    arguments = parser.parse_args()
    commands = typical(arguments.commands)
    policy = policy_of(CONDITIONS, arguments.rules)
    asked = list(questions(commands))
    evaluate(policy, asked[0])

    decision = spread([timed(lambda q=q: evaluate(policy, q)) for q in asked])  # type: ignore[misc]
    print(json.dumps({"bench": "decision", "rules": arguments.rules, "decisions": len(asked), **decision}))
    many = spread([timed(lambda q=q: evaluate(policy, q)) for q in questions(commands[:100], 32)])  # type: ignore[misc]
    print(json.dumps({"bench": "actions", "rules": arguments.rules, "actions": 32, **many}))
    for name, default in DEFAULTS.items():
        each = timed(lambda default=default: [evaluate(default, q) for q in asked]) / len(asked)  # type: ignore[misc]
        print(json.dumps({"bench": "default", "environment": name, "mean": round(each, 2)}))

    context = risk.Context()
    assess = timed(lambda: [risk.assess(risk.Command(script=each), context) for each in commands]) / len(commands)
    for label, used in (("development", DEFAULTS["development"]), (f"{arguments.rules} rules", policy)):
        total = timed(lambda used=used: [judge(message_of(c), context, used, require_approval=False) for c in commands])  # type: ignore[misc]
        mean = total / len(commands)
        print(
            json.dumps(
                {"bench": "judge", "policy": label, "mean": round(mean, 1), "of_assess": round(mean / assess, 3)}
            )
        )

    slow = policy_of(SLOW, 200)
    hostile = {
        "long words": risk.Command(argv=tuple("x" * (MAX_TEXT // MAX_ITEMS) for _ in range(MAX_ITEMS))),
        "long script": risk.CodeExecution("python", "x" * MAX_TEXT),
        "too many words": risk.Command(argv=("x",) * (MAX_ITEMS + 1)),
    }
    for label, action in hostile.items():
        took = timed(lambda action=action: evaluate(slow, Question(risk.Level.LOW, actions=(action,)))) / 1000  # type: ignore[misc]
        print(json.dumps({"bench": "worst", "rules": 200, "input": label, "ms": round(took, 1)}))
    return int(decision["p99"] >= 2000)


if __name__ == "__main__":
    sys.exit(main())
