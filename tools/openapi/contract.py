"""The contracts as the documents need them, read from the compiled image: routes, access, comments, field rules.

The image brings the options that it uses (google.api.http, harness.common.v1.access, buf.validate) in itself, so
that no generated code is needed to read them: this runs before there is any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

# Numbers of fields in descriptor.proto: services and methods of a file, for looking comments up.
SERVICE, METHOD = 6, 2


@dataclass(frozen=True)
class Method:
    """One RPC: `operation_id` is Service_Method, `comment` as written, `roles` such as "user"."""

    operation_id: str
    comment: str
    request: Descriptor
    response: Descriptor
    streams: bool
    public: bool
    roles: tuple[str, ...]
    # Of the google.api.http rule: "" (none), "*" or the name of a field.
    body: str

    @property
    def resumable(self) -> bool:
        """Whether it streams from a place on that the caller names: the gateway goes by the same sign."""
        return self.streams and any(field.name.startswith("after_") for field in self.request.fields)


@dataclass
class Contract:
    """The methods and messages of an image."""

    pool: Any
    methods: dict[str, Method] = field(default_factory=dict)
    messages: dict[str, Descriptor] = field(default_factory=dict)

    def rules(self, of: FieldDescriptor) -> Message | None:
        """The buf.validate rules of a field, if it has any."""
        return self._option(of, "google.protobuf.FieldOptions", "buf.validate.field")

    def message_rules(self, of: Descriptor) -> Message | None:
        """The buf.validate rules of a message as a whole, if it has any."""
        return self._option(of, "google.protobuf.MessageOptions", "buf.validate.message")

    def oneof_is_required(self, oneof: Any) -> bool:
        """Whether one member of a oneof has to be set."""
        rules: Any = self._option(oneof, "google.protobuf.OneofOptions", "buf.validate.oneof")
        return rules is not None and rules.required

    def _option(self, of: Any, options: str, extension: str) -> Message | None:
        return read_option(self.pool, of.GetOptions(), options, extension)


def read_option(pool: Any, options: Message, kind: str, extension: str) -> Message | None:
    """An option of an image, whose extensions this process does not know: parsed again with those of the image."""
    known = message_factory.GetMessageClass(pool.FindMessageTypeByName(kind))
    parsed: Any = known.FromString(options.SerializeToString())
    key = pool.FindExtensionByName(extension)
    return parsed.Extensions[key] if parsed.HasExtension(key) else None


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one.

    Raises:
        ValueError: it is a field of another type.
    """
    if field.message_type is None:
        raise ValueError(f"{field.full_name} is no message")
    return field.message_type


def read(image: FileDescriptorSet) -> Contract:
    """Read an image.

    Raises:
        ValueError: two of our messages have the same simple name, by which documents name their definitions.
    """
    pool: Any = descriptor_pool.DescriptorPool()
    for proto in image.file:
        pool.Add(proto)
    contract = Contract(pool)
    for proto in image.file:
        if proto.name.startswith("harness/"):
            for method in _methods(pool, proto):
                contract.methods[method.operation_id] = method
        if proto.name.startswith(("harness/", "google/rpc/")):
            _add_messages(contract, pool.FindFileByName(proto.name).message_types_by_name.values())
    return contract


def _add_messages(contract: Contract, messages: Any) -> None:
    for message in (m for m in messages if not m.GetOptions().map_entry):
        known = contract.messages.setdefault(message.name, message)
        if known is not message and "harness" in known.full_name:
            raise ValueError(f"{known.full_name} and {message.full_name} would be one definition; rename one of them")
        _add_messages(contract, message.nested_types)


def _methods(pool: Any, proto: FileDescriptorProto) -> Iterator[Method]:
    comments = {tuple(location.path): location.leading_comments for location in proto.source_code_info.location}
    for s, service in enumerate(proto.service):
        for m, method in enumerate(service.method):
            http: Any = read_option(pool, method.options, "google.protobuf.MethodOptions", "google.api.http")
            access: Any = read_option(pool, method.options, "google.protobuf.MethodOptions", "harness.common.v1.access")
            if http is None or access is None:
                raise ValueError(f"{service.name}.{method.name} needs a google.api.http rule and an access rule")
            roles = pool.FindEnumTypeByName("harness.common.v1.Role").values_by_number
            yield Method(
                operation_id=f"{service.name}_{method.name}",
                comment=comments[(SERVICE, s, METHOD, m)],
                request=pool.FindMessageTypeByName(method.input_type[1:]),
                response=pool.FindMessageTypeByName(method.output_type[1:]),
                streams=method.server_streaming,
                public=access.public,
                roles=tuple(roles[role].name.removeprefix("ROLE_").lower() for role in access.roles),
                body=http.body,
            )
