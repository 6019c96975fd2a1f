"""The engine's words and the contract's are the same."""

from __future__ import annotations

from typing import Any

import pytest

from harness.orchestrator.v1 import run_pb2
from services.orchestrator.api import convert
from services.orchestrator.engine import model
from services.orchestrator.engine.evolve import EVENT_TYPES

HEADER = model.Header("run_1", "tsk_1", "prj_1", "alice", "development", "q", (model.Spec("a", "coder"),))


def run(core: model.Core, step: model.Step) -> run_pb2.Run:
    return convert.run(model.Run(HEADER, HEADER.index(), core, {"a": step}, 3))


@pytest.mark.parametrize("status", model.RunStatus)
def test_every_status_of_a_run_has_its_value(status: model.RunStatus) -> None:
    message = run(model.Core(status=status, reason="completed"), model.Step())
    assert run_pb2.RunStatus.Name(message.status) == f"RUN_STATUS_{status.name}"


@pytest.mark.parametrize("status", model.StepStatus)
def test_every_status_of_a_step_has_its_value(status: model.StepStatus) -> None:
    message = run(model.Core(), model.Step(status=status))
    assert run_pb2.StepStatus.Name(message.steps[0].status) == f"STEP_STATUS_{status.name}"


@pytest.mark.parametrize("reason", model.Reason)
def test_every_reason_has_its_value(reason: model.Reason) -> None:
    ended = model.Core(status=model.RunStatus.TERMINATED, reason=reason.value, message="why", ended_ms=1_500)
    message = run(ended, model.Step())
    assert run_pb2.TerminationReason.Name(message.termination_reason) == f"TERMINATION_REASON_{reason.name}"
    assert (message.message, message.end_time.ToMilliseconds()) == ("why", 1_500)


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_event_has_its_type(kind: str) -> None:
    message = convert.event(model.Event(7, kind, 1_234, "a", 2, {"n": 1}))
    assert run_pb2.EventType.Name(message.type) == f"EVENT_TYPE_{kind.upper()}"
    assert (message.sequence, message.step_id, message.attempt) == (7, "a", 2)
    assert message.time.ToMilliseconds() == 1_234


def test_an_open_run_does_not_say_why_it_will_end() -> None:
    message = run(model.Core(status=model.RunStatus.EXECUTING, reason="agent_error", message="x"), model.Step())
    assert (message.termination_reason, message.message, message.HasField("end_time")) == (0, "", False)


@pytest.mark.parametrize("result", [None, {}, {"n": 1, "deep": {"list": [1, None]}}])
def test_a_steps_result_is_shown_as_reported(result: Any) -> None:
    message = run(model.Core(), model.Step(status=model.StepStatus.SUCCEEDED, result=result)).steps[0]
    assert message.HasField("result") is (result is not None)


def test_a_steps_error_says_whether_trying_again_helps() -> None:
    error = {"code": "BROKEN", "message": "m", "retryable": False}
    message = run(model.Core(), model.Step(error=error)).steps[0].error
    assert (message.code, message.message, message.non_retryable) == ("BROKEN", "m", True)


def test_results_that_exceed_a_message_are_left_out_and_said_to_be() -> None:
    specs = tuple(model.Spec(f"s{n}", "coder") for n in range(12))
    header = model.Header("run_1", "tsk_1", "prj_1", "alice", "development", "q", specs)
    steps = {spec.id: model.Step(result={"text": "x" * 250_000}) for spec in specs}
    message = convert.run(model.Run(header, header.index(), model.Core(), steps))
    assert message.ByteSize() < 4 * 1024 * 1024
    omitted = [step.result_omitted for step in message.steps]
    assert omitted == sorted(omitted)
    assert 0 < sum(omitted) < len(omitted)
    assert all(step.HasField("result") is not step.result_omitted for step in message.steps)
