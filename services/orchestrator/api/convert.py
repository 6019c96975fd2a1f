"""From what the domain knows to what the contract says."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from harness.orchestrator.v1 import project_pb2, run_pb2, task_pb2
from services.orchestrator import values
from services.orchestrator.engine import model
from services.orchestrator.plan import environment_value, plan_of
from services.orchestrator.store.projects import Project
from services.orchestrator.store.tasks import Task
from services.runtime.redaction import redact, redact_value
from services.runtime.redaction.messages import redacted

_TASK_STATUS = {name.removeprefix("TASK_STATUS_").lower(): value for name, value in task_pb2.TaskStatus.items()}
_RUN_STATUS = {name.removeprefix("RUN_STATUS_").lower(): value for name, value in run_pb2.RunStatus.items()}
_STEP_STATUS = {name.removeprefix("STEP_STATUS_").lower(): value for name, value in run_pb2.StepStatus.items()}
_REASON = {name.removeprefix("TERMINATION_REASON_").lower(): value for name, value in run_pb2.TerminationReason.items()}
_EVENT = {name.removeprefix("EVENT_TYPE_").lower(): value for name, value in run_pb2.EventType.items()}

RESULTS_BYTES = 2 * 1024 * 1024
"""Results of steps in one message; descriptions and the rest get the other half of what a message may have."""


def timestamp(milliseconds: int) -> Timestamp:
    """Return Unix milliseconds as a Timestamp."""
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def project(stored: Project) -> project_pb2.Project:
    """Return a project's message."""
    return project_pb2.Project(
        id=stored.id,
        display_name=stored.display_name,
        description=stored.description,
        environment=environment_value(stored.environment),
        owner=stored.owner,
        archived=stored.archived,
        etag=stored.etag,
        create_time=timestamp(stored.created_ms),
        update_time=timestamp(stored.updated_ms),
    )


def task(stored: Task) -> task_pb2.Task:
    """Return a task's message, with its plan if it was loaded with it."""
    return task_pb2.Task(
        id=stored.id,
        project_id=stored.project_id,
        query=stored.query,
        owner=stored.owner,
        status=_TASK_STATUS[stored.status],
        plan=plan_of(stored.specs, stored.risks) if stored.specs else None,
        last_run_id=stored.last_run,
        create_time=timestamp(stored.created_ms),
        update_time=timestamp(stored.updated_ms),
    )


def run(stored: model.Run, *, steps: bool = True) -> run_pb2.Run:
    """Return a run's message, with or without its steps."""
    header, core = stored.header, stored.core
    ended = core.status is model.RunStatus.TERMINATED
    return run_pb2.Run(
        id=header.run_id,
        task_id=header.task_id,
        project_id=header.project_id,
        owner=header.owner,
        status=_RUN_STATUS[core.status],
        # Why it will end is known from the first step that failed for good; that it has ended is not.
        termination_reason=_REASON[core.reason] if ended else _REASON["unspecified"],
        message=core.message if ended else "",
        steps=_steps(stored) if steps else (),
        version=stored.version,
        create_time=timestamp(core.created_ms),
        end_time=timestamp(core.ended_ms) if ended else None,
    )


def _steps(stored: model.Run) -> list[run_pb2.Step]:
    """Return the steps in the plan's order, with results as long as they fit into a message."""
    room = RESULTS_BYTES
    steps = []
    for spec in stored.header.specs:
        step = _step(spec, stored.steps[spec.id])
        room -= step.result.ByteSize()
        if room < 0:
            step.ClearField("result")
            step.result_omitted = True
        steps.append(step)
    return steps


def _step(spec: model.Spec, step: model.Step) -> run_pb2.Step:
    error = step.error
    return run_pb2.Step(
        id=spec.id,
        agent=spec.agent,
        description=spec.description,
        depends_on=spec.depends_on,
        status=_STEP_STATUS[step.status],
        attempt=step.attempt,
        result=values.to_struct(step.result) if step.result is not None else None,
        error=run_pb2.StepError(code=error["code"], message=error["message"], non_retryable=not error["retryable"])
        if error
        else None,
        approval_id=step.approval_id,
        worker_id=step.worker,
    )


def mask_task(message: task_pb2.Task) -> task_pb2.Task:
    """Mask, in place, the secrets in what a task says and is given; return it."""
    message.query = redact(message.query)
    for step in message.plan.steps:
        step.description = redact(step.description)
        step.inputs.CopyFrom(redacted(step.inputs))
    return message


def mask_run(message: run_pb2.Run) -> run_pb2.Run:
    """Mask, in place, the secrets in what a run's steps say and brought back; return it."""
    message.message = redact(message.message)
    for step in message.steps:
        step.description = redact(step.description)
        if step.HasField("result"):
            step.result.CopyFrom(redacted(step.result))
        if step.HasField("error"):
            step.error.message = redact(step.error.message)
    return message


def event(stored: model.Event) -> run_pb2.Event:
    """Return an event's message, secrets masked: events are watched, forwarded and kept by whoever likes."""
    data = cast(dict[str, Any], redact_value(stored.data))
    return run_pb2.Event(
        sequence=stored.sequence,
        type=_EVENT[stored.type],
        time=timestamp(stored.time_ms),
        step_id=stored.step_id,
        attempt=stored.attempt,
        data=values.to_struct(data) if data else None,
    )
