"""An operator's rule packs, over real gRPC: the RPC and the gate both go by them."""

from __future__ import annotations

from pathlib import Path

from harness.approval.v1 import approval_pb2, risk_pb2
from tests.integration.approval.harness import SERVICE, item, running
from tests.support.redis_server import RedisServer

PACK = """\
schema: 1
pack: acme/shops
version: 1.0.0
rules:
  - id: acme.prices
    programs: shopctl
    weight: high
    message: Changes the prices that customers see.
    when: {sub: price, without: --list}
    match: [shopctl price --all 0]
    no_match: [shopctl price --list]
"""


async def test_the_rpc_and_the_gate_go_by_an_operators_pack(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "shops.yaml").write_text(PACK)
    async with running(redis_server, risk_rule_packs=str(tmp_path)) as service:
        asked = item("shopctl price --all 0")
        answer = await service.risk.AssessActions(
            risk_pb2.AssessActionsRequest(items=[risk_pb2.AssessItem(actions=asked.actions)]), metadata=SERVICE
        )
        assessed = answer.items[0].assessment
        assert "acme.prices" in {factor.id for factor in assessed.factors}
        changed, listed = await service.request(asked, item("shopctl price --list"))
        assert changed.approval.state == approval_pb2.APPROVAL_STATE_PENDING
        assert changed.approval.assessment.level == assessed.level == risk_pb2.RISK_LEVEL_HIGH
        assert listed.approval.state == approval_pb2.APPROVAL_STATE_APPROVED
