"""The well-known agents as the keyword planner sees them: the words that ask for each, and whose results each uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agent:
    """`words`: whole words or phrases of up to four words. `after`: agents whose results it uses."""

    name: str
    task: str
    words: frozenset[str]
    after: tuple[str, ...] = ()
    approval_type: str = ""
    """Set for agents whose steps a human approves before they start."""


def _words(text: str) -> frozenset[str]:
    return frozenset(entry.strip() for entry in text.split(","))


CRITIC = Agent(
    "critic",
    "Review the results of all other steps against the request.",
    _words("critic, critics, critique, review, reviews, reviewed, reviewing"),
)

FALLBACK = "orchestrator"
"""Who gets a request that names nothing the planner knows: the agent that can hand work on."""

_SOURCES = ("researcher", "rag", "librarian", "vision")

AGENTS = (
    Agent(
        "orchestrator",
        "Coordinate what the request asks for.",
        _words("orchestrator, orchestrate, orchestration, coordinate, coordination, delegate, organise, organize"),
    ),
    Agent(
        "researcher",
        "Find the facts the request needs.",
        _words(
            "researcher, research, researching, investigate, investigation, find, find out, search, look up, explore, "
            "gather, survey, discover, learn about, sources, study, what is, who is, how does"
        ),
    ),
    Agent(
        "rag",
        "Retrieve what the document libraries say about the request.",
        _words(
            "rag, retrieve, retrieval, knowledge base, vector search, semantic search, embedding, embeddings, "
            "our documents, the documents, our docs"
        ),
    ),
    Agent(
        "librarian",
        "Order the documents the request is about.",
        _words(
            "librarian, catalog, catalogue, document library, document libraries, ingest, index documents, "
            "index the documents, classify documents, tag documents, organise documents, organize documents"
        ),
    ),
    Agent(
        "vision",
        "Describe the images the request is about.",
        _words(
            "vision, image, images, picture, pictures, photo, photos, photograph, screenshot, screenshots, "
            "ocr, video, videos, visual, visually"
        ),
    ),
    Agent(
        "analyst",
        "Analyse what is known about the request.",
        _words(
            "analyst, analyse, analyses, analysing, analyze, analyzes, analyzing, analysis, data, dataset, datasets, "
            "metric, metrics, statistics, trend, trends, compare, comparison, evaluate, evaluation, measure"
        ),
        after=_SOURCES,
    ),
    Agent(
        "design",
        "Design what the request asks for.",
        _words(
            "design, designs, designer, designing, redesign, ui, ux, user interface, mockup, mockups, wireframe, "
            "wireframes, layout, prototype, architecture, look and feel"
        ),
        after=(*_SOURCES, "analyst"),
    ),
    Agent(
        "toolsmith",
        "Make the tools and automations the request asks for.",
        _words(
            "toolsmith, tool, tools, tooling, automate, automated, automation, workflow, workflows, plugin, plugins, "
            "integration, integrations, webhook, webhooks, connector"
        ),
        after=(*_SOURCES, "analyst", "design"),
        approval_type="workflow_creation",
    ),
    Agent(
        "coder",
        "Write and run the code the request asks for.",
        _words(
            "coder, code, coding, implement, implements, implementing, implementation, build, builds, building, "
            "develop, developing, program, programming, function, functions, class, method, module, script, scripts, "
            "bug, bugs, bugfix, fix, fixes, debug, debugging, refactor, refactoring, compile, deploy, deployment, "
            "tokenizer, parser, endpoint, unit test, unit tests, tests"
        ),
        after=(*_SOURCES, "analyst", "design"),
        approval_type="code_execution",
    ),
    Agent(
        "update",
        "Bring what the request names up to date.",
        _words(
            "update, updates, updated, updating, upgrade, upgrades, upgrading, refresh, bump, bring up to date, sync"
        ),
        after=(*_SOURCES, "coder", "toolsmith"),
    ),
    Agent(
        "skeptic",
        "Look for what is wrong or unproven in what was found.",
        _words(
            "skeptic, sceptic, skeptical, sceptical, challenge, doubt, question the, fact check, verify, "
            "double check, devil s advocate, assumptions"
        ),
        after=(*_SOURCES, "analyst", "design"),
    ),
    CRITIC,
)
"""In the order of steps in a plan; every `after` names an earlier agent, so plans have no cycle. The critic is last."""
