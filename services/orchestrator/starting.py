"""From a task to a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.orchestrator.assessment import Assessor
from services.orchestrator.engine.decide import Decision, start
from services.orchestrator.engine.model import Header, Run, Spec
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.store import keys, requests
from services.orchestrator.store.projects import Project
from services.orchestrator.store.runs import Creation, RunStore
from services.orchestrator.store.tasks import Task, not_found
from services.runtime.errors import Aborted, FailedPrecondition
from services.runtime.ids import new_id

ASSESSMENT_VALID_MS = 60_000
"""How long the assessment made with the task serves a run; policies change, and a run starts under today's."""


class Starter:
    """Creates runs of tasks."""

    def __init__(
        self, runs: RunStore, assessor: Assessor, clock: RedisClock, on_start: Callable[[Decision], None]
    ) -> None:
        """`on_start` hears of every decision that created a run."""
        self._runs = runs
        self._assessor = assessor
        self._clock = clock
        self._on_start = on_start

    async def start(
        self, task: Task, project: Project, *, by: Sequence[str], request_key: str, fingerprint: str
    ) -> tuple[str, Run | None]:
        """Create a run of the task; return its id, and its state unless an earlier identical request made it.

        `by` are the people who start it, none of whom may approve what it does.

        Raises:
            FailedPrecondition: TASK_HAS_ACTIVE_RUN, or POLICY_DENIED.
            AlreadyExists: the request id was used for something else.
            Unavailable: the plan has to be assessed again and the approval service does not answer.
        """
        run_id = new_id(keys.RUN_ID, keys.shard_of(task.id))
        header = Header(
            run_id=run_id,
            task_id=task.id,
            project_id=task.project_id,
            owner=task.owner,
            environment=project.environment,
            query=task.query,
            specs=await self._gated(task, project, run_id),
            initiators=tuple(sorted(set(by) - {"", task.owner})),
        )
        decision = start(header, self._clock.now_ms())
        said = await self._runs.create(decision, Creation(request_key, fingerprint))
        self._clock.observe(said.now_ms)
        if said.status == "OK":
            decision.draft.accept(int(said.detail))
            self._on_start(decision)
            return run_id, decision.draft.run
        if said.status == "REPEATED":
            return said.detail, None
        if said.status == "REUSED":
            requests.refuse(said.detail)
        if said.status == "BUSY":
            raise FailedPrecondition(
                "TASK_HAS_ACTIVE_RUN",
                f"task {task.id} has run {said.detail}, which has not ended; wait for it or cancel it",
                task_id=task.id,
                run_id=said.detail,
            )
        if said.status == "NO_TASK":
            raise not_found(task.id)
        raise Aborted("RUN_CONTENDED", f"run {run_id} could not be stored; try again", run_id=run_id)

    async def _gated(self, task: Task, project: Project, run_id: str) -> tuple[Spec, ...]:
        """Return the plan with its gates as policy stands."""
        fresh = self._clock.now_ms() - task.created_ms < ASSESSMENT_VALID_MS
        if fresh and task.environment == project.environment:
            return task.specs
        specs, _ = await self._assessor.assess(
            task.specs,
            environment=project.environment,
            project_id=project.id,
            task_id=task.id,
            run_id=run_id,
        )
        return tuple(specs)
