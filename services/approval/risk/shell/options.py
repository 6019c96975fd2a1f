"""Options as programs read them: `-u root`, `-uroot`, `-nu root`, `--user root`, `--user=root`, `--us root`, `-10`, `--`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.approval.risk.shell.words import Word


@dataclass(frozen=True, slots=True)
class Syntax:
    """The options of one program.

    `values`: options that take a value, attached or as the next argument. `pairs`: options that take the next two arguments.
    `optional`: short options whose value can only be attached. `flags`: options without a value. An option in none of them is
    unknown: it may or may not take the next argument.
    """

    values: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was given: its name as the program's table writes it, its value, how many arguments it took."""

    name: str
    value: Word | None = None
    taken: int = 1
    known: bool = True


def syntax(*, values: str = "", pairs: str = "", optional: str = "", flags: str = "") -> Syntax:
    """A syntax from space-separated options."""
    return Syntax(*(frozenset(text.split()) for text in (values, pairs, optional, flags)))


def is_option(text: str) -> bool:
    """Whether an argument is an option: a dash and more, but not `--` alone."""
    return len(text) > 1 and text[0] == "-" and text != "--"


def read(table: Syntax, words: Sequence[Word], index: int) -> list[Option]:
    """The options in the argument at `index`: one, or several when short ones are joined; the last may have a value."""
    word = words[index]
    text = word.text
    following = words[index + 1] if index + 1 < len(words) else None
    if text.startswith("--") or text in table.values or text in table.pairs or text in table.flags:
        return [_whole(table, word, following)]
    if text[1:].isdigit():  # nice -10, head -5
        return [Option(text)]
    return list(_joined(table, word, following))


def _whole(table: Syntax, word: Word, following: Word | None) -> Option:
    name, equals, value = word.text.partition("=")
    if name in table.flags or name[2:].isdigit():
        return Option(name)
    if name in table.pairs:
        return Option(name, following, 3)
    if name not in table.values and name.startswith("--") and len(name) > 3:  # GNU programs take any unique beginning
        name = next((option for option in table.values if option.startswith(name)), name)
    if name not in table.values:
        return Option(name, Word(value, word.taints) if equals else None, known=bool(equals))
    if equals:
        return Option(name, Word(value, word.taints))
    return Option(name, following, 2)


def _joined(table: Syntax, word: Word, following: Word | None) -> Iterator[Option]:
    text = word.text
    for position in range(1, len(text)):
        name, rest = f"-{text[position]}", text[position + 1 :]
        if name in table.values:
            yield Option(name, Word(rest, word.taints)) if rest else Option(name, following, 2)
            return
        if name in table.optional:
            yield Option(name, Word(rest, word.taints) if rest else None)
            return
        yield Option(name, known=name in table.flags)


def split(table: Syntax, words: Sequence[Word]) -> tuple[list[Option], list[Word]]:
    """The options and the operands of an argument list in which both may be mixed; after `--` everything is an operand."""
    found: list[Option] = []
    operands: list[Word] = []
    index = 0
    while index < len(words):
        text = words[index].text
        if text == "--":
            operands += words[index + 1 :]
            break
        if is_option(text):
            options = read(table, words, index)
            found += options
            index += options[-1].taken if options else 1
        else:
            operands.append(words[index])
            index += 1
    return found, operands


def given(options: Iterable[Option], *names: str) -> list[Word]:
    """The values that were given to any of these options."""
    return [option.value for option in options if option.name in names and option.value is not None]
