"""A step's description: what it says that it is about to do.

Prose is never read as a shell command, except where it is one: the whole text, a part in backquotes, or what follows
"run", "execute", "using" and their like when that starts with the name of a program; a bullet, a number or a shell's prompt may
stand before it. A text that only asks or tells about commands in backquotes names none. Intent counts where a sentence gives an order
("Delete all temporary files"), not where it asks or tells ("how do I delete a column", "the executive summary"). What verbs and
nouns mean is data, in `prose.yaml`; where orders stand is the business of `sentences`. English only: a text in another language
is read for commands, paths and secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from services.approval.risk import modifiers, normalise, patterns
from services.approval.risk.detectors import paths, secrets, sentences, tables
from services.approval.risk.detectors.sentences import Order
from services.approval.risk.model import Factor, Span
from services.approval.risk.rules import BUILTIN
from services.approval.risk.scoring import TYPE_BASE
from services.approval.risk.shell import discovery
from services.approval.risk.shell.wrapper_table import WRAPPERS

MAX_DESCRIPTION = 1 << 14  # characters
MAX_COMMANDS = 50  # commands that one text names; a longer list is documentation
MAX_MENTIONED = 1000  # characters of a command that a sentence names; what is longer was put there to be run, not to be read


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a group of verbs means together with what they act upon.

    `objects` are nouns of which one must follow, `heads` nouns of which one must be what the verb acts upon, `but` what it must
    not act upon. `content`: taking out of a text or of data in hand is editing, unless a store is named. `files`, `urls`: a name
    of a file, or an address, is as good as an object; so with `money` is an amount.
    """

    verbs: frozenset[str]
    objects: frozenset[str]
    heads: frozenset[str]
    but: frozenset[str]
    content: bool
    files: bool
    urls: bool
    money: bool

    def holds(self, order: Order) -> bool:
        """Whether an order means this."""
        if order.verb not in self.verbs:
            return False
        heads = set(order.heads())
        if self.but and not self.but.isdisjoint(heads):
            return False
        if self.content and _edits(order, heads):
            return False
        if not (self.objects or self.heads):
            return True
        if self.heads and not self.heads.isdisjoint(heads):
            return True
        if self.objects and not self.objects.isdisjoint(sentences.phrases(order.rest)):
            return True
        if self.money and any(word in sentences.CURRENCIES or (word[:1] == "$" and word[1:2].isdigit()) for word in order.rest):
            return True
        return (self.files and any(_is_file(word) for word in order.rest)) or (self.urls and any("://" in word for word in order.rest))


@dataclass(frozen=True, slots=True)
class Intent:
    """Something that a description may say it does; `nouns` are the acts ("deletion") that say it without a verb."""

    id: str
    weight: int
    message: str
    nouns: frozenset[str]
    meanings: tuple[Meaning, ...]


def _edits(order: Order, heads: set[str]) -> bool:
    """Whether something is taken out of a text or of data in hand, and out of nothing that others keep things in."""
    named = sentences.phrases(order.rest)
    return not (_CONTENTS.isdisjoint(heads) and _DOCUMENTS.isdisjoint(named) and _TEXTS.isdisjoint(named)) and _STORES.isdisjoint(named)


def _meaning(data: Mapping[str, Any]) -> Meaning:
    words = {name: frozenset(data.get(name, ())) for name in ("verbs", "objects", "heads", "but")}
    return Meaning(
        **words,
        content=bool(data.get("content")),
        files=bool(data.get("files")),
        urls=bool(data.get("urls")),
        money=bool(data.get("money")),
    )


_DATA = tables.load("prose.yaml")
_CONTENTS, _STORES = frozenset(_DATA["grammar"]["contents"]), frozenset(_DATA["grammar"]["stores"])
_DOCUMENTS, _TEXTS = frozenset(_DATA["grammar"]["documents"]), frozenset(_DATA["grammar"]["texts"])
_TELLING = frozenset(_DATA["grammar"]["telling"])
_PRODUCTION, _NOT_PRODUCTION = frozenset(_DATA["grammar"]["production"]), frozenset(_DATA["grammar"]["production_not_before"])
INTENTS = tuple(
    Intent(
        f"intent.{each['id']}",
        tables.weight(each["weight"]),
        each["message"],
        frozenset(each["nouns"]),
        tuple(_meaning(group) for group in each["orders"]),
    )
    for each in _DATA["intents"]
)
TYPES = tuple((each["id"], tuple(_meaning(group) for group in each["orders"])) for each in _DATA["types"])
# Verbs that have an act done ("perform the deletion") and verbs that put words on paper ("write a report").
_PERFORMING = frozenset(
    "perform do execute carry conduct initiate trigger start run kick schedule complete handle begin undertake proceed force make".split()
)
_WRITING = frozenset(
    "write create make prepare produce generate compile add give provide build update edit draft put design develop read get include format".split()
)
_NOUNS = frozenset(noun for intent in INTENTS for noun in intent.nouns)
_READER = sentences.Reader(
    {verb for intent in INTENTS for meaning in intent.meanings for verb in meaning.verbs}
    | {verb for _, meanings in TYPES for meaning in meanings for verb in meaning.verbs}
    | _PERFORMING
    | _WRITING,
    _NOUNS,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a description holds: factors, the shell commands that it names, and the type of approval that it implies.

    `whole`: the description is itself one command line, so that its end is no guess.
    """

    factors: tuple[Factor, ...]
    commands: tuple[str, ...]
    approval_type: str
    whole: bool = False


def read(text: str) -> Reading:
    """Reads a description."""
    if len(text) > MAX_DESCRIPTION:
        message = f"A description of {len(text)} characters; at most {MAX_DESCRIPTION} are read."
        return Reading((normalise.unreadable("too-large", message),), (), "")
    orders = orders_in(text)
    commands = commands_in(text, orders)
    intents = {factor.id: factor for factor in reversed(list(_intents(text, orders)))}
    changes = any(not order.looking for order in orders)
    factors = [*secrets.detect(text), *intents.values(), *_named_paths(text, changes=changes)]
    if intents and (span := _production(text)):
        factors.append(modifiers.production("Says that it acts on production.", text[span.start : span.end]))
    return Reading(tuple(factors), tuple(commands), _type_of(orders, commands), commands == [_undressed(text)])


@lru_cache(maxsize=256)
def orders_in(text: str) -> tuple[Order, ...]:
    """The orders that a description gives, in their order; writing about something is looking at it."""
    found = list(_READER.orders(text))
    return tuple(order for order in found if not (order.verb in _WRITING and not _DOCUMENTS.isdisjoint(order.heads()) and not _reaches(order)))


def _reaches(order: Order) -> bool:
    """Whether what is written is a file of the project all the same: "update the README file"."""
    return any(_is_file(word) for word in order.phrase)


def infer_type(text: str) -> str:
    """The type of approval that a description implies, empty for none."""
    orders = orders_in(text[:MAX_DESCRIPTION])
    return _type_of(orders, commands_in(text, orders))


def _type_of(orders: tuple[Order, ...], commands: list[str]) -> str:
    if commands:
        return "code_execution"
    found = {
        next((name for name, meanings in TYPES if any(meaning.holds(order) for meaning in meanings)), "") for order in orders if not order.looking
    }
    return max(found, key=lambda name: (TYPE_BASE.get(name, 0), name), default="")


def _intents(text: str, orders: tuple[Order, ...]) -> Iterator[Factor]:
    for order in orders:
        act = order.verb if order.verb in _NOUNS and order.words == (_TITLE,) else _act(order)
        for intent in INTENTS:
            if act in intent.nouns or any(meaning.holds(order) for meaning in intent.meanings):
                excerpt = secrets.redact(text[order.start : order.end + 80])[:120]
                yield Factor(intent.id, "intent", intent.message, intent.weight, excerpt, Span(order.start, order.end))


_TITLE = "\u0001"


def _act(order: Order) -> str:
    """The act that a performing verb has done, empty when there is none: "perform a full deletion of"."""
    if order.verb not in _PERFORMING or not order.phrase:
        return ""
    return next((word for word in sentences.tails(order.phrase[-1:]) if word in _NOUNS), "")


def _production(text: str) -> Span | None:
    """Where a text names production, as a word of its own and not as part of another ("production line")."""
    for sentence in sentences.tokens(text):
        for index, token in enumerate(sentence):
            following = sentence[index + 1].text.removesuffix("'s") if index + 1 < len(sentence) else ""
            live = token.text == "live" and following in ("system", "environment", "site", "database", "server", "servers", "traffic")
            if live or (token.text in _PRODUCTION and following not in _NOT_PRODUCTION):
                return Span(token.start, token.end)
    return None


# -- paths and commands that a text names --------------------------------------------------------------------------------------

_FILE_ENDINGS = frozenset(
    "pem key env yaml yml json conf cfg ini toml sh py js ts tsx jsx sql txt md csv html css xml log lock go rs java rb php c h cpp ipynb tf pdf docx xlsx".split()
)
_TRIMMED = "\"'`\u201c\u201d\u2018\u2019()[]{}<>,;:!?"
# What stands before a command in a list or a transcript, and words after which one may come in a sentence.
_FIRST = patterns.compile(r"[^\s|;&<>]*")
_PROMPT = patterns.compile(r"^(?:\s*(?:[-*+\x{2022}#%]|\d{1,3}[.)]|[\w.@:~/\[\]-]{0,80}[$>])\s+)+")
_LEADING = patterns.compile(
    r"(?i)\b(?:run(?:s|ning)?|ran|execut(?:e[sd]?|ing)|try(?:ing)?|tried|do(?:es|ing)?|command\s+(?:is|line)|using|via|by|use[sd]?|with|issu(?:e[sd]?|ing)"
    r"|typ(?:e[sd]?|ing)|enter(?:s|ed|ing)?|invok(?:e[sd]?|ing))\s*:?\s+[\"'\x{2018}\x{201c}(]?|[(\"\x{201c}]"
)
# Words that order the steps of a plan, before a step that is a command line.
_SEQUENCE = patterns.compile(
    r"(?i)^(?:(?:and|then|next|first|second|third|finally|lastly|last|now|afterwards?|after\s+that|please|just|also|using\s+the\s+(?:terminal|shell|console))\b,?:?\s+)+"
)
_CLOSING = {"(": ")", '"': '"', "'": "'", "\u2018": "\u2019", "\u201c": "\u201d"}
_BACKQUOTED = patterns.compile(r"```(?:\w+\n)?([^`]+)```|`([^`\n]+)`")
_SHELL_LIKE = patterns.compile(r"(?:^|\s)--?\w|[|<>]|&&|;\s*\w|\$\(|\$\w|(?:^|\s)(?:/|~/|\./)\w|=\S")
_ASSIGNMENT = patterns.compile(r"^[A-Za-z_]\w*=\S")
_SPOKEN = frozenset(
    "the a an with into from our all my your is are how of this that these and for its their any every using between about when which".split()
)
_ASKING = frozenset("what why how which when where who whose".split())
_EXECUTING = frozenset("run execute exec invoke launch issue type enter use call try perform apply test start follow proceed".split())
_RUNNING = frozenset({"run", "execute", "exec", "invoke", "launch", "issue", "type", "enter", "use", "call"})
_STOPS = (
    " in order to ",
    " so that ",
    " because ",
    " before ",
    " after ",
    " on the ",
    " for the ",
    " and then ",
    " to verify",
    " and report",
    " and check",
)
# Programs whose names are ordinary verbs and nouns: only the rest of the line tells that they are meant.
_ORDINARY_WORDS = frozenset(
    "find make test sort cut write run open install watch read look split join head tail file update time set wait kill less more convert import identify select fold last date "
    "info help start stop service link mount restore dump move copy type command source history script search get format clear paste login at see compare exit go sum shift users yes "
    "factor expand use screen print touch stat env host mail pr id w top ar as cc cat who return next case process act sh patch stack function local logger let pass batch".split()
)


def _is_file(word: str) -> bool:
    """Whether a word is the name of a file: a known ending, or a name that begins with a dot."""
    stem, dot, ending = word.rpartition(".")
    return bool(dot) and ((bool(stem) and ending.lower() in _FILE_ENDINGS) or (not stem and len(ending) > 1 and ending.isalpha()))


def _named_paths(text: str, *, changes: bool) -> Iterator[Factor]:
    """Factors of the paths that a text names: read, or changed where it gives an order that changes something."""
    for word in text.split():
        path = word.strip(_TRIMMED).rstrip(".")
        if "://" in path or not ("/" in path or path[:1] in ".~" or "_" in path or _is_file(path)):
            continue
        found = paths.classify(path)
        if found is None or (not found.read and not changes):
            continue
        factor = (paths.write_factor(path) if changes else None) or paths.read_factor(path)
        if factor is not None and factor.id != "sensitive-path.outside":
            yield factor


def commands_in(text: str, orders: tuple[Order, ...] | None = None) -> list[str]:
    """The shell commands that a description is, or names; at most MAX_COMMANDS."""
    stripped = _undressed(text)
    if _is_command(stripped):
        return [stripped]
    if (told := _SEQUENCE.match(stripped)) and _is_command(rest := stripped[told.end() :]) and _shell_like(rest):
        return [rest]
    commands = [] if _only_tells(text) else quoted_commands(text)
    for order in orders_in(text) if orders is None else orders:
        if order.verb in _RUNNING and (command := _ordered(text[order.end :])):
            commands.append(command)
    named = commands[:MAX_COMMANDS]
    bare = [command for command in (*_bare(text), *_led(text)) if not any(known in command or command in known for known in named)]
    return [*named, *bare][:MAX_COMMANDS]


def quoted_commands(text: str) -> list[str]:
    """The shell commands that a text has in backquotes; at most MAX_COMMANDS."""
    if "`" not in text:
        return []
    found = ((match.group(1) or match.group(2)).strip() for match in _BACKQUOTED.finditer(text))
    return list(islice((command for command in found if len(command) > MAX_MENTIONED or _starts_with_program(command)), MAX_COMMANDS))


def _undressed(text: str) -> str:
    """A text without the prompt before it and the quotation marks around it."""
    plain = text.strip()
    prompt = _PROMPT.match(plain)
    if prompt:
        if "\n" in plain:  # a list or a transcript: each line has its own
            return plain
        plain = plain[prompt.end() :]
    if len(plain) > 1 and plain[0] in _CLOSING and plain[-1] == _CLOSING[plain[0]] and plain[0] not in plain[1:-1]:
        plain = plain[1:-1].strip()
    return plain


def _only_tells(text: str) -> bool:
    """Whether all sentences ask what something is, or order to tell about it, and none speaks of running anything."""
    for sentence in sentences.tokens(text):
        words = [token.text for token in sentence]
        asks = words[0] in _ASKING and words[-1] == "?"
        if not (asks or words[0] in _TELLING) or any(stem in _EXECUTING for word in words for stem, _ in sentences.stems(word)):
            return False
    return all(order.verb in _TELLING for order in orders_in(text))


def _led(text: str) -> Iterator[str]:
    """Commands inside of sentences, after a word or a sign that may come before one; not after a "not" in the same sentence."""
    if not _shell_like(text):
        return
    for line in text.split("\n"):
        for match in islice(_LEADING.finditer(line), MAX_COMMANDS):
            opening = match.group()[-1]
            rest = line[match.end() : match.end() + MAX_DESCRIPTION // 4]
            command = _ordered(rest.partition(_CLOSING[opening])[0] if opening in _CLOSING else rest.partition("`")[0])
            if command and _shell_like(command) and not _is_denied(line[max(0, match.start() - MAX_MENTIONED) : match.start()]):
                yield command


def _is_denied(before: str) -> bool:
    """Whether what stands before in the same sentence denies what follows, or only tells about it."""
    last: list[str] = []
    for sentence in sentences.tokens(before):
        last = [token.text for token in sentence]
    return bool(last) and (last[0] in _TELLING or not sentences.NEGATIONS.isdisjoint(last))


def _bare(text: str) -> Iterator[str]:
    """Command lines among the sentences: a line, or what follows a full stop or a colon, that only a shell would read."""
    for each in text.split("\n"):
        line, start = _undressed(each), 0
        while start < len(line):
            stops = [at + 2 for at in (line.find(". ", start), line.find(": ", start)) if at >= 0]
            end = min(stops, default=len(line))
            part = line[start:end].strip()
            if _starts_with_program(part) and _shell_like(line[start:]) and "`" not in part:
                yield line[start:].strip()
                break
            start = end


def _ordered(rest: str) -> str:
    """The command that follows "run", empty when what follows is prose."""
    line = rest.split("\n", 1)[0].lstrip(" :")
    for opening in ("the following command:", "the following:", "the command:", "the following command", "the command", "command:", "command"):
        if line.lower().startswith(opening):
            line = line[len(opening) :].lstrip(" :")
            break
    line = line.lstrip("\"'")
    for stop in _STOPS:
        line = line.partition(stop)[0]
    at = line.find(" to ")
    if at >= 0 and line[at + 4 : at + 5] not in ("/", "~", "."):
        line = line[:at]
    candidate = line.strip().rstrip(".\"'")
    first = candidate.split(None, 1)[0] if candidate else ""
    return candidate if candidate and _starts_with_program(candidate) and (first not in _ORDINARY_WORDS or _shell_like(candidate)) else ""


def _is_command(text: str) -> bool:
    """Whether a whole text is a command line."""
    if not _starts_with_program(text):
        return False
    first = text.split(None, 1)[0]
    if first in _ORDINARY_WORDS or " " not in text:
        return _shell_like(text) and not text.endswith((".", "?"))
    return _shell_like(text) or _SPOKEN.isdisjoint(text.split())


def _shell_like(text: str) -> bool:
    return _SHELL_LIKE.search(text) is not None


def _starts_with_program(text: str) -> bool:
    found = _FIRST.match(text)
    first = found.group() if found else ""
    if not first or (first != first.lower() and not first.startswith(("/", "./", "~"))):
        return False
    if "=" in first and _ASSIGNMENT.match(first):
        return True
    name = first.rpartition("/")[2]
    return bool(name) and (name in WRAPPERS or BUILTIN.knows(name) or discovery.known(name) or first.startswith(("./", "/usr/", "/bin/")))
