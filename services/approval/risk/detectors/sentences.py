"""Which orders a text in English gives: verbs in the place of an order, with what they act upon.

A sentence gives an order where it begins with a verb, after "and", "then" or a comma, after "must" or "need to", or where it says
what the agent, a step or a job does. It gives none in a question, after "not" or "without", inside what is to be researched or
explained ("explain how to delete a user"), in a reason ("because users delete files"), in quotation marks, or where the verb is
part of a noun ("release notes"). The words that decide are data, in `prose.yaml`. Work is linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.approval.risk import patterns
from services.approval.risk.detectors import tables

_GRAMMAR = tables.load("prose.yaml")["grammar"]
LOOKING = frozenset(_GRAMMAR["looking"])
_EMBEDDING = frozenset(_GRAMMAR["embedding"])
NEGATIONS = frozenset(_GRAMMAR["negations"])
_MODALS = frozenset(_GRAMMAR["modals"])
_JOINTS = frozenset(_GRAMMAR["joints"])
_FILLERS = frozenset(_GRAMMAR["fillers"])
_ACTORS = frozenset(_GRAMMAR["actors"])
_DROPPING = frozenset(_GRAMMAR["dropping"])
_BEINGS = frozenset(_GRAMMAR["beings"])
_DETERMINERS = frozenset(_GRAMMAR["determiners"])
_PREPOSITIONS = frozenset(_GRAMMAR["prepositions"])
_PRONOUNS = frozenset(_GRAMMAR["pronouns"])
_CONDITIONS = frozenset(_GRAMMAR["conditions"])
_REASONS = frozenset(_GRAMMAR["reasons"])
_ASKS = frozenset(_GRAMMAR["asks"])
_REQUESTS = tuple(_GRAMMAR["requests"])
_NOUNLIKE = frozenset(_GRAMMAR["nounlike"])
_COMPOUNDS = {verb: frozenset(after) for verb, after in _GRAMMAR["compounds"].items()}

NEAR = 30  # words within which what a pronoun or a passive is about is looked for
MAX_PHRASE = 3  # words of the longest verb or noun in the tables
_TOKEN = patterns.compile(r"[\w~/$@.][\w~/$@'\x{2019}.:%+-]*[\w/*]|\w|[^\s\w]")
_QUOTED = patterns.compile(r"```[^`]*```|`[^`\n]*`|\"[^\"\n]{0,400}\"|\x{201c}[^\x{201d}\n]{0,400}\x{201d}")
_PARTICLES = frozenset("off down up out away back offline over live".split())
_OPENINGS = frozenset({":", ";", "\u2022", "*"})  # what follows begins as a sentence does
_DUE = frozenset("must should shall will to can needs need has have is are gets make sure ensure please that".split())
_ENDS = tuple(tuple(end.split()) for end in _GRAMMAR["ends"])
_DUE_TO = frozenset("must should shall to will".split())
_CAUSING_ACTS = frozenset(_GRAMMAR["causing_acts"])
_CAUSING = _CAUSING_ACTS | frozenset(_GRAMMAR["causing_ends"])
_RELATING = frozenset("of that which who to been is are was were".split())  # between "get" and what looks like what is had done: it is not
_CAUSED_BY = frozenset("i we to please let's and then must should i'd , :".split())
_SENTENCE_END = frozenset(".!?\n")
CURRENCIES = frozenset("\u20ac\u00a3\u00a5")
_DOUBLED = frozenset(
    "drop stop ship wipe cut set reset put get scrap strip ban tag flag swap commit transfer format submit log rip zap bid unset shut input dump".split()
) - {"wipe", "dump"}
_IRREGULAR = {
    "sent": "send", "gave": "give", "given": "give", "made": "make", "got": "get", "bought": "buy", "paid": "pay", "wrote": "write", "written": "write",
    "tore": "tear", "torn": "tear", "sold": "sell", "took": "take", "taken": "take", "ran": "run", "built": "build", "blew": "blow", "blown": "blow",
    "overwritten": "overwrite", "overwrote": "overwrite", "overrode": "override", "stole": "steal", "stolen": "steal", "threw": "throw", "thrown": "throw",
    "withdrew": "withdraw", "withdrawn": "withdraw", "shut": "shut", "brought": "bring", "rebuilt": "rebuild", "spun": "spin", "hid": "hide", "hidden": "hide",
    "rewritten": "rewrite", "rewrote": "rewrite", "lying": "lie", "became": "become",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A word in lower case, or a sign, and where it stands. `end` marks the last of a sentence, a question if `?`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Order:
    """A verb in the place of an order: its dictionary form, its place in the text, and the words that follow.

    `phrase` are the words of the first noun phrase after it, `rest` all up to the next order or reason, `before` those of the
    subject of a passive. `looking` is for a verb of looking or telling. A verb of two words ("turn off") is one verb.
    """

    verb: str
    start: int
    end: int
    phrase: tuple[str, ...]
    rest: tuple[str, ...]
    looking: bool
    words: tuple[str, ...] = ()

    def heads(self) -> Iterator[str]:
        """The noun that the first phrase is about, alone and with the words before it: "access key"."""
        yield from tails(self.phrase)


def tails(words: tuple[str, ...]) -> Iterator[str]:
    """The last one, two and three words, each also in the singular."""
    for size in range(1, MAX_PHRASE + 1):
        if len(words) >= size:
            yield from both(" ".join(words[-size:]))


def phrases(words: tuple[str, ...]) -> set[str]:
    """Every run of one to three words, in the plural and the singular."""
    found: set[str] = set()
    for index in range(len(words)):
        for size in range(1, MAX_PHRASE + 1):
            if index + size <= len(words):
                found.update(both(" ".join(words[index : index + size])))
    return found


def both(phrase: str) -> tuple[str, ...]:
    """A noun as it is and in the singular."""
    if phrase.endswith("ies") and len(phrase) > 4:
        return phrase, phrase[:-3] + "y"
    if phrase.endswith(("sses", "xes", "ches", "shes")):
        return phrase, phrase[:-2]
    return (phrase, phrase[:-1]) if phrase.endswith("s") and not phrase.endswith("ss") and len(phrase) > 2 else (phrase,)


@lru_cache(maxsize=4096)
def lemma(word: str) -> tuple[str, str]:
    """The dictionary form that a word may be a form of, and which: s, ing, ed or base. Guesses: tables decide what is a verb."""
    if word in _IRREGULAR:
        return _IRREGULAR[word], "ed"
    for ending, form in (("ing", "ing"), ("ed", "ed")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)], form
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1], "s"
    return word, "base"


def stems(word: str) -> Iterator[tuple[str, str]]:
    """The dictionary forms that a word may come from, each with its form."""
    yield word, "base"
    stem, form = lemma(word)
    if form == "base" or stem == word:
        return
    yield stem, form
    if form in ("ing", "ed") and word not in _IRREGULAR:
        yield stem + "e", form
        if len(stem) > 2 and stem[-1] == stem[-2]:
            yield stem[:-1], form
        if stem.endswith("i"):
            yield stem[:-1] + "y", form
    elif form == "s" and stem.endswith("e"):
        yield stem[:-1], form
        if stem.endswith("ie"):
            yield stem[:-2] + "y", form


def tokens(text: str) -> Iterator[list[Token]]:
    """The sentences of a text. What stands in quotation marks or backquotes is one sign, for it is named and not said."""
    quoted = [(m.start(), m.end()) for m in _QUOTED.finditer(text)] if any(sign in text for sign in '`"\u201c') else []
    if sum(end - start for start, end in quoted) * 5 > len(text.strip()) * 4:
        quoted = []
    sentence: list[Token] = []
    position = 0
    index = 0
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        while index < len(quoted) and quoted[index][1] <= start:
            index += 1
        if index < len(quoted) and quoted[index][0] <= start:
            if not sentence or sentence[-1].text != "\u0001":
                sentence.append(Token("\u0001", quoted[index][0], quoted[index][1]))
            continue
        if "\n" in text[position:start] and sentence:
            yield sentence
            sentence = []
        position = end
        word = match.group().lower()
        if word.endswith((":", ".")) and len(word) > 1:
            word, end = word[:-1], end - 1
        sentence.append(Token(word, start, end))
        following = text[match.end() : match.end() + 1]
        if word in _SENTENCE_END and (not following or following.isspace() or following in "\"'\u201d)"):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


class Reader:
    """Finds the orders of a text, knowing which words may be verbs."""

    def __init__(self, verbs: Iterable[str], nouns: Iterable[str]) -> None:
        self._verbs = frozenset(verbs) | LOOKING
        self._starts = frozenset(verb.split()[0] for verb in self._verbs if " " in verb)
        self._nouns = frozenset(nouns)

    def orders(self, text: str) -> Iterator[Order]:
        """The orders in the text, in their order."""
        for sentence in tokens(text):
            yield from self._sentence(sentence)

    def _sentence(self, sentence: list[Token]) -> Iterator[Order]:
        words = [token.text for token in sentence]
        opening = " ".join(words[:5])
        request = max((len(each.split()) for each in _REQUESTS if opening.removeprefix("please ").startswith(each)), default=0)
        condition = words[0] in _CONDITIONS and "," in words
        if not request and (words[-1] == "?" or (words[0] in _ASKS and words[0] not in ("do", "have") and not condition)):
            return
        first = _index(words, ",", 0) if condition else request + (request > 0 and words[0] == "please")
        places = list(self._places(words, first))
        for number, (index, size, verb) in enumerate(places):
            stop = places[number + 1][0] if number + 1 < len(places) else len(words)
            after = words[index + size : stop]
            if after[:1] and after[0] in _PRONOUNS:  # "delete them": what they are was said before
                after = [*after, *words[max(0, index - NEAR) : index]]
            rest = tuple(word for word in _until(after, _REASONS) if word.isalnum() or len(word) > 1 or word in CURRENCIES)
            yield Order(
                verb,
                sentence[index].start,
                sentence[index + size - 1].end,
                tuple(_phrase(after)),
                rest,
                verb in LOOKING,
                tuple(words[index : index + size]),
            )
        if not places or places[0][0] > 0:
            yield from self._titles(sentence, words, places)
        yield from self._passives(sentence, words)

    def _places(self, words: list[str], first: int) -> Iterator[tuple[int, int, str]]:
        """Where orders begin: index, number of words, and dictionary form of the verb."""
        index, begins, embedded, negated, looked, modal, dropped = first, True, False, False, False, False, False
        last_comma = max((at for at, word in enumerate(words) if word == ","), default=0)
        while index < len(words):
            word = words[index]
            pair = f"{word} {words[index + 1]}" if index + 1 < len(words) else ""
            if word in _REASONS and not begins:
                return
            if word in NEGATIONS or word == "n't" or pair in ("instead of", "rather than"):
                negated, begins = True, word not in ("no", "instead", "rather")
                index += 1
                continue
            if pair in _MODALS or word in _MODALS:
                free = word != "to" or not (embedded or looked)
                begins = modal = free and not embedded
                index += 2 if pair in _MODALS else 1
                continue
            if word in _JOINTS or word == "\u0001":
                joint = word not in ("before", "after", "\u0001")
                if joint and word not in ("or", "nor"):
                    negated = False
                begins = begins or (joint and not (embedded and word in ("or", "and", ",", "&")))
                if word in (";", ":", ",", "then", "•") and not (embedded and word == ","):
                    embedded = False
                if word in ("before", "after"):
                    begins = False
                modal = False
                index += 1
                continue
            if begins and word in _CONDITIONS and index < last_comma:
                index, looked, embedded = _index(words, ",", index), False, False
                continue
            if begins and word in _FILLERS and not self._is_order_here(words, index, looked, modal):
                index += 1
                continue
            if begins:
                found = self._verb_at(words, index)
                if found is not None and self._acts(words, index, found, looked, modal):
                    size, verb, _ = found
                    if not negated:
                        yield index, size, verb
                    looked = verb in LOOKING and not negated
                    dropped = dropped or verb in _DROPPING
                    embedded = embedded and looked
                    index += size
                    begins = modal = False
                    continue
                actor = self._actor(words, index)
                if actor:
                    index += actor
                    continue
            dropped = dropped or word in _DROPPING
            if dropped and word in _ASKS and words[index + 1 : index + 2] == ["to"]:
                index += 3  # "ignore the guide on how to delete files": what follows "and" is an order again
                begins = False
                continue
            if word in _EMBEDDING and (looked or not (begins or dropped)):
                embedded = True
            begins = False
            index += 1

    def _is_order_here(self, words: list[str], index: int, looked: bool, modal: bool) -> bool:
        found = self._verb_at(words, index)
        return (
            found is not None
            and (found[0] > 1 or words[index] not in ("go", "try", "help"))
            and self._acts(words, index, found, looked, modal)
            and index + 1 < len(words)
        )

    def _verb_at(self, words: list[str], index: int) -> tuple[int, str, str] | None:
        """The verb that begins at a word: number of words, dictionary form, form."""
        for stem, form in stems(words[index]):
            if stem in self._starts:
                for size in (3, 2):
                    phrase = " ".join([stem, *words[index + 1 : index + size]])
                    if index + size <= len(words) and phrase in self._verbs:
                        return size, phrase, form
                # "turn the firewall off": the second word after what it acts upon
                for gap in range(index + 2, min(index + 6, len(words))):
                    if (phrase := f"{stem} {words[gap]}") in self._verbs and words[gap] in _PARTICLES:
                        return 1, phrase, form
            if stem in self._verbs:
                return 1, stem, form
        return None

    def _acts(self, words: list[str], index: int, found: tuple[int, str, str], looked: bool, modal: bool) -> bool:
        """Whether a verb at the place of an order is one there, and no noun."""
        size, verb, form = found
        following = words[index + size] if index + size < len(words) else ""
        if following in _COMPOUNDS.get(verb, ()) or (verb == "do" and following in NEGATIONS):
            return False
        if modal:
            return form in ("base", "ing")
        at_start = index == 0 or words[index - 1] in _OPENINGS
        if form == "ed":
            return at_start and (following in _DETERMINERS or following.isdigit())
        if form == "s":
            before = words[index - 1] if index else ""
            placed = at_start or before in _ACTORS or before in ("and", ",", "then", "also")
            return placed and (following in _DETERMINERS if verb in _NOUNLIKE and before not in _ACTORS else following not in ("", ".", "and", ","))
        if form == "ing":
            return at_start or words[index - 1] in (*_BEINGS, ":", "then", "by", "and", "mind", ",") or index == 1
        if looked and words[index - 1] in _JOINTS and following in ("", "and", "or", ",", ".", "&"):
            return False
        if verb in _NOUNLIKE and not at_start and (looked or words[index - 1] in _JOINTS):
            return following in _DETERMINERS or following.isdigit() or following == "\u0001" or "/" in following or not looked
        return True

    def _actor(self, words: list[str], index: int) -> int:
        """How many words the one who acts takes: "the cleanup job", "this step", "we are"; 0 where none acts."""
        limit = min(index + 5, len(words) - 1)
        for at in range(index, limit):
            word = words[at]
            if word in _ACTORS or word in _BEINGS:
                while at < limit and (words[at + 1] in _BEINGS or words[at + 1] in _FILLERS):
                    at += 1
                return at + 1 - index
            if word in _JOINTS or word in _PREPOSITIONS:
                return 0
        return 0

    def _titles(self, sentence: list[Token], words: list[str], places: list[tuple[int, int, str]]) -> Iterator[Order]:
        """A sentence that is a noun of action: "Production deployment of the new version"."""
        phrase = _phrase(words)
        if not phrase or phrase[-1] not in self._nouns or (places and places[0][0] <= len(phrase)):
            return
        end = len(phrase) - 1
        rest = tuple(_until(words, _REASONS))
        yield Order(phrase[-1], sentence[0].start, sentence[min(end, len(sentence) - 1)].end, tuple(phrase[:-1]), rest, False, ("\u0001",))

    def _passives(self, sentence: list[Token], words: list[str]) -> Iterator[Order]:
        """What must be done: "Old backups should be deleted", "make sure that the table is dropped"."""
        told = words[0] in LOOKING or any(word in ("how", "whether", "if", "why", "what", "explain", "describe", "not", "never") for word in words)
        if told or words[-1] == "?":
            return
        sure = "ensure" in words[:3] or ("sure" in words[:4] and "make" in words[:3])
        yield from self._ends(sentence, words, sure=sure)
        for index in range(1, len(words) - 1):
            due = words[index] in ("be", "get") and words[index - 1] in ("must", "should", "shall", "will", "to", "can")
            if not due and not (sure and words[index] in ("is", "are", "gets", "get")):
                continue
            at = index + 1
            while at < len(words) - 1 and words[at] in _FILLERS:
                at += 1
            found = self._verb_at(words, at)
            if found is not None and found[2] in ("ed", "base") and found[1] not in LOOKING:
                rest = (*words[max(0, index - NEAR) : index], *words[at + found[0] : at + NEAR])
                subject = [word for word in words[max(0, index - NEAR) : index] if word not in _DUE]
                yield Order(found[1], sentence[at].start, sentence[at].end, tuple(_phrase(subject)), rest, False, (words[at],))

    def _ends(self, sentence: list[Token], words: list[str], *, sure: bool) -> Iterator[Order]:
        """What must come to its end: "the old table should no longer exist", "have the table gone", "get the volumes removed"."""
        opening = next((at for at, word in enumerate(words[:5]) if word in _CAUSING and (at == 0 or words[at - 1] in _CAUSED_BY)), len(words))
        for index in range(2, len(words)):
            size = max((len(end) for end in _ENDS if tuple(words[index : index + len(end)]) == end), default=0)
            if size and not sure and words[index - 1] not in _DUE_TO and opening > index:
                continue
            verb = "vanish"
            if not size:  # "have it removed": at the end of what is said of it, where it is no adjective
                found = self._verb_at(words, index) if opening < index and words[opening] in _CAUSING_ACTS else None
                if found is None or found[2] != "ed" or not _closes(words, index + found[0]) or not _RELATING.isdisjoint(words[opening:index]):
                    continue
                size, verb = found[0], found[1]
            elif words[index] == "go" and size == 1 and not _closes(words, index + 1):
                continue
            subject = [word for word in words[max(0, index - NEAR, opening + 1 if opening < index else 0) : index] if word not in _DUE]
            yield Order(verb, sentence[index].start, sentence[index + size - 1].end, tuple(_phrase(subject)), tuple(subject), False, (words[index],))


def _closes(words: list[str], index: int) -> bool:
    """Whether nothing follows that a word before could belong to."""
    return (
        index >= len(words) or words[index] in _PREPOSITIONS or words[index] in _JOINTS or words[index] in (".", "!", ")", "now", "today", "please")
    )


def _phrase(words: list[str]) -> list[str]:
    """The noun phrase that a run of words begins with, without its determiners."""
    phrase: list[str] = []
    for word in words:
        if word in _PREPOSITIONS or word in _JOINTS or word in ("?", "!", ".", ")") or word in _MODALS or word in _REASONS:
            if phrase:
                break
            if word not in ("all", "that", "to", "out", "up", "off"):
                break
            continue
        if word not in ("me", "us", "the", "a", "an", "all", "any", "every", "each", "my", "our", "your", "its", "their", "\u0001"):
            phrase.append(word)
    return phrase


def _until(words: list[str], stops: frozenset[str]) -> list[str]:
    for index, word in enumerate(words):
        if word in stops:
            return words[:index]
    return words


def _index(words: list[str], word: str, start: int) -> int:
    for index in range(start, len(words)):
        if words[index] == word:
            return index
    return len(words)
