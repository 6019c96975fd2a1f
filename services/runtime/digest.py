"""The digest of a list of actions: what an approval and a grant are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

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


def intent_of(actions: Iterable[action_pb2.Action]) -> str:
    """The digest of the actions without the operands of commands: of what they are, whatever the files hold.

    By it a step knows the actions again that an earlier attempt has performed, and that may have changed files. Raises
    what `digest_of` raises.
    """
    return digest_of(_without_operands(action) for action in actions)


def _without_operands(action: action_pb2.Action) -> action_pb2.Action:
    if not action.command.operands:
        return action
    bare = action_pb2.Action()
    bare.CopyFrom(action)
    bare.command.ClearField("operands")
    return bare


def _canonical(action: action_pb2.Action) -> bytes:
    present = action.ListFields()
    if len(present) == 1 and _is_plain(present[0][0].message_type):  # the same, in a fifth of the time
        kind, message = present[0]
        return orjson.dumps({kind.name: _form(message)}, option=orjson.OPT_SORT_KEYS)
    whole = MessageToDict(action, preserving_proto_field_name=True)
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _form(message: Message) -> dict[str, object]:
    """The JSON form of a message that is plain."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> object:
    if not field.is_repeated:
        return value
    inside = field.message_type
    if inside is None:
        return list(value)
    return dict(value) if inside.GetOptions().map_entry else [_form(each) for each in value]


# Fields whose values are their own JSON form, which every encoder writes in one way: no numbers with a fraction, none
# that proto3 JSON puts in quotes.
_OWN_FORM = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_UINT32})


@cache
def _is_plain(message: Descriptor | None) -> bool:
    """Whether a message has only such fields, lists of them and of plain messages, and maps from text to text."""
    return message is not None and all(_is_plain_field(field) for field in message.fields)


def _is_plain_field(field: FieldDescriptor) -> bool:
    inside = field.message_type
    if inside is None:
        return field.type in _OWN_FORM
    if inside.GetOptions().map_entry:
        return all(each.type == FieldDescriptor.TYPE_STRING for each in inside.fields)
    return field.is_repeated and _is_plain(inside)
