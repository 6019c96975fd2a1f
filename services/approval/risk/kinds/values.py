"""Inputs and results of any shape: the same detectors over every value in them, and how much was touched."""

from __future__ import annotations

from services.approval.risk import languages, normalise
from services.approval.risk.detectors import api, nested, paths, prose, secrets
from services.approval.risk.detectors.volume import Volume
from services.approval.risk.model import Context, Factor
from services.approval.risk.scoring import HIGH
from services.approval.risk.shell.walker import Walker
from services.approval.risk.shell.words import Word

# Fields of a result that name a path and not what was done to it: a search finds system files, a traceback names them.
_NAMED = frozenset({"path", "paths", "file", "filepath", "filename"})


def assess(value: object, walker: Walker, context: Context, *, printed: bool = False) -> list[Factor]:
    """Factors of inputs, or with `printed` of a result. Commands in it go to `walker`; more or deeper than the caps is unreadable."""
    factors: list[Factor] = []
    volume = Volume()
    people = secrets.People()
    try:
        for found in nested.walk(value):
            if found.kind == "number":
                volume.number(found.extra, found.text)
            elif found.kind == "rows":
                volume.rows(found.extra, int(found.text))
            elif found.text and found.kind != "argv" and (refusal := normalise.refusal(found.text)):
                factors.append(refusal)
            else:
                people.add(found.text)
                factors += [*normalise.suspicious(found.text, printed=printed), *_value(found, walker, volume, printed=printed)]
    except nested.TooMuch:
        factors.append(normalise.unreadable("too-large", "An object with more values, or nested deeper, than is analysed."))
    factors += secrets.lists(people)
    return [*factors, *volume.factors()]


def _value(found: nested.Found, walker: Walker, volume: Volume, *, printed: bool) -> list[Factor]:
    text = found.text
    factors = secrets.detect(text)
    if found.kind == "command":
        walker.run_text(text)
    elif found.kind == "argv":
        words = [Word(argument) for argument in text.split("\0")]
        walker.state.nested = 1
        walker.run_words(words)
        walker.state.nested = 0
    elif found.kind == "code":
        factors += languages.assess(found.extra, text, walker.run_text) if found.extra else languages.mentions(text)
    elif found.kind == "path":
        volume.files.add(text)
        volume.number(found.extra, text)
        factor = paths.write_factor(text, walker.place)
        if factor and not (printed and found.extra in _NAMED and factor.weight < HIGH):
            factors.append(factor)
    elif found.kind == "url":
        method, _, url = text.partition(" ") if " " in text else (found.extra or "GET", "", text)
        factors += api.assess_request(method, url, {}, None)
    else:
        volume.number(found.extra, text)
        factors += languages.mentions(text)
        for command in prose.quoted_commands(text):
            walker.run_text(command)
    return factors
