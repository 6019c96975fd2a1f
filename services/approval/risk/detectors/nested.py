"""Finds what matters in inputs and results of any shape: commands, code, files, requests, amounts, and all other text.

What a value is, its field's name tells, whatever its style (`file_path`, `filePath`). Text that is JSON is looked into as well:
tools pass their arguments that way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.approval.risk import patterns

MAX_VALUES = 200_000  # values in one object; more is UNKNOWN
MAX_DEPTH = 500  # containers inside containers; deeper is UNKNOWN
MAX_ENCODED = 8  # JSON inside text inside JSON; deeper is UNKNOWN
MAX_PLAIN_KEY = 12  # characters of a key that is surely a name; a longer one can be a number or a token

_COMMANDS = frozenset("command commands cmd cmds cmdline commandline shell bash shellcommand argv script scripts run exec terminal".split())
_TOOLS = _COMMANDS | frozenset("sh runcommand executecommand runshell runterminal runinterminal executebash runbash subprocess".split())
_CODE = frozenset("code source sourcecode snippet program codeblock pythoncode".split())
_PATHS = frozenset(
    "path file filepath filename files filesmodified fileschanged modifiedfiles changedfiles createdfiles filescreated fileswritten paths targetfile "
    "destination destinationpath outputfile outputpath targetpath deletedfiles filesdeleted writtenfiles".split()
)
_URLS = frozenset("url urls endpoint uri href webhook webhookurl apiurl apicall apicalls requesturl".split())
_WORKFLOWS = frozenset("workflow workflowdefinition workflowname".split())
_LANGUAGES = frozenset("language lang".split())
_METHODS = frozenset({"method", "verb", "httpmethod"})
_NAMES = frozenset("name tool toolname function type kind key action".split())
_ARGUMENTS = frozenset("args arguments input value params parameters text argument".split())
_QUERIES = frozenset("query queries statement statements dbquery".split())
# The beginning of a statement that acts; of a search, the words after it are others: "drop shipping suppliers".
_SQL = patterns.compile(
    r"(?i)\s*(?:(?:drop|alter|create)\s+(?:table|database|schema|view|index|user|role)\b|delete\s+from\b|truncate\s+\w|update\s+\S+\s+set\b"
    r"|insert\s+into\b|(?:grant|revoke)\s.*\s(?:to|from)\b|merge\s+into\b|select\s.*\b(?:into|from)\b|exec(?:ute)?\s+\w)"
)
_CALLS = ("GET ", "POST ", "PUT ", "DELETE ", "PATCH ")


@dataclass(frozen=True, slots=True)
class Found:
    """One value: `kind` is command, argv (joined by NUL), code, path, url, workflow, key, number, rows or text.

    `extra` is the language of code, the method of a url, and the name of the field otherwise.
    """

    kind: str
    text: str
    extra: str = ""


class TooMuch(Exception):
    """The object is larger or deeper than what is looked at."""


def walk(value: object) -> Iterator[Found]:
    """Every value of an object, at any depth, in a fixed order. Raises TooMuch over the caps."""
    todo: list[tuple[object, str, int, int, Mapping[object, object]]] = [(value, "", 0, 0, {})]
    seen = 0
    while todo:
        current, key, depth, encoded, parent = todo.pop()
        seen += 1
        if seen > MAX_VALUES or depth > MAX_DEPTH or encoded > MAX_ENCODED:
            raise TooMuch
        if isinstance(current, bytes | bytearray):
            current = bytes(current).decode("utf-8", "replace")
        if isinstance(current, str):
            yield _one(current, key, parent)
            if (inner := _json_in(current)) is not None:
                todo.append((inner, key, depth + 1, encoded + 1, parent))
        elif isinstance(current, bool) or current is None:
            continue
        elif isinstance(current, int | float):
            yield Found("number", repr(current), key)
        elif isinstance(current, Mapping):
            if argv := _split_command(current):
                yield argv
            for name, each in reversed(list(current.items())):
                todo.append((each, _normal(name), depth + 1, encoded, current))
            for name in current:
                if isinstance(name, str) and len(name) > MAX_PLAIN_KEY:
                    yield Found("key", name)
        elif isinstance(current, Sequence):
            if any(isinstance(each, Mapping) for each in current):
                yield Found("rows", str(len(current)), key)
            elif argv := _argv(key, current):
                yield argv
                if key == "argv" or any(each.startswith("-") for each in current):
                    continue
            todo.extend((each, key, depth + 1, encoded, parent) for each in reversed(current))


def _normal(name: object) -> str:
    """The name of a field without its style: lower case, no separators."""
    return str(name).strip().lower().replace("-", "").replace("_", "").replace(" ", "")


def _json_in(text: str) -> object:
    """What a text that is JSON of an object or a list holds; None for any other text."""
    if not (text[:1] in "{[" and text[-1:] in "}]" and text) or len(text) < 5:
        return None
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    except RecursionError as error:
        raise TooMuch from error
    return parsed if isinstance(parsed, dict | list) else None


def _argv(key: str, values: Sequence[object]) -> Found | None:
    """A list of words under the name of a command: one command's arguments, or several commands where they hold spaces."""
    runs = key in _COMMANDS or (key in ("args", "arguments") and _is_command_line(values))
    if not runs or not values or not all(isinstance(each, str) for each in values):
        return None
    if key != "argv" and (" " in str(values[0]) or len(values) == 1):
        return None
    return Found("argv", "\0".join(str(each) for each in values))


def _is_command_line(values: Sequence[object]) -> bool:
    """Whether words that nothing says are a command are one all the same: a program's name, and an option after it."""
    first = values[0] if values else ""
    return isinstance(first, str) and first[:1].isalpha() and first.islower() and any(isinstance(v, str) and v[:1] == "-" for v in values[1:])


def _split_command(fields: Mapping[object, object]) -> Found | None:
    """A command whose arguments are in a field beside it."""
    named = {_normal(name): value for name, value in fields.items()} if len(fields) <= 50 else {}
    program = next((named[name] for name in ("command", "cmd", "program", "executable") if isinstance(named.get(name), str)), None)
    arguments = next((named[name] for name in ("args", "arguments", "argv") if isinstance(named.get(name), list)), None)
    if not isinstance(program, str) or not program or " " in program or not isinstance(arguments, list):
        return None
    return Found("argv", "\0".join([program, *(str(each) for each in arguments if isinstance(each, str | int | float))]))


def _one(text: str, key: str, parent: Mapping[object, object]) -> Found:
    if key in _COMMANDS or (key in _ARGUMENTS and _normal(_beside(parent, _NAMES)) in _TOOLS):
        language = _beside(parent, _LANGUAGES)
        if key in ("script", "scripts") and language and language.lower() not in ("bash", "sh", "shell"):
            return Found("code", text, language)
        return Found("command", text)
    if key in _CODE:
        return Found("code", text, _beside(parent, _LANGUAGES))
    if key in ("sql", "sqlquery") or (key in _QUERIES and _SQL.match(text)):
        return Found("code", text, "sql")
    if key in _PATHS and "\n" not in text:
        return Found("path", text, key)
    if key in _URLS and ("://" in text or text.startswith(_CALLS)):
        return Found("url", text, _beside(parent, _METHODS))
    if key in _WORKFLOWS:
        return Found("workflow", text)
    return Found("text", text, key)


def _beside(parent: Mapping[object, object], names: frozenset[str]) -> str:
    """The text of the first field of these names in the same object, empty when there is none."""
    return next((value for name, value in parent.items() if isinstance(value, str) and _normal(name) in names), "")
