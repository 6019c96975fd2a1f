"""The digest that binds an approval to the exact actions that run; the rule is in
harness/common/v1/action.proto."""

import hashlib
import json
from collections.abc import Iterable

from google.protobuf.json_format import MessageToDict

from harness.common.v1.action_pb2 import Action


def digest(actions: Iterable[Action]) -> str:
    """Return "sha256:<64 hex digits>" of the canonical JSON of the actions, in their order.

    Computed here, by whoever is about to run the actions, and never taken from a server: a grant for
    anything else is then refused.
    """
    forms = [MessageToDict(action, preserving_proto_field_name=True) for action in actions]
    canonical = json.dumps(forms, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return "sha256:" + hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def intent(actions: Iterable[Action]) -> str:
    """Return the digest of the actions without the operands of commands: of what they are, whatever the files hold.

    By it a later attempt knows the actions again that an earlier one has performed, and that may have changed files.
    """
    return digest(_without_operands(action) for action in actions)


def _without_operands(action: Action) -> Action:
    if not action.command.operands:
        return action
    bare = Action.FromString(action.SerializeToString())
    bare.command.ClearField("operands")
    return bare
