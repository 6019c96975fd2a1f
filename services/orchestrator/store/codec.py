"""How runs and events are stored: JSON, with what is at its default left out."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import orjson

from services.orchestrator.engine.model import (
    Core,
    Event,
    Gate,
    GateKind,
    Header,
    Retry,
    RunStatus,
    Spec,
    Step,
    StepStatus,
)

_INT_KEYS = orjson.OPT_NON_STR_KEYS


def _sparse(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not empty."""
    out: dict[str, Any] = {}
    for item in fields(value):
        current = getattr(value, item.name)
        if current in (None, "", 0, (), False) or current == {} or current == []:
            continue
        out[item.name] = current
    return out


def dump_brief(header: Header) -> bytes:
    """Serialise a run's header without its plan; ``load_header`` reads it too."""
    return orjson.dumps(_sparse(replace(header, specs=())) | {"specs": []})


def dump_header(header: Header) -> bytes:
    """Serialise a run's header with its plan."""
    specs = []
    for spec in header.specs:
        row = _sparse(spec)
        row["retry"] = {item.name: getattr(spec.retry, item.name) for item in fields(Retry)}
        specs.append(row)
    body = _sparse(header)
    body["specs"] = specs
    return orjson.dumps(body)


def load_header(data: bytes) -> Header:
    """Parse what ``dump_header`` made."""
    body = orjson.loads(data)
    specs = tuple(load_spec(row) for row in body.pop("specs"))
    strings = {name: body.get(name, "") for name in ("run_id", "task_id", "project_id", "owner")}
    return Header(
        **strings,
        environment=body.get("environment", ""),
        query=body.get("query", ""),
        specs=specs,
        initiators=tuple(body.get("initiators", ())),
    )


def load_spec(row: dict[str, Any]) -> Spec:
    """Build a spec from its stored form."""
    row = dict(row)
    row["retry"] = Retry(**row["retry"])
    row["depends_on"] = tuple(row.get("depends_on", ()))
    return Spec(**row)


def dump_step(step: Step) -> bytes:
    """Serialise a step's state."""
    row = _sparse(step)
    row["status"] = step.status.value
    if step.result is not None:
        row["result"] = step.result
    if step.gate is not None:
        row["gate"] = _sparse(step.gate) | {"kind": step.gate.kind.value, "attempt": step.gate.attempt}
    return orjson.dumps(row, option=_INT_KEYS)


def load_step(data: bytes) -> Step:
    """Parse what ``dump_step`` made."""
    row = orjson.loads(data)
    row["status"] = StepStatus(row["status"])
    gate = row.pop("gate", None)
    if gate is not None:
        row["gate"] = Gate(**(gate | {"kind": GateKind(gate["kind"])}))
    for name in ("generations", "records"):
        if name in row:
            row[name] = {int(key): value for key, value in row[name].items()}
    row["feedback"] = tuple(row.get("feedback", ()))
    return Step(**row)


def dump_core(core: Core) -> bytes:
    """Serialise what changes in a run besides its steps."""
    return orjson.dumps(_sparse(core) | {"status": core.status.value})


def load_core(data: bytes) -> Core:
    """Parse what ``dump_core`` made."""
    row = orjson.loads(data)
    return Core(**(row | {"status": RunStatus(row["status"])}))


def dump_event(event: Event) -> bytes:
    """Serialise an event; its sequence is the stream entry's id."""
    row: dict[str, Any] = {"y": event.type, "t": event.time_ms}
    if event.step_id:
        row["s"] = event.step_id
    if event.attempt:
        row["a"] = event.attempt
    if event.data:
        row["d"] = event.data
    return orjson.dumps(row)


def load_event(sequence: int, data: bytes) -> Event:
    """Parse what ``dump_event`` made."""
    row = orjson.loads(data)
    return Event(sequence, row["y"], row["t"], row.get("s", ""), row.get("a", 0), row.get("d", {}))
