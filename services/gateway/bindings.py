"""What the `google.api.http` rules of the contracts bind: HTTP methods and paths to calls; checked at start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from services.gateway.template import Template, TemplateError, parse
from services.runtime.errors import ConfigurationError

FIELD_MASK = "google.protobuf.FieldMask"
WHOLE = "*"
# Messages with a text form, which a path or a query can hold.
TEXTUAL = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Timestamp Duration FieldMask DoubleValue FloatValue Int64Value UInt64Value Int32Value UInt32Value BoolValue "
        "StringValue BytesValue"
    ).split()
)

FieldPath = tuple[FieldDescriptor, ...]


@dataclass(frozen=True)
class Binding:
    """One HTTP method and path template of one call.

    Attributes:
        method: the call.
        http_method: upper case.
        template: of the path.
        path_fields: where each variable of the template goes, by its name in the template.
        body: where the body goes: None for nowhere, empty for the whole request.
        response_body: the part of the response that is returned; empty for all of it.
        mask_field: of a PATCH: the field that gets a mask made from the body, unless one is given.
    """

    method: MethodDescriptor
    http_method: str
    template: Template
    path_fields: dict[str, FieldPath]
    body: FieldPath | None
    response_body: FieldPath
    mask_field: FieldDescriptor | None

    @property
    def rpc(self) -> str:
        """`package.Service/Method`."""
        return f"{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def takes_query(self) -> bool:
        """False when body and path hold the whole request: then a query is not even looked at, as with grpc-gateway."""
        if self.body == ():
            return False
        whole = {path[0] for path in (self.body, *self.path_fields.values()) if path and len(path) == 1}
        return len(whole) < len(self.method.input_type.fields)

    @property
    def taken(self) -> tuple[tuple[str, ...], ...]:
        """The fields, as paths of names, that path and body set and a query cannot."""
        fields = [self.body] if self.body else []
        return tuple(tuple(field.name for field in path) for path in (*fields, *self.path_fields.values()))


def bindings_of(services: Iterable[ServiceDescriptor]) -> list[Binding]:
    """Every binding of every method that has a rule, in the order of declaration.

    Raises:
        ConfigurationError: a rule is wrong, or two bind the same; names the methods.
    """
    found = [binding for service in services for method in service.methods for binding in _bindings(method)]
    owners: dict[tuple[str, str], Binding] = {}
    for binding in found:
        other = owners.setdefault((binding.http_method, binding.template.shape), binding)
        if other is not binding:
            raise ConfigurationError(
                f"{binding.rpc} and {other.rpc} both bind {binding.http_method} {binding.template.shape}; change one"
            )
    return found


def _bindings(method: MethodDescriptor) -> Iterator[Binding]:
    options: Any = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    if method.client_streaming:
        raise _wrong(method, "a call that takes a stream cannot be made over HTTP; remove its rule")
    yield _binding(method, rule)
    for additional in rule.additional_bindings:
        if additional.additional_bindings:
            raise _wrong(method, "additional_bindings cannot have additional_bindings")
        yield _binding(method, additional)


def _binding(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Binding:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise _wrong(method, "it names no HTTP method")
    http_method, text = (
        (rule.custom.kind, rule.custom.path) if kind == "custom" else (kind.upper(), getattr(rule, kind))
    )
    if rule.body and http_method in ("GET", "DELETE"):
        raise _wrong(method, f"a {http_method} has no body")
    try:
        template = parse(text)
    except TemplateError as exc:
        raise _wrong(method, str(exc)) from None
    request = method.input_type
    path_fields = {}
    for variable in template.variables:
        path = _resolve(method, request, variable.field_path)
        last = path[-1]
        if last.message_type is not None and last.message_type.full_name not in TEXTUAL:
            raise _wrong(method, f"{variable.field_path} is a message, and a path holds only what is written as a text")
        path_fields[variable.field_path] = path
    body: FieldPath | None = None
    if rule.body:
        body = () if rule.body == WHOLE else _resolve(method, request, rule.body)
    whole = rule.response_body in ("", WHOLE)
    return Binding(
        method=method,
        http_method=http_method,
        template=template,
        path_fields=path_fields,
        body=body,
        response_body=() if whole else _resolve(method, method.output_type, rule.response_body),
        mask_field=_mask_field(request) if http_method == "PATCH" and body else None,
    )


def _resolve(method: MethodDescriptor, message: Descriptor, dotted: str) -> FieldPath:
    """The fields along a path such as `project.id`."""
    found: list[FieldDescriptor] = []
    inside: Descriptor | None = message
    for name in dotted.split("."):
        if inside is None or (found and found[-1].is_repeated):
            raise _wrong(method, f"{dotted} leads through {found[-1].name}, which is not a message")
        field = inside.fields_by_name.get(name)
        if field is None:
            raise _wrong(method, f"{message.full_name} has no field {dotted}")
        found.append(field)
        inside = field.message_type
    return tuple(found)


def _mask_field(request: Descriptor) -> FieldDescriptor | None:
    """The field mask of a request that has exactly one."""
    masks = [field for field in request.fields if field.message_type and field.message_type.full_name == FIELD_MASK]
    return masks[0] if len(masks) == 1 else None


def _wrong(method: MethodDescriptor, why: str) -> ConfigurationError:
    return ConfigurationError(f"the google.api.http rule of {method.full_name} is wrong: {why}")
