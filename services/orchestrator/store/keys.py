"""Every key of the orchestrator.

All data is split over shards, and the shard is the hash tag, so that what changes together lives in one slot of a
Redis Cluster. Ids carry their shard: a project's is drawn at its creation, and its tasks and runs have the same. `S`
below is `orchestrator:{oNN}`, NN the shard as two hex digits, as in the id. Owners and request ids are
percent-encoded in keys. Times are Unix milliseconds of the Redis server's clock.

`S:project:<id>`: hash `display_name description environment owner archived etag created_ms updated_ms`.
    Kept. Written by store/projects.
`S:projects`, `S:owner:<owner>:projects`: zsets, ids of open projects by creation time.
`S:archived_projects`, `S:owner:<owner>:archived_projects`: the same of archived ones.
    Live with the project. Written by store/projects.
`S:task:<id>`: hash `data plan` (JSON, never changed), `status last_run active_run created_ms updated_ms`.
    Kept. Made by store/tasks; status and runs are written by the commits of runs.
`S:tasks`, `S:owner:<owner>:tasks`, `S:project:<id>:tasks`: zsets, task ids by creation time.
    Live with the task. Written by store/tasks.
`S:run:<id>`: hash `v core header brief`, and a field `s:<step>` for each step.
`S:run:<id>:events`: stream, ids `<sequence>-0`, field `e` (JSON).
    Removed by the retention of ended runs. Written by commit.
`S:runs`, `S:owner:<owner>:runs`, `S:project:<id>:runs`, `S:task:<id>:runs`: zsets, run ids by creation time.
    Live with the run. Written by commit.
`S:request:<kind>:<owner>:<request id>`: hash, `id` of the first result, `fingerprint` of the request.
    24 h. Written by the script that creates.
`S:queue:<agent>`: zset, `<run>|<step>` by priority and age. Until leased or void. Written by commit.
`S:timers`: zset, what to do by when. Until done. Written by commit.
`S:outbox`: zset, calls owed to the approval service by when. Until answered. Written by commit.
`S:ended`: zset, ids of ended runs by end time. Live with the run. Written by commit.
`orchestrator:{o00}:approval_cursor`: string, where the watch of decisions resumes. Kept. Written by the watcher.

Projects and tasks are what people made, and are never dropped by the system. Channels: `orchestrator:wake` (a step is
ready somewhere) and `orchestrator:run:<run id>` (the run has new events).
"""

from __future__ import annotations

from urllib.parse import quote

from services.orchestrator.engine.model import Header
from services.runtime import ids

PREFIX = "orchestrator"

REQUEST_TTL_SECONDS = 24 * 3600
"""How long a request_id keeps a creation idempotent, as the contract says."""

APPROVAL_CURSOR = f"{PREFIX}:{{o00}}:approval_cursor"
WAKE_CHANNEL = f"{PREFIX}:wake"

PROJECT_ID = "prj"
TASK_ID = "tsk"
RUN_ID = "run"


def shard_in(kind: str, identifier: str) -> int | None:
    """Return the shard in an id of this kind, or None if it is no such id, and so cannot name anything stored.

    Ids from callers go through here before they become part of a key.
    """
    if not ids.is_id(identifier, kind):
        return None
    try:
        return ids.shard_of(identifier)
    except ValueError:
        return None


def shard_of(identifier: str) -> int:
    """Return the shard in an id. Raises ValueError if it has none."""
    return ids.shard_of(identifier)


def tag(shard: int) -> str:
    """Return what all keys of a shard start with."""
    return f"{PREFIX}:{{o{shard:02x}}}"


def project(project_id: str) -> str:
    """Hash of one project."""
    return f"{tag(shard_of(project_id))}:project:{project_id}"


def projects(shard: int, *, archived: bool = False) -> str:
    """Ids of all open, or all archived, projects of a shard."""
    return f"{tag(shard)}:{'archived_' if archived else ''}projects"


def owner_projects(shard: int, owner: str, *, archived: bool = False) -> str:
    """Ids of an owner's open, or archived, projects in a shard."""
    return f"{tag(shard)}:owner:{quote(owner, safe='')}:{'archived_' if archived else ''}projects"


def task(task_id: str) -> str:
    """Hash of one task."""
    return f"{tag(shard_of(task_id))}:task:{task_id}"


def tasks(shard: int) -> str:
    """Ids of all tasks of a shard."""
    return f"{tag(shard)}:tasks"


def owner_tasks(shard: int, owner: str) -> str:
    """Ids of an owner's tasks in a shard."""
    return f"{tag(shard)}:owner:{quote(owner, safe='')}:tasks"


def project_tasks(project_id: str) -> str:
    """Ids of a project's tasks."""
    return f"{project(project_id)}:tasks"


def run(run_id: str) -> str:
    """Hash of one run."""
    return f"{tag(shard_of(run_id))}:run:{run_id}"


def run_events(run_id: str) -> str:
    """Stream of a run's events."""
    return f"{run(run_id)}:events"


def runs(shard: int) -> str:
    """Ids of all runs of a shard."""
    return f"{tag(shard)}:runs"


def owner_runs(shard: int, owner: str) -> str:
    """Ids of an owner's runs in a shard."""
    return f"{tag(shard)}:owner:{quote(owner, safe='')}:runs"


def project_runs(project_id: str) -> str:
    """Ids of a project's runs."""
    return f"{project(project_id)}:runs"


def task_runs(task_id: str) -> str:
    """Ids of a task's runs."""
    return f"{task(task_id)}:runs"


def run_indexes(header: Header) -> list[str]:
    """All indexes that name a run."""
    shard = shard_of(header.run_id)
    return [
        runs(shard),
        owner_runs(shard, header.owner),
        project_runs(header.project_id),
        task_runs(header.task_id),
    ]


def request(shard: int, kind: str, owner: str, request_id: str) -> str:
    """First result of a creation; kind is `project`, `task` or `run`."""
    return f"{tag(shard)}:request:{kind}:{quote(owner, safe='')}:{quote(request_id, safe='')}"


def queue(shard: int, agent: str) -> str:
    """Steps of a shard that are ready for an agent."""
    return f"{tag(shard)}:queue:{agent}"


def timers(shard: int) -> str:
    """What a shard has to do at a time."""
    return f"{tag(shard)}:timers"


def outbox(shard: int) -> str:
    """Calls a shard owes to the approval service."""
    return f"{tag(shard)}:outbox"


def ended(shard: int) -> str:
    """Ended runs of a shard, for retention."""
    return f"{tag(shard)}:ended"


def run_channel(run_id: str) -> str:
    """Channel that says a run has new events."""
    return f"{PREFIX}:run:{run_id}"
