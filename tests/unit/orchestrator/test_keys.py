"""Keys: one slot a shard, and no way from a caller's text to somebody else's key."""

from __future__ import annotations

import pytest

from services.orchestrator.store import keys
from services.runtime.ids import new_id


def test_everything_of_a_shard_has_its_tag() -> None:
    project, task, run = (new_id(kind, 10) for kind in ("prj", "tsk", "run"))
    names = [
        keys.project(project),
        keys.projects(10),
        keys.owner_projects(10, "{o03}", archived=True),
        keys.task(task),
        keys.project_tasks(project),
        keys.run(run),
        keys.run_events(run),
        keys.task_runs(task),
        keys.request(10, "task", "{x}", "{y}"),
        keys.queue(10, "coder"),
        keys.timers(10),
        keys.outbox(10),
        keys.ended(10),
    ]
    assert len(set(names)) == len(names)
    assert all(name.startswith("orchestrator:{o0a}:") and name.count("{") == 1 for name in names)


def test_owners_and_request_ids_cannot_be_confused() -> None:
    assert keys.request(0, "task", "a:b", "c") != keys.request(0, "task", "a", "b:c")
    assert keys.owner_tasks(0, "a:tasks") != keys.owner_tasks(0, "a")
    assert keys.owner_projects(0, "a", archived=True) != keys.owner_projects(0, "a:archived_projects")


@pytest.mark.parametrize(
    "text", ["", "run", "run_", "run_zz" + "0" * 32, "run_" + "0" * 32, "run_00" + "0" * 32 + "\n"]
)
def test_what_is_no_id_names_nothing(text: str) -> None:
    assert keys.shard_in("run", text) is None


def test_ids_of_another_kind_name_nothing() -> None:
    assert keys.shard_in("run", new_id("tsk", 3)) is None
    assert keys.shard_in("run", new_id("run", 3)) == 3
