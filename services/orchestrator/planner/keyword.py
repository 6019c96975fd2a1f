"""A planner that reads keywords: no model, no I/O, the same plan for the same query."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.orchestrator.engine.model import Spec
from services.orchestrator.planner.vocabulary import AGENTS, CRITIC, FALLBACK, Agent

_LONGEST_PHRASE = 4
# An underscore or hyphen parts words: "build_ui" asks for a ui as "build ui" does.
_WORD = re.compile(r"[^\W_]+")


class KeywordPlanner:
    """One step for each agent whose words the query has, and the critic's last.

    Steps run in parallel unless one uses the other's result. Steps of agents that act on the world (coder,
    toolsmith) wait for a human. Every step gets the whole query as input `query`.
    """

    async def plan(self, query: str) -> list[Spec]:
        """Return the plan; never empty."""
        detected = detect(query)
        agents = [agent for agent in AGENTS if agent in detected and agent is not CRITIC]
        if not agents:
            agents = [agent for agent in AGENTS if agent.name == FALLBACK]
        chosen = {agent.name for agent in agents}
        steps = [_step(agent, query, tuple(name for name in agent.after if name in chosen)) for agent in agents]
        return [*steps, _step(CRITIC, query, tuple(step.id for step in steps))]


def detect(query: str) -> set[Agent]:
    """Return the agents whose words are in the query as whole words, whatever their case."""
    phrases = set(_phrases(query))
    return {agent for agent in AGENTS if not agent.words.isdisjoint(phrases)}


def _phrases(query: str) -> Iterator[str]:
    words = _WORD.findall(query.casefold())
    for start in range(len(words)):
        for length in range(1, _LONGEST_PHRASE + 1):
            yield " ".join(words[start : start + length])


def _step(agent: Agent, query: str, depends_on: tuple[str, ...]) -> Spec:
    return Spec(
        id=agent.name,
        agent=agent.name,
        description=agent.task,
        inputs={"query": query},
        depends_on=depends_on,
        require_approval=bool(agent.approval_type),
        approval_type=agent.approval_type,
    )
