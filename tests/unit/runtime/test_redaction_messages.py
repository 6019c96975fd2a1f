"""Messages are masked in every text that they have, and otherwise left as they were."""

from __future__ import annotations

from typing import Any

from google.protobuf.struct_pb2 import Struct

from harness.common.v1 import action_pb2
from harness.orchestrator.v1 import agent_pb2
from services.runtime.digest import digest_of
from services.runtime.redaction import MASK
from services.runtime.redaction.messages import redacted, redacted_bytes

TOKEN = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"


def struct(**fields: Any) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def test_strings_lists_maps_and_bytes_are_masked() -> None:
    command = action_pb2.CommandAction(
        argv=["mysql", "--password", "q8Zr4vB1xW"],
        env={"DB_PASSWORD": "horse", TOKEN: "1", "A": "b"},
        timeout_seconds=3,
    )
    assert redacted(action_pb2.Action(command=command)).command == action_pb2.CommandAction(
        argv=["mysql", "--password", MASK], env={"DB_PASSWORD": MASK, MASK: "1", "A": "b"}, timeout_seconds=3
    )
    write = action_pb2.FileWriteAction(path=f"a/{TOKEN}", content=f"x={TOKEN}".encode(), mode=0o600)
    assert redacted(write) == action_pb2.FileWriteAction(path=f"a/{MASK}", content=f"x={MASK}".encode(), mode=0o600)


def test_structs_are_masked_at_any_depth_in_maps_too() -> None:
    lease = agent_pb2.StepLease(inputs=struct(a=[{"b": TOKEN}, None, True, 2], password="horse", argv=["-p", "x"]))
    lease.dependency_results["one"].update({TOKEN: {"c": TOKEN}})
    masked = redacted(lease)
    assert masked.inputs == struct(a=[{"b": MASK}, None, True, 2], password=MASK, argv=["-p", "x"])
    assert masked.dependency_results["one"] == struct(**{MASK: {"c": MASK}})


def test_the_original_stays_as_it_was() -> None:
    action = action_pb2.Action(step_result=action_pb2.StepResultAction(result=struct(a=TOKEN)))
    before = action.SerializeToString(deterministic=True)
    assert redacted(action) != action
    assert action.SerializeToString(deterministic=True) == before


def test_masking_a_copy_changes_no_digest_and_what_is_masked_has_another() -> None:
    """A digest is of what will be done: two actions that look the same when masked have two of them."""
    action = action_pb2.Action(command=action_pb2.CommandAction(argv=["mysql", "--password", "q8Zr4vB1xW"]))
    other = action_pb2.Action(command=action_pb2.CommandAction(argv=["mysql", "--password", "Wx1Bv4rZ8q"]))
    before = digest_of([action])
    assert redacted(action) == redacted(other)
    assert digest_of([action]) == before != digest_of([other])
    assert digest_of([redacted(action)]) not in (before, digest_of([other]))


def test_what_has_no_secret_is_equal() -> None:
    action = action_pb2.Action(command=action_pb2.CommandAction(argv=["ls", ""], env={"": ""}, working_directory="/w"))
    assert redacted(action) == action
    assert redacted(action_pb2.Action()) == action_pb2.Action()


def test_bytes_that_are_no_text_keep_what_is_around_a_secret() -> None:
    assert redacted_bytes(b"\xff " + TOKEN.encode() + b" \xfe\x00") == b"\xff " + MASK.encode() + b" \xfe\x00"
    assert redacted_bytes(b"\xff\x00\x80") == b"\xff\x00\x80"
