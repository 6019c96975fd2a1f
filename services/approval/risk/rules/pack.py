"""Rule packs: YAML read strictly into compiled rules. A pack that is wrong in any way is refused, with what to do about it.

Pure: a pack comes in as text. Nothing of it is executed, and every pattern is RE2's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from services.approval.risk import patterns, scoring
from services.approval.risk.model import Factor
from services.approval.risk.rules.condition import Compiler, Predicate, Wrong, first_words, is_glob, options_of, shown, words_of
from services.approval.risk.shell.invocation import Invocation

SCHEMA = "1"
MAX_CHARACTERS = 1 << 18  # of one file; the largest built-in pack has a fifth of it
MAX_DEPTH = 20  # nested lists and mappings
MAX_RULES = 500  # of one pack
MAX_EXAMPLES = 200  # of one rule, and of a pack's everyday commands
MAX_EXAMPLE = 4096  # characters

WEIGHTS: dict[str, int] = {
    "note": scoring.NOTE,
    "minor": scoring.MINOR,
    "medium": scoring.MEDIUM,
    "serious": scoring.SERIOUS,
    "high": scoring.HIGH,
    "critical": scoring.CRITICAL,
}
# Families whose factors mean something to the scoring; a rule must not speak for them.
RESERVED = scoring.MODIFIERS | {scoring.UNREADABLE, "type", "content", "example"}

_PACK_KEYS = {"schema": True, "pack": True, "version": True, "options": False, "define": False, "everyday": False, "rules": True}
_RULE_KEYS = {"id": True, "programs": True, "weight": True, "message": True, "safer": False, "when": False, "match": True, "no_match": True}
_NAME = patterns.compile(r"^[a-z0-9][a-z0-9-]{0,40}(?:/[a-z0-9][a-z0-9-]{0,40})?$")
_ID = patterns.compile(r"^[a-z][a-z0-9-]{0,40}(?:\.[a-z0-9][a-z0-9-]{0,60}){1,2}$")
_VERSION = patterns.compile(r"^\d{1,6}(?:\.\d{1,6}\.\d{1,6})?$")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events; libyaml's come ten times as fast


class PackError(ValueError):
    """A pack that is refused: which file, which rule, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One behaviour of some programs.

    `id` names it in its pack. `factor`, the id's first two parts, is what an assessment shows: rules of one factor count once,
    with the heaviest weight. `first` are the subcommands it can begin with, lower-cased; None when it could be any word.
    `taking` are, by program, the options of which its pack says that they take a value.
    """

    id: str
    factor: str
    programs: tuple[str, ...]
    weight: int
    message: str
    safer: str
    match: tuple[str, ...]
    no_match: tuple[str, ...]
    first: frozenset[str] | None = None
    holds: Predicate | None = field(default=None, repr=False, compare=False)
    taking: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def raised_by(self, call: Invocation) -> Factor:
        """The factor of a command for which the rule holds."""
        return Factor(
            self.factor,
            self.factor.partition(".")[0],
            self.message,
            self.weight,
            excerpt=call.excerpt,
            span=call.span,
            safer_alternative=self.safer,
        )


@dataclass(frozen=True, slots=True)
class Pack:
    """The rules of one file. `everyday` are commands that must stay LOW with the pack in force. `digest` is of its text."""

    name: str
    version: str
    digest: str
    rules: tuple[Rule, ...]
    everyday: tuple[str, ...]
    source: str


def parse(text: str, source: str) -> Pack:
    """Reads a pack. `source` is the file's name, for messages. Raises PackError."""
    if len(text) > MAX_CHARACTERS:
        raise PackError(f"{source}: {len(text)} characters, at most {MAX_CHARACTERS} are read; split it into several packs")
    try:
        tree = _read(text)
    except Wrong as wrong:
        raise PackError(f"{source}: {wrong}") from wrong
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise PackError(f"{source}{line}: no YAML: {getattr(error, 'problem', None) or error}") from error
    return _pack(tree, text, source)


def _pack(tree: object, text: str, source: str) -> Pack:
    try:
        top = _mapping(tree, "a pack", _PACK_KEYS)
        if top["schema"] != SCHEMA:
            raise Wrong(f"schema: {shown(top['schema'])} is not known; this version reads schema: {SCHEMA}")
        name, version = _text(top, "pack"), _text(top, "version")
        if not _NAME.match(name):
            raise Wrong(f"pack: {shown(name)} is no name; write lower-case words, as in acme/deploy")
        if not _VERSION.match(version):
            raise Wrong(f"version: {shown(version)} is no version; write a number or major.minor.patch, and raise it with every change")
        everyday = _examples(top, "everyday", "a pack", required=False)
        taking = _taking(top.get("options", {}))
        defined = _defined(top.get("define", {}))
        rows = top["rules"]
        if not isinstance(rows, list) or not rows:
            raise Wrong("rules: must be a list of at least one rule")
        if len(rows) > MAX_RULES:
            raise Wrong(f"rules: {len(rows)} of them, at most {MAX_RULES} are read; split the pack")
    except Wrong as wrong:
        raise PackError(f"{source}: {wrong}") from wrong
    rules: dict[str, Rule] = {}
    for number, row in enumerate(rows, 1):
        named = row.get("id") if isinstance(row, dict) else None
        where = f"{source}: rule {named if isinstance(named, str) and named else f'number {number}'}"
        try:
            rule = _rule(row, defined, taking)
        except Wrong as wrong:
            raise PackError(f"{where}: {wrong}") from wrong
        if rule.id in rules:
            raise PackError(f"{where}: the id is there twice; give one a third part, as in {rule.factor}.other")
        rules[rule.id] = rule
    return Pack(name, version, hashlib.sha256(text.encode()).hexdigest(), tuple(rules.values()), everyday, source)


def _taking(spec: object) -> dict[str, frozenset[str]]:
    """The options with a value of the programs under `options`."""
    if not isinstance(spec, dict):
        raise Wrong("options: must be a mapping of programs to their options that take a value")
    return {_program(program, "options"): frozenset(options_of(words, f"options: {program}")) for program, words in spec.items()}


def _program(name: str, key: str) -> str:
    if name != name.lower() or "/" in name or is_glob(name):
        raise Wrong(f"{key}: {shown(name)} is no program's name; write it without its folder, in lower case")
    return name


def _defined(spec: object) -> dict[str, Predicate]:
    if not isinstance(spec, dict):
        raise Wrong("define: must be a mapping of names to conditions")
    found: dict[str, Predicate] = {}
    for name, condition in spec.items():
        try:
            found[name] = Compiler(found).condition(condition)
        except Wrong as wrong:
            raise Wrong(f"define: {name}: {wrong}") from wrong
    return found


def _rule(row: object, defined: Mapping[str, Predicate], taking: Mapping[str, frozenset[str]]) -> Rule:
    spec = _mapping(row, "a rule", _RULE_KEYS)
    rule_id = _text(spec, "id")
    if not _ID.match(rule_id):
        raise Wrong("id: must be family.behaviour or family.behaviour.variant, in lower case, as in acme.deploy-freeze")
    parts = rule_id.split(".")
    if parts[0] in RESERVED:
        raise Wrong(f"id: the family {parts[0]!r} belongs to the assessment itself; choose another")
    weight = WEIGHTS.get(_text(spec, "weight"))
    if weight is None:
        raise Wrong(f"weight: {shown(spec['weight'])} is no weight; there are {', '.join(WEIGHTS)}")
    programs = tuple(_program(program, "programs") for program in words_of(spec["programs"], "programs"))
    when = spec.get("when")
    return Rule(
        id=rule_id,
        factor=".".join(parts[:2]),
        programs=programs,
        weight=weight,
        message=_text(spec, "message"),
        safer=_text(spec, "safer") if "safer" in spec else "",
        match=_examples(spec, "match", "a rule"),
        no_match=_examples(spec, "no_match", "a rule"),
        first=first_words(when),
        holds=None if when is None else Compiler(defined).condition(when),
        taking={program: taking[program] for program in programs if program in taking},
    )


def _mapping(spec: object, what: str, keys: Mapping[str, bool]) -> dict[str, object]:
    if not isinstance(spec, dict):
        raise Wrong(f"{what} is a mapping of {', '.join(keys)}, not {shown(spec)}")
    if unknown := spec.keys() - keys.keys():
        raise Wrong(f"{shown(min(unknown))} is no key of {what}; there are {', '.join(keys)}")
    if missing := [key for key, required in keys.items() if required and key not in spec]:
        raise Wrong(f"{what} needs {', '.join(missing)}")
    return spec


def _text(spec: Mapping[str, object], key: str) -> str:
    value = spec[key]
    if not isinstance(value, str) or not value.strip() or len(value) > 400:
        raise Wrong(f"{key}: must be a text of at most 400 characters, not {shown(value)}")
    return value.strip()


def _examples(spec: Mapping[str, object], key: str, what: str, *, required: bool = True) -> tuple[str, ...]:
    lines = spec.get(key, [])
    if not isinstance(lines, list) or not all(isinstance(line, str) and line.strip() for line in lines):
        raise Wrong(f"{key}: must be a list of command lines, not {shown(lines)}; quote a line that has `: ` or ` #` in it")
    if required and not lines:
        raise Wrong(f"{what} needs {key}: at least one command line")
    if len(lines) > MAX_EXAMPLES or any(len(line) > MAX_EXAMPLE for line in lines):
        raise Wrong(f"{key}: at most {MAX_EXAMPLES} command lines of at most {MAX_EXAMPLE} characters are read")
    return tuple(lines)


def _read(text: str) -> object:
    """The tree of a YAML text, every scalar as a string: no `on` that becomes true, no anchors, no key twice."""
    stack: list[tuple[Any, list[Any]]] = []  # what is open: the list or mapping, and for a mapping the key that waits
    top: list[Any] = []
    for event in _events(text):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Wrong(f"line {line}: anchors and aliases are not read; use `define`")
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(({} if isinstance(event, yaml.MappingStartEvent) else [], []))
            if len(stack) > MAX_DEPTH:
                raise Wrong(f"line {line}: nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            _place(stack.pop()[0], stack, top, line)
        elif isinstance(event, yaml.ScalarEvent):
            _place(event.value, stack, top, line)
        elif isinstance(event, yaml.DocumentStartEvent) and top:
            raise Wrong(f"line {line}: a second document; one pack a file")
    return top[0] if top else None


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except (UnicodeError, yaml.reader.ReaderError) as error:
        raise Wrong(f"no text: {error}") from error


def _place(value: Any, stack: list[tuple[Any, list[Any]]], top: list[Any], line: int) -> None:
    if not stack:
        top.append(value)
        return
    holder, key = stack[-1]
    if isinstance(holder, list):
        holder.append(value)
    elif key:
        holder[key.pop()] = value
    elif not isinstance(value, str):
        raise Wrong(f"line {line}: a key must be a word")
    elif value in holder:
        raise Wrong(f"line {line}: the key {shown(value)} is there twice")
    else:
        key.append(value)
