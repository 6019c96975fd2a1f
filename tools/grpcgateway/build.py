"""Build the real grpc-gateway in front of our contracts into .build/bin/grpcgateway (needs Go).

    python -m tools.grpcgateway.build

Its plugins and libraries are those pinned in tools/go.mod. The code that they generate is not committed: it stays under
.build/grpcgateway, and Go sees it at tools/grpcgateway by an overlay. Nothing is done where nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from tools import contracts

BINARY = contracts.BUILD / "bin" / "grpcgateway"
SOURCE = contracts.ROOT / "tools" / "grpcgateway"
GENERATED = contracts.BUILD / "grpcgateway"
STAMP = GENERATED / "built.sha256"
PACKAGE = "github.com/mother-harness/mother-harness/tools/grpcgateway/gen"
# The name of each plugin, and where its program comes from.
PLUGINS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
    "protoc-gen-grpc-gateway": "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway",
}


def current() -> bool:
    """Whether the program is built, from these contracts, versions and code; needs no Go."""
    return BINARY.exists() and STAMP.exists() and STAMP.read_text() == _digest()


def _digest() -> str:
    tools = contracts.ROOT / "tools"
    sources = [contracts.GEN / contracts.DIGEST, tools / "go.sum", SOURCE / "main.go", SOURCE / "build.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in (tools / "go.mod", *sources))).hexdigest()


def registration(files: Iterable[FileDescriptorProto]) -> str:
    """Go code that names the handler of every service which has a method with an HTTP rule."""
    imports, lines = set(), []
    for file in files:
        area = file.package.split(".")[1] if file.name.startswith("harness/") else ""
        for service in file.service:
            options: list[Any] = [method.options for method in service.method]
            if area and any(option.HasExtension(annotations_pb2.http) for option in options):
                imports.add(f'\t{area} "{PACKAGE}/{Path(file.name).parent.as_posix()}"')
                lines.append(
                    f'\thandlers["{area}"] = append(handlers["{area}"], '
                    f"{area}.Register{service.name}HandlerFromEndpoint)"
                )
    return "\n".join(["package main", "", "import (", *sorted(imports), ")", "", "func init() {", *lines, "}", ""])


def build() -> None:
    """Generate the code and build the program, unless that has been done."""
    if current():
        return
    contracts.compile_image()
    contracts.go("build", "-o", f"{contracts.BUILD}/bin/", *PLUGINS.values())
    plugins = [
        {"local": str(contracts.BUILD / "bin" / name), "out": "gen", "opt": ["paths=source_relative"]}
        for name in PLUGINS
    ]
    prefix = {"file_option": "go_package_prefix", "value": PACKAGE}
    overrides = [{**prefix, "path": "harness"}, {**prefix, "path": "buf"}]
    template = {"version": "v2", "clean": True, "managed": {"enabled": True, "override": overrides}, "plugins": plugins}
    GENERATED.mkdir(parents=True, exist_ok=True)
    contracts.run(
        *("buf", "generate", contracts.IMAGE, "--template", json.dumps(template), "--output", GENERATED),
        *("--path", "harness", "--path", "buf"),
    )
    (GENERATED / "register.go").write_text(registration(contracts.read_image().file))
    overlay = {str(SOURCE / file.relative_to(GENERATED)): str(file) for file in sorted(GENERATED.rglob("*.go"))}
    (GENERATED / "overlay.json").write_text(json.dumps({"Replace": overlay}))
    contracts.go("build", "-overlay", str(GENERATED / "overlay.json"), "-o", str(BINARY), "./grpcgateway")
    STAMP.write_text(_digest())


def main() -> int:
    """Build; return the exit status."""
    if not contracts.has_go():
        print("the real grpc-gateway needs Go (https://go.dev/doc/install), which is not on the PATH")
        return 1
    contracts.BUILD.mkdir(exist_ok=True)
    build()
    return 0


if __name__ == "__main__":
    sys.exit(main())
