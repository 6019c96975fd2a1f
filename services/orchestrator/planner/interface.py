"""What a planner is."""

from __future__ import annotations

from typing import Protocol

from services.orchestrator.engine.model import Spec


class Planner(Protocol):
    """Turns a request in words into steps."""

    async def plan(self, query: str) -> list[Spec]:
        """Return at least one step, a valid plan: ids unique, dependencies known, no cycle."""
        ...
