"""What a step's handler gets: the step, and the one way to have an effect on the outside world."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from harness.approval.v1.approval_pb2 import RedeemGrantRequest
from harness.approval.v1.audit_pb2 import RejectCode
from harness.common.v1.action_pb2 import Action
from harness.orchestrator.v1 import agent_pb2
from motherharness.circumstances import Circumstances
from motherharness.digest import digest, intent
from motherharness.errors import HarnessError, RetryableError, TerminalError
from motherharness.grants import verify
from motherharness.structs import MAX_RECORD_BYTES, from_struct, to_struct
from motherharness.transport import Transport, backoff, is_transient

T = TypeVar("T")

# What the server refuses only for as long as too much waits for people.
_LATER = frozenset({"TOO_MANY_PENDING", "RATE_LIMITED"})

Runner = Callable[[Sequence[Action]], Awaitable[Mapping[str, Any]]]


class LeaseOver(BaseException):
    """The lease is over and there is nothing to report: the step was parked or denied, or another worker has
    it.

    Not an Exception, so that a handler's `except Exception` cannot swallow it and go on without a lease.
    """


@dataclass(frozen=True)
class Feedback:
    """A rejection that the agent can do something about.

    Attributes:
        code: "needs_changes" or "needs_information".
        reason: what whoever rejected it said.
        decided_by: who that was.
        ordinal: which call of `perform` it was, from 1.
        digest: of the actions that were rejected; they would be rejected again.
        approval_id: names the approval.
    """

    code: str
    reason: str
    decided_by: str
    ordinal: int
    digest: str
    approval_id: str

    @classmethod
    def of(cls, rejection: agent_pb2.Rejection) -> "Feedback":
        """Read it from a lease."""
        code = RejectCode.Name(rejection.code).removeprefix("REJECT_CODE_").lower()
        return cls(
            code, rejection.reason, rejection.decided_by, rejection.ordinal, rejection.digest, rejection.approval_id
        )


class StepContext:
    """One attempt at one step.

    Attributes:
        run_id, step_id, attempt: name the attempt; attempt counts from 1.
        agent: the capability asked for.
        description: what to do, in words.
        inputs: what the plan hands to the step.
        dependencies: results of the steps it depends on, by step id.
        query: the whole request of the task.
        task_id, project_id: where the step belongs.
        timeout: seconds the attempt may take in all.
        feedback: what earlier attempts proposed and somebody wants otherwise, oldest first.
    """

    def __init__(self, lease: agent_pb2.StepLease, worker_id: str, transport: Transport) -> None:
        self.run_id = lease.token.run_id
        self.step_id = lease.token.step_id
        self.attempt = lease.token.attempt
        self.agent = lease.agent
        self.description = lease.description
        self.inputs: dict[str, Any] = from_struct(lease.inputs)
        self.dependencies: dict[str, dict[str, Any]] = {
            step_id: from_struct(result) for step_id, result in lease.dependency_results.items()
        }
        self.query = lease.query
        self.task_id = lease.task_id
        self.project_id = lease.project_id
        self.timeout = lease.timeout.seconds + lease.timeout.nanos / 1e9
        self.feedback = tuple(Feedback.of(rejection) for rejection in lease.feedback)
        self._token = lease.token
        self._worker_id = worker_id
        self._transport = transport
        self._ordinal = 0
        self._over = False
        self._unrecorded = 0

    @property
    def has_unrecorded_effects(self) -> bool:
        """Whether actions have begun whose result the orchestrator has not recorded."""
        return self._unrecorded > 0

    async def perform(
        self,
        actions: Action | Sequence[Action],
        runner: Runner,
        reason: str = "",
        *,
        circumstances: Circumstances | None = None,
    ) -> dict[str, Any]:
        """Have actions cleared, then run exactly those, once; return what the runner returned.

        The server decides whether they may run. If a human must decide, the handler ends here, the worker is
        free, and the step starts anew after the decision; this call, reached again with the same actions,
        then goes through. What an earlier attempt has performed is not run again: its result is returned.
        If somebody edited the actions before approving them, the runner gets those: as many, of the same kinds.

        Args:
            actions: 1 to 32 actions, cleared together.
            runner: gets the cleared actions and carries them out; what it returns is recorded (at most 64
                KiB as JSON).
            reason: why, for the person who decides.
            circumstances: where the actions would run and what they would find there; they are assessed and shown with
                it, and it may differ from one attempt to the next.

        Raises:
            TerminalError: APPROVAL_REJECTED if these very actions were rejected with a wish for others (see
                `feedback`); ACTIONS_CHANGED if an earlier attempt performed other actions at this place in the
                handler; ACTIONS_REFUSED if the approval service cannot take them; GRANTS_SPENT if many attempts
                began them and none told the result; RESULT_TOO_LARGE or INVALID_RESULT for what the runner returned;
                GRANT_INVALID or GRANT_MISMATCH if the approval service has not granted exactly this.
            RetryableError: GRANT_UNUSABLE if the grant ran out or was used up before the actions began.
            HarnessError: the server refused the call.
        """
        if self._over:
            raise LeaseOver
        # Copies: what runs is what was digested, whatever the handler does to its own objects meanwhile.
        cleared = [Action.FromString(action.SerializeToString()) for action in _listed(actions)]
        own_digest, asked_intent = digest(cleared), intent(cleared)
        self._ordinal += 1
        request = agent_pb2.ProposeActionsRequest(
            worker_id=self._worker_id,
            token=self._token,
            ordinal=self._ordinal,
            actions=cleared,
            reason=reason,
        )
        if circumstances is not None:
            circumstances.tell(request)
        ordinal = self._ordinal
        for told in self.feedback:
            if (told.ordinal, told.digest) == (ordinal, own_digest):
                message = f"{told.decided_by} wants other actions than these ({told.code}): {told.reason}"
                raise TerminalError(message, "APPROVAL_REJECTED")
        try:
            answer = await self._persist(self._transport.agents.ProposeActions, request)
        except HarnessError as error:
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                # Of the actions themselves, and so true of every attempt that proposes them here.
                raise TerminalError(error.message, error.reason) from error
            raise
        if answer.outcome == agent_pb2.PROPOSAL_OUTCOME_PERFORMED:
            if answer.record.digest != asked_intent:
                message = (
                    f"proposal {ordinal} of step {self.step_id} was performed with other actions by an earlier"
                    " attempt; propose the same actions in the same order in every attempt"
                )
                raise TerminalError(message, "ACTIONS_CHANGED")
            return from_struct(answer.record.result)
        if answer.outcome != agent_pb2.PROPOSAL_OUTCOME_CLEARED:
            self._over = True
            raise LeaseOver
        if answer.actions:
            cleared = _edited(cleared, answer.actions)
        run_digest = digest(cleared)
        if answer.digest != run_digest:
            message = f"the server cleared {answer.digest}, not the {run_digest} that would run"
            raise TerminalError(message, "ACTIONS_CHANGED")
        await self._verify(answer.grant, run_digest)
        await self._redeem(answer.grant, run_digest)
        self._unrecorded += 1
        result = to_struct(await runner(cleared), MAX_RECORD_BYTES, "the result of an action")
        record = agent_pb2.ActionRecord(ordinal=ordinal, digest=asked_intent, result=result)
        stored = agent_pb2.RecordActionsRequest(worker_id=self._worker_id, token=self._token, records=[record])
        await self._persist(self._transport.agents.RecordActions, stored)
        self._unrecorded -= 1
        return from_struct(result)

    async def _verify(self, grant: str, run_digest: str) -> None:
        """Refuse what the approval service has not signed for exactly this, whoever sent it."""
        keys = await self._until_answered(lambda: self._transport.grant_keys.for_grant(grant))
        verify(grant, keys, digest=run_digest, run_id=self.run_id, step_id=self.step_id, attempt=self.attempt)

    async def _redeem(self, grant: str, run_digest: str) -> None:
        """Consume the grant; whoever does may run the actions, and nobody else."""
        request = RedeemGrantRequest(
            grant=grant,
            digest=run_digest,
            run_id=self.run_id,
            step_id=self.step_id,
            attempt=self.attempt,
        )
        try:
            await self._persist(self._transport.approvals.RedeemGrant, request)
        except HarnessError as error:
            if error.reason.startswith("GRANT_") and error.code in (
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.NOT_FOUND,
            ):
                raise RetryableError(f"the grant cannot be used: {error}", "GRANT_UNUSABLE") from error
            raise

    async def _persist(self, method: grpc.aio.UnaryUnaryMultiCallable[Any, Any], request: object) -> Any:
        """Make one call, as often as it takes."""
        return await self._until_answered(lambda: self._transport.call(method, request, idempotent=False))

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until a server answers: a service that restarts delays a step and does not fail it.

        Ends by itself when the lease is lost, for then the worker cancels the handler.
        """
        failures = 0
        while True:
            try:
                return await call()
            except HarnessError as error:
                if error.reason == "LEASE_LOST":
                    self._over = True
                    raise LeaseOver from error
                away = is_transient(error) or error.code is grpc.StatusCode.DEADLINE_EXCEEDED
                if not away and error.reason not in _LATER:
                    raise
                failures += 1
                await asyncio.sleep(max(backoff(failures), error.retry_after or 0.0))


def _edited(asked: Sequence[Action], answered: Sequence[Action]) -> list[Action]:
    """What somebody put in the place of the actions before approving them.

    Raises:
        TerminalError: ACTIONS_CHANGED, for what the runner was not made for: another number, or other kinds.
    """
    actions = [Action.FromString(action.SerializeToString()) for action in answered]
    if [action.WhichOneof("kind") for action in asked] != [action.WhichOneof("kind") for action in actions]:
        raise TerminalError("the server cleared actions of other kinds than those proposed", "ACTIONS_CHANGED")
    return actions


def _listed(actions: Action | Sequence[Action]) -> Sequence[Action]:
    return [actions] if isinstance(actions, Action) else actions
