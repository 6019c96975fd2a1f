"""Automations that are stored to run later: every script in them, whatever the service they are for."""

from __future__ import annotations

import json

from services.approval.risk import languages, normalise, patterns, scoring
from services.approval.risk.actions import WorkflowCreation
from services.approval.risk.kinds import texts, values
from services.approval.risk.model import Context, Factor

_SCRIPT_KEY = patterns.compile(r"^(\s*(?:-\s+)?)(?:run|script|command|shell|cmd|args|entrypoint)\s*:\s*(.*)$")
_BLOCK_MARKS = frozenset({"", "|", ">", "|-", ">-", "|+", ">+"})


def creation(action: WorkflowCreation, context: Context) -> list[Factor]:
    """A workflow: its text, and as commands the scripts that its definition (JSON or YAML) names."""
    text = f"{action.name}\n{action.definition}"
    if refusal := normalise.refusal(text):
        return [refusal]
    base = Factor(
        "change.workflow",
        "change",
        "Stores an automation that runs later, without anybody looking.",
        scoring.TYPE_BASE["workflow_creation"],
        excerpt=action.name[:200],
    )
    try:
        parsed: object = json.loads(action.definition)
    except (ValueError, RecursionError):
        parsed = [{"run": block} for block in run_blocks(action.definition)]
    inside = texts.with_shell(context, lambda walker: values.assess(parsed, walker, context))
    return [base, *texts.without_spans([*texts.plain(text), *inside, *languages.mentions(text)])]


def run_blocks(definition: str) -> list[str]:
    """The scripts of a YAML workflow: values of `run`, `script`, `command`, as one line, a list, or an indented block.

    Read line by line, not by a YAML parser: definitions hold templates that are no YAML, and their scripts run all the same.
    """
    blocks: list[str] = []
    lines = definition.split("\n")
    index = 0
    while index < len(lines):
        match = _SCRIPT_KEY.match(lines[index])
        index += 1
        if match is None:
            continue
        indent, value = len(match.group(1)), match.group(2).strip()
        if value not in _BLOCK_MARKS:
            blocks.append(value.strip("\"'"))
            continue
        block: list[str] = []
        while index < len(lines) and _belongs(lines[index], indent):
            line = lines[index].strip()
            block.append(line.removeprefix("- ").lstrip() if not value else line)
            index += 1
        blocks.append("\n".join(block))
    return blocks


def _belongs(line: str, indent: int) -> bool:
    """Whether a line is part of the block under a key at `indent`: blank, deeper, or an item of a list at its own depth."""
    text = line.lstrip()
    return not text.strip() or len(line) - len(text) >= indent + (0 if text.startswith("-") else 1)
