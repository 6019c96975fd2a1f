"""Rules in CEL, bounded: what could take long is refused when a rule is saved.

The library (`common-expression-language`) has no cost limit and holds the GIL: seven comprehensions in each other take
seconds, twenty chained `map`s gigabytes, and deep nesting ends the process. It shows no syntax tree, so a rule is read
here first, token by token, and what is compiled is written anew from those tokens: there is nothing in it that was not
checked.

A rule is a subset of CEL: the operators, literals and lists of CEL, `size`, `contains`, `startsWith`, `endsWith`,
`matches`, and `exists`, `all`, `exists_one` over the documented lists, none inside another. The work of one rule is
so at most its length times the longest list or text (`names`). Patterns of `matches` are literals, compiled once by
RE2: the library compiles a pattern each time it is used, which takes milliseconds for some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from services.approval.policy.names import CONSTANTS, NAMES, RECORDS, Kind
from services.runtime.patterns import Pattern, PatternError
from services.runtime.patterns import compile as compile_pattern

MAX_SOURCE = 4096  # characters of a rule
MAX_TOKENS = 1000
MAX_OPERATORS = 64  # each may be one more call on the library's stack
MAX_DEPTH = 12  # brackets inside each other
MAX_COMPREHENSIONS = 4
MAX_PATTERN = 512  # characters of one pattern

_TOKENS = compile_pattern(
    r"[ \t\r\n]+|//[^\n]*|[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,18}(?:\.[0-9]{1,18})?"
    r"|&&|\|\||[!=<>]=|[-!<>+*/%?:.,()\[\]]"
)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
_OPERATORS = frozenset("&& || == != <= >= < > ! - + * / % ?".split())
_WORDS = frozenset({"true", "false", "null", "in"})
_CLOSING = {"(": ")", "[": "]"}
_FUNCTIONS = frozenset({"size", "int", "double", "string"})
_METHODS = frozenset({"size", "contains", "startsWith", "endsWith"})
_COMPREHENSIONS = frozenset({"exists", "all", "exists_one"})
_MATCHES = "matches__"


class CelError(ValueError):
    """A rule that cannot be read, or might take too long; the message says what to write instead."""


class EvaluationError(Exception):
    """A rule that has no answer: neither true nor false."""


@dataclass(frozen=True, slots=True)
class Program:
    """A rule that was checked and compiled. `names` are those of `NAMES` that it looks at."""

    source: str
    names: frozenset[str]
    _execute: Callable[[Any], object] = field(repr=False, compare=False)

    def run(self, values: Values) -> bool:
        """Whether the rule matches. Raises EvaluationError: a value is missing, or not of the type it should be."""
        try:
            answer = self._execute(values.context)
        except EvaluationError:
            raise
        except BaseException as error:
            if not _is_from_library(error):
                raise
            missing = sorted(self.names & values.missing.keys())
            why = "; ".join(values.missing[name] for name in missing) or type(error).__name__
            raise EvaluationError(why) from error
        if not isinstance(answer, bool):
            raise EvaluationError("the answer is neither true nor false")
        return answer


class Values:
    """What programs look at: names of `NAMES` with their values, and why some have none (`missing`)."""

    def __init__(self, values: Mapping[str, object], missing: Mapping[str, str]) -> None:
        self.missing = missing
        named = {_flat(name): value for name, value in values.items()}
        self.context = _library().Context(named, {_MATCHES: _search})


def compile(source: str) -> Program:
    """Check a rule and compile it. Raises CelError."""
    if len(source) > MAX_SOURCE:
        raise CelError(f"is {len(source)} characters long; write at most {MAX_SOURCE}, or several rules")
    reader = _Reader(list(_tokens(source)))
    written = reader.read()
    try:
        program = _library().compile(written)
    except BaseException as error:
        if not _is_from_library(error):
            raise
        raise CelError("is no CEL expression: " + _said(error)) from error
    return Program(source, frozenset(reader.names), program.execute)


def unusable(source: str, why: str) -> Program:
    """A program that has no answer to anything."""

    def fail(_: object) -> object:
        raise EvaluationError(why)

    return Program(source, frozenset(), fail)


@cache
def _library() -> Any:
    # Imported when there is a rule to compile: the package brings its command line along, which takes a while.
    import cel

    return cel


def _is_from_library(error: BaseException) -> bool:
    """Whether a failure is the library's own; its panics are no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _said(error: BaseException) -> str:
    """The library's complaint without its quotes of the text, which is not the one that was written."""
    lines = [line for line in str(error).splitlines() if not line.startswith("|")]
    text = " ".join(lines).partition("ERROR: ")[2] or str(error)
    return text.partition("expecting")[0].strip()[:200]


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Pattern:
    return compile_pattern(text)


def _search(text: object, pattern: str) -> object:
    """`matches`: whether RE2 finds the pattern. What is no text gives what no rule can go on with."""
    return _pattern(pattern).search(text) is not None if isinstance(text, str) else None


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_text: bool = False  # a literal text; `text` is then what it means


def _tokens(source: str) -> Iterator[_Token]:
    at = 0
    while at < len(source):
        raw = source[at] in "rR" and source[at + 1 : at + 2] in ("'", '"')
        if raw or source[at] in "'\"":
            meaning, at = _literal(source, at + raw, raw=bool(raw))
            yield _Token(meaning, is_text=True)
            continue
        found = _TOKENS.match(source[at : at + MAX_SOURCE])
        if found is None:
            raise CelError(f"has {source[at]!r}, which no rule needs, at character {at + 1}")
        text = found.group(0)
        at += len(text)
        if text[0] not in " \t\r\n" and not text.startswith("//"):
            yield _Token(text)


def _literal(source: str, at: int, *, raw: bool) -> tuple[str, int]:
    """The meaning of the quoted text that begins at `at`, and where it ends."""
    quote, made, start = source[at], [], at
    if source.startswith(quote * 3, at):
        raise CelError(f"has a text in three quotes at character {at + 1}; use one")
    at += 1
    while at < len(source) and source[at] != quote:
        letter = source[at]
        if letter in "\r\n":
            break
        if letter == "\\" and raw:
            if source[at + 1 : at + 2] == quote:
                raise CelError(
                    f"has a backslash before a quote in the text at character {start + 1}; use the other quote"
                )
        elif letter == "\\":
            letter, at = _escape(source, at)
        made.append(letter)
        at += 1
    if at >= len(source) or source[at] != quote:
        raise CelError(f"has a text that does not end, at character {start + 1}")
    return "".join(made), at + 1


def _escape(source: str, at: int) -> tuple[str, int]:
    kind = source[at + 1 : at + 2]
    if kind in _ESCAPES:
        return _ESCAPES[kind], at + 1
    digits = source[at + 2 : at + 6]
    if kind == "u" and len(digits) == 4 and all(each in "0123456789abcdefABCDEF" for each in digits):
        letter = chr(int(digits, 16))
        if letter.isprintable():
            return letter, at + 5
    raise CelError(f"has an escape that is not known at character {at + 1}; in a pattern, write r'...'")


class _Reader:
    """Reads the tokens of one rule once, and writes what is compiled."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.names: set[str] = set()
        self._tokens = tokens
        self._at = 0
        self._written: list[str] = []
        self._open: list[str] = []
        self._variable = ""  # of the comprehension that is being read
        self._ends_at = 0  # how many brackets are open where it ends
        self._operators = self._comprehensions = 0
        self._list = ""  # the documented list that was just read

    def read(self) -> str:
        """The text to compile. Raises CelError."""
        if not self._tokens:
            raise CelError("is empty; write `true` for a rule that always matches")
        if len(self._tokens) > MAX_TOKENS:
            raise CelError(f"has {len(self._tokens)} words and signs; write at most {MAX_TOKENS}, or several rules")
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            just_read, self._list = self._list, ""
            if token.is_text:
                self._write(_quoted(token.text))
            elif token.text[0].isalpha() or token.text[0] == "_":
                self._word(token.text)
            elif token.text == ".":
                self._member(just_read)
            else:
                self._sign(token.text)
        if self._open:
            raise CelError(f"has a {self._open[-1]!r} that is not closed")
        return " ".join(self._written)

    def _next(self, ahead: int = 0) -> str:
        """A token to come; empty for a literal text and at the end."""
        at = self._at + ahead
        return self._tokens[at].text if at < len(self._tokens) and not self._tokens[at].is_text else ""

    def _write(self, *texts: str) -> None:
        self._written.extend(texts)

    def _operator(self) -> None:
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise CelError(f"has more than {MAX_OPERATORS} operators; write several rules, or lists with `in`")

    def _sign(self, sign: str) -> None:
        if sign in _OPERATORS:
            self._operator()
        elif sign in _CLOSING:
            self._open.append(sign)
            if len(self._open) > MAX_DEPTH:
                raise CelError(f"has more than {MAX_DEPTH} brackets inside each other")
        elif sign in _CLOSING.values():
            if not self._open or _CLOSING[self._open.pop()] != sign:
                raise CelError(f"has a {sign!r} that closes nothing")
            if self._variable and len(self._open) == self._ends_at:
                self._variable = ""
        self._write(sign)

    def _word(self, word: str) -> None:
        if self._next() == "(" and word not in _WORDS:
            if word == "has":
                raise CelError("asks has(...): every documented name is always there, so compare its value")
            if word not in _FUNCTIONS:
                raise CelError(f"calls {word}(), which is not known; there are {', '.join(sorted(_FUNCTIONS))}")
            self._operator()
        elif word in RECORDS:
            self._field(word)
            return
        elif word in NAMES:
            self.names.add(word)
        elif word == "in":
            self._operator()
        elif word in CONSTANTS:
            word = str(CONSTANTS[word])
        elif word not in _WORDS and word != self._variable:
            known = [name for name in NAMES if "." not in name]
            raise CelError(
                f"has the name {word}, which is not known; there are {', '.join([*RECORDS, *known, *CONSTANTS])}"
            )
        self._write(word)

    def _field(self, record: str) -> None:
        name = f"{record}.{self._next(1)}" if self._next() == "." else record
        if name not in NAMES:
            raise CelError(f"has {name}, which is not known; {record} has {', '.join(RECORDS[record])}")
        self._at += 2
        self.names.add(name)
        if NAMES[name] is Kind.TEXTS:
            self._list = name
        self._write(_flat(name))

    def _member(self, just_read: str) -> None:
        method = self._next()
        self._operator()
        if self._next(1) != "(":
            raise CelError(f"has .{method}, which is not known; only {', '.join(RECORDS)} have fields")
        self._at += 1
        if method in _COMPREHENSIONS:
            self._comprehension(method, just_read)
        elif method == "matches":
            self._pattern()
        elif method in _METHODS:
            self._write(".", method)
        else:
            known = sorted({*_METHODS, *_COMPREHENSIONS, "matches"})
            raise CelError(f"calls .{method}(), which is not known; there are {', '.join(known)}")

    def _comprehension(self, method: str, over: str) -> None:
        if not over:
            lists = ", ".join(name for name, kind in NAMES.items() if kind is Kind.TEXTS)
            raise CelError(f"calls .{method}() on what is no documented list; these are {lists}")
        if self._variable:
            raise CelError(f"has .{method}() inside another of its kind, which could take very long; write two rules")
        self._comprehensions += 1
        if self._comprehensions > MAX_COMPREHENSIONS:
            raise CelError(f"has more than {MAX_COMPREHENSIONS} of exists, all and exists_one; write several rules")
        variable = self._next(1)
        is_name = variable.isalnum() and variable[0].isalpha() and self._next(2) == ","
        if not is_name or variable in {*_WORDS, *CONSTANTS, *NAMES, *RECORDS, *_FUNCTIONS}:
            raise CelError(
                f"must name each one in .{method}() by a word of its own, as in .{method}(each, each == 'x')"
            )
        self._variable, self._ends_at = variable, len(self._open)
        self._write(".", method)

    def _pattern(self) -> None:
        at = self._at
        if self._next() != "(" or self._next(2) != ")" or not self._tokens[at + 1].is_text:
            raise CelError(
                "calls .matches() with something else than one pattern written out, as in .matches(r'^v[0-9]+$')"
            )
        pattern = self._tokens[at + 1].text
        if len(pattern) > MAX_PATTERN:
            raise CelError(f"has a pattern of {len(pattern)} characters; write at most {MAX_PATTERN}")
        try:
            _pattern(pattern)
        except PatternError as error:
            raise CelError(f"has a pattern that cannot be used: {error}") from error
        self._at += 3
        self._write(".", _MATCHES, "(", _quoted(pattern), ")")


def _flat(name: str) -> str:
    """A documented name as the library gets it: one word, which it finds faster than a field of a record."""
    return name.replace(".", "__")


def _quoted(text: str) -> str:
    return (
        '"'
        + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        + '"'
    )
