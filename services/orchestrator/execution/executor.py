"""Applies commands to runs: all that are ready at the same time in one pipeline."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from services.orchestrator.engine.commands import Command, Reply
from services.orchestrator.engine.decide import Decision, decide
from services.orchestrator.engine.model import Run, RunStatus
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.store.runs import Committed, RunStore
from services.runtime.errors import Aborted, NotFound

log = structlog.get_logger(__name__)

CACHED_RUNS = 4_096
"""Runs kept in memory by version; a commit against a stale one is refused and the run loaded again."""

MAX_CONFLICTS = 20
"""How often a commit is decided again before the caller is told to retry."""

Pending = tuple[Command, asyncio.Future[Reply]]


class Executor:
    """Serialises commands per run within a process; between processes the stored version decides."""

    def __init__(self, store: RunStore, clock: RedisClock) -> None:
        self._store = store
        self._clock = clock
        self._cache: OrderedDict[str, Run] = OrderedDict()
        self._waiting: dict[str, list[Pending]] = {}
        self._wanted = asyncio.Event()
        self._after: list[Callable[[Decision], None]] = []

    def on_commit(self, listener: Callable[[Decision], None]) -> None:
        """Call ``listener`` with every decision this process has committed."""
        self._after.append(listener)

    async def submit(self, run_id: str, command: Command) -> Reply:
        """Apply one command; return when it is stored.

        Raises:
            NotFound: there is no such run.
            Aborted: other processes kept changing the run; retrying helps.
        """
        return (await self.submit_all([(run_id, command)]))[0]

    async def submit_all(self, items: Sequence[tuple[str, Command]]) -> list[Reply]:
        """Apply commands, each for itself, in order per run. Raises like ``submit``, for the first that fails."""
        loop = asyncio.get_running_loop()
        futures = []
        for run_id, command in items:
            future: asyncio.Future[Reply] = loop.create_future()
            self._waiting.setdefault(run_id, []).append((command, future))
            futures.append(future)
        self._wanted.set()
        answers = await asyncio.gather(*futures, return_exceptions=True)
        replies = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            replies.append(answer)
        return replies

    async def get(self, run_id: str) -> Run | None:
        """Return a run as stored now, and refresh the cache with it."""
        run = await self._store.load(run_id)
        if run is not None:
            self._keep(run)
        return run

    async def run(self) -> None:
        """Commit what is submitted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            batch, self._waiting = self._waiting, {}
            try:
                await self._flush(batch)
            except Exception as error:  # whatever it is, those who wait must hear of it
                self._cache.clear()
                for pending in batch.values():
                    for _, future in pending:
                        if not future.done():
                            future.set_exception(error)

    async def _flush(self, batch: dict[str, list[Pending]]) -> None:
        fresh: set[str] = set()
        for _ in range(MAX_CONFLICTS):
            missing = [run_id for run_id in batch if run_id not in self._cache]
            await self._load(missing)
            fresh.update(missing)
            decisions: dict[str, Decision] = {}
            now = self._clock.now_ms()
            for run_id in list(batch):
                run = self._cache.get(run_id)
                if run is None:
                    _fail(batch.pop(run_id), NotFound("RUN_NOT_FOUND", f"run {run_id} does not exist"))
                    continue
                decision = decide(run, [command for command, _ in batch[run_id]], now)
                if decision.changes_anything:
                    decisions[run_id] = decision
                elif run_id in fresh:
                    _answer(batch.pop(run_id), decision)
                else:
                    # Nobody checks the version of a refusal, so it must not rest on what was cached.
                    self._cache.pop(run_id)
            for (run_id, decision), said in zip(
                decisions.items(), await self._store.commit(list(decisions.values())), strict=True
            ):
                if self._accept(run_id, decision, said):
                    _answer(batch.pop(run_id), decision)
            if not batch:
                break
        while len(self._cache) > CACHED_RUNS:
            self._cache.popitem(last=False)
        for run_id, pending in batch.items():
            _fail(
                pending,
                Aborted("RUN_CONTENDED", f"run {run_id} is being changed by others; try again", run_id=run_id),
            )

    def _accept(self, run_id: str, decision: Decision, said: Committed) -> bool:
        self._clock.observe(said.now_ms)
        if said.status != "OK":
            self._cache.pop(run_id, None)  # stale; loaded again before the next try
            return False
        decision.draft.accept(int(said.detail))
        if decision.draft.core.status is RunStatus.TERMINATED:
            self._cache.pop(run_id, None)
        for listener in self._after:
            listener(decision)
        return True

    async def _load(self, run_ids: list[str]) -> None:
        if run_ids:
            for run in await self._store.load_many(run_ids):
                if run is not None:
                    self._keep(run)

    def _keep(self, run: Run) -> None:
        run_id = run.header.run_id
        known = self._cache.get(run_id)
        if known is None or known.version < run.version:
            self._cache[run_id] = run
        self._cache.move_to_end(run_id)


def _answer(pending: list[Pending], decision: Decision) -> None:
    for (_, future), reply in zip(pending, decision.replies, strict=True):
        if not future.done():
            future.set_result(reply)


def _fail(pending: list[Pending], error: Exception) -> None:
    for _, future in pending:
        if not future.done():
            future.set_exception(error)
