"""What inputs and results of any shape hold: commands, code, requests and amounts, however deep, in any style."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import Level, StepResult, StepStart, assess
from services.approval.risk.detectors.volume import MEASURES


def ids(value: object) -> set[str]:
    return {factor.id for factor in assess(StepResult("", "", result=value)).factors}


RISKY: list[Any] = [
    {"command": "rm -rf /srv"},
    {"shellCommand": "rm -rf /srv"},
    {"argv": ["rm", "-rf", "/srv"]},
    {"command": ["rm", "-rf", "/srv"]},
    {"commands": ["ls", "rm -rf /srv"]},
    {"command": "rm", "args": ["-rf", "/srv"]},
    {"tool": "bash", "input": "rm -rf /srv"},
    {"name": "run_command", "arguments": '{"cmd": "rm -rf /srv"}'},
    {"text": '[{"script": "rm -rf /srv"}]'},
    {"log": "Run `rm -rf /srv` to clean"},
    {"script": "import shutil\nshutil.rmtree('/srv')", "language": "python"},
    {"sql": "DROP TABLE users"},
    {"files": ["src/a.py", "/etc/sudoers"]},
    {"outputPath": "~/.ssh/authorized_keys"},
    {"url": "http://169.254.169.254/latest/meta-data/"},
    {"url": "https://api.example.com/v1/users/5", "method": "DELETE"},
]


@pytest.mark.parametrize("value", RISKY)
@pytest.mark.parametrize("depth", [0, 3])
def test_what_is_risky_is_found_at_any_depth_and_in_any_style(value: Any, depth: int) -> None:
    for _ in range(depth):
        value = {"outputs": [{"inner": value}]}
    assert assess(StepResult("", "", result=value)).level > Level.LOW
    assert assess(StepStart("", "Read it", inputs=value)).level > Level.LOW


@pytest.mark.parametrize(
    "value",
    [
        {"summary": "The tokenizer is fast.", "score": 12.5, "ok": True, "none": None},
        {"files": ["src/a.py", "docs/b.md"], "files_changed": 2},
        {"command": "pytest -q", "stdout": "12 passed", "exit_code": 0},
        {"command": ["git", "commit", "-m", "rm -rf is gone"]},
        {"text": "{not json}", "id": "[12]"},
        {"name": "bash", "description": "a shell"},
        {"rows": [{"id": n} for n in range(200)], "row_count": 200},
        {"rows_affected": 3, "deleted": 2, "bytes_written": 4096, "emails_sent": 1},
        {"deleted": False, "removed": "yes", "deleted_at": 1_700_000_000},
        {"total_bytes": "12,345"},
        {"deleted": float("nan"), "rowsAffected": -5, "recipients": float("inf")},
    ],
)
def test_ordinary_results_are_low(value: object) -> None:
    found = assess(StepResult("coder", "", result=value))
    assert found.level is Level.LOW, found.factors


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.id)
def test_amounts_over_their_threshold_ask_a_person(measure: Any) -> None:
    assert measure.reason
    for name in measure.names:
        assert ids({name: measure.threshold}).isdisjoint({measure.id})
        assert measure.id in ids({"outputs": [{name: measure.threshold + 1}]})
        assert measure.id in ids({name: f"{measure.threshold + 1:,}"})


def test_a_result_that_names_a_system_file_has_not_changed_it() -> None:
    assert assess(StepResult("", "", result={"matches": [{"path": "/usr/include/stdio.h"}]})).level is Level.LOW
    assert assess(StepResult("", "", result={"files_modified": ["/usr/include/stdio.h"]})).level > Level.LOW
    assert assess(StepStart("", "Read it", inputs={"path": "/usr/include/stdio.h"})).level > Level.LOW


def test_amounts_are_summed_and_names_have_any_style() -> None:
    assert "volume.rows" in ids([{"rowsAffected": 600}, {"rows-affected": 600}])


def test_sizes_of_lists_count() -> None:
    assert "volume.files" in ids({"files": [f"src/{n}.py" for n in range(101)]})
    assert "volume.files" not in ids({"files": ["src/a.py"] * 500})
    assert "volume.read" in ids({"rows": [{"id": n} for n in range(10_001)]})
    assert "volume.deleted" in ids({"deleted": [{"id": n} for n in range(101)]})


def test_json_inside_text_too_often_is_unknown() -> None:
    text = json.dumps({"a": 1})
    for _ in range(9):
        text = json.dumps({"a": text})
    assert assess(StepResult("", "", result={"x": text})).level is Level.UNKNOWN
    assert assess(StepResult("", "", result={"x": "[" * 5000 + "]" * 5000})).level is Level.UNKNOWN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["command", "args", "cmd", "files", "deleted", "url", "tool", "input", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_value_is_read_the_same_twice(value: object) -> None:
    action = StepResult("", "", result=value)
    assert assess(action) == assess(action)
