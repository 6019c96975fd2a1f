"""What one requester may ask of humans."""

from __future__ import annotations

from harness.approval.v1 import approval_pb2, remembered_pb2
from tests.integration.approval.harness import item, running
from tests.support.redis_server import RedisServer

RISKY = "rm -rf build"


async def test_a_requester_has_so_many_pending(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_pending_per_requester=3) as service:
        asked = [item(RISKY, run_id=f"run_{n}", request_id=f"q{n}") for n in range(4)]
        results = await service.request(*asked)
        assert [result.error_reason for result in results] == ["", "", "", "TOO_MANY_PENDING"]
        assert "alice" in results[3].error_message
        # Repeats, what asks nobody, and others are taken.
        again, auto, other = await service.request(asked[0], item(run_id="run_9"), item(RISKY, requester="carol"))
        assert again.approval.id == results[0].approval.id
        assert auto.approval.state == approval_pb2.APPROVAL_STATE_APPROVED
        assert other.approval.state == approval_pb2.APPROVAL_STATE_PENDING
        await service.decide(results[1].approval.id, approve=False)
        (taken,) = await service.request(asked[3])
        assert taken.approval.state == approval_pb2.APPROVAL_STATE_PENDING


async def test_a_requester_asks_so_often(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_asks_per_minute=3) as service:
        asked = [item(RISKY, run_id=f"run_{n}", request_id=f"q{n}") for n in range(5)]
        results = await service.request(*asked)
        assert [result.error_reason for result in results] == ["", "", "", "RATE_LIMITED", "RATE_LIMITED"]
        assert "again in 20 s" in results[3].error_message
        again, auto, other, late = await service.request(
            asked[2], item(run_id="run_9"), item(RISKY, requester="carol"), item(RISKY)
        )
        assert again.approval.id == results[2].approval.id
        assert auto.approval.state == approval_pb2.APPROVAL_STATE_APPROVED
        assert other.approval.state == approval_pb2.APPROVAL_STATE_PENDING
        assert late.error_reason == "RATE_LIMITED"


async def test_what_a_remembered_decision_answers_is_not_counted(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_asks_per_minute=1) as service:
        approval = await service.pending()
        await service.decide(approval.id, remember=remembered_pb2.REMEMBER_SCOPE_RUN)
        (known, other) = await service.request(item(RISKY), item(RISKY, run_id="run_2"))
        assert known.approval.state == approval_pb2.APPROVAL_STATE_APPROVED
        assert other.error_reason == "RATE_LIMITED"


async def test_the_rate_lets_through_again(fresh_redis: RedisServer) -> None:
    async with running(fresh_redis, approval_asks_per_minute=200) as service:
        for _ in range(2):
            results = await service.request(*(item(RISKY, run_id=f"run_{n}") for n in range(150)))
        refused = [result for result in results if result.error_reason]
        # A minute's worth at once, and one more each 0.3 s that this took.
        assert 0 < len(refused) <= 100
        assert {result.error_reason for result in refused} == {"RATE_LIMITED"}
