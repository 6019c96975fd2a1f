"""The keyword planner, where the predecessor's was wrong."""

from __future__ import annotations

import pytest

from services.orchestrator.engine.model import Spec
from services.orchestrator.plan import check
from services.orchestrator.planner.keyword import KeywordPlanner
from services.orchestrator.planner.vocabulary import AGENTS


async def plan(query: str) -> dict[str, Spec]:
    specs = await KeywordPlanner().plan(query)
    check(specs)
    return {spec.id: spec for spec in specs}


async def test_all_well_known_agents_can_be_planned() -> None:
    known = "orchestrator researcher coder design analyst critic skeptic rag librarian vision update toolsmith"
    assert {agent.name for agent in AGENTS} == set(known.split())
    assert set(await plan(f"ask {known}")) == set(known.split())


@pytest.mark.parametrize(
    ("query", "absent"),
    [
        ("build the parser", "design"),  # "build" has "ui" in it
        ("write a tokenizer in Rust", "toolsmith"),  # "tokenizer" is no tool
        ("the fragment drags", "rag"),
        ("encode the codename", "coder"),  # "code"
        ("decode the database", "analyst"),  # "data"
        ("an imaginary toolbox", "toolsmith"),
        ("it was prefixed", "coder"),  # "fix"
        ("the researchers' outdated envisioned plan", "update"),
        ("the suite is envisioned", "vision"),
    ],
)
async def test_only_whole_words_count(query: str, absent: str) -> None:
    assert absent not in await plan(query)


@pytest.mark.parametrize(
    ("query", "agents"),
    [
        ("build the UI", {"coder", "design", "critic"}),
        (
            "Research GPU prices, analyze the data and write code that plots them",
            {"researcher", "analyst", "coder", "critic"},
        ),
        ("look-up the docs", {"researcher", "critic"}),
        ("Search the knowledge base.", {"researcher", "rag", "critic"}),
        ("FIX THE BUG!", {"coder", "critic"}),
        ("Update .env file with new credentials", {"update", "critic"}),
        ("automate it with a workflow", {"toolsmith", "critic"}),
        ("double-check the screenshot", {"skeptic", "vision", "critic"}),
    ],
)
async def test_every_detected_agent_gets_a_step(query: str, agents: set[str]) -> None:
    assert set(await plan(query)) == agents


@pytest.mark.parametrize("query", ["hello there", "?", "   ", "привет мир", "x" * 60_000])
async def test_a_plan_is_never_empty(query: str) -> None:
    steps = await plan(query)
    assert list(steps) == ["orchestrator", "critic"]


async def test_the_whole_query_reaches_every_agent() -> None:
    query = "Research and then build a tool that " + "does very much " * 2000
    assert all(step.inputs == {"query": query} for step in (await plan(query)).values())


async def test_the_critic_is_last_and_waits_for_all() -> None:
    steps = await plan("research, design, build, update, challenge, automate, review the images in our documents")
    *others, last = steps
    assert last == "critic"
    assert set(steps["critic"].depends_on) == set(others)


async def test_independent_steps_are_parallel_and_results_flow() -> None:
    steps = await plan("research the topic, search the knowledge base, analyze, design the ui, code it")
    assert steps["researcher"].depends_on == ()
    assert steps["rag"].depends_on == ()
    assert set(steps["analyst"].depends_on) == {"researcher", "rag"}
    assert {"researcher", "analyst", "design"} <= set(steps["coder"].depends_on)
    both = await plan("write code and an automation")
    assert both["coder"].depends_on == both["toolsmith"].depends_on == ()


async def test_agents_that_act_are_gated_and_no_others() -> None:
    steps = await plan("research, design, code and automate the upgrade")
    assert {name: step.approval_type for name, step in steps.items() if step.require_approval} == {
        "coder": "code_execution",
        "toolsmith": "workflow_creation",
    }


async def test_the_same_query_gives_the_same_plan() -> None:
    query = "research, design, code, review, update, verify the images"
    assert await plan(query) == await plan(query)
