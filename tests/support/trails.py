"""Audit trails made without a service: exports with shards, checkpoints and a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.approval.audit.lines import (
    Checkpoint,
    Head,
    Link,
    canonical,
    checkpoint_line,
    export_line,
    key_line,
    manifest_line,
    record_line,
)
from services.approval.grants.keys import SigningKey, generate, signing_key

TIME = 1_767_225_600_000


@dataclass
class Made:
    """The chain of one shard as it grows."""

    shard: int
    key: SigningKey
    lines: list[bytes] = field(default_factory=list)
    head: Link = field(default_factory=Link)
    first: int = 1
    signed: int = 0

    def record(self, **event: object) -> None:
        """Add a record."""
        event = {"type": "AUDIT_EVENT_TYPE_VOTED", "actor": "bob", **event}
        line, self.head = record_line(self.shard, self.head, TIME + self.head.sequence, canonical(event))
        self.lines.append(line)

    def checkpoint(self, *, root: bool = False) -> None:
        """Sign the last record."""
        at = self.head
        checkpoint = Checkpoint(self.shard, at.sequence, at.hash, self.signed, root, self.key.kid, at.time_ms)
        self.lines.append(checkpoint_line(checkpoint, self.key))
        self.signed = at.sequence

    def forget(self) -> None:
        """Remove all there is, and leave a root."""
        self.checkpoint(root=True)
        del self.lines[:-1]
        self.first = self.head.sequence + 1


def make(
    shards: int = 3, records: int = 7, every: int = 3, key: SigningKey | None = None, *, forgotten: int = 0
) -> tuple[list[Made], SigningKey]:
    """Chains with a checkpoint after every so many records, and at the end; of the first, so many are removed."""
    key = key or signing_key(generate())
    chains = []
    for shard in range(shards):
        chain = Made(shard, key)
        for number in range(1, records + 1):
            chain.record(
                approval_id=f"apr_{shard:02x}", reason=f'"{number}" \n é 😀 \x7f \x01', score=number, list=["a"]
            )
            if shard == 0 and number == forgotten:
                chain.forget()
            elif number % every == 0 or number == records:
                chain.checkpoint()
        chains.append(chain)
    return chains, key


def export(chains: Sequence[Made], key: SigningKey, *, with_key: bool = True) -> list[bytes]:
    """The lines of an export of them."""
    heads = [Head(chain.shard, chain.first, chain.head.sequence, chain.head.hash) for chain in chains]
    lines = [export_line(), *([key_line(key)] if with_key else [])]
    return [*lines, *(line for chain in chains for line in chain.lines), manifest_line(heads, TIME, key)]


def rechained(lines: Sequence[bytes], shard: int, changed: int) -> list[bytes]:
    """Records of a shard, one of them changed, and all hashes made anew: what a forger without the key can do."""
    head, forged = Link(), []
    for line in lines:
        value = json.loads(line)
        if value.get("shard") == shard:
            event = value["event"] | ({"actor": "mallory"} if value["sequence"] == changed else {})
            line, head = record_line(shard, head, value["time_ms"], canonical(event))
        forged.append(line)
    return forged


def mutations(lines: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Every way to change one member of a line, to drop, double or swap lines, and to cut them off."""
    for number, line in enumerate(lines):
        for what, other in _changed(json.loads(line)):
            yield f"line {number + 1}: {what}", [*lines[:number], canonical(other), *lines[number + 1 :]]
        yield f"line {number + 1} left out", [*lines[:number], *lines[number + 1 :]]
        yield f"line {number + 1} doubled", [*lines[:number], line, *lines[number:]]
        yield f"cut off before line {number + 1}", list(lines[:number])
        for other in range(number + 1, len(lines)):
            swapped = list(lines)
            swapped[number], swapped[other] = swapped[other], swapped[number]
            yield f"lines {number + 1} and {other + 1} swapped", swapped


def _changed(value: object) -> Iterator[tuple[str, object]]:
    """A JSON value with each of its parts changed, renamed, left out or added, one at a time."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for what, other in _changed(inner):
                yield f"{name}{what}", value | {name: other}
            rest = {key: each for key, each in value.items() if key != name}
            yield f"{name} left out", rest
            yield f"{name} renamed", rest | {f"{name}x": inner}
        yield "member added", value | {"x": 1}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for what, other in _changed(inner):
                yield f"[{index}]{what}", [*value[:index], other, *value[index + 1 :]]
        yield " shorter", value[:-1]
        yield " longer", [*value, "x"]
    elif isinstance(value, bool):
        yield " flipped", not value
    elif isinstance(value, int):
        yield " counted up", value + 1
        yield " negative", -value - 1
        yield " as text", str(value)
        yield " as a fraction", value + 0.5
    elif isinstance(value, str):
        yield " changed", ("1" if value[:1] == "0" else "0") + value[1:]
        yield " changed at its end", value[:-1] + ("1" if value[-1:] == "0" else "0")
        yield " longer", value + " "
        yield " null", None
