"""Takes secrets out of what factors quote. A factor is shown, stored and sent; the action that it is about is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache

from services.approval.risk.actions import Action
from services.approval.risk.model import Factor
from services.runtime.redaction import MASK, find, redact

# So many characters of a secret where an excerpt was cut are still more of it than anybody should see.
_BEGINNING = 6


def masked(factors: Sequence[Factor], action: Action) -> list[Factor]:
    """The factors of an action, with every secret and personal number of it masked, also one that a cut left a part of."""
    if not factors:
        return []
    # Also a secret that is not surely one, and so has no factor of its own, is not quoted.
    texts = set(_texts(action))
    values = {text[secret.start : secret.end] for text in texts for secret in find(text)}
    if (
        not values
        and not any(find(factor.excerpt) for factor in factors if factor.excerpt not in texts)
        and not any(_tells(f.message) for f in factors)
    ):
        return list(factors)
    # The longest first, for one may be a part of another.
    ordered = sorted(values, key=lambda value: (-len(value), value))
    return [_without(factor, ordered) for factor in factors]


@lru_cache(maxsize=512)
def _tells(message: str) -> bool:
    """Whether a message has a secret in it. Nearly all are fixed texts."""
    return bool(find(message))


def _without(factor: Factor, values: Iterable[str]) -> Factor:
    return replace(
        factor,
        message=_text(factor.message, values),
        excerpt=_text(factor.excerpt, values),
        safer_alternative=_text(factor.safer_alternative, values),
    )


def _text(text: str, values: Iterable[str]) -> str:
    for value in values:
        text = text.replace(value, MASK)
        cut = text.rfind(value[:_BEGINNING])
        if cut >= 0 and value.startswith(text[cut:]):
            text = text[:cut] + MASK
    return redact(text)


def _texts(action: Action) -> Iterator[str]:
    """Every text of an action, at any depth, keys as well as values."""
    todo: list[object] = [getattr(action, field.name) for field in fields(action)]
    while todo:
        value = todo.pop()
        if not value:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, bytes | bytearray):
            yield bytes(value).decode("utf-8", "replace")
        elif isinstance(value, Mapping):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, Sequence):
            todo += value
            # Of arguments, one may say that the next is a secret.
            if all(isinstance(inner, str) for inner in value):
                yield " ".join(value)
