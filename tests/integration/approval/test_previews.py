"""Previews through the service: what is asked for comes back as what a person needs to decide on it."""

from __future__ import annotations

import hashlib

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from tests.integration.approval.harness import BOB, Approvals, item
from tests.support.tokens import as_

OLD = "debug = true\nport = 80\n"


def replaced() -> approval_pb2.ApprovalItem:
    """A file that a worker would replace, and whose content it told."""
    asked = item(require_approval=True)
    asked.ClearField("actions")
    asked.actions.add(file_write=action_pb2.FileWriteAction(path="app.conf", content=b"debug = false\nport = 80\n"))
    asked.context.working_directory = "/srv/app"
    asked.context.observed.add(
        path="app.conf",
        exists=True,
        size_bytes=len(OLD),
        sha256=hashlib.sha256(OLD.encode()).hexdigest(),
        mode=0o100644,
        content=OLD,
    )
    return asked


async def test_an_approver_sees_how_a_file_changes(service: Approvals) -> None:
    (pending,) = await service.request(replaced())
    seen = await service.get(pending.approval.id, as_=BOB)
    (file,) = seen.preview.files
    assert "-debug = true\n+debug = false\n port = 80\n" in file.diff
    assert (file.existed, file.old_mode, file.truncated) == (True, 0o100644, False)
    assert seen.preview.reversibility == approval_pb2.REVERSIBILITY_RECOVERABLE
    # So that a revision can be compared with it too.
    assert seen.context.observed[0].content == OLD
    # Who asked has all of this.
    assert not pending.approval.HasField("preview")
    assert not pending.approval.context.observed


async def test_what_was_found_is_marked_and_what_is_lost_is_said(service: Approvals) -> None:
    seen = await service.get((await service.pending()).id, as_=BOB)
    (action,) = seen.preview.actions
    (factor,) = [factor for factor in seen.assessment.factors if factor.id == "destruction.recursive-delete"]
    assert action.text[factor.span.start : factor.span.end] == "rm -rf build"
    assert factor.id in {mark.factor_id for mark in action.marks}
    assert seen.preview.reversibility == approval_pb2.REVERSIBILITY_IRREVERSIBLE
    assert factor.safer_alternative in seen.preview.safer_alternatives or not factor.safer_alternative


async def test_a_factor_says_which_action_it_is_of(service: Approvals) -> None:
    asked = item(script="ls", require_approval=True)
    asked.actions.add(command=action_pb2.CommandAction(script="rm -rf build"))
    (pending,) = await service.request(asked)
    seen = await service.get(pending.approval.id, as_=BOB)
    places = {factor.id: factor.action for factor in seen.assessment.factors}
    assert places["destruction.recursive-delete"] == 1
    (by_rpc,) = (
        await service.risk.AssessActions(
            risk_pb2.AssessActionsRequest(items=[risk_pb2.AssessItem(actions=asked.actions)]), metadata=BOB
        )
    ).items
    assert {factor.id: factor.action for factor in by_rpc.assessment.factors} == places


async def test_many_large_requests_fit_into_their_answer_and_their_pages(service: Approvals) -> None:
    asked = []
    for number in range(20):
        each = replaced()
        each.request_id = f"large {number}"
        each.actions[0].file_write.content = b"new line\n" * 6_000
        each.context.observed[0].content = "old line\n" * 6_000
        asked.append(each)
    results = await service.request(*asked)
    assert not [result.error_message for result in results if result.error_reason]
    assert len(await service.ids(as_=BOB)) == 20


async def waiting(
    service: Approvals, run_id: str, project_id: str, script: str = "rm -rf build"
) -> approval_pb2.Approval:
    """A request of a project that waits for a human."""
    asked = item(script=script, run_id=run_id, require_approval=True)
    asked.context.project_id = project_id
    (result,) = await service.request(asked)
    return result.approval


async def test_what_people_decided_on_the_like_before(service: Approvals) -> None:
    decided = []
    for number in range(7):
        each = await waiting(service, f"run_{number}", "prj_shop")
        await service.decide(each.id, approve=number % 2 == 0, reason=f"because {number}")
        decided.append(each.id)
    # What nobody decided, another project's, and other findings are not like it.
    await waiting(service, "run_open", "prj_shop")
    other = await waiting(service, "run_other", "prj_other")
    await service.decide(other.id)
    harmless = await waiting(service, "run_ls", "prj_shop", script="ls")
    await service.decide(harmless.id)

    asked = await waiting(service, "run_now", "prj_shop")
    preview = (await service.get(asked.id, as_=BOB)).preview
    similar = preview.similar
    # It and the one that nobody decided.
    assert (
        preview.similar_pending
        == len(await service.ids(group=asked.group, state=approval_pb2.APPROVAL_STATE_PENDING))
        == 2
    )
    assert [each.approval_id for each in similar] == decided[:-6:-1]
    assert [(each.decision.approved, each.decision.reason) for each in similar[:2]] == [
        (True, "because 6"),
        (False, "because 5"),
    ]
    assert similar[1].state == approval_pb2.APPROVAL_STATE_REJECTED
    # Itself is not among them, a requester does not see what others asked for, and lists are without.
    assert decided[-1] not in {each.approval_id for each in (await service.get(decided[-1], as_=BOB)).preview.similar}
    own = (await service.get(asked.id, as_=as_("alice", "user"))).preview
    assert (list(own.similar), own.similar_pending) == ([], 0)
    assert (await service.get(harmless.id, as_=BOB)).preview.similar_pending == 0
    page = await service.approvals.ListApprovals(approval_pb2.ListApprovalsRequest(), metadata=BOB)
    assert not any(each.preview.similar for each in page.approvals)
