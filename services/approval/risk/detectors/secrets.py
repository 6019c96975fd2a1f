"""Factors for secrets and personal data; what counts as one is in `services.runtime.redaction`."""

from __future__ import annotations

from services.approval.risk import scoring
from services.approval.risk.model import Factor, Span
from services.runtime.redaction import MANY_PEOPLE, MASK, People, find, redact

__all__ = ["MASK", "People", "detect", "lists", "redact"]

# A text shorter than this holds no list of people: an address or a number has ten characters or more.
_LIST_CHARS = MANY_PEOPLE * 10


def detect(text: str) -> list[Factor]:
    """One factor for every kind of secret and of personal data in `text`."""
    found: dict[str, Factor] = {}
    for secret in find(text):
        if secret.kind in found or not secret.sure:
            continue
        category, weight, safer = (
            ("pii", scoring.MEDIUM, "Work with made-up numbers, or with references to the records.")
            if secret.personal
            else ("secret", scoring.SERIOUS, "Pass secrets by reference, from a secret store or the environment.")
        )
        found[secret.kind] = Factor(
            f"{category}.{secret.kind}",
            category,
            secret.message,
            weight,
            excerpt=MASK,
            span=Span(secret.start, secret.end),
            safer_alternative=safer,
        )
    if len(text) < _LIST_CHARS:
        return list(found.values())
    people = People()
    people.add(text)
    return [*found.values(), *lists(people)]


def lists(people: People) -> list[Factor]:
    """Factors for many people at once, as in the dump of a table; one address or number is ordinary."""
    return [
        Factor(
            f"pii.{what.partition(' ')[0]}",
            "pii",
            f"Contains at least {count} different {what}.",
            scoring.MEDIUM,
            safer_alternative="Take only the rows and columns that the work needs.",
        )
        for what, count in people.many().items()
    ]
