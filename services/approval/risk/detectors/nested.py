"""Finds what matters in inputs and results of any shape: commands, code, files, requests, and all other text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_VALUES = 200_000  # values in one object; more is UNKNOWN
MAX_PLAIN_KEY = 12  # characters of a key that is surely a name; a longer one can be a number or a token
MAX_DEPTH = 500  # containers inside containers; deeper is UNKNOWN

_COMMANDS = frozenset("command commands cmd cmds shell bash shell_command shellcommand argv script scripts run exec terminal".split())
_CODE = frozenset("code source source_code snippet program codeblock code_block".split())
_PATHS = frozenset(
    "path file filepath file_path filename file_name files filesmodified files_modified fileschanged files_changed modifiedfiles createdfiles files_created paths target_file".split()
)
_URLS = frozenset("url endpoint uri href webhook api_url apicall api_call api_calls apicalls".split())
_WORKFLOWS = frozenset("workflow workflow_definition workflowdefinition workflow_name".split())
_LANGUAGES = frozenset("language lang".split())


@dataclass(frozen=True, slots=True)
class Found:
    """One value: `kind` is command, code, path, url, workflow, key or text; `extra` is a language or a method."""

    kind: str
    text: str
    extra: str = ""


class TooMuch(Exception):
    """The object is larger or deeper than what is looked at."""


def walk(value: object) -> Iterator[Found]:
    """Every value of an object, at any depth, in a fixed order. Raises TooMuch over the caps."""
    todo: list[tuple[object, str, int, Mapping[object, object]]] = [(value, "", 0, {})]
    seen = 0
    while todo:
        current, key, depth, parent = todo.pop()
        seen += 1
        if seen > MAX_VALUES or depth > MAX_DEPTH:
            raise TooMuch
        if isinstance(current, bytes | bytearray):
            current = bytes(current).decode("utf-8", "replace")
        if isinstance(current, str):
            yield _one(current, key, parent)
        elif isinstance(current, Mapping):
            for name, inner in reversed(list(current.items())):
                todo.append((inner, _normal(name), depth + 1, current))
            for name in current:
                if isinstance(name, str) and len(name) > MAX_PLAIN_KEY:
                    yield Found("key", name)
        elif isinstance(current, Sequence):
            if key == "argv" and all(isinstance(each, str) for each in current):
                yield Found("argv", "\0".join(str(each) for each in current))
                continue
            todo.extend((inner, key, depth + 1, parent) for inner in reversed(current))


def _normal(name: object) -> str:
    return str(name).strip().lower().replace("-", "_")


def _one(text: str, key: str, parent: Mapping[object, object]) -> Found:
    if key in _COMMANDS:
        language = _beside(parent, _LANGUAGES)
        if key in ("script", "scripts") and language and language.lower() not in ("bash", "sh", "shell"):
            return Found("code", text, language)
        return Found("command", text)
    if key in _CODE:
        return Found("code", text, _beside(parent, _LANGUAGES))
    if key in _PATHS and "\n" not in text:
        return Found("path", text)
    if key in _URLS and ("://" in text or text.startswith(("GET ", "POST ", "PUT ", "DELETE ", "PATCH "))):
        return Found("url", text, _beside(parent, frozenset({"method", "verb"})))
    if key in _WORKFLOWS:
        return Found("workflow", text)
    return Found("text", text, key)


def _beside(parent: Mapping[object, object], names: frozenset[str]) -> str:
    for name, value in parent.items():
        if _normal(name) in names and isinstance(value, str):
            return value
    return ""
