"""The entry points: one action or several in, one assessment out."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable

from services.approval.risk import languages, normalise, scoring
from services.approval.risk.actions import (
    Action,
    ApiCall,
    CodeExecution,
    Command,
    FileDelete,
    FileWrite,
    GitPush,
    StepResult,
    StepStart,
    WorkflowCreation,
)
from services.approval.risk.detectors import api, nested, paths, prose, secrets
from services.approval.risk.model import Assessment, Context, Factor
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.dispatch import dispatch
from services.approval.risk.shell.walker import Walker
from services.approval.risk.shell.words import Value, Word

PRODUCTION_NAMES = frozenset({"production", "prod"})
MANY_FILES = 100  # files in one result above which a person should look


def assess(action: Action, context: Context | None = None) -> Assessment:
    """What an action would do: level, score and factors.

    Never raises on any input: what cannot be read is UNKNOWN. Linear in the size of the input.
    """
    where = context or Context()
    try:
        factors = _factors(action, where)
    except RecursionError:
        factors = [normalise.unreadable("too-deep", "Nested deeper than is analysed.")]
    except UnicodeEncodeError:  # in a field that is not looked at as a text of its own
        factors = [normalise.unreadable("encoding", "Contains what is no character.")]
    production = where.environment.strip().lower() in PRODUCTION_NAMES
    return scoring.conclude(factors, production=production)


def assess_all(actions: Iterable[Action], context: Context | None = None) -> Assessment:
    """The strictest assessment of several actions, with the factors of all of them."""
    each = [assess(action, context) for action in actions]
    if not each:
        return Assessment(scoring.level_of(0), 0)
    factors: dict[str, Factor] = {}
    for assessment in each:
        for factor in assessment.factors:
            if factor.id not in factors or factors[factor.id].weight < factor.weight:
                factors[factor.id] = factor
    ordered = tuple(sorted(factors.values(), key=lambda f: (-f.weight, f.id)))
    return Assessment(max(a.level for a in each), max(a.score for a in each), ordered)


def _factors(action: Action, context: Context) -> list[Factor]:
    match action:
        case Command():
            return _command(action, context)
        case FileWrite():
            return _file_write(action, context)
        case FileDelete():
            return _file_delete(action, context)
        case CodeExecution():
            return _with_shell(context, lambda walker: _code(action.language, action.code, walker))
        case ApiCall():
            return _api_call(action)
        case GitPush():
            return _git_push(action)
        case WorkflowCreation():
            return _workflow(action, context)
        case StepStart():
            return _step_start(action, context)
        case StepResult():
            return _with_shell(context, lambda walker: _values(action.result, walker, context)) + _agent(action.agent)


def _with_shell(context: Context, run: Callable[[Walker], list[Factor]], cwd: str = "") -> list[Factor]:
    walker = Walker(context, dispatch, cwd)
    found = run(walker)
    return [*walker.factors, *found]


def _text(text: str) -> list[Factor]:
    if refusal := normalise.refusal(text):
        return [refusal]
    return [*normalise.suspicious(text), *secrets.detect(text)]


def _command(action: Command, context: Context) -> list[Factor]:
    walker = Walker(context, dispatch, action.cwd)
    shown = action.script or shlex.join(action.argv)
    if refusal := normalise.refusal(shown):
        return [refusal]
    if not shown.strip():
        return [normalise.unreadable("empty", "There is no command.")]
    factors = _text(shown)
    for name, value in action.env.items():
        factors += secrets.detect(f"{name}={value}")
        walker.assign(name, Value(value))
    if action.script:
        walker.run_text(action.script)
        if action.argv:
            factors.append(normalise.unreadable("two-commands", "Both a script and arguments are given."))
    else:
        walker.state.nested = 1
        walker.run_words([Word(argument) for argument in action.argv])
    return [*factors, *walker.factors]


def _code(language: str, source: str, walker: Walker) -> list[Factor]:
    return [*_text(source), *languages.assess(language, source, walker.run_text)] if not normalise.refusal(source) else _text(source)


def _content(path: str, content: str, walker: Walker) -> list[Factor]:
    """What a written file holds: secrets, and for a script what it would do, one step less grave than running it."""
    factors = _text(content)
    if normalise.refusal(content):
        return factors
    language = _EXTENSIONS.get(path.rpartition(".")[2].lower() if "." in path else "")
    if content.startswith("#!"):
        line = content.split("\n", 1)[0]
        language = next(
            (
                lang
                for word, lang in (
                    ("python", "python"),
                    ("node", "javascript"),
                    ("ruby", "ruby"),
                    ("perl", "perl"),
                    ("php", "php"),
                )
                if word in line
            ),
            "bash",
        )
    if language is None or len(content) > 200_000:
        return factors
    inner = Walker(walker.context, dispatch, walker.cwd)
    found = [*languages.assess(language, content, inner.run_text), *inner.factors]
    for factor in found:
        if factor.weight >= HIGH:
            factors.append(
                Factor(
                    f"content.{factor.id}",
                    factor.category,
                    f"Writes a script that, when run: {factor.message}",
                    MEDIUM,
                    factor.excerpt,
                    None,
                    factor.safer_alternative,
                )
            )
    return factors


_EXTENSIONS = {"py": "python", "sh": "bash", "bash": "bash", "zsh": "bash", "js": "javascript", "ts": "javascript", "mjs": "javascript", "rb": "ruby", "pl": "perl",
               "php": "php", "ps1": "powershell", "sql": "sql", "lua": "lua"}  # fmt: skip


def _file_write(action: FileWrite, context: Context) -> list[Factor]:
    content = action.content if isinstance(action.content, str) else action.content.decode("utf-8", "replace").replace("\x00", "\ufffd")
    if not action.path.strip():
        return [normalise.unreadable("empty", "There is no path.")]
    factors = _text(action.path)
    if found := paths.write_factor(action.path, context.working_dir):
        factors.append(found)
    factors.append(Factor("change.file-write", "change", "Writes a file.", MINOR, excerpt=action.path[:200]))
    return factors + _content(action.path, content, Walker(context, dispatch))


def _file_delete(action: FileDelete, context: Context) -> list[Factor]:
    if not action.path.strip():
        return [normalise.unreadable("empty", "There is no path.")]
    factors = _text(action.path)
    if found := paths.write_factor(action.path, context.working_dir):
        factors.append(found)
    weight, what = (SERIOUS, "Removes a folder with everything in it.") if action.recursive else (MEDIUM, "Removes a file.")
    if action.recursive and (paths.is_root(action.path) or paths.normalised(action.path) in (".", "..", "*")):
        weight, what = (
            (CRITICAL, "Removes the system or a person's files.")
            if paths.is_root(action.path)
            else (HIGH, "Removes everything in the working directory.")
        )
    factors.append(
        Factor(
            "destruction.delete",
            "destruction",
            what,
            weight,
            excerpt=action.path[:200],
            safer_alternative="Move it aside.",
        )
    )
    return factors


def _api_call(action: ApiCall) -> list[Factor]:
    body = action.body if isinstance(action.body, str) else action.body.decode("utf-8", "replace")
    for text in (action.url, body):
        if refusal := normalise.refusal(text):
            return [refusal]
    if not action.url.strip():
        return [normalise.unreadable("empty", "There is no address.")]
    base = Factor(
        "change.api-call",
        "change",
        "Calls an API.",
        scoring.TYPE_BASE["api_call"],
        excerpt=secrets.redact(f"{action.method} {action.url}")[:200],
    )
    return [
        base,
        *api.assess_request(action.method, action.url, action.headers, body),
        *normalise.suspicious(action.url),
    ]


def _git_push(action: GitPush) -> list[Factor]:
    factors = [
        *_text(f"{action.remote} {action.refspec}"),
        Factor(
            "change.git-push",
            "change",
            "Publishes commits.",
            scoring.TYPE_BASE["git_push"],
            excerpt=f"{secrets.redact(action.remote)} {action.refspec}"[:200],
        ),
    ]
    if action.force or action.refspec.startswith("+"):
        factors.append(
            Factor(
                "history.force-push",
                "history",
                "Overwrites history that others have.",
                HIGH,
                safer_alternative="Push to a new branch.",
            )
        )
    if action.refspec.startswith(":"):
        factors.append(Factor("history.remote-delete", "history", "Removes a branch or tag from the remote.", HIGH))
    target = action.refspec.rpartition(":")[2].removeprefix("refs/heads/").removeprefix("+")
    if target in ("main", "master", "production", "release", "prod", "trunk"):
        factors.append(
            Factor(
                "history.shared-branch",
                "history",
                f"Changes {target}, which others build on.",
                MINOR,
                safer_alternative="Open a pull request.",
            )
        )
    if action.remote.startswith(("ext::", "-")) or action.refspec.startswith("-"):
        factors.append(Factor("escape.git", "escape", "The remote is a command, or an option.", HIGH))
    return factors


def _workflow(action: WorkflowCreation, context: Context) -> list[Factor]:
    text = f"{action.name}\n{action.definition}"
    if refusal := normalise.refusal(text):
        return [refusal]
    factors = [
        *_text(text),
        Factor(
            "change.workflow",
            "change",
            "Stores an automation that runs later, without anybody looking.",
            scoring.TYPE_BASE["workflow_creation"],
            excerpt=action.name[:200],
        ),
    ]
    try:
        parsed: object = json.loads(action.definition)
    except (ValueError, RecursionError):
        parsed = [{"run": block} for block in _run_blocks(action.definition)]
    return factors + _with_shell(context, lambda walker: _values(parsed, walker, context)) + languages.mentions(text)


def _run_blocks(definition: str) -> list[str]:
    """The scripts of a YAML workflow: values of `run`, `script`, `command`, as one line or as an indented block."""
    blocks: list[str] = []
    lines = definition.split("\n")
    index = 0
    while index < len(lines):
        match = re.match(r"^(\s*(?:-\s+)?)(?:run|script|command|shell|cmd|args|entrypoint)\s*:\s*(.*)$", lines[index])
        index += 1
        if match is None:
            continue
        indent, value = len(match.group(1)), match.group(2).strip()
        if value and value not in ("|", ">", "|-", ">-", "|+", ">+"):
            blocks.append(value.strip("\"'"))
            continue
        block: list[str] = []
        while index < len(lines) and (
            not lines[index].strip() or len(lines[index]) - len(lines[index].lstrip()) >= indent + (0 if lines[index].lstrip().startswith("-") else 1)
        ):
            block.append(re.sub(r"^\s*-\s+", "", lines[index]).strip("\r") if not value else lines[index].strip("\r"))
            index += 1
        blocks.append("\n".join(line.strip() for line in block))
    return blocks


def _agent(agent: str) -> list[Factor]:
    weight = scoring.AGENT_BASE.get(agent.strip().lower())
    return [Factor("agent.base", "agent", f"The {agent} agent changes things.", weight)] if weight else []


def _step_start(action: StepStart, context: Context) -> list[Factor]:
    if refusal := normalise.refusal(action.description):
        return [refusal]
    reading = prose.read(action.description)
    factors = [*reading.factors, *normalise.suspicious(action.description), *_agent(action.agent or context.agent)]
    # A command that the text names is judged by what it does: an inferred type would only count the same thing twice.
    kind = action.approval_type or context.approval_type or ("" if reading.commands else reading.approval_type)
    if kind in scoring.TYPE_BASE:
        factors.append(Factor(f"type.{kind}", "type", f"A step of type {kind}.", scoring.TYPE_BASE[kind]))

    def inside(walker: Walker) -> list[Factor]:
        whole = [action.description.strip()] == list(reading.commands)
        for command in reading.commands:
            before = len(walker.factors)
            walker.run_text(command)
            if not whole:  # the end of a command inside a sentence is a guess: a bad guess must not make it unreadable
                walker.factors[before:] = [f for f in walker.factors[before:] if f.category != scoring.UNREADABLE]
        return _values(action.inputs, walker, context)

    return factors + _with_shell(context, inside)


def _values(value: object, walker: Walker, context: Context) -> list[Factor]:
    """Factors of inputs or a result, whatever their shape."""
    factors: list[Factor] = []
    files: set[str] = set()
    try:
        for found in nested.walk(value):
            if found.text and (refusal := normalise.refusal(found.text)) and found.kind != "argv":
                factors.append(refusal)
                continue
            factors += _value(found, walker, context, files)
    except nested.TooMuch:
        factors.append(normalise.unreadable("too-large", "An object with more values, or nested deeper, than is analysed."))
    if len(files) > MANY_FILES:
        factors.append(Factor("volume.files", "volume", f"Touches {len(files)} files.", MEDIUM))
    return factors


def _value(found: nested.Found, walker: Walker, context: Context, files: set[str]) -> list[Factor]:
    text = found.text
    factors = [*secrets.detect(text), *normalise.suspicious(text)]
    if found.kind == "command":
        walker.run_text(text)
    elif found.kind == "argv":
        walker.state.nested = 1
        walker.run_words([Word(argument) for argument in text.split("\0")])
        walker.state.nested = 0
    elif found.kind == "code":
        factors += languages.assess(found.extra, text, walker.run_text) if found.extra else languages.mentions(text)
    elif found.kind == "path":
        files.add(text)
        if factor := paths.write_factor(text, context.working_dir):
            factors.append(factor)
    elif found.kind == "url":
        method, _, url = text.partition(" ") if " " in text else (found.extra or "GET", "", text)
        factors += api.assess_request(method, url, {}, None)
    else:
        factors += languages.mentions(text)
        if found.extra == "content" or "\n" in text or "`" in text:
            for command in prose.commands_in(text)[:50] if "`" in text else []:
                walker.run_text(command)
    return factors
