"""Inputs and results of any shape: the same detectors over every value in them, and how much was touched."""

from __future__ import annotations

from services.approval.risk import languages, normalise
from services.approval.risk.detectors import api, nested, paths, prose, secrets
from services.approval.risk.model import Context, Factor
from services.approval.risk.scoring import MEDIUM
from services.approval.risk.shell.walker import Walker
from services.approval.risk.shell.words import Word

MANY_FILES = 100  # files in one result above which a person should look
MAX_NAMED = 50  # commands in backquotes of one text; a longer list is documentation


def assess(value: object, walker: Walker, context: Context, *, printed: bool = False) -> list[Factor]:
    """Factors of inputs, or with `printed` of a result. Commands in it go to `walker`; more or deeper than the caps is unreadable."""
    factors: list[Factor] = []
    files: set[str] = set()
    people = secrets.People()
    try:
        for found in nested.walk(value):
            if found.text and found.kind != "argv" and (refusal := normalise.refusal(found.text)):
                factors.append(refusal)
                continue
            people.add(found.text)
            factors += [*normalise.suspicious(found.text, printed=printed), *_value(found, walker, context, files)]
    except nested.TooMuch:
        factors.append(normalise.unreadable("too-large", "An object with more values, or nested deeper, than is analysed."))
    factors += secrets.lists(people)
    if len(files) > MANY_FILES:
        factors.append(Factor("volume.files", "volume", f"Touches {len(files)} files.", MEDIUM))
    return factors


def _value(found: nested.Found, walker: Walker, context: Context, files: set[str]) -> list[Factor]:
    text = found.text
    factors = secrets.detect(text)
    if found.kind == "command":
        walker.run_text(text)
    elif found.kind == "argv":
        walker.state.nested = 1
        walker.run_words([Word(argument) for argument in text.split("\0")])
        walker.state.nested = 0
    elif found.kind == "code":
        factors += languages.assess(found.extra, text, walker.run_text) if found.extra else languages.mentions(text)
    elif found.kind == "path":
        files.add(text)
        if factor := paths.write_factor(text, paths.place_of(context)):
            factors.append(factor)
    elif found.kind == "url":
        method, _, url = text.partition(" ") if " " in text else (found.extra or "GET", "", text)
        factors += api.assess_request(method, url, {}, None)
    else:
        factors += languages.mentions(text)
        if "`" in text:
            for command in prose.commands_in(text)[:MAX_NAMED]:
                walker.run_text(command)
    return factors
