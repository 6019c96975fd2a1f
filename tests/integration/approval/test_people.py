"""What people do with approvals: vote, edit, talk, escalate, break the glass, find them; over real gRPC and Redis."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2, audit_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval.store import keys
from tests.integration.approval.harness import BOB, Approvals, item, reason_of, running, until
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

PENDING = approval_pb2.APPROVAL_STATE_PENDING
APPROVED = approval_pb2.APPROVAL_STATE_APPROVED
REJECTED = approval_pb2.APPROVAL_STATE_REJECTED
WITHDRAWN = approval_pb2.APPROVAL_STATE_WITHDRAWN
ALICE = as_("alice", "user")
CAROL = as_("carol", "approver")
ROOT = as_("root", "admin")


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return reason_of(refused.value)


def script(text: str) -> list[action_pb2.Action]:
    return [action_pb2.Action(command=action_pb2.CommandAction(script=text))]


async def revise(
    service: Approvals, approval: approval_pb2.Approval, text: str, as_: Any = BOB, **fields: Any
) -> approval_pb2.Approval:
    request = approval_pb2.ReviseApprovalRequest(
        approval_id=approval.id,
        **{"digest": approval.digest, "actions": script(text), "reason": "safer", **fields},
    )
    answer: approval_pb2.ReviseApprovalResponse = await service.approvals.ReviseApproval(request, metadata=as_)
    return answer.approval


async def test_a_rejection_tells_the_agent_what_to_do(service: Approvals) -> None:
    pending = await service.pending()
    code = audit_pb2.REJECT_CODE_NEEDS_CHANGES
    rejected = await service.decide(pending.id, approve=False, reason="use a copy", reject_code=code)
    assert (rejected.decision.reject_code, rejected.decision.reason) == (code, "use a copy")
    (event,) = await service.decisions(1)
    assert event.decision.reject_code == code


async def test_who_started_it_may_not_decide_it(service: Approvals) -> None:
    (asked,) = await service.request(item("rm -rf build", initiators=["bob", "alice"]))
    assert list(asked.approval.initiators) == ["bob"]
    assert await refusal(service.decide(asked.approval.id)) == "SELF_APPROVAL"
    assert (await service.decide(asked.approval.id, as_=CAROL)).state == APPROVED


async def test_many_are_decided_at_once_each_by_itself(service: Approvals) -> None:
    first, second = [await service.pending(run_id=f"run_{n}") for n in range(2)]
    own = await service.pending(requester="bob")
    decisions = [
        approval_pb2.DecideApprovalRequest(approval_id=approval_id, verdict=verdict)
        for approval_id, verdict in (
            (first.id, approval_pb2.VERDICT_APPROVE),
            ("apr_00" + "0" * 32, approval_pb2.VERDICT_APPROVE),
            (own.id, approval_pb2.VERDICT_APPROVE),
            (second.id, approval_pb2.VERDICT_REJECT),
        )
    ]
    request = approval_pb2.DecideApprovalsRequest(decisions=decisions)
    results = (await service.approvals.DecideApprovals(request, metadata=BOB)).results
    assert [result.error_reason for result in results] == ["", "APPROVAL_NOT_FOUND", "SELF_APPROVAL", ""]
    assert [result.approval.state for result in results] == [APPROVED, 0, 0, REJECTED]
    assert [result.approval_id for result in results] == [decision.approval_id for decision in decisions]


async def test_an_edit_is_a_new_revision_that_somebody_else_approves(service: Approvals) -> None:
    (asked,) = await service.request(item("rm -rf build", request_id="q"))
    pending = asked.approval
    edited = await revise(service, pending, "rm -rf build/tmp")
    assert (edited.revision, edited.state, list(edited.initiators)) == (2, PENDING, ["bob"])
    assert edited.digest != pending.digest
    assert edited.actions[0].command.script == "rm -rf build/tmp"
    assert await refusal(service.decide(pending.id, digest=pending.digest, as_=CAROL)) == "DIGEST_MISMATCH"
    assert await refusal(service.decide(pending.id)) == "SELF_APPROVAL"
    approved = await service.decide(pending.id, digest=edited.digest, as_=CAROL)
    assert approved.state == APPROVED
    request = approval_pb2.GetApprovalRequest(approval_id=pending.id, revision=1)
    before = (await service.approvals.GetApproval(request, metadata=BOB)).approval
    assert (before.actions[0].command.script, before.revision) == ("rm -rf build", 1)
    request.revision = 3
    assert await refusal(service.approvals.GetApproval(request, metadata=BOB)) == "NO_SUCH_REVISION"


async def test_an_edit_is_assessed_as_what_it_is(service: Approvals) -> None:
    pending = await service.pending()
    worse = await revise(service, pending, "rm -rf /")
    assert worse.assessment.level == risk_pb2.RISK_LEVEL_CRITICAL
    better = await revise(service, worse, "echo hello", as_=CAROL)
    assert better.assessment.level == risk_pb2.RISK_LEVEL_LOW
    # An edit is always voted on, whatever the policy would have passed.
    assert (better.state, better.revision, list(better.initiators)) == (PENDING, 3, ["bob", "carol"])


async def test_edits_that_cannot_be(service: Approvals) -> None:
    pending = await service.pending()
    write = [action_pb2.Action(file_write=action_pb2.FileWriteAction(path="x", content=b"y"))]
    assert await refusal(revise(service, pending, "", actions=write)) == "ACTIONS_OF_OTHER_KINDS"
    assert await refusal(revise(service, pending, "", actions=script("a") * 2)) == "ACTIONS_OF_OTHER_KINDS"
    assert await refusal(revise(service, pending, "ls", digest="sha256:" + "0" * 64)) == "DIGEST_MISMATCH"
    assert await refusal(revise(service, pending, "ls", as_=as_("mallory", "user"))) == "APPROVAL_NOT_FOUND"
    start = item()
    start.actions[0].CopyFrom(action_pb2.Action(step_start=action_pb2.StepStartAction(description="Delete all files")))
    (asked,) = await service.request(start)
    assert asked.approval.state == PENDING
    assert await refusal(revise(service, asked.approval, "ls")) == "NOT_EDITABLE"
    await service.decide(pending.id)
    assert await refusal(revise(service, pending, "ls")) == "ALREADY_DECIDED"


async def test_the_requester_takes_back_what_is_pending(service: Approvals) -> None:
    pending = await service.pending()
    request = approval_pb2.WithdrawApprovalRequest(approval_id=pending.id, reason="not needed")
    assert await refusal(service.approvals.WithdrawApproval(request, metadata=BOB)) == "NOT_THE_REQUESTER"
    for _ in range(2):
        withdrawn = (await service.approvals.WithdrawApproval(request, metadata=ALICE)).approval
        assert (withdrawn.state, withdrawn.decision.decided_by) == (WITHDRAWN, "alice")
    assert await refusal(service.decide(pending.id)) == "APPROVAL_WITHDRAWN"
    (event,) = await service.decisions(1)
    assert (event.state, event.decision.reason) == (WITHDRAWN, "not needed")


async def test_people_talk_about_it(service: Approvals) -> None:
    pending = await service.pending()
    for n in range(5):
        request = approval_pb2.AddCommentRequest(approval_id=pending.id, text=f"comment {n}")
        await service.approvals.AddComment(request, metadata=(ALICE, BOB)[n % 2])
    listing = approval_pb2.ListCommentsRequest(approval_id=pending.id, page_size=3)
    page = await service.approvals.ListComments(listing, metadata=ALICE)
    listing.page_token = page.next_page_token
    rest = await service.approvals.ListComments(listing, metadata=ALICE)
    thread = [*page.comments, *rest.comments]
    assert [(comment.author, comment.text) for comment in thread] == [
        (("alice", "bob")[n % 2], f"comment {n}") for n in range(5)
    ]
    assert rest.next_page_token == ""
    assert (await service.get(pending.id)).comments == 5
    stranger = service.approvals.ListComments(
        approval_pb2.ListCommentsRequest(approval_id=pending.id), metadata=as_("mallory", "user")
    )
    assert await refusal(stranger) == "APPROVAL_NOT_FOUND"


async def test_a_thread_ends_and_keeps_no_secret(service: Approvals) -> None:
    pending = await service.pending()
    secret = "AKIA" + "Q3EGRZ7XKFD5WMVN"
    request = approval_pb2.AddCommentRequest(approval_id=pending.id, text=f"key {secret}")
    comment = (await service.approvals.AddComment(request, metadata=BOB)).comment
    assert secret not in comment.text
    for _ in range(199):
        await service.approvals.AddComment(request, metadata=BOB)
    assert await refusal(service.approvals.AddComment(request, metadata=BOB)) == "THREAD_FULL"
    assert (await service.get(pending.id)).comments == 200


async def test_half_of_the_time_to_decide_escalates(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_decide_seconds=1.0) as service:
        pending = await service.pending()
        requested, escalated, expired = await service.watched(3)
        assert [told.event.type for told in (requested, escalated, expired)] == [
            audit_pb2.AUDIT_EVENT_TYPE_APPROVAL_REQUESTED,
            audit_pb2.AUDIT_EVENT_TYPE_ESCALATED,
            audit_pb2.AUDIT_EVENT_TYPE_EXPIRED,
        ]
        waited = escalated.time.ToMilliseconds() - requested.time.ToMilliseconds()
        assert 500 <= waited < 1000
        assert (await service.get(pending.id)).escalate_time.ToMilliseconds() > 0


async def test_breaking_the_glass_is_told_and_reviewed(service: Approvals) -> None:
    pending = await service.pending()
    request = approval_pb2.BreakGlassRequest(approval_id=pending.id, reason="production is down", digest=pending.digest)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.approvals.BreakGlass(request, metadata=BOB)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    broken = (await service.approvals.BreakGlass(request, metadata=ROOT)).approval
    assert (broken.state, broken.broken_glass.broken_by) == (APPROVED, "root")
    assert broken.use_by.ToMilliseconds() - broken.decision.decide_time.ToMilliseconds() == 15 * 60_000
    assert await service.ids(needs_review=True) == [pending.id]
    review = approval_pb2.ReviewBreakGlassRequest(approval_id=pending.id, justified=True, review="it was")
    assert await refusal(service.approvals.ReviewBreakGlass(review, metadata=ROOT)) == "SELF_REVIEW"
    reviewed = (await service.approvals.ReviewBreakGlass(review, metadata=BOB)).approval
    assert (reviewed.broken_glass.reviewed_by, reviewed.broken_glass.justified) == ("bob", True)
    assert await service.ids(needs_review=True) == []
    told = await service.watched(3)
    assert [told.event.type for told in told[1:]] == [
        audit_pb2.AUDIT_EVENT_TYPE_GLASS_BROKEN,
        audit_pb2.AUDIT_EVENT_TYPE_GLASS_REVIEWED,
    ]
    (decision,) = await service.decisions(1)
    assert (decision.state, decision.decision.approved) == (APPROVED, True)


async def test_everything_is_found_by_what_it_is(service: Approvals) -> None:
    contexts = [
        ("rm -rf build", "alice", "prj_a"),
        ("rm -rf /", "alice", "prj_b"),
        ("rm -rf build", "bob", "prj_a"),
        ("echo hello", "bob", "prj_a"),
    ]
    made = []
    for n, (text, requester, project) in enumerate(contexts):
        asked = item(text, requester=requester, run_id=f"run_{n}")
        asked.context.project_id = project
        (result,) = await service.request(asked)
        made.append(result.approval)
    ids = [approval.id for approval in made]
    level = made[0].assessment.level
    code = action_pb2.APPROVAL_TYPE_CODE_EXECUTION
    queries: dict[str, dict[str, Any]] = {
        "project": {"project_id": "prj_a"},
        "project, pending": {"project_id": "prj_a", "state": PENDING},
        "level": {"level": risk_pb2.RISK_LEVEL_CRITICAL},
        "level, pending": {"level": level, "state": PENDING},
        "type": {"approval_type": code},
        "type, pending": {"approval_type": code, "state": PENDING},
        "requester": {"requester": "bob"},
        "requester and level": {"requester": "bob", "level": level, "state": PENDING},
        "group": {"group": made[0].group, "state": PENDING},
        "mine": {"mine_to_decide": True, "as_": BOB},
        "mine, but none": {"mine_to_decide": True, "as_": as_("mallory", "user")},
        "others'": {"requester": "alice", "as_": as_("bob", "user")},
    }
    found = {
        name: sorted(ids.index(approval_id) for approval_id in await service.ids(page_size=1, **query))
        for name, query in queries.items()
    }
    assert found == {
        "project": [0, 2, 3],
        "project, pending": [0, 2],
        "level": [1],
        "level, pending": [0, 2],
        "type": [0, 1, 2],
        "type, pending": [0, 1, 2],
        "requester": [2, 3],
        "requester and level": [2],
        "group": [0, 2],
        "mine": [0, 1],
        "mine, but none": [],
        "others'": [],
    }


async def test_a_run_may_have_so_many_pending(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_pending_per_run=3) as service:
        results = await service.request(*(item("rm -rf build", run_id="run_a") for _ in range(5)))
        assert [result.error_reason for result in results] == ["", "", "", "TOO_MANY_PENDING", "TOO_MANY_PENDING"]
        (other,) = await service.request(item("rm -rf build", run_id="run_b"))
        assert other.approval.state == PENDING
        await service.decide(results[0].approval.id)
        (again,) = await service.request(item("rm -rf build", run_id="run_a"))
        assert again.approval.state == PENDING


async def test_watchers_see_what_they_may(service: Approvals) -> None:
    of_alice = await service.pending(requester="alice", run_id="run_a")
    of_eve = await service.pending(requester="eve", run_id="run_e")
    await service.decide(of_eve.id)
    await service.decide(of_alice.id, approve=False, reason="no")
    told = await service.watched(2, as_=ALICE)
    assert [event.event.approval_id for event in told] == [of_alice.id, of_alice.id]
    assert told[1].event.type == audit_pb2.AUDIT_EVENT_TYPE_REJECTED
    assert (told[1].event.actor, told[1].event.reason) == ("bob", "no")
    assert len({event.sequence for event in await service.watched(4)}) == 4


async def test_refused_attempts_are_written_down(service: Approvals) -> None:
    pending = await service.pending(requester="bob")
    assert await refusal(service.decide(pending.id)) == "SELF_APPROVAL"
    journal = f"approval:{{a{pending.id[4:6]}}}:journal"
    entries: Any = await service.redis.xrevrange(journal, count=1)
    ((_, fields),) = entries
    assert b'"error_reason":"SELF_APPROVAL"' in fields[b"e"]
    assert fields[b"p"] == b"0"


async def test_a_journal_keeps_what_nobody_has_read(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis) as service:
        for n in range(250):
            await service.request(item("echo hello", run_id="run_a", request_id=f"q{n}"))
        pending = await service.pending(run_id="run_a")
        journal = f"approval:{{a{pending.id[4:6]}}}:journal"
        assert await service.redis.xlen(journal) == 251
        assert [told.event.approval_id for told in await service.watched(1)] == [pending.id]
        # Every reader is done before the restart: the journals are trimmed when a service starts, then once a minute.
        shard = int(pending.id[4:6], 16)
        entries: Any = await service.redis.xrevrange(journal, count=1)

        async def read() -> list[Any]:
            return [
                await service.redis.hget(keys.EVENTS_PUBLISHED, str(shard)),
                await service.redis.hget(keys.audit_head(shard), "journal"),
                await service.redis.get(keys.notified(shard)),
            ]

        await until(read, [entries[0][0]] * 3)

    async with running(fresh_redis) as service:

        async def trimmed() -> bool:
            return int(await service.redis.xlen(journal)) < 251

        await until(trimmed, True)
        assert [told.event.approval_id for told in await service.watched(1)] == [pending.id]
