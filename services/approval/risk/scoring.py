"""Weights and thresholds: how factors become a score and a level.

Every factor carries one weight; the level follows from their sum, so that two medium reasons make a high one. Weights under
`ADDS_FROM` are notes: they inform and never add up, otherwise a long harmless script would become dangerous by its length.
`WEIGHTS` lists every number with its reason; `modifiers` says what the circumstances add, and to what.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.approval.risk.model import Assessment, Factor, Level

NOTE = 3
MINOR = 10
MEDIUM = 25
SERIOUS = 40
HIGH = 55
CRITICAL = 95

ADDS_FROM = 10
MEDIUM_FROM = 20
HIGH_FROM = 50
CRITICAL_FROM = 90

PRODUCTION = 30
AGENT = 10
WIDE = 5
WHOLE = 10
IRREVERSIBLE = 5

TYPE_BASE = {
    "file_write": 15,
    "code_execution": 25,
    "git_push": 20,
    "workflow_creation": 30,
    "api_call": 10,
}


@dataclass(frozen=True, slots=True)
class Weight:
    """One number of the score, and why it is what it is."""

    name: str
    value: int
    reason: str


WEIGHTS = (
    Weight("NOTE", NOTE, "Worth saying, never decides, never adds up: reading, listing, an unknown program."),
    Weight("MINOR", MINOR, "An effect that is small or easily undone: one passes, two different ones ask a person."),
    Weight("MEDIUM", MEDIUM, "Asks a person on its own, by a margin over MEDIUM_FROM that no rounding of ours can lose."),
    Weight("SERIOUS", SERIOUS, "Asks a person, and is high together with any other real reason (40 + 10 = HIGH_FROM)."),
    Weight("HIGH", HIGH, "High on its own: it breaks out, gives rights away, takes secrets, or ends work that others need."),
    Weight("CRITICAL", CRITICAL, "Catastrophic and irreversible on its own: the machine, the disk, the cluster."),
    Weight("ADDS_FROM", ADDS_FROM, "The smallest weight that adds up. What is under it is a note."),
    Weight("MEDIUM_FROM", MEDIUM_FROM, "From here a person is asked. Kept from the platform's model."),
    Weight("HIGH_FROM", HIGH_FROM, "From here it is high. Kept from the platform's model."),
    Weight("CRITICAL_FROM", CRITICAL_FROM, "Reached only with a critical factor: many small things never add up to a catastrophe."),
    Weight("PRODUCTION", PRODUCTION, "What happens to production happens to customers. Kept from the platform's model: medium becomes high."),
    Weight("AGENT", AGENT, "Steps of coder and toolsmith change things before their actions are known. Kept from the platform's model."),
    Weight("WIDE", WIDE, "Many targets at once (a wildcard, --all): serious and irreversible becomes high, medium stays medium."),
    Weight("WHOLE", WHOLE, "All there is (a root, every host, every namespace): serious becomes high."),
    Weight("IRREVERSIBLE", IRREVERSIBLE, "No undo but a backup: decides between neighbours, never a level alone."),
    *(
        Weight(f"TYPE_BASE[{name}]", value, "What a step of this type may do, before its actions are known. Kept from the platform's model.")
        for name, value in TYPE_BASE.items()
    ),
)

UNREADABLE = "unreadable"  # category whose factors make the level UNKNOWN
MODIFIERS = frozenset({"environment", "agent", "reach", "reversibility"})  # categories that only weigh upon an effect


def heaviest(factors: Iterable[Factor]) -> dict[str, Factor]:
    """The factors by id, each once, with its heaviest weight."""
    kept: dict[str, Factor] = {}
    for factor in factors:
        known = kept.get(factor.id)
        if known is None or factor.weight > known.weight:
            kept[factor.id] = factor
    return kept


def effect_of(factors: Iterable[Factor]) -> int:
    """The sum of what the factors would do by themselves, modifiers and notes left out."""
    return sum(f.weight for f in factors if f.weight >= ADDS_FROM and f.category not in MODIFIERS)


def conclude(factors: Iterable[Factor], rating: Level | None = None) -> Assessment:
    """The assessment that these factors add up to.

    Modifiers count only where there is an effect: reading in production is reading. `rating` is the agent's own: the
    level is at least that.
    """
    by_id = heaviest(factors)
    effect = effect_of(by_id.values())
    unread = any(f.category == UNREADABLE for f in by_id.values())
    kept = [f for f in by_id.values() if effect or unread or f.category not in MODIFIERS]
    top = max((f.weight for f in kept if f.category not in MODIFIERS), default=0)
    score = min(100, effect + sum(f.weight for f in kept if f.category in MODIFIERS)) if effect else top
    if top < CRITICAL_FROM:
        score = min(CRITICAL_FROM - 1, score)
    level = max(level_of(score), Level.UNKNOWN) if unread else level_of(score)
    if rating is not None and rating > level:
        kept.append(_rating_factor(rating))
        level, score = rating, max(score, _LEAST.get(rating, 0))
    kept.sort(key=lambda f: (-f.weight, f.id))
    return Assessment(level, score, tuple(kept))


_LEAST = {Level.MEDIUM: MEDIUM_FROM, Level.HIGH: HIGH_FROM, Level.CRITICAL: CRITICAL_FROM}


def _rating_factor(rating: Level) -> Factor:
    return Factor("agent.rating", "agent", f"The agent itself rates this {rating.name}.", _LEAST.get(rating, NOTE))


def level_of(score: int) -> Level:
    """The level of a score from 0 to 100."""
    if score >= CRITICAL_FROM:
        return Level.CRITICAL
    if score >= HIGH_FROM:
        return Level.HIGH
    return Level.MEDIUM if score >= MEDIUM_FROM else Level.LOW
