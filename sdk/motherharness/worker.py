"""The agent SDK: register handlers by capability, lease steps, run them, report what came of them."""

import asyncio
import functools
import inspect
import logging
import os
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from harness.orchestrator.v1 import agent_pb2, run_pb2
from motherharness.context import LeaseOver, StepContext
from motherharness.errors import HarnessError, StepFailure
from motherharness.leases import Heart, LeaseKey, key_of
from motherharness.structs import MAX_RESULT_BYTES, to_struct
from motherharness.transport import Connection, Transport, backoff

logger = logging.getLogger(__name__)

Handler = Callable[[StepContext], Awaitable[Mapping[str, Any] | None]]

MAX_BATCH = 500
# Half of the largest message a service takes by default.
MAX_BATCH_BYTES = 2 * 1024 * 1024
# Seconds before asking again after an empty answer that came at once.
EMPTY_PAUSE = 0.25
# StepError.message holds 16 KiB.
MAX_MESSAGE_BYTES = 16_000
# Calls that cannot succeed however often they are made: the worker is misconfigured.
FATAL = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class Worker:
    """Carries out steps for the agents registered on it.

    Survives restarts of the services: it reconnects with backoff for as long as it runs.

    Args:
        connection: where the services are and the token (role agent); default from the environment.
        worker_id: unique to this worker; default made of host name, process id and a random part.
        concurrency: steps at the same time, 1 to 500.
        wait: seconds a call for steps waits for a first one, at most 60.
        drain: seconds that steps in flight get to finish when the worker stops; the rest is given back.
    """

    def __init__(
        self,
        connection: Connection | None = None,
        *,
        worker_id: str = "",
        concurrency: int = 16,
        wait: float = 20.0,
        drain: float = 10.0,
    ) -> None:
        if not 1 <= concurrency <= MAX_BATCH:
            raise ValueError(f"concurrency must be 1 to {MAX_BATCH}, not {concurrency}")
        self.worker_id = worker_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._connection = connection or Connection.from_env()
        self._concurrency = concurrency
        self._wait = wait
        self._drain = drain
        self._handlers: dict[str, Handler] = {}
        self._running: dict[LeaseKey, asyncio.Task[None]] = {}
        self._lost: set[LeaseKey] = set()
        self._reserved = 0
        self._slot_free = asyncio.Event()
        self._reports: asyncio.Queue[agent_pb2.StepReport] = asyncio.Queue()
        self._undelivered = 0
        self._delivered = asyncio.Event()
        self._delivered.set()
        self._stopping = asyncio.Event()

    def agent(self, name: str) -> Callable[[Handler], Handler]:
        """Register an `async def handler(ctx) -> dict` for steps of this agent.

        Raises:
            TypeError: the handler is not a coroutine function; a plain function would block every other step.
            ValueError: the name is taken.
        """

        def register(handler: Handler) -> Handler:
            call = handler if inspect.isroutine(handler) else type(handler).__call__
            if not inspect.iscoroutinefunction(call):
                raise TypeError(f"the handler of {name!r} must be `async def`; wrap blocking code in asyncio.to_thread")
            if name in self._handlers:
                raise ValueError(f"agent {name!r} already has a handler")
            self._handlers[name] = handler
            return handler

        return register

    def stop(self) -> None:
        """Stop leasing; `run` returns when the steps in flight have finished or were given back."""
        self._stopping.set()

    def run_forever(self) -> None:
        """Run until SIGTERM or SIGINT; for a worker that is a process of its own."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            await self.run()

        asyncio.run(main())

    async def run(self) -> None:
        """Lease, run and report until `stop` is called.

        Raises:
            HarnessError: the server will never serve this worker: bad token, missing role, bad agent name.
            ValueError: no agent is registered.
        """
        if not self._handlers:
            raise ValueError("register at least one agent before running the worker")
        loop = asyncio.get_running_loop()

        def lost(key: LeaseKey) -> None:
            loop.call_soon_threadsafe(self._abandon, key)

        transport = Transport(self._connection)
        heart = Heart(self._connection, self.worker_id, lost)
        heart.start()
        leaser = asyncio.create_task(self._lease_loop(transport, heart))
        reporter = asyncio.create_task(self._report_loop(transport, heart))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({leaser, reporter, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._stopping.set()
            await self._wind_down(leaser, reporter)
        finally:
            for task in (leaser, reporter, stopping, *self._running.values()):
                task.cancel()
            await asyncio.gather(leaser, reporter, stopping, *self._running.values(), return_exceptions=True)
            await asyncio.to_thread(heart.stop)
            await transport.close()
        for task in (leaser, reporter):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _wind_down(self, leaser: asyncio.Task[None], reporter: asyncio.Task[None]) -> None:
        leaser.cancel()
        await asyncio.wait({leaser})
        # A task that is cancelled before its first step would not even give its lease back.
        await asyncio.sleep(0)
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=self._drain)
        for task in list(self._running.values()):
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=self._drain)
        delivered = asyncio.create_task(self._delivered.wait())
        await asyncio.wait({delivered, reporter}, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        delivered.cancel()

    @property
    def _free(self) -> int:
        return self._concurrency - len(self._running) - self._reserved

    async def _lease_loop(self, transport: Transport, heart: Heart) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            while self._free < 1:
                self._slot_free.clear()
                await self._slot_free.wait()
            slots = self._free
            self._reserved += slots
            request = agent_pb2.LeaseStepsRequest(
                worker_id=self.worker_id,
                agents=sorted(self._handlers),
                max_steps=slots,
                wait=_duration(self._wait),
            )
            leases: list[agent_pb2.StepLease] = []
            asked = loop.time()
            try:
                answer = await transport.call(
                    transport.agents.LeaseSteps, request, idempotent=False, timeout=self._wait + 10
                )
                leases, failures = list(answer.leases), 0
            except HarnessError as error:
                if error.code in FATAL:
                    raise
                failures += 1
                logger.warning("leasing failed, trying again: %s", error)
            finally:
                self._reserved -= slots
            self._begin(leases, transport, heart)
            if failures:
                await asyncio.sleep(backoff(failures))
            elif not leases and loop.time() - asked < EMPTY_PAUSE:
                # A server that drains answers at once with nothing.
                await asyncio.sleep(EMPTY_PAUSE)

    def _begin(self, leases: list[agent_pb2.StepLease], transport: Transport, heart: Heart) -> None:
        for lease in leases:
            key = key_of(lease.token)
            if key in self._running:
                continue
            heart.hold(lease)
            context = StepContext(lease, self.worker_id, transport)
            task = asyncio.create_task(self._carry_out(context, lease.token, heart))
            self._running[key] = task
            task.add_done_callback(functools.partial(self._finished, key))

    def _finished(self, key: LeaseKey, task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        self._lost.discard(key)
        self._slot_free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a step's bookkeeping failed; its lease will run out", exc_info=error)

    def _abandon(self, key: LeaseKey) -> None:
        """Stop the work on a lease that another worker may hold by now."""
        task = self._running.get(key)
        if task is not None:
            logger.warning("lost the lease of %s/%s attempt %d; stopping its work", *key)
            self._lost.add(key)
            task.cancel()

    async def _carry_out(self, context: StepContext, token: agent_pb2.LeaseToken, heart: Heart) -> None:
        key = key_of(token)
        report: agent_pb2.StepReport | None
        try:
            report = await self._outcome(context)
        except LeaseOver:
            report = None
        except asyncio.CancelledError:
            if key in self._lost:
                report = None
            elif self._stopping.is_set():
                report = _interrupted(context)
            else:
                report = _failed("AGENT_ERROR", "the handler was cancelled from within", non_retryable=False)
        if report is None:
            heart.drop(key)
            return
        report.token.CopyFrom(token)
        self._undelivered += 1
        self._delivered.clear()
        self._reports.put_nowait(report)

    async def _outcome(self, context: StepContext) -> agent_pb2.StepReport:
        """Run the handler and return what to report about it, without the token."""
        handler = self._handlers.get(context.agent)
        try:
            if handler is None:
                return _failed("UNKNOWN_AGENT", f"this worker has no agent {context.agent!r}", non_retryable=False)
            async with asyncio.timeout(context.timeout or None):
                result = await handler(context)
            return agent_pb2.StepReport(result=to_struct(result or {}, MAX_RESULT_BYTES, "the step's result"))
        except StepFailure as failure:
            return _failed(failure.reason, failure.message, non_retryable=failure.non_retryable)
        except TimeoutError:
            return _failed("STEP_TIMEOUT", f"the attempt took longer than {context.timeout:g} s", non_retryable=False)
        except HarnessError as error:
            return _failed(error.reason or error.code.name, str(error), non_retryable=error.code in FATAL)
        except Exception as error:
            logger.exception("handler of %s/%s failed", context.run_id, context.step_id)
            return _failed("AGENT_ERROR", f"{type(error).__name__}: {error}", non_retryable=False)

    async def _report_loop(self, transport: Transport, heart: Heart) -> None:
        while True:
            batch = [await self._reports.get()]
            # Handlers that are ready to finish do so now, and share the call.
            await asyncio.sleep(0)
            size = batch[0].ByteSize()
            while not self._reports.empty() and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
                batch.append(self._reports.get_nowait())
                size += batch[-1].ByteSize()
            await self._report(batch, transport, heart)

    async def _report(self, batch: list[agent_pb2.StepReport], transport: Transport, heart: Heart) -> None:
        """Deliver reports, however long it takes: a repeated report is answered as the first was."""
        failures = 0
        while True:
            slots = 0 if self._stopping.is_set() else max(0, self._free)
            request = agent_pb2.ReportStepsRequest(worker_id=self.worker_id, reports=batch)
            if slots:
                request.lease.CopyFrom(agent_pb2.LeaseMore(agents=sorted(self._handlers), max_steps=slots))
            self._reserved += slots
            leases: list[agent_pb2.StepLease] = []
            try:
                answer = await transport.call(transport.agents.ReportSteps, request, idempotent=False)
                leases = list(answer.leases)
                for result in answer.results:
                    if result.outcome != agent_pb2.REPORT_OUTCOME_RECORDED:
                        name = agent_pb2.ReportOutcome.Name(result.outcome)
                        logger.warning("report of %s/%s: %s %s", *key_of(result.token)[:2], name, result.message)
                break
            except HarnessError as error:
                if error.code in FATAL - {grpc.StatusCode.INVALID_ARGUMENT}:
                    raise
                failures += 1
                logger.warning("reporting failed, trying again: %s", error)
                if error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
                    # One bad report must not keep the others from being recorded.
                    batch = await self._isolate(batch, transport, heart, error)
                    if not batch:
                        return
            finally:
                self._reserved -= slots
                self._slot_free.set()
            await asyncio.sleep(backoff(failures))
        self._settle(batch, heart)
        self._begin(leases, transport, heart)

    def _settle(self, batch: list[agent_pb2.StepReport], heart: Heart) -> None:
        for report in batch:
            heart.drop(key_of(report.token))
        self._undelivered -= len(batch)
        if not self._undelivered:
            self._delivered.set()

    async def _isolate(
        self, batch: list[agent_pb2.StepReport], transport: Transport, heart: Heart, error: HarnessError
    ) -> list[agent_pb2.StepReport]:
        """Deliver a refused batch one by one; a single report that is refused becomes a failure the server
        takes."""
        if len(batch) > 1:
            for report in batch:
                await self._report([report], transport, heart)
            return []
        only = batch[0]
        if only.WhichOneof("outcome") == "error" and only.error.code == "INVALID_REPORT":
            logger.error("dropping a report of %s/%s that the server refuses: %s", *key_of(only.token)[:2], error)
            self._settle(batch, heart)
            return []
        replacement = _failed("INVALID_REPORT", f"the outcome was refused: {error}", non_retryable=True)
        replacement.token.CopyFrom(only.token)
        return [replacement]


def _failed(code: str, message: str, *, non_retryable: bool) -> agent_pb2.StepReport:
    text = message.encode("utf-8", "replace")[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")
    return agent_pb2.StepReport(error=run_pb2.StepError(code=code, message=text, non_retryable=non_retryable))


def _interrupted(context: StepContext) -> agent_pb2.StepReport:
    """Return the report of a step that a stopping worker cut short.

    Given back as unworked unless an action had begun: that is a failed attempt, for it may have left effects.
    """
    if context.has_unrecorded_effects:
        return _failed("WORKER_STOPPED", "the worker stopped while an action was running", non_retryable=False)
    return agent_pb2.StepReport(released=agent_pb2.ReleasedStep(reason="the worker stops"))


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
