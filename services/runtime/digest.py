"""The digest of a list of actions: what an approval and a grant are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
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
        canonical = b",".join([_canonical(action) for action in actions])
    except SerializeToJsonError as error:
        raise InvalidArgument("ACTIONS_NOT_CANONICAL", f"the actions have no JSON form: {error}") from error
    return "sha256:" + hashlib.sha256(b"[%b]" % canonical).hexdigest()


def _canonical(action: action_pb2.Action) -> bytes:
    present = action.ListFields()
    if len(present) == 1 and _is_plain(present[0][0].message_type):  # the same, in a fifth of the time
        kind, message = present[0]
        form = {
            field.name: value if not field.is_repeated else dict(value) if field.message_type else list(value)
            for field, value in message.ListFields()
        }
        return orjson.dumps({kind.name: form}, option=orjson.OPT_SORT_KEYS)
    whole = MessageToDict(action, preserving_proto_field_name=True)
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# Fields whose values are their own JSON form, which every encoder writes in one way: no numbers with a fraction, none
# that proto3 JSON puts in quotes.
_OWN_FORM = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_UINT32})


@cache
def _is_plain(message: Descriptor | None) -> bool:
    """Whether a message has only such fields, lists of them, and maps from text to text."""
    if message is None:
        return False
    for field in message.fields:
        inside = field.message_type
        if inside is not None and not (
            inside.GetOptions().map_entry and all(each.type == FieldDescriptor.TYPE_STRING for each in inside.fields)
        ):
            return False
        if inside is None and field.type not in _OWN_FORM:
            return False
    return True
