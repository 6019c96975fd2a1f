"""SQL as tokens: comments taken out, literals kept apart, statements split, in one linear pass for all dialects.

A parser of one dialect refuses the next dialect's script as a whole; the words of a statement and where it ends are the same in
all of them, but for quotes and comments. So a script is read in one or both of two ways: the standard's, and MySQL's, in which a
backslash hides a quote, `"` makes a literal, `#` starts a comment and `$$` is nothing special.
"""

from __future__ import annotations

from typing import NamedTuple

WORD, TEXT, NAME, SIGN = "word", "text", "name", "sign"
_PAIRS = frozenset({"<>", "<=", ">=", "!=", "::", "||"})


class Unbalanced(Exception):
    """A literal or a comment without an end: where code begins and data ends cannot be told."""


class Token(NamedTuple):
    """`kind` is WORD (value in upper case), TEXT (a literal without its quotes), NAME (a quoted identifier) or SIGN."""

    kind: str
    value: str


def tokens(text: str, *, mysql: bool = False) -> list[Token]:
    """The tokens of a script. MySQL's executable comments are code. Raises Unbalanced.

    Character by character, for a regular expression's matches cost ten times as much as the few steps that a token takes.
    """
    found: list[Token] = []
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char.isspace():
            at += 1
        elif char.isalpha() or char in "_@" or (char == "#" and not mysql):
            end = _word_end(text, at + 1)
            if end < size and text[end] == "'" and end == at + 1 and char in "eEnNbBxX":
                literal, at = _quoted(text, end, backslash=mysql or char in "eE")
                found.append(Token(TEXT, literal))
            else:
                found.append(Token(WORD, text[at:end].upper()))
                at = end
        elif char.isdigit():
            end = _word_end(text, at + 1)
            found.append(Token(SIGN, text[at:end]))
            at = end
        elif char in "'\"":
            literal, at = _quoted(text, at, backslash=mysql)
            found.append(Token(TEXT if char == "'" or mysql else NAME, literal))
        elif text.startswith(("--", "#"), at):
            end = text.find("\n", at)
            at = end if end >= 0 else size
        elif text.startswith(("/*", "*/"), at):
            at = _comment(text, at)
        else:
            at = _sign(text, at, found, mysql)
    return found


def _sign(text: str, at: int, found: list[Token], mysql: bool) -> int:
    """Adds the quoted name, the dollar-quoted literal or the sign at `at`; where it ends."""
    char = text[at]
    if char == "`" or (char == "[" and text[at + 1 : at + 2].isalpha()):
        close = text.find("`" if char == "`" else "]", at + 1)
        if close >= 0:
            found.append(Token(NAME, text[at + 1 : close]))
            return close + 1
        if char == "`":
            raise Unbalanced
    elif char == "$" and not mysql:
        end = _word_end(text, at + 1) if text[at + 1 : at + 2].isalpha() else at + 1
        end = end + 1 if text.startswith("$", end) else end
        quote = text[at:end]
        if len(quote) > 1 and quote.endswith("$"):
            close = text.find(quote, end)
            if close < 0:
                raise Unbalanced
            found.append(Token(TEXT, text[end:close]))
            return close + len(quote)
    pair = text[at : at + 2]
    sign = pair if pair in _PAIRS else char
    found.append(Token(SIGN, sign))
    return at + len(sign)


def _word_end(text: str, at: int) -> int:
    size = len(text)
    while at < size and (text[at].isalnum() or text[at] in "_@#"):
        at += 1
    return at


def _quoted(text: str, at: int, *, backslash: bool) -> tuple[str, int]:
    """The literal whose quote is at `at`, without quotes, and where it ends. A doubled quote is one, and so is an escaped one."""
    quote, start = text[at], at + 1
    at, close = start, text.find(quote, start)
    while close >= 0:
        escape = text.find("\\", at, close) if backslash else -1
        if escape >= 0:
            at = escape + 2
        elif text.startswith(quote, close + 1):
            at = close + 2
        else:
            break
        if close < at:
            close = text.find(quote, at)
    if close < 0:
        raise Unbalanced
    inner = text[start:close].replace(quote * 2, quote)
    return inner.replace("\\" + quote, quote).replace("\\n", "\n") if backslash else inner, close + 1


def _comment(text: str, at: int) -> int:
    """Where to go on at the start or the end of a block comment.

    Comments do not nest: where they do (Postgres), more is read as code than runs, never less. What MySQL executes is code.
    """
    if text.startswith("*/", at):
        return at + 2
    for start in ("/*!", "/*M!"):
        if text.startswith(start, at):
            at += len(start)
            while text[at : at + 1].isdigit():
                at += 1
            return at
    close = text.find("*/", at + 2)
    if close < 0:
        raise Unbalanced
    return close + 2


def statements(found: list[Token]) -> list[list[Token]]:
    """The tokens of each statement: a semicolon, and SQL Server's GO, ends one."""
    parts: list[list[Token]] = [[]]
    for token in found:
        if (token.kind == SIGN and token.value == ";") or (token.kind == WORD and token.value == "GO"):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def rendered(part: list[Token]) -> str:
    """A statement written plainly, the same for every dialect: literals and quoted names that hold signs become plain ones.

    Equal ones stay equal and different ones different.
    """
    written: dict[Token, str] = {}
    words: list[str] = []
    for token in part:
        if token.kind in (WORD, SIGN):
            words.append(token.value)
            continue
        if token not in written:
            plain = token.value.isascii() and token.value.replace(" ", "").isalnum()
            if token.kind == TEXT:
                written[token] = f"'{token.value}'" if plain or token.value in ("", "%") else f"'text{len(written)}'"
            else:
                written[token] = f"q_{token.value}" if plain and " " not in token.value else f"q{len(written)}"
        words.append(written[token])
    return " ".join(words).replace(" . ", ".").replace("@ ", "@").replace(": ", ":")
