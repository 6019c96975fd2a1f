"""Whether a run's stored state is what its events say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

from services.orchestrator.engine.evolve import fold
from services.orchestrator.engine.model import Event, Run

MAX_DIFFERENCES = 100


def differences(stored: Run, events: Sequence[Event]) -> list[str]:
    """Return how the stored run differs from the fold of its events, at most MAX_DIFFERENCES; empty if it does not."""
    try:
        folded = fold(stored.header, events)
    except (ValueError, KeyError) as error:
        return [f"the events cannot be folded: {error}"]
    return list(islice(_differences(stored, folded), MAX_DIFFERENCES))


def _differences(stored: Run, folded: Run) -> Iterator[str]:
    yield from _fields("run", stored.core, folded.core)
    for step_id in sorted(stored.steps.keys() | folded.steps.keys()):
        yield from _fields(f"step '{step_id}'", stored.steps.get(step_id), folded.steps.get(step_id))


def _fields(name: str, stored: Any, folded: Any) -> Iterator[str]:
    if stored == folded:
        return
    if stored is None or folded is None:
        yield f"{name} is only in the {'events' if stored is None else 'stored state'}"
        return
    for item in fields(stored):
        kept, told = getattr(stored, item.name), getattr(folded, item.name)
        if kept != told:
            yield f"{name}: {item.name} is {kept!r:.200} as stored and {told!r:.200} by its events"
