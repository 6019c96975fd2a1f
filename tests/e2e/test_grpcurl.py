"""What an engineer does with grpcurl alone, through reflection: no .proto files, no client of ours."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from motherharness.devstack import Stack
from tests.e2e.contracts import all_rpcs
from tests.e2e.flows import effects, risky, workplace

BUILT = Path(__file__).parents[2] / ".build" / "bin" / "grpcurl"
FOUND = shutil.which("grpcurl") or (str(BUILT) if BUILT.exists() else "")
LIMIT = 20.0

pytestmark = pytest.mark.skipif(not FOUND, reason="there is no grpcurl; `make tools` builds it")


def command(stack: Stack, service: str, *arguments: str, subject: str = "", data: Any = None) -> list[str]:
    """Return a grpcurl command line; the address comes before what is asked."""
    options = ["-plaintext"]
    if subject:
        options += ["-H", f"authorization: Bearer {stack.token(subject)}"]
    if data is not None:
        options += ["-d", json.dumps(data)]
    return [FOUND, *options, stack.address(service), *arguments]


def grpcurl(stack: Stack, service: str, *arguments: str, subject: str = "", data: Any = None) -> str:
    """Run grpcurl and return its output."""
    line = command(stack, service, *arguments, subject=subject, data=data)
    done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("service", ["orchestrator", "approval", "backup"])
def test_list_describe_and_health(stack: Stack, service: str) -> None:
    listed = grpcurl(stack, service, "list").split()
    contracts = {rpc.path.split("/")[1] for rpc in all_rpcs() if rpc.service == service}
    assert contracts | {"grpc.health.v1.Health"} <= set(listed)
    for contract in sorted(contracts):
        described = grpcurl(stack, service, "describe", contract)
        for rpc in all_rpcs():
            if rpc.path.startswith(f"/{contract}/"):
                assert f"rpc {rpc.path.rpartition('/')[2]} " in described
        health = grpcurl(stack, service, "grpc.health.v1.Health/Check", data={"service": contract})
        assert json.loads(health) == {"status": "SERVING"}
    assert json.loads(grpcurl(stack, service, "grpc.health.v1.Health/Check")) == {"status": "SERVING"}


def test_task_approval_and_result(stack: Stack) -> None:
    place = workplace(stack.root)

    def call(subject: str, service: str, method: str, data: Any) -> Any:
        return json.loads(grpcurl(stack, service, f"harness.{service}.v1.{method}", subject=subject, data=data))

    project = call("alice", "orchestrator", "ProjectService/CreateProject", {"display_name": "by hand"})["project"]
    wanted = {"project_id": project["id"], "query": "clean up", "plan": {"steps": [risky("clean", place)]}}
    task = call("alice", "orchestrator", "TaskService/CreateTask", wanted)["task"]
    run = call("alice", "orchestrator", "RunService/StartRun", {"task_id": task["id"]})["run"]

    watch = command(
        stack,
        "orchestrator",
        "harness.orchestrator.v1.RunService/WatchRun",
        subject="alice",
        data={"run_id": run["id"]},
    )
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert any("EVENT_TYPE_APPROVAL_REQUESTED" in line for line in watching.stdout)
        pending = {"state": "APPROVAL_STATE_PENDING", "run_id": run["id"]}
        listed = call("bob", "approval", "ApprovalService/ListApprovals", pending)["approvals"]
        assert [approval["context"]["runId"] for approval in listed] == [run["id"]]
        assert effects(place) == []
        decision = {"approval_id": listed[0]["id"], "verdict": "VERDICT_APPROVE", "reason": "only output"}
        decided = call("bob", "approval", "ApprovalService/DecideApproval", decision)["approval"]
        assert decided["decision"]["decidedBy"] == "bob"
        rest, _ = watching.communicate(timeout=LIMIT)
    assert "EVENT_TYPE_RUN_TERMINATED" in rest
    assert effects(place) == ["clean"]
    ended = call("alice", "orchestrator", "RunService/GetRun", {"run_id": run["id"]})["run"]
    assert ended["terminationReason"] == "TERMINATION_REASON_COMPLETED"


def test_errors_tell_what_to_do(stack: Stack) -> None:
    method = "harness.orchestrator.v1.RunService/GetRun"
    refused = subprocess.run(
        command(stack, "orchestrator", method, data={"run_id": "run_1"}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert refused.returncode != 0
    assert "Unauthenticated" in refused.stderr
    assert "TOKEN_MISSING" in refused.stderr
    named = subprocess.run(
        command(stack, "orchestrator", method, subject="alice", data={"run_id": ""}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert "InvalidArgument" in named.stderr
    assert '"field": "run_id"' in named.stderr
