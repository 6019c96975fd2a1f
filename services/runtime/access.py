"""Who may call what: the rules of `(harness.common.v1.access)`, read from the contracts."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from harness.common.v1 import access_pb2
from services.runtime.context import Caller, role_names
from services.runtime.errors import ConfigurationError, PermissionDenied

# Not ours, so they carry no option; load balancers and grpcurl call them without a token.
PUBLIC_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})


@dataclass(frozen=True)
class Rule:
    """The access rule of one method: public, or at least one of the roles."""

    method: str
    public: bool
    roles: frozenset[int]

    def check(self, caller: Caller) -> None:
        """Raises PermissionDenied: ROLE_REQUIRED when the caller has none of the roles."""
        if self.public or caller.has(*self.roles):
            return
        needed = ", ".join(role_names(self.roles))
        raise PermissionDenied(
            "ROLE_REQUIRED",
            f"{self.method} needs one of the roles: {needed}; ask for a token that has one",
            method=self.method,
            required_roles=needed,
            caller_roles=", ".join(role_names(caller.roles)),
        )


def service_descriptor(service: str) -> ServiceDescriptor:
    """The descriptor of a service by its full name.

    Raises:
        ConfigurationError: no generated module of it is loaded.
    """
    try:
        found: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        raise ConfigurationError(f"{service} is not in any loaded contract; generate it again") from None
    return found


def rules_of(service: str) -> dict[str, Rule]:
    """The rule of each method of a service, by method name.

    Raises:
        ConfigurationError: a method has no rule, an empty one, or one that says both public and roles.
    """
    return {method.name: _rule_of(service, method) for method in service_descriptor(service).methods}


def _rule_of(service: str, method: MethodDescriptor) -> Rule:
    name = f"{service}/{method.name}"
    if service in PUBLIC_SERVICES:
        return Rule(name, public=True, roles=frozenset())
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.access):
        raise ConfigurationError(f"{name} has no access rule; add option (harness.common.v1.access) to its contract")
    access = options.Extensions[access_pb2.access]
    roles = frozenset(access.roles)
    if access.public == bool(roles) or access_pb2.ROLE_UNSPECIFIED in roles:
        raise ConfigurationError(f"{name}: an access rule is either public or lists roles, all of them named")
    return Rule(name, public=access.public, roles=roles)
