"""What descriptors say of fields, with the types that they have by then."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map, which a contract's descriptor spells as a list of entries."""
    entry = field.message_type
    return bool(field.is_repeated and entry is not None and entry.GetOptions().map_entry)


def entry_of(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Key and value of a map."""
    fields = message_of(field).fields_by_name
    return fields["key"], fields["value"]


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message of a field that has one."""
    assert field.message_type is not None
    return field.message_type


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """The enum of a field that has one."""
    assert field.enum_type is not None
    return field.enum_type


def takes_null(field: FieldDescriptor) -> bool:
    """Whether null, in JSON, is a value of the field and not its absence."""
    if field.is_repeated:
        return False
    if field.message_type is not None:
        return bool(field.message_type.full_name == "google.protobuf.Value")
    return field.enum_type is not None and field.enum_type.full_name == "google.protobuf.NullValue"


@cache
def fields_named(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message by either of their names.

    Protobuf's own mapping is not asked with names that a client sends: it takes one for another that ends at its first
    NUL.
    """
    return {field.json_name: field for field in descriptor.fields} | {field.name: field for field in descriptor.fields}


@cache
def values_named(enum: EnumDescriptor) -> dict[str, int]:
    """The numbers of an enum by name; see fields_named for why."""
    return {value.name: int(value.number) for value in enum.values}
