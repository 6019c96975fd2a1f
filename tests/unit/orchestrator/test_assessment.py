"""What becomes of the approval service's answers about a plan."""

from __future__ import annotations

import pytest

from harness.approval.v1 import risk_pb2 as pb
from harness.common.v1.action_pb2 import ENVIRONMENT_PRODUCTION, Action, FileWriteAction
from harness.orchestrator.v1.agent_pb2 import ProposeActionsRequest
from services.orchestrator.approvals import MAX_OBSERVED_BYTES, approval_item, proposal_item, told_by
from services.orchestrator.assessment import MAX_BYTES, MAX_ITEMS, Assessor, chunks, judged
from services.orchestrator.engine.model import Gate, GateKind, Header, Run, Spec, Step
from services.runtime.errors import FailedPrecondition, InvalidArgument


def answer(outcome: pb.PolicyOutcome.ValueType, level: pb.RiskLevel.ValueType = pb.RISK_LEVEL_LOW) -> pb.AssessedItem:
    return pb.AssessedItem(
        assessment=pb.Assessment(level=level, score=7, factors=[pb.RiskFactor(id="f.one"), pb.RiskFactor(id="f.two")]),
        outcome=outcome,
        policy_reason="because",
    )


@pytest.mark.parametrize(
    ("required", "outcome", "gated"),
    [
        (False, pb.POLICY_OUTCOME_AUTO, False),
        (True, pb.POLICY_OUTCOME_AUTO, True),
        (False, pb.POLICY_OUTCOME_HUMAN, True),
        (False, pb.POLICY_OUTCOME_UNSPECIFIED, True),
    ],
)
def test_a_step_is_gated_unless_it_is_cleared(required: bool, outcome: pb.PolicyOutcome.ValueType, gated: bool) -> None:
    specs, risks = judged([Spec("a", "coder", require_approval=required)], [answer(outcome)])
    assert specs[0].gated is gated
    assert (risks["a"].level, risks["a"].score, risks["a"].factors) == ("LOW", 7, ("f.one", "f.two"))


@pytest.mark.parametrize("agent", ["shell", "files", "http"])
@pytest.mark.parametrize("required", [False, True])
def test_an_agent_that_proposes_is_asked_about_exact_actions_only(agent: str, required: bool) -> None:
    specs, _ = judged([Spec("a", agent, require_approval=required)], [answer(pb.POLICY_OUTCOME_HUMAN)])
    assert specs[0].gated is required


def test_a_denied_step_is_named() -> None:
    with pytest.raises(FailedPrecondition, match="step 'b' is denied by policy: because") as raised:
        judged([Spec("a", "x"), Spec("b", "x")], [answer(pb.POLICY_OUTCOME_AUTO), answer(pb.POLICY_OUTCOME_DENY)])
    assert raised.value.reason == "POLICY_DENIED"
    assert raised.value.metadata["step_id"] == "b"


def test_no_level_is_unknown() -> None:
    _, risks = judged([Spec("a", "x")], [answer(pb.POLICY_OUTCOME_AUTO, pb.RISK_LEVEL_UNSPECIFIED)])
    assert risks["a"].level == "UNKNOWN"


def test_a_missing_answer_is_no_permission() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judged([Spec("a", "x")], [])


def test_calls_keep_to_the_limits_of_items_and_bytes() -> None:
    small = [pb.AssessItem() for _ in range(2 * MAX_ITEMS + 1)]
    assert [len(chunk) for chunk in chunks(small)] == [MAX_ITEMS, MAX_ITEMS, 1]
    action = Action(file_write=FileWriteAction(path="x", content=bytes(1024 * 1024)))
    large = [pb.AssessItem(actions=[action]) for _ in range(7)]
    found = list(chunks(large))
    assert [item for chunk in found for item in chunk] == large
    assert all(pb.AssessActionsRequest(items=chunk).ByteSize() <= MAX_BYTES for chunk in found)
    assert list(chunks([])) == []


class Recorder:
    """Stands in for the approval service's stub and keeps what it was asked."""

    def __init__(self) -> None:
        self.items: list[pb.AssessItem] = []

    async def AssessActions(self, request: pb.AssessActionsRequest, timeout: float) -> pb.AssessActionsResponse:
        self.items.extend(request.items)
        return pb.AssessActionsResponse(items=[answer(pb.POLICY_OUTCOME_AUTO) for _ in request.items])


async def test_a_plan_is_assessed_in_the_environment_of_its_project() -> None:
    stub = Recorder()
    assessor = Assessor(stub)  # type: ignore[arg-type]
    await assessor.assess([Spec("a", "coder")], environment="production", project_id="dev", task_id="t")
    assert [item.context.environment for item in stub.items] == [ENVIRONMENT_PRODUCTION]


@pytest.mark.parametrize("kind", GateKind)
def test_gates_and_proposals_carry_the_environment_of_their_run(kind: GateKind) -> None:
    spec = Spec("a", "coder")
    run = Run.new(Header("run_1", "tsk_1", "prj_dev", "alice", "production", "q", (spec,)))
    run.steps["a"] = Step(gate=Gate(kind, 1))
    proposed = proposal_item(run, spec, 1, 1, 0, "digest", [Action()], "why", pb.ActionContext())
    for item in (approval_item(run, "a").item, proposed):
        assert item.context.environment == ENVIRONMENT_PRODUCTION


def test_a_proposal_is_judged_where_its_worker_says_that_it_would_run() -> None:
    spec = Spec("a", "coder")
    run = Run.new(Header("run_1", "tsk_1", "prj_dev", "alice", "production", "q", (spec,)))
    request = ProposeActionsRequest(
        working_directory="/srv/app",
        links={"out": "/etc"},
        agent_rating=pb.RISK_LEVEL_HIGH,
        observed=[pb.FileState(path="a", content="x")],
    )
    context = proposal_item(run, spec, 1, 1, 0, "digest", [Action()], "why", told_by(request)).context
    assert (context.working_directory, dict(context.links)) == ("/srv/app", {"out": "/etc"})
    assert (context.agent_rating, context.observed[0].content) == (pb.RISK_LEVEL_HIGH, "x")
    # And what it has no say in is as the run has it.
    assert (context.environment, context.agent, context.run_id) == (ENVIRONMENT_PRODUCTION, "coder", "run_1")


def test_a_worker_may_tell_so_much_and_no_more() -> None:
    state = pb.FileState(path="a", content="x" * (MAX_OBSERVED_BYTES // 4))
    told_by(ProposeActionsRequest(observed=[state] * 4))
    with pytest.raises(InvalidArgument, match="at most") as caught:
        told_by(ProposeActionsRequest(observed=[state] * 4 + [pb.FileState(path="b", content="y")]))
    assert caught.value.reason == "OBSERVED_TOO_LARGE"
