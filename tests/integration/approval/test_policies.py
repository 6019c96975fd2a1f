"""Policies over real gRPC and Redis: saving, versions, drafts, and that they decide."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import approval_pb2, policy_pb2, risk_pb2
from harness.common.v1 import access_pb2, action_pb2
from services.approval.store.policies import VERSIONS_KEPT
from tests.integration.approval.harness import BOB, Approvals, item, reason_of, running, violations_of
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

ADMIN = as_("root", "admin")
DEVELOPMENT = action_pb2.ENVIRONMENT_DEVELOPMENT
STATES = approval_pb2.ApprovalState


def policy(*rules: dict[str, Any], **fields: Any) -> policy_pb2.Policy:
    given: dict[str, Any] = {
        "environment": "ENVIRONMENT_DEVELOPMENT",
        "enabled": True,
        "max_risk_level": "RISK_LEVEL_LOW",
        "allowed_types": ["APPROVAL_TYPE_CODE_EXECUTION"],
        "rules": [{"explanation": f"because of {rule['id']}", **rule} for rule in rules],
        **fields,
    }
    return ParseDict(given, policy_pb2.Policy())


def rule(rule_id: str, outcome: str, when: str, **fields: Any) -> dict[str, Any]:
    return {"id": rule_id, "outcome": f"POLICY_OUTCOME_{outcome}", "when": when, **fields}


NO_MAKE = rule("no-make", "DENY", "'make' in action.programs")


async def save(service: Approvals, message: policy_pb2.Policy, as_: Any = ADMIN) -> policy_pb2.Policy:
    request = policy_pb2.UpdatePolicyRequest(policy=message)
    answer: policy_pb2.UpdatePolicyResponse = await service.policies.UpdatePolicy(request, metadata=as_)
    return answer.policy


async def read(service: Approvals, version: int = 0) -> policy_pb2.Policy:
    request = policy_pb2.GetPolicyRequest(environment=DEVELOPMENT, version=version)
    answer: policy_pb2.GetPolicyResponse = await service.policies.GetPolicy(request, metadata=as_("alice", "user"))
    return answer.policy


async def versions(service: Approvals, **fields: Any) -> policy_pb2.ListPolicyVersionsResponse:
    request = policy_pb2.ListPolicyVersionsRequest(environment=DEVELOPMENT, **fields)
    answer: policy_pb2.ListPolicyVersionsResponse = await service.policies.ListPolicyVersions(request, metadata=BOB)
    return answer


async def tried(service: Approvals, draft: policy_pb2.Policy, **fields: Any) -> policy_pb2.TestPolicyResponse:
    request = policy_pb2.TestPolicyRequest(policy=draft, **fields)
    answer: policy_pb2.TestPolicyResponse = await service.policies.TestPolicy(request, metadata=BOB)
    return answer


async def test_a_rule_denies_from_the_next_request_on(service: Approvals) -> None:
    (before,) = await service.request(item("make test"))
    assert before.approval.state == STATES.APPROVAL_STATE_APPROVED
    await save(service, policy(NO_MAKE))
    (denied,) = await service.request(item("cd src && make test"))
    assert (denied.approval.state, denied.approval.policy_reason) == (
        STATES.APPROVAL_STATE_DENIED,
        "because of no-make",
    )
    assert not denied.grant
    (other,) = await service.request(item("ls"))
    assert other.approval.state == STATES.APPROVAL_STATE_APPROVED


async def test_rules_see_who_asks_and_where(service: Approvals) -> None:
    await save(service, policy(rule("not-alice", "HUMAN", "requester == 'alice' && environment == 'development'")))
    for requester, state in (("alice", STATES.APPROVAL_STATE_PENDING), ("carol", STATES.APPROVAL_STATE_APPROVED)):
        (result,) = await service.request(item("ls", requester=requester))
        assert result.approval.state == state
    request = risk_pb2.AssessActionsRequest(items=[risk_pb2.AssessItem(actions=item("ls").actions)])
    for requester, outcome in (("alice", risk_pb2.POLICY_OUTCOME_HUMAN), ("carol", risk_pb2.POLICY_OUTCOME_AUTO)):
        answer = await service.risk.AssessActions(request, metadata=as_(requester, "user"))
        assert answer.items[0].outcome == outcome


async def test_a_freeze_goes_by_the_clock_of_redis(service: Approvals) -> None:
    seconds, _ = await service.redis.time()
    for shift, state in ((-60, STATES.APPROVAL_STATE_DENIED), (3600, STATES.APPROVAL_STATE_APPROVED)):
        message = policy()
        window = message.freezes.add(id="now", outcome=risk_pb2.POLICY_OUTCOME_DENY, explanation="no changes")
        window.start_time.FromSeconds(int(seconds) + shift)
        window.end_time.FromSeconds(int(seconds) + shift + 600)
        await save(service, message)
        (result,) = await service.request(item("ls"))
        assert result.approval.state == state


async def test_versions_are_kept_and_read(service: Approvals) -> None:
    assert (await read(service)).version == 0
    assert not (await versions(service)).versions
    saved = [await save(service, policy(rule(f"r{n}", "DENY", "false"))) for n in range(1, 5)]
    assert [(each.version, each.etag, each.updated_by) for each in saved] == [(n, f"v{n}", "root") for n in range(1, 5)]
    assert await read(service) == saved[-1]
    for each in saved:
        assert await read(service, each.version) == each
    first = await versions(service, page_size=3)
    rest = await versions(service, page_size=3, page_token=first.next_page_token)
    listed = [*first.versions, *rest.versions]
    assert [(each.version, each.update_time) for each in listed] == [(s.version, s.update_time) for s in saved[::-1]]
    assert not rest.next_page_token
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(service, 5)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "POLICY_VERSION_NOT_FOUND")


async def test_old_versions_go(service: Approvals) -> None:
    await save(service, policy())
    key = "approval:{a00}:policy:development"
    await service.redis.hset(key, "version", str(VERSIONS_KEPT))
    await save(service, policy())
    assert await service.redis.hkeys(f"{key}:bodies") == [str(VERSIONS_KEPT + 1).encode()]
    with pytest.raises(grpc.aio.AioRpcError):
        await read(service, 1)


async def test_of_two_admins_at_once_one_wins(service: Approvals) -> None:
    read_by_both = await read(service)

    def change(n: int) -> policy_pb2.Policy:
        return policy(rule(f"r{n}", "DENY", "false"), etag=read_by_both.etag)

    answers = await asyncio.gather(*(save(service, change(n)) for n in range(10)), return_exceptions=True)
    (won,) = [answer for answer in answers if isinstance(answer, policy_pb2.Policy)]
    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [(each.code(), reason_of(each)) for each in lost] == [(grpc.StatusCode.ABORTED, "POLICY_CHANGED")] * 9
    assert await read(service) == won


async def test_a_policy_that_cannot_be_used_is_refused_with_all_its_faults(service: Approvals) -> None:
    nested = rule("nested", "DENY", "action.words.exists(a, action.words.exists(b, a == b))")
    wrong = {**NO_MAKE, "match": [{"command": "ls"}]}
    for given, fields in (
        (policy(nested, rule("typo", "AUTO", "agnet == 'x'")), ["policy.rules[0].when", "policy.rules[1].when"]),
        (policy(wrong), ["policy.rules[0].match[0]"]),
    ):
        for call in (save, tried):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(service, given)
            assert (refused.value.code(), reason_of(refused.value)) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "POLICY_INVALID",
            )
            told = str(refused.value.details())
            assert told.endswith(f"correct {', '.join(fields)}")
            violations = violations_of(refused.value)
            assert [violation.field for violation in violations] == fields
            assert not any(violation.description in told for violation in violations)
    assert (await read(service)).version == 0


async def test_a_policy_that_is_too_large_is_refused(service: Approvals) -> None:
    large = policy(*(rule(f"r{n}", "DENY", "false // " + "x" * 4000) for n in range(100)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await save(service, large)
    assert reason_of(refused.value) == "POLICY_INVALID"


@pytest.mark.parametrize("role", ["user", "approver", "agent", "service"])
async def test_only_admins_save(service: Approvals, role: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await save(service, policy(), as_=as_("mallory", role))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("role", ["user", "agent", "service"])
async def test_only_approvers_and_admins_try(service: Approvals, role: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.policies.TestPolicy(policy_pb2.TestPolicyRequest(policy=policy()), metadata=as_("mallory", role))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_draft_is_tried_on_examples(service: Approvals) -> None:
    two = rule("two", "HUMAN", "agent == 'x'", quorum=[{"role": "ROLE_APPROVER", "count": 2}], decide_within="60s")
    response = await tried(
        service,
        policy(NO_MAKE, two),
        examples=[
            policy_pb2.PolicyExample(command="make"),
            policy_pb2.PolicyExample(command="ls", agent="x"),
            policy_pb2.PolicyExample(command="ls"),
        ],
    )
    denied, asks, passes = response.examples
    assert (denied.outcome, denied.rule) == (risk_pb2.POLICY_OUTCOME_DENY, "no-make")
    assert (asks.outcome, asks.quorum[0].role, asks.quorum[0].count, asks.decide_within.seconds) == (
        risk_pb2.POLICY_OUTCOME_HUMAN,
        access_pb2.ROLE_APPROVER,
        2,
        60,
    )
    assert (passes.outcome, passes.assessment.level) == (risk_pb2.POLICY_OUTCOME_AUTO, risk_pb2.RISK_LEVEL_LOW)
    assert not response.requests_tested
    assert (await read(service)).version == 0


async def test_a_draft_is_tried_on_what_was_really_asked(service: Approvals) -> None:
    staging = action_pb2.ENVIRONMENT_STAGING
    asked = await service.request(
        item("make test", run_id="run_1"),
        item("ls", run_id="run_2"),
        item("rm -rf build", run_id="run_3"),
        item("make again", run_id="run_4", require_approval=True),
        item("make staging", run_id="run_5", environment=staging),
    )
    made, listed, removed, demanded, _ = (result.approval for result in asked)
    assert made.state == listed.state == STATES.APPROVAL_STATE_APPROVED
    allow = rule("allow-rm", "AUTO", "'rm' in action.programs && assessment.level <= HIGH")
    response = await tried(service, policy(NO_MAKE, allow), last_requests=500)
    assert response.requests_tested == 4
    assert {
        change.approval_id: (change.then.outcome, change.now.outcome, change.now.rule) for change in response.changed
    } == {
        made.id: (risk_pb2.POLICY_OUTCOME_AUTO, risk_pb2.POLICY_OUTCOME_DENY, "no-make"),
        removed.id: (risk_pb2.POLICY_OUTCOME_HUMAN, risk_pb2.POLICY_OUTCOME_AUTO, "allow-rm"),
        demanded.id: (risk_pb2.POLICY_OUTCOME_HUMAN, risk_pb2.POLICY_OUTCOME_DENY, "no-make"),
    }
    assert response.changed[0].then.reason
    assert response.changed[0].then.assessment.level
    assert response.changed[0].create_time.seconds
    unchanged = await tried(service, await read(service), last_requests=500)
    assert (unchanged.requests_tested, list(unchanged.changed)) == (4, [])
    assert (await tried(service, policy(), last_requests=2)).requests_tested == 2


async def test_many_requests_are_read_in_pages(service: Approvals) -> None:
    await service.request(*(item("ls", run_id=f"run_{n}") for n in range(120)))
    response = await tried(service, policy(rule("none", "DENY", "true")), last_requests=110)
    assert (response.requests_tested, len(response.changed)) == (110, 110)


async def test_replicas_see_a_change_at_once_and_compile_it_once(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis) as one, running(fresh_redis) as other:
        for n in range(5):
            await save(one, policy(NO_MAKE) if n % 2 == 0 else policy())
            (result,) = await other.request(item("make test", run_id=f"run_{n}"))
            denied = result.approval.state == STATES.APPROVAL_STATE_DENIED
            assert denied is (n % 2 == 0)


async def test_a_saved_policy_that_this_service_cannot_read_fails_closed(service: Approvals) -> None:
    await save(service, policy(NO_MAKE))
    stored = policy(NO_MAKE)
    stored.rules[0].when = "from_a_later_version(action)"
    await service.redis.hset(
        "approval:{a00}:policy:development", mapping={"body": stored.SerializeToString(), "version": "9"}
    )
    (result,) = await service.request(item("ls"))
    assert result.approval.state == STATES.APPROVAL_STATE_DENIED
    assert "cannot be read any more" in result.approval.policy_reason


async def test_a_rule_says_who_must_agree_and_until_when(service: Approvals) -> None:
    two = [{"role": "ROLE_APPROVER", "count": 2}]
    asks = rule("two-people", "HUMAN", "'make' in action.programs", quorum=two, decide_within="600s", use_within="60s")
    saved = await save(service, policy(asks))
    (result,) = await service.request(item("make release"))
    pending = await service.get(result.approval.id)
    assert (pending.policy_rule, pending.policy_etag) == ("two-people", saved.etag)
    assert [(seat.role, seat.count) for seat in pending.quorum] == [(access_pb2.ROLE_APPROVER, 2)]
    assert pending.decide_by.ToMilliseconds() - pending.create_time.ToMilliseconds() == 600_000
    first = await service.decide(pending.id)
    assert first.state == STATES.APPROVAL_STATE_PENDING
    second = await service.decide(pending.id, as_=as_("carol", "approver"))
    assert second.state == STATES.APPROVAL_STATE_APPROVED
    assert second.use_by.ToMilliseconds() - second.decision.decide_time.ToMilliseconds() == 60_000


async def test_who_changed_a_policy_is_written_down(service: Approvals) -> None:
    await save(service, policy())
    entries: Any = await service.redis.xrange("approval:{a00}:journal")
    ((_, entry),) = entries
    assert orjson.loads(entry[b"e"]) == {
        "type": "AUDIT_EVENT_TYPE_POLICY_CHANGED",
        "subject_name": "development",
        "environment": "ENVIRONMENT_DEVELOPMENT",
        "policy_etag": "v1",
        "policy_etag_before": "v0",
        "actor": "root",
    }
