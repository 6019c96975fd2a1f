"""Weights and thresholds: how factors become a score and a level.

Every factor carries one of the weights below; the level follows from their sum, so that two medium reasons make a high one.
Weights under 10 are notes: they inform and never add up, otherwise a long harmless script would become dangerous by length.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.approval.risk.model import Assessment, Factor, Level

NOTE = 3  # worth saying, never decides
MINOR = 10  # an effect that is easily undone; two different ones ask a person
MEDIUM = 25  # asks a person on its own
SERIOUS = 40  # asks a person, and is high with any other real reason
HIGH = 55  # high on its own
CRITICAL = 95  # catastrophic and irreversible

MEDIUM_FROM = 20  # thresholds kept from the platform's model
HIGH_FROM = 50
CRITICAL_FROM = 90  # reached by one critical factor only, never by adding up

ADDS_FROM = 10  # weights under this are notes

PRODUCTION = 30  # added to anything that has an effect, in a production environment
AGENT_BASE = {"coder": 10, "toolsmith": 10}  # steps of these agents change things before their actions are known
TYPE_BASE = {
    "file_write": 15,
    "code_execution": 25,
    "git_push": 20,
    "workflow_creation": 30,
    "api_call": 10,
}

UNREADABLE = "unreadable"  # category whose factors make the level UNKNOWN


def conclude(factors: Iterable[Factor], *, production: bool = False) -> Assessment:
    """The assessment that these factors add up to. Each factor id counts once, with its heaviest weight."""
    heaviest: dict[str, Factor] = {}
    for factor in factors:
        known = heaviest.get(factor.id)
        if known is None or factor.weight > known.weight:
            heaviest[factor.id] = factor
    kept = list(heaviest.values())
    has_effect = any(f.weight >= ADDS_FROM or f.category == UNREADABLE for f in kept)
    if production and has_effect and "environment.production" not in heaviest:
        kept.append(
            Factor(
                "environment.production",
                "environment",
                "This would happen in production.",
                PRODUCTION,
                safer_alternative="Run it in staging first.",
            )
        )
    kept.sort(key=lambda f: (-f.weight, f.id))
    top = kept[0].weight if kept else 0
    total = sum(f.weight for f in kept if f.weight >= ADDS_FROM)
    if not total:
        score = top
    elif top >= CRITICAL_FROM:
        score = min(100, total)
    else:
        score = min(CRITICAL_FROM - 1, total)
    level = level_of(score)
    if any(f.category == UNREADABLE for f in kept):
        level = max(level, Level.UNKNOWN)
    return Assessment(level, score, tuple(kept))


def level_of(score: int) -> Level:
    """The level of a score from 0 to 100."""
    if score >= CRITICAL_FROM:
        return Level.CRITICAL
    if score >= HIGH_FROM:
        return Level.HIGH
    return Level.MEDIUM if score >= MEDIUM_FROM else Level.LOW
