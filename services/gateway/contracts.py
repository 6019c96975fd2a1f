"""The contracts there are: every service of every generated module, found by looking, not by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

import harness


def generated_services() -> list[ServiceDescriptor]:
    """The services of the contracts, in the order of their packages, files and declarations."""
    # Packages without __init__.py: pkgutil does not see them.
    modules = {
        ".".join((harness.__name__, *file.relative_to(root).with_suffix("").parts))
        for root in map(Path, harness.__path__)
        for file in root.rglob("*_pb2.py")
    }
    files: list[FileDescriptor] = [importlib.import_module(module).DESCRIPTOR for module in sorted(modules)]
    return services_of(files)


def services_of(files: Sequence[FileDescriptor]) -> list[ServiceDescriptor]:
    """The services that the files declare, in the order of the files' names and of declaration."""
    ordered = sorted(files, key=lambda file: file.name)
    return [service for file in ordered for service in file.services_by_name.values()]


def owner_of(service: ServiceDescriptor) -> str:
    """The process that serves it: `orchestrator` for `harness.orchestrator.v1.RunService`."""
    parts: list[str] = service.full_name.split(".")
    return parts[1] if len(parts) > 2 else ""
