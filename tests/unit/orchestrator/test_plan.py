"""What a valid plan is, and its way from the contract to the engine and back."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from harness.common.v1.action_pb2 import APPROVAL_TYPE_GIT_PUSH, Environment
from harness.orchestrator.v1.plan_pb2 import Plan, RetryPolicy, StepSpec
from harness.orchestrator.v1.run_pb2 import Event, ListEventsResponse
from services.orchestrator import values
from services.orchestrator.engine.model import Retry, Spec
from services.orchestrator.plan import (
    Risk,
    check,
    environment_name,
    environment_value,
    plan_of,
    specs_of,
)
from services.runtime.errors import InvalidArgument


def step(name: str, *after: str, inputs: Any = None) -> Spec:
    return Spec(name, "coder", depends_on=after, inputs=inputs)


def violations(*specs: Spec) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as raised:
        check(specs)
    assert raised.value.reason == "INVALID_PLAN"
    return dict(raised.value.violations)


def test_a_diamond_is_valid() -> None:
    check([step("d", "b", "c"), step("b", "a"), step("c", "a"), step("a")])


def test_an_empty_plan_is_refused() -> None:
    assert "plan.steps" in violations()


def test_a_cycle_is_named() -> None:
    found = violations(step("a"), step("b", "a", "d"), step("c", "b"), step("d", "c"), step("e", "d"))
    assert found == {"plan.steps[1].depends_on": "cycle: b → d → c → b"}


def test_a_long_chain_is_no_recursion_and_its_cycle_is_found() -> None:
    chain = [step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(1000)]
    check(chain)
    assert "cycle: " in violations(step("s0", "s999"), *chain[1:])["plan.steps[0].depends_on"]


def test_every_fault_is_named_with_its_field() -> None:
    found = violations(step("a"), step("b", "b"), step("a"), step("c", "x"), step("d", "a", "a"))
    assert found == {
        "plan.steps[1].depends_on": "'b' depends on itself",
        "plan.steps[2].id": "'a' is also the id of steps[0]; ids are unique",
        "plan.steps[3].depends_on": "'x' is no step of the plan",
        "plan.steps[4].depends_on": "names a step twice",
    }


def test_sizes_are_capped() -> None:
    big = {"text": "x" * (256 * 1024)}
    assert "at most 262144" in violations(step("a"), step("b", inputs=big))["plan.steps[1].inputs"]
    fits = {"text": "x" * (250 * 1024)}
    assert "at most 4194304" in violations(*(step(f"s{n}", inputs=fits) for n in range(17)))["plan.steps"]


def nested(levels: int) -> Struct:
    value: dict[str, Any] = {"leaf": 1}
    for _ in range(levels - 1):
        value = {"deep": value}
    return values.to_struct(value)


def test_what_is_taken_fits_into_every_message() -> None:
    deepest = values.to_json(nested(values.MAX_DEPTH))
    event = Event(data=values.to_struct({"result": deepest}))
    wire = ListEventsResponse(events=[event]).SerializeToString()
    read = ListEventsResponse.FromString(wire).events[0].data.fields["result"].struct_value
    assert values.to_json(read) == deepest


def test_depth_is_capped() -> None:
    specs_of(Plan(steps=[StepSpec(id="a", agent="coder", inputs=nested(values.MAX_DEPTH))]))
    with pytest.raises(InvalidArgument) as raised:
        specs_of(Plan(steps=[StepSpec(id="a", agent="coder", inputs=nested(values.MAX_DEPTH + 1))]))
    assert raised.value.violations == (("plan.steps[0].inputs", f"more than {values.MAX_DEPTH} levels"),)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_json_form_are_refused(number: float) -> None:
    struct = Struct()
    struct.fields["n"].number_value = number
    with pytest.raises(InvalidArgument, match=r"plan\.steps\[0\]\.inputs"):
        specs_of(Plan(steps=[StepSpec(id="a", agent="coder", inputs=struct)]))


def test_defaults_are_those_of_the_contract() -> None:
    (spec,) = specs_of(Plan(steps=[StepSpec(id="a", agent="shell")]))
    assert spec == Spec("a", "shell", inputs={}, retry=Retry(3, 1000, 60_000, 2.0), timeout_ms=600_000)


def test_a_plan_survives_the_way_there_and_back() -> None:
    inputs = values.to_struct({"n": 1, "f": 1.5, "list": [True, None, {"x": "y"}]})
    given = StepSpec(
        id="a",
        agent="coder",
        description="do",
        inputs=inputs,
        require_approval=True,
        approval_type=APPROVAL_TYPE_GIT_PUSH,
        retry=RetryPolicy(
            max_attempts=7,
            initial_backoff=Duration(nanos=5_000_000),
            max_backoff=Duration(seconds=9),
            multiplier=1.5,
        ),
        timeout=Duration(seconds=3, nanos=1),
        priority=9,
    )
    (spec,) = specs_of(Plan(steps=[given]))
    assert spec.timeout_ms == 3001  # rounded up
    assert spec.inputs == {"n": 1, "f": 1.5, "list": [True, None, {"x": "y"}]}
    (back,) = plan_of([spec], {"a": Risk("HIGH", 60, ("x",))}).steps
    assert (back.risk.level, back.risk.score, list(back.risk.factors)) == ("HIGH", 60, ["x"])
    back.ClearField("risk")
    given.timeout.CopyFrom(Duration(seconds=3, nanos=1_000_000))
    assert back == given


def test_environments_by_name() -> None:
    assert environment_name(Environment.ENVIRONMENT_UNSPECIFIED) == "development"
    for value in list(Environment.values())[1:]:
        assert environment_value(environment_name(value)) == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**52), 2**52)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_values_survive_struct(value: dict[str, Any]) -> None:
    assert values.to_json(values.to_struct(value)) == value


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_plan_is_refused_exactly_when_it_has_a_cycle(edges: list[tuple[int, int]]) -> None:
    parents: dict[int, set[int]] = {n: set() for n in range(8)}
    for child, parent in edges:
        parents[child].add(parent)
    reach = {n: set(parents[n]) for n in parents}
    for _ in parents:
        for n in reach:
            reach[n] |= {m for parent in reach[n] for m in parents[parent]}
    cyclic = any(n in reach[n] for n in reach)
    specs = [step(f"s{n}", *(f"s{p}" for p in sorted(parents[n]))) for n in parents]
    if cyclic:
        violations(*specs)
    else:
        check(specs)
