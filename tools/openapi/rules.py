"""What buf.validate rules and types of fields say, in the keywords of JSON Schema that OpenAPI v2 has.

A rule that these keywords cannot say exactly is said as far as that never forbids what the services accept: a limit in
bytes becomes the same limit in characters. What they cannot say at all (CEL, oneofs) goes into descriptions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tools.openapi.contract import Contract, message_of

Schema = dict[str, Any]

SIGNED = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32}
UNSIGNED = {FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32}
SIGNED_LONG = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64}
UNSIGNED_LONG = {FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64}

# The JSON forms of well-known types that are strings, see the proto3 JSON mapping.
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {
        "pattern": r"^-?(0|[1-9][0-9]{0,10})(\.[0-9]{1,9})?s$",
        "x-example": "10s",
    },
    "google.protobuf.FieldMask": {"pattern": r"^([a-zA-Z0-9.]+(,[a-zA-Z0-9.]+)*)?$", "x-example": "displayName"},
}


# The names of a mask in a query are those of the contract: grpc-gateway reads them so.
MASK_IN_QUERY = "^([a-z0-9_.]+(,[a-z0-9_.]+)*)?$"
INTEGER, NATURAL = "^(0|-?[1-9][0-9]{0,18})$", "^(0|[1-9][0-9]{0,18})$"


def is_mask(field: FieldDescriptor) -> bool:
    """Whether a field is a FieldMask."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.FieldMask"


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def property_keywords(contract: Contract, field: FieldDescriptor) -> Schema:
    """The keywords for a field's own schema, without those of its items.

    A message that is not set is `null` in answers, and `null` is taken as not set: `x-nullable`. Members of oneofs and
    optional fields are left out instead.
    """
    rules: Any = contract.rules(field)
    if is_map(field):
        return _positive(rules.map, max_pairs="maxProperties", min_pairs="minProperties") if rules else {}
    if field.is_repeated:
        found = _positive(rules.repeated, max_items="maxItems", min_items="minItems") if rules else {}
        return {**found, "uniqueItems": True} if rules and rules.repeated.unique else found
    found = scalar_keywords(field, rules)
    if field.message_type is not None and field.containing_oneof is None:
        found["x-nullable"] = True
    return found


def item_keywords(contract: Contract, field: FieldDescriptor) -> Schema:
    """The keywords for the items of a list, or for the values of a map."""
    rules: Any = contract.rules(field)
    if is_map(field):
        return scalar_keywords(message_of(field).fields_by_name["value"], rules and rules.map.values)
    return scalar_keywords(field, rules and rules.repeated.items)


def scalar_keywords(field: FieldDescriptor, rules: Any) -> Schema:
    """The keywords for one value of a field."""
    if field.message_type is not None:
        return dict(WELL_KNOWN.get(field.message_type.full_name, {}))
    if field.enum_type is not None:
        return _enum_names(field.enum_type, rules)
    kinds: list[tuple[set[int], Callable[[Any], Schema]]] = [
        (SIGNED, lambda r: _range(r and r.int32, -(2**31), 2**31 - 1)),
        (UNSIGNED, lambda r: _range(r and r.uint32, 0, 2**32 - 1)),
        (SIGNED_LONG, lambda r: {"pattern": NATURAL if r and r.HasField("int64") and r.int64.gte >= 0 else INTEGER}),
        (UNSIGNED_LONG, lambda r: {"pattern": NATURAL}),
        ({FieldDescriptor.TYPE_DOUBLE}, lambda r: _range(r and r.double, None, None)),
        ({FieldDescriptor.TYPE_BYTES}, lambda r: _base64(r and r.bytes)),
        ({FieldDescriptor.TYPE_STRING}, lambda r: _string(r and r.string)),
    ]
    for types, keywords in kinds:
        if field.type in types:
            return keywords(rules)
    return {}


def _positive(rules: Any, **names: str) -> Schema:
    return {keyword: getattr(rules, name) for name, keyword in names.items() if getattr(rules, name)}


def _range(rules: Any, lowest: int | None, highest: int | None) -> Schema:
    found: Schema = {"minimum": lowest, "maximum": highest}
    for name, keyword in (("gte", "minimum"), ("lte", "maximum"), ("gt", "minimum"), ("lt", "maximum")):
        if rules and rules.HasField(name):
            found[keyword] = getattr(rules, name)
            if name in ("gt", "lt"):
                found["exclusive" + keyword.capitalize()] = True
    return {keyword: value for keyword, value in found.items() if value is not None}


def _string(rules: Any) -> Schema:
    if not rules:
        return {}
    found = _positive(rules, min_len="minLength", max_bytes="maxLength", max_len="maxLength", pattern="pattern")
    # re2 names "any character, line ends too" so; ECMA 262 does not know the group.
    return {**found, "pattern": found["pattern"].replace("(?s:.*)", r"[\s\S]*")} if "pattern" in found else found


def _base64(rules: Any) -> Schema:
    return {"maxLength": (rules.max_len + 2) // 3 * 4} if rules and rules.max_len else {}


def _enum_names(enum: EnumDescriptor, rules: Any) -> Schema:
    """The values of an enum that are left when some are forbidden; nothing if none is."""
    if not rules or not (rules.enum.not_in or getattr(rules.enum, "in")):
        return {}
    allowed = list(getattr(rules.enum, "in")) or [value.number for value in enum.values]
    return {"enum": [enum.values_by_number[number].name for number in allowed if number not in rules.enum.not_in]}


def must_be_given(contract: Contract, field: FieldDescriptor) -> bool:
    """Whether leaving a field out breaks its rules: it is required, or its default is not allowed."""
    rules: Any = contract.rules(field)
    if not rules or (field.containing_oneof is not None):
        return False
    if rules.required:
        return True
    if field.is_repeated:
        return bool(rules.repeated.min_items or rules.map.min_pairs)
    if field.enum_type is not None:
        allowed = getattr(rules.enum, "in")
        return 0 in rules.enum.not_in or (bool(allowed) and 0 not in allowed)
    for kind in ("int32", "int64", "uint32", "uint64", "double"):
        if rules.HasField(kind):
            limits = getattr(rules, kind)
            return bool(limits.gte > 0 or (limits.HasField("gt") and limits.gt >= 0))
    if rules.HasField("string"):
        return bool(rules.string.min_len or rules.string.min_bytes or _refuses_empty(rules.string.pattern))
    return False


def _refuses_empty(pattern: str) -> bool:
    """Whether a pattern of ours does not match the empty string: those that do end in `)?$`."""
    return bool(pattern) and not pattern.endswith(")?$")


def required_choices(contract: Contract, message: Descriptor) -> list[str]:
    """The members of the oneof of which one has to be set, where the message has other fields too."""
    required = [oneof for oneof in message.oneofs if contract.oneof_is_required(oneof)]
    if not required or is_one_choice(contract, message):
        return []
    if len(required) > 1:
        raise ValueError(f"{message.full_name} has several oneofs that are required: the documents can say one")
    return [member.json_name for member in required[0].fields]


def message_notes(contract: Contract, message: Descriptor) -> list[str]:
    """What has to hold between the fields of a message, in words."""
    notes = []
    for oneof in message.oneofs:
        names = [f"`{member.json_name}`" for member in oneof.fields]
        if len(names) > 1:
            how = "Exactly" if contract.oneof_is_required(oneof) else "At most"
            notes.append(f"{how} one of {', '.join(names)} is set.")
    rules: Any = contract.message_rules(message)
    notes += [f"Rule: {rule.message}." for rule in (rules.cel if rules else [])]
    return notes


def is_one_choice(contract: Contract, message: Descriptor) -> bool:
    """Whether a message is nothing but a choice of one of its fields."""
    oneofs = message.oneofs
    return len(oneofs) == 1 and len(oneofs[0].fields) == len(message.fields) and contract.oneof_is_required(oneofs[0])
