"""The digest of a list of actions: what an approval and a grant are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from harness.common.v1 import action_pb2
from services.runtime.errors import InvalidArgument


def digest_of(actions: Iterable[action_pb2.Action]) -> str:
    """Return "sha256:" and the lower-case hex SHA-256 of the canonical JSON of the actions, in their order.

    Canonical: proto3 JSON with original field names, keys sorted, no white space, UTF-8 unescaped. The definition is
    the comment on `harness.common.v1.Action`; anyone who is about to run actions computes the same.

    Raises InvalidArgument (ACTIONS_NOT_CANONICAL) if a number in a step's inputs or result has no JSON form (NaN,
    infinity).
    """
    try:
        plain = [MessageToDict(action, preserving_proto_field_name=True) for action in actions]
    except SerializeToJsonError as error:
        raise InvalidArgument("ACTIONS_NOT_CANONICAL", f"the actions have no JSON form: {error}") from error
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
