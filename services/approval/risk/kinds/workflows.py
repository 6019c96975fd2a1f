"""Automations that are stored to run later: every script in them, whatever the service they are for."""

from __future__ import annotations

import json

from services.approval.risk import languages, normalise, patterns, scoring
from services.approval.risk.actions import WorkflowCreation
from services.approval.risk.kinds import texts, values
from services.approval.risk.model import Context, Factor

# Fields that hold scripts, in the services that run workflows: GitHub, GitLab, Azure, Kubernetes, Ansible and their like.
_SCRIPT_KEY = patterns.compile(
    r"^(\s*(?:-\s+)*(?:\{\s*)?)[\"']?(?:run|script|scripts|command|commands|shell|cmd|args|entrypoint|before_script|after_script|bash|pwsh|powershell"
    r"|inline|inlinescript|exec|raw|code)[\"']?\s*:(?:\s+(.*))?$"
)
_BLOCK = patterns.compile(r"^[|>][-+0-9]{0,3}$")
_ANCHOR = patterns.compile(r"^[&!][^\s]*\s*")


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


def run_blocks(definition: str) -> list[object]:
    """The scripts of a YAML workflow: values of `run`, `script`, `command`, as one line, a list, or an indented block.

    Read line by line, not by a YAML parser: definitions hold templates that are no YAML, and their scripts run all the same.
    """
    blocks: list[object] = []
    lines = definition.split("\n")
    index = 0
    while index < len(lines):
        match = _SCRIPT_KEY.match(lines[index].rstrip("\r"))
        index += 1
        if match is None:
            continue
        opening = match.group(1)
        value = _value(match.group(2) or "", flow="{" in opening)
        if value and not _BLOCK.match(value):
            blocks.append(_one_line(value))
            continue
        block: list[str] = []
        while index < len(lines) and _belongs(lines[index], len(opening)):
            line = lines[index].strip()
            block.append(line.removeprefix("- ").lstrip() if not value else line)
            index += 1
        blocks.append("\n".join(block))
    return blocks


def _value(text: str, *, flow: bool) -> str:
    """What stands behind a field's name, without anchors, tags, and the brace that ends a mapping on one line."""
    value = _ANCHOR.sub("", text.strip()).strip()
    return value.removesuffix("}").strip() if flow else value


def _one_line(value: str) -> object:
    """A value on one line: words in brackets are a list of them, quotation marks are no part of it."""
    if value.startswith("[") and value.endswith("]"):
        try:
            parsed: object = json.loads(value)
        except (ValueError, RecursionError):
            parsed = [word.strip().strip("\"'") for word in value[1:-1].split(",")]
        return parsed
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _belongs(line: str, indent: int) -> bool:
    """Whether a line is part of the block under a key at `indent`: blank, deeper, or an item of a list at its own depth."""
    text = line.lstrip()
    return not text.strip() or len(line) - len(text) >= indent + (0 if text.startswith("-") else 1)
