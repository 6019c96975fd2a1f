"""The rules in force: those that come with the package, and the packs that an operator names.

Whatever is wrong with a pack refuses the start: without one of its rules a service would let pass what its operator
forbids.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from services.approval import risk
from services.approval.risk.rules import BUILTIN, PackError, RuleBook, examples, parse
from services.runtime.errors import ConfigurationError

SETTING = "HARNESS_RISK_RULE_PACKS"
_BUILTIN = "builtin/"
_ENDINGS = (".yaml", ".yml")
_MAX_BYTES = 1 << 20  # read of one file; `parse` refuses what has too many characters, and says so


def rule_book(where: str) -> RuleBook:
    """The built-in rules and the packs at `where`: folders and files, separated by the system's path separator.

    A folder stands for the .yaml and .yml files in it. The examples of the packs are checked.

    Raises:
        ConfigurationError: names the file, the rule and what to do.
    """
    try:
        packs = [parse(_read(path), str(path)) for path in _files(where)]
        book = BUILTIN.extended(packs) if packs else BUILTIN
        examples.check(packs, _assess, book)
    except PackError as error:
        raise ConfigurationError(f"{SETTING}: {error}") from error
    return book


def condensed(book: RuleBook) -> str:
    """The packs of a book in one line: one digest for the built-in ones, and further packs by name and version.

    "builtin+sha256.0123456789ab acme/deploys 1.2.0+sha256.ba9876543210". The log has all versions at the start.
    """
    versions = book.versions()
    further = {name: version for name, version in versions.items() if not name.startswith(_BUILTIN)}
    listed = sorted(f"{name} {version}" for name, version in versions.items() if name not in further)
    digest = hashlib.sha256("\n".join(listed).encode()).hexdigest()
    parts = [f"builtin+sha256.{digest[:12]}", *(f"{name} {version}" for name, version in sorted(further.items()))]
    return " ".join(parts)


def _assess(line: str, book: RuleBook) -> risk.Assessment:
    return risk.assess(risk.Command(script=line), risk.Context(rules=book))


def _files(where: str) -> Iterator[Path]:
    for name in where.split(os.pathsep):
        if not name.strip():
            continue
        path = Path(name.strip())
        if not path.is_dir():
            yield path
            continue
        found = sorted(each for each in path.iterdir() if each.suffix in _ENDINGS)
        if not found:
            raise ConfigurationError(f"{SETTING}: there is no .yaml file in {path}; name the folder that has the packs")
        yield from found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode()
    except OSError as error:
        raise ConfigurationError(f"{SETTING}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{SETTING}: {path} is not UTF-8 text") from error
