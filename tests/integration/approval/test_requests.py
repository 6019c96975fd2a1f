"""Requesting, listing, policies, grants and retention, over real gRPC and Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2, policy_pb2, risk_pb2
from harness.common.v1 import action_pb2
from tests.integration.approval.harness import SERVICE, Approvals, item, reason_of, running, until
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

PENDING = approval_pb2.APPROVAL_STATE_PENDING
APPROVED = approval_pb2.APPROVAL_STATE_APPROVED
CONSUMED = approval_pb2.APPROVAL_STATE_CONSUMED
ADMIN = as_("root", "admin")


async def test_the_policy_passes_what_is_harmless_and_asks_about_the_rest(service: Approvals) -> None:
    harmless, risky, demanded = await service.request(
        item("echo hello"), item("rm -rf build"), item("echo hello", require_approval=True)
    )
    assert (harmless.approval.state, harmless.approval.decision.decided_by) == (APPROVED, "policy")
    assert harmless.grant
    assert (risky.approval.state, risky.grant) == (PENDING, "")
    assert (demanded.approval.state, demanded.grant) == (PENDING, "")
    assert "explicitly" in demanded.approval.policy_reason


async def test_a_repeat_is_the_same_approval_as_it_is_now(service: Approvals) -> None:
    asked = item("rm -rf build", request_id="q")
    first, second = await service.request(asked, asked)
    assert first.approval == second.approval
    await service.decide(first.approval.id)
    asked.attempt = 2
    (again,) = await service.request(asked)
    assert (again.approval.id, again.approval.state) == (first.approval.id, APPROVED)
    assert again.grant
    assert len(await service.ids()) == 1


@pytest.mark.parametrize("change", [{"script": "rm -rf /"}, {"requester": "eve"}, {"step_id": "other"}])
async def test_a_request_id_is_for_one_request(service: Approvals, change: dict[str, Any]) -> None:
    first, other = await service.request(
        item(script="rm -rf build", request_id="q"),
        item(**{"script": "rm -rf build", "request_id": "q", **change}),
    )
    assert first.approval.id
    assert (other.error_reason, other.HasField("approval"), other.grant) == ("REQUEST_ID_REUSED", False, "")
    assert len(await service.ids()) == 1


async def test_the_same_request_many_times_at_once_is_one_approval(service: Approvals) -> None:
    results = await asyncio.gather(*(service.request(item("rm -rf build", request_id="q")) for _ in range(30)))
    assert len({result.approval.id for (result,) in results}) == 1


async def test_a_batch_is_answered_in_its_order(service: Approvals) -> None:
    items = [item(f"echo {n}", run_id=f"run_{n % 7}", step_id=f"s{n}") for n in range(200)]
    results = await service.request(*items)
    assert [result.approval.context.step_id for result in results] == [f"s{n}" for n in range(200)]


async def test_one_item_that_cannot_be_taken_does_not_stop_the_others(service: Approvals) -> None:
    broken = item()
    result = action_pb2.StepResultAction()
    result.result.fields["x"].number_value = float("nan")
    broken.actions[0].CopyFrom(action_pb2.Action(step_result=result))
    good, bad = await service.request(item(), broken)
    assert good.approval.state == APPROVED
    assert bad.error_reason == "ACTIONS_NOT_CANONICAL"


async def test_actions_larger_than_an_answer_are_refused(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, max_message_bytes=1024 * 1024) as service:
        large = item()
        write = action_pb2.FileWriteAction(path="big", content=b"x" * 900_000)
        large.actions[0].CopyFrom(action_pb2.Action(file_write=write))
        (result,) = await service.request(large)
        assert result.error_reason == "ACTIONS_TOO_LARGE"


async def test_users_see_their_own_and_approvers_see_all(service: Approvals) -> None:
    of_alice = await service.pending(requester="alice", run_id="run_a")
    of_bob = await service.pending(requester="bob", run_id="run_b")
    alice = as_("alice", "user")
    assert await service.ids(as_=alice) == [of_alice.id]
    assert await service.ids(as_=alice, run_id="run_b") == []
    assert await service.ids(as_=alice, state=PENDING) == [of_alice.id]
    assert (await service.get(of_alice.id, as_=alice)).id == of_alice.id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.get(of_bob.id, as_=alice)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    for role in ("approver", "admin", "service"):
        assert set(await service.ids(as_=as_("x", role))) == {of_alice.id, of_bob.id}


async def test_lists_are_paged_newest_first_without_gaps_or_repeats(service: Approvals) -> None:
    made: list[str] = []
    for n in range(4):
        batch = [item("rm -rf x" if k % 3 else "echo x", run_id=f"run_{n}_{k % 5}") for k in range(25)]
        made += [result.approval.id for result in await service.request(*batch)]
    listed = await service.ids(page_size=7)
    assert sorted(listed) == sorted(made)
    assert len(set(listed)) == len(listed)
    newest_first = sorted(listed, key=lambda approval_id: approval_id[6:], reverse=True)
    assert listed == newest_first
    pending = set(await service.ids(page_size=9, state=PENDING))
    approved = set(await service.ids(page_size=9, state=APPROVED))
    assert pending | approved == set(made)
    assert not pending & approved
    in_run = await service.ids(page_size=2, run_id="run_2_1", state=PENDING)
    assert 0 < len(in_run) <= 5


async def test_a_page_token_holds_while_new_ones_come(service: Approvals) -> None:
    old = [result.approval.id for result in await service.request(*(item() for _ in range(10)))]
    request = approval_pb2.ListApprovalsRequest(page_size=4)
    page = await service.approvals.ListApprovals(request, metadata=SERVICE)
    await service.request(*(item() for _ in range(10)))
    rest = await service.ids(page_size=4, state=0)
    assert len(rest) == 20
    seen = [approval.id for approval in page.approvals]
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await service.approvals.ListApprovals(request, metadata=SERVICE)
        seen += [approval.id for approval in page.approvals]
    assert sorted(seen) == sorted(old)


async def test_a_list_of_large_approvals_fits_into_messages(service: Approvals) -> None:
    for n in range(4):
        large = item(step_id=f"s{n}")
        write = action_pb2.FileWriteAction(path="big", content=b"x" * 1_900_000)
        large.actions[0].CopyFrom(action_pb2.Action(file_write=write))
        await service.request(large)
    assert len(await service.ids()) == 4


async def test_a_grant_is_redeemed_once_by_one_of_many(service: Approvals) -> None:
    (result,) = await service.request(item())

    async def one() -> str:
        try:
            return await service.redeem(result.grant, result.approval)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)

    answers = await asyncio.gather(*(one() for _ in range(50)))
    assert sorted(answers) == sorted([result.approval.id] + ["GRANT_REDEEMED"] * 49)
    assert (await service.get(result.approval.id)).state == CONSUMED


@pytest.mark.parametrize(
    ("name", "value"),
    [("digest", "sha256:" + "0" * 64), ("run_id", "run_2"), ("step_id", "other"), ("attempt", 2)],
)
async def test_a_grant_is_for_one_digest_and_one_lease(service: Approvals, name: str, value: object) -> None:
    (result,) = await service.request(item())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.redeem(result.grant, result.approval, **{name: value})
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "GRANT_MISMATCH"
    assert await service.redeem(result.grant, result.approval) == result.approval.id


async def test_a_new_attempt_voids_the_grant_of_the_one_before(service: Approvals) -> None:
    asked = item(request_id="q", attempt=1)
    (first,) = await service.request(asked)
    asked.attempt = 2
    (second,) = await service.request(asked)
    asked.attempt = 1
    (late,) = await service.request(asked)
    assert late.grant == ""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.redeem(first.grant, first.approval)
    assert reason_of(refused.value) == "GRANT_NOT_FOUND"
    assert await service.redeem(second.grant, second.approval, attempt=2) == first.approval.id
    (after,) = await service.request(asked)
    assert (after.approval.state, after.grant) == (CONSUMED, "")


async def test_a_repeat_of_the_same_attempt_keeps_both_grants_for_one_use(service: Approvals) -> None:
    asked = item(request_id="q")
    (first,) = await service.request(asked)
    (second,) = await service.request(asked)
    assert await service.redeem(first.grant, first.approval) == first.approval.id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.redeem(second.grant, second.approval)
    assert reason_of(refused.value) == "GRANT_REDEEMED"


async def test_no_lease_no_grant(service: Approvals) -> None:
    (result,) = await service.request(item(attempt=0))
    assert (result.approval.state, result.grant) == (APPROVED, "")


async def test_a_grant_is_void_after_its_time_without_any_sweeper(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_use_seconds=0.05, approval_sweep_seconds=3600) as service:
        (result,) = await service.request(item())
        await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.redeem(result.grant, result.approval)
        assert reason_of(refused.value) == "GRANT_EXPIRED"


async def test_what_nobody_waits_for_is_not_published(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_use_seconds=0.05) as service:
        (automatic,) = await service.request(item())
        await until(lambda: service.ids(state=approval_pb2.APPROVAL_STATE_EXPIRED), [automatic.approval.id])
        asked = await service.pending()
        await service.decide(asked.id)
        (first,) = await service.decisions(1)
        assert first.approval_id == asked.id


async def update(service: Approvals, **fields: object) -> policy_pb2.Policy:
    policy = policy_pb2.Policy(
        **{  # type: ignore[arg-type]
            "environment": action_pb2.ENVIRONMENT_DEVELOPMENT,
            "enabled": True,
            "max_risk_level": risk_pb2.RISK_LEVEL_LOW,
            "allowed_types": action_pb2.ApprovalType.values()[1:],
            **fields,
        }
    )
    request = policy_pb2.UpdatePolicyRequest(policy=policy)
    answer: policy_pb2.UpdatePolicyResponse = await service.policies.UpdatePolicy(request, metadata=ADMIN)
    return answer.policy


async def state_of(service: Approvals, asked: approval_pb2.ApprovalItem) -> approval_pb2.ApprovalState.ValueType:
    (result,) = await service.request(asked)
    return result.approval.state


async def test_a_saved_policy_decides_from_the_next_request_on(service: Approvals) -> None:
    assert await state_of(service, item()) == APPROVED
    saved = await update(service, enabled=False)
    assert (saved.updated_by, saved.enabled) == ("root", False)
    assert await state_of(service, item()) == PENDING
    await update(service, allowed_types=[action_pb2.APPROVAL_TYPE_API_CALL])
    assert await state_of(service, item()) == APPROVED
    assert await state_of(service, item("make test")) == PENDING
    await update(service)
    assert await state_of(service, item("make test")) == APPROVED


async def test_a_policy_holds_for_its_environment_only(service: Approvals) -> None:
    await update(service, environment=action_pb2.ENVIRONMENT_STAGING, enabled=False)
    assert await state_of(service, item()) == APPROVED
    assert await state_of(service, item(environment=action_pb2.ENVIRONMENT_STAGING)) == PENDING


async def test_two_admins_do_not_overwrite_each_other(service: Approvals) -> None:
    request = policy_pb2.GetPolicyRequest(environment=action_pb2.ENVIRONMENT_DEVELOPMENT)
    read = (await service.policies.GetPolicy(request, metadata=ADMIN)).policy
    assert read.updated_by == ""
    saved = await update(service, etag=read.etag, enabled=False)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await update(service, etag=read.etag)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert (await service.policies.GetPolicy(request, metadata=ADMIN)).policy == saved
    for nonsense in ("v", "2", "x"):
        with pytest.raises(grpc.aio.AioRpcError):
            await update(service, etag=nonsense)


async def test_assessing_asks_nobody_and_stores_nothing(service: Approvals) -> None:
    asked = item("rm -rf build")
    response = await service.risk.AssessActions(
        risk_pb2.AssessActionsRequest(
            items=[
                risk_pb2.AssessItem(actions=asked.actions, context=asked.context),
                risk_pb2.AssessItem(actions=item().actions, context=asked.context, require_approval=True),
            ]
        ),
        metadata=as_("alice", "user"),
    )
    risky, demanded = response.items
    (requested,) = await service.request(asked)
    assert risky.assessment == requested.approval.assessment
    assert (risky.digest, risky.policy_reason) == (requested.approval.digest, requested.approval.policy_reason)
    assert [risky.outcome, demanded.outcome] == [risk_pb2.POLICY_OUTCOME_HUMAN] * 2
    assert len(await service.ids()) == 1


async def test_what_cannot_be_read_is_unknown_and_no_error(service: Approvals) -> None:
    result = action_pb2.StepResultAction()
    result.result.fields["x"].number_value = float("inf")
    unreadable = risk_pb2.AssessItem(actions=[action_pb2.Action(step_result=result)])
    response = await service.risk.AssessActions(
        risk_pb2.AssessActionsRequest(items=[unreadable]), metadata=as_("alice", "user")
    )
    assert response.items[0].assessment.level == risk_pb2.RISK_LEVEL_UNKNOWN
    assert response.items[0].outcome == risk_pb2.POLICY_OUTCOME_HUMAN


async def test_closed_approvals_are_forgotten_and_open_ones_never(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_retention_days=1e-9) as service:
        pending = await service.pending(run_id="run_a")
        closed = await service.pending(run_id="run_b", request_id="q")
        (approved,) = await service.request(item(run_id="run_c"))
        await service.decide(closed.id, approve=False)
    async with running(fresh_redis, approval_retention_days=1e-9) as service:
        kept = sorted([pending.id, approved.approval.id], key=lambda approval_id: approval_id[6:], reverse=True)
        await until(service.ids, kept)
        shard = closed.id[4:6]
        assert not await service.redis.exists(f"approval:{{a{shard}}}:apr:{closed.id}")
    with fresh_redis.admin() as admin:
        left = [key for key in admin.scan_iter("*") if closed.id.encode() in key or b"request" in key]
        assert not [key for key in left if b":apr:" in key and closed.id.encode() in key]
        for key in admin.scan_iter("approval:*", _type="zset"):
            assert admin.zscore(key, closed.id[6:]) is None
