"""What the circumstances add to an effect: where it happens, who does it, how far it reaches, whether it can be undone.

Each modifier is a factor of its own with a bounded weight (`scoring.WEIGHTS`), at most one of each kind, and only upon an
effect: a harmless command stays LOW in production, whoever runs it. Reach and reversibility need an effect that asks a person
already, so that they tell medium from high and never make a question of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from services.approval.risk import scoring
from services.approval.risk.detectors import paths
from services.approval.risk.model import Context, Factor

PRODUCTION_NAMES = frozenset({"production", "prod"})
CHANGING_AGENTS = frozenset({"coder", "toolsmith"})

# Categories, or single ids, of effects that nothing but a backup undoes, each with the reason.
IRREVERSIBLE: Mapping[str, str] = {
    "destruction": "what is removed or overwritten is gone",
    "database": "rows and tables come back only from a backup",
    "exfiltration": "what has left cannot be called back",
    "history.discard": "work that was never committed is in no history",
    "history.purge": "it removes what a repository could be restored from",
    "cloud.delete": "the data of a resource goes with it",
    "cluster.delete": "the data of a resource goes with it",
    "platform.delete": "the data of a resource goes with it",
    "hosting.delete": "issues, pull requests and settings go with it",
    "infrastructure.destroy": "the data of a resource goes with it",
    "backup.delete": "a backup is what would undo everything else",
    "machine.delete": "its disks go with it",
    "container.prune": "unused may still be needed, and volumes hold data",
    "publishing.publish": "others install a version as soon as it is out",
    "evasion.logs": "nothing else tells what happened",
    "network.mail": "what was sent cannot be called back",
    "api.delete": "few services keep what was deleted",
    "api.destructive": "few services keep what was deleted",
    "api.money": "money that was sent has to be asked back",
    "intent.destructive": "what is removed is gone",
    "intent.payment": "money that was sent has to be asked back",
    "intent.outward": "what was sent cannot be called back",
}

_WHOLE_WORDS = frozenset("--all-namespaces --all-databases --all-regions --all-hosts --all-projects --no-preserve-root 0.0.0.0/0 ::/0".split())
_WIDE_WORDS = frozenset("* ./* .* all every everything everyone entire whole".split())


def circumstances(factors: Iterable[Factor], context: Context) -> Iterator[Factor]:
    """The modifiers that apply to these factors."""
    kept = scoring.heaviest(factors)
    effects = [f for f in kept.values() if f.weight >= scoring.ADDS_FROM and f.category not in scoring.MODIFIERS]
    unread = any(f.category == scoring.UNREADABLE for f in kept.values())
    if (effects or unread) and context.environment.strip().lower() in PRODUCTION_NAMES:
        yield production("This would happen in production.")
    if scoring.effect_of(effects) < scoring.MEDIUM_FROM:
        return
    if reach := _reach(effects):
        yield reach
    if undoable := next((f for f in sorted(effects, key=lambda f: (-f.weight, f.id)) if _reason(f)), None):
        yield Factor(
            "reversibility.none",
            "reversibility",
            f"It cannot be undone: {_reason(undoable)}.",
            scoring.IRREVERSIBLE,
            excerpt=undoable.excerpt,
            safer_alternative="Make a backup first, or rehearse it (a dry run, a copy).",
        )


def production(message: str, excerpt: str = "") -> Factor:
    """The factor of acting on production, however it is known."""
    return Factor("environment.production", "environment", message, scoring.PRODUCTION, excerpt, safer_alternative="Do it in staging first.")


def agent(name: str) -> list[Factor]:
    """The factor of who does a step whose actions are not known yet."""
    if name.strip().lower() not in CHANGING_AGENTS:
        return []
    return [Factor("agent.base", "agent", f"The {name.strip().lower()} agent changes things.", scoring.AGENT)]


def _reason(factor: Factor) -> str:
    return IRREVERSIBLE.get(factor.id) or IRREVERSIBLE.get(factor.category, "")


def _reach(effects: Iterable[Factor]) -> Factor | None:
    """How much is touched, told by the words that an effect was found in."""
    wide: Factor | None = None
    for factor in effects:
        words = factor.excerpt.lower().split()
        if any(word in _WHOLE_WORDS or (word[:1] in "/~" and paths.is_root(word)) for word in words):
            return _reach_factor("reach.whole", "all there is: a root, every host, every namespace", scoring.WHOLE, factor)
        if wide is None and any(word in _WIDE_WORDS or word.startswith("--all") or word.endswith("/*") for word in words):
            wide = _reach_factor("reach.wide", "many things at once", scoring.WIDE, factor)
    return wide


def _reach_factor(id: str, what: str, weight: int, of: Factor) -> Factor:
    return Factor(id, "reach", f"It touches {what}.", weight, excerpt=of.excerpt, safer_alternative="Name exactly what it should touch.")
