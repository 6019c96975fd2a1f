"""What end-to-end tests do again and again: make a task, start it, wait for what its history says."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.approval.v1 import approval_pb2
from harness.orchestrator.v1 import run_pb2
from motherharness import Client

Step = Mapping[str, Any]


def shell(step_id: str, command: str, **more: Any) -> Step:
    """Return a step that runs a bash command; `more` are fields of the plan's step."""
    return {"id": step_id, "agent": "shell", "inputs": {"command": command}, **more}


def workplace(root: Path) -> Path:
    """Return a new directory below the worker's root, with something in it that is worth deleting."""
    place = root / f"place-{uuid.uuid4().hex[:8]}"
    (place / "build").mkdir(parents=True)
    (place / "build" / "output").write_text("built")
    return place


def risky(step_id: str, place: Path, **more: Any) -> Step:
    """Return a step that policy has a human asked about; each time it runs it adds a line to `effects`."""
    return shell(step_id, f"cd {place.name} && rm -rf build && echo {step_id} >> effects", **more)


def effects(place: Path) -> list[str]:
    """Return what has run in a workplace, in order."""
    file = place / "effects"
    return file.read_text().split() if file.exists() else []


async def start(client: Client, steps: Sequence[Step]) -> run_pb2.Run:
    """Start a run of a new task in a new project."""
    project = await client.create_project("end to end")
    task = await client.create_task(project.id, "do what the plan says", plan={"steps": list(steps)})
    return await client.start_run(task.id)


async def until(client: Client, run_id: str, kind: str, step_id: str = "") -> run_pb2.Event:
    """Follow a run until an event, e.g. "APPROVAL_REQUESTED", of the step if one is named; return it.

    Raises:
        AssertionError: the run ended before.
    """
    wanted = run_pb2.EventType.Value(f"EVENT_TYPE_{kind}")
    seen = []
    async for event in client.watch_run(run_id):
        if event.type == wanted and step_id in ("", event.step_id):
            return event
        seen.append(name(event))
    raise AssertionError(f"the run ended without {kind} {step_id}: {seen}")


async def end(client: Client, run_id: str) -> run_pb2.Run:
    """Follow a run to its end and return it; its history folds to its state, whatever happened."""
    await until(client, run_id, "RUN_TERMINATED")
    verdict = await client.verify_run(run_id)
    assert verdict.consistent, list(verdict.differences)
    return await client.get_run(run_id)


async def pending(client: Client, run_id: str, step_id: str = "") -> approval_pb2.Approval:
    """Wait until a run asks for approval and return what it asks for."""
    event = await until(client, run_id, "APPROVAL_REQUESTED", step_id)
    return await client.get_approval(str(event.data["approval_id"]))


async def history(client: Client, run_id: str) -> list[run_pb2.Event]:
    """Return a run's events; their sequence has no gaps."""
    events = [event async for event in client.list_events(run_id)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    return events


def name(event: run_pb2.Event) -> str:
    """Return "STEP_STARTED look" for a step's event, "RUN_CREATED" for a run's."""
    kind = run_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_")
    return f"{kind} {event.step_id}".strip()


def reason(run: run_pb2.Run) -> str:
    """Return why a run ended, e.g. "COMPLETED"."""
    return run_pb2.TerminationReason.Name(run.termination_reason).removeprefix("TERMINATION_REASON_")


def statuses(run: run_pb2.Run) -> dict[str, str]:
    """Return the status of each step, e.g. {"look": "SUCCEEDED"}."""
    return {step.id: run_pb2.StepStatus.Name(step.status).removeprefix("STEP_STATUS_") for step in run.steps}
