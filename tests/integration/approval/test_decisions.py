"""Deciding: who may, when, and what wins when several do."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2
from tests.integration.approval.harness import BOB, Approvals, info_of, item, reason_of, running
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

APPROVED = approval_pb2.APPROVAL_STATE_APPROVED
REJECTED = approval_pb2.APPROVAL_STATE_REJECTED
EXPIRED = approval_pb2.APPROVAL_STATE_EXPIRED


async def test_approving_records_who_and_why_and_starts_the_time_to_use(service: Approvals) -> None:
    pending = await service.pending()
    assert (await service.get(pending.id)).preview.commands == ["rm -rf build"]
    assert pending.assessment.factors
    assert pending.decide_by.ToMilliseconds() - pending.create_time.ToMilliseconds() in (8 * 3_600_000, 24 * 3_600_000)
    approved = await service.decide(pending.id, reason="the build can be made again")
    assert (approved.state, approved.decision.decided_by, approved.decision.reason) == (
        APPROVED,
        "bob",
        "the build can be made again",
    )
    assert approved.use_by.ToMilliseconds() - approved.decision.decide_time.ToMilliseconds() == 3_600_000
    assert await service.get(pending.id) == approved


async def test_fifty_contrary_decisions_at_once_have_one_winner(service: Approvals) -> None:
    pending = await service.pending()

    async def one(n: int) -> approval_pb2.Approval | str:
        try:
            return await service.decide(pending.id, approve=n % 2 == 0, as_=as_(f"approver-{n}", "approver"))
        except grpc.aio.AioRpcError as error:
            return reason_of(error)

    answers = await asyncio.gather(*(one(n) for n in range(50)))
    final = await service.get(pending.id)
    assert final.state in (APPROVED, REJECTED)
    agreeing = [answer for answer in answers if isinstance(answer, approval_pb2.Approval)]
    assert len(agreeing) == 25
    assert all(answer == final for answer in agreeing)
    assert [answer for answer in answers if isinstance(answer, str)] == ["ALREADY_DECIDED"] * 25
    (event,) = await service.decisions(1)
    assert (event.approval_id, event.decision.decided_by) == (final.id, final.decision.decided_by)


async def test_the_same_decision_again_is_answered_with_the_first_result(service: Approvals) -> None:
    pending = await service.pending()
    first = await service.decide(pending.id, approve=False, reason="no")
    assert await service.decide(pending.id, approve=False, as_=as_("carol", "admin"), reason="me too") == first


@pytest.mark.parametrize("roles", [("approver",), ("admin",), ("user", "approver", "admin")])
async def test_nobody_decides_their_own(service: Approvals, roles: tuple[str, ...]) -> None:
    pending = await service.pending()
    for approve in (True, False):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.decide(pending.id, approve=approve, as_=as_("alice", *roles))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert reason_of(refused.value) == "SELF_APPROVAL"
    assert (await service.get(pending.id)).state == approval_pb2.APPROVAL_STATE_PENDING


@pytest.mark.parametrize("role", ["user", "agent", "service"])
async def test_only_approvers_and_admins_decide(service: Approvals, role: str) -> None:
    pending = await service.pending()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.decide(pending.id, as_=as_("mallory", role))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_decision_about_other_actions_is_refused(service: Approvals) -> None:
    pending = await service.pending()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.decide(pending.id, digest="sha256:" + "0" * 64)
    assert reason_of(refused.value) == "DIGEST_MISMATCH"
    assert (await service.decide(pending.id, digest=pending.digest)).state == APPROVED


@pytest.mark.parametrize("approval_id", ["apr_00" + "0" * 32, "apr_ff" + "0" * 32, "nonsense", "apr_00x:{a01}:"])
async def test_what_does_not_exist_is_not_found(service: Approvals, approval_id: str) -> None:
    for call in (service.get(approval_id), service.decide(approval_id)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_sweeper_expires_and_says_so(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_decide_seconds=0.1) as service:
        pending = await service.pending()
        (event,) = await service.decisions(1)
        assert (event.approval_id, event.state, event.decision.decided_by) == (pending.id, EXPIRED, "clock")
        expired = await service.get(pending.id)
        assert (expired.state, expired.decision.approved) == (EXPIRED, False)
        assert await service.ids(state=EXPIRED) == [pending.id]
        assert await service.ids(state=approval_pb2.APPROVAL_STATE_PENDING) == []


async def test_a_decision_after_its_time_is_refused_without_any_sweeper(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_decide_seconds=0.05, approval_sweep_seconds=3600) as service:
        pending = await service.pending()
        await asyncio.sleep(0.1)
        for approve in (True, False):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await service.decide(pending.id, approve=approve)
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert reason_of(refused.value) == "APPROVAL_EXPIRED"
        assert (await service.get(pending.id)).state == EXPIRED


async def test_an_approval_that_is_not_used_in_time_expires(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_use_seconds=0.3) as service:
        pending = await service.pending()
        await service.decide(pending.id)
        approved, expired = await service.decisions(2)
        assert (approved.state, expired.state) == (APPROVED, EXPIRED)
        assert (expired.decision.decided_by, expired.decision.reason) == ("clock", "nobody used it in time")
        assert (await service.get(pending.id)).decision.decided_by == "bob"


async def test_withdrawing_closes_what_is_pending_and_nothing_else(service: Approvals) -> None:
    open_ones = [await service.pending(run_id="run_a") for _ in range(3)]
    decided = await service.pending(run_id="run_a")
    await service.decide(decided.id)
    other = await service.pending(run_id="run_b")
    request = approval_pb2.WithdrawApprovalsRequest(run_id="run_a")
    metadata = as_("service:orchestrator", "service")
    answer = await service.approvals.WithdrawApprovals(request, metadata=metadata)
    assert answer.withdrawn == 3
    assert (await service.approvals.WithdrawApprovals(request, metadata=metadata)).withdrawn == 0
    for approval in open_ones:
        assert (await service.get(approval.id)).state == approval_pb2.APPROVAL_STATE_WITHDRAWN
    assert (await service.get(decided.id)).state == APPROVED
    assert (await service.get(other.id)).state == approval_pb2.APPROVAL_STATE_PENDING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.decide(open_ones[0].id)
    assert reason_of(refused.value) == "APPROVAL_WITHDRAWN"


async def test_a_watch_resumes_where_it_stopped_and_goes_on_live(service: Approvals) -> None:
    approvals = [await service.pending(run_id=f"run_{n}") for n in range(10)]
    for approval in approvals[:5]:
        await service.decide(approval.id)
    first = await service.decisions(5)
    # What was asked for is told in the same sequence.
    assert len({event.sequence for event in first}) == 5
    assert {event.approval_id for event in first} == {approval.id for approval in approvals[:5]}
    live = asyncio.create_task(service.decisions(5, after=first[-1].sequence))
    for approval in approvals[5:]:
        await service.decide(approval.id, approve=False)
    rest = await live
    assert [event.sequence for event in first + rest] == sorted({event.sequence for event in first + rest})
    assert {event.approval_id for event in rest} == {approval.id for approval in approvals[5:]}
    assert await service.decisions(7, after=first[2].sequence) == first[3:] + rest
    assert all(event.run_id and event.step_id == "step" for event in rest)


async def test_a_watch_from_what_is_not_known_says_where_to_go_on(service: Approvals) -> None:
    await service.decide((await service.pending()).id)
    (decision,) = await service.decisions(1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.decisions(1, after=7)
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert info_of(refused.value).metadata["latest_sequence"] == str(decision.sequence)


async def test_a_watch_from_what_was_trimmed_is_out_of_range(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_events_kept=100) as service:
        results = await service.request(*(item("rm -rf build") for _ in range(300)))
        for result in results:
            await service.decide(result.approval.id)
        await service.decisions(1, after=599)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.decisions(1, after=1)
        assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
        assert info_of(refused.value).metadata["latest_sequence"] == "600"
        (oldest,) = await service.decisions(1)
        assert oldest.sequence > 2


async def test_a_crash_between_decision_and_publication_loses_nothing(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_publish_seconds=3600) as service:
        first = await service.pending(run_id="run_a")
        await service.decide(first.id)
        (seen,) = await service.decisions(1)
        pending = await service.pending(run_id="run_b")
    # What a process leaves behind that dies between the two: a decision in a journal, and nobody to publish it.
    async with running(fresh_redis, approval_publish_seconds=3600, approval_sweep_seconds=3600) as dying:
        for task in asyncio.all_tasks():
            if "run_publisher" in task.get_name():
                task.cancel()
        await dying.decide(pending.id, approve=False)
        assert (await dying.get(pending.id)).state == REJECTED
        published = await dying.redis.hget("approval:{events}:published", str(int(pending.id[4:6], 16)))
        journal: Any = await dying.redis.xrevrange(f"approval:{{a{pending.id[4:6]}}}:journal", count=1)
        assert journal[0][0] != published
    async with running(fresh_redis) as service:
        (event,) = await service.decisions(1, after=seen.sequence)
        assert (event.approval_id, event.state) == (pending.id, REJECTED)


async def test_two_replicas_publish_each_decision_once(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis) as one, running(fresh_redis) as other:
        results = await one.request(*(item("rm -rf build", run_id=f"run_{n}") for n in range(40)))
        await asyncio.gather(
            *((one, other)[n % 2].decide(result.approval.id, as_=BOB) for n, result in enumerate(results))
        )
        events = await other.decisions(40)
        assert sorted(event.approval_id for event in events) == sorted(result.approval.id for result in results)
        told = await one.watched(80)
        assert [event.sequence for event in told] == list(range(1, 81))
        assert int(await one.redis.get("approval:{events}:sequence") or 0) == 80
