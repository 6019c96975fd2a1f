"""Everything made from `protos/`: the compiled image, the generated code, lint and the breaking check.

    python -m tools.contracts generate     write gen/ (needs Go: OpenAPI, and the pinned validate.proto)
    python -m tools.contracts check        lint, breaking changes, and whether gen/ is what generate writes
    python -m tools.contracts baseline     accept the contracts as released: later changes must not break them
    python -m tools.contracts protodeps    lay third-party .proto files out under .build/ for buf and editors

One compiler (grpcio-tools' protoc) makes one image, with or without Go, and buf lints, compares and generates
from it. The only third-party file that no Python package carries is buf/validate/validate.proto: with Go it
comes from the module pinned in tools/go.mod, without Go from its descriptor in gen/validate.binpb, which
generate writes.
"""

import filecmp
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.openapi import contract, v31
from tools.openapi.finish import finish

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
PROTODEPS = BUILD / "protodeps"
IMAGE = BUILD / "image.binpb"
GEN = ROOT / "gen"
VALIDATE_DESCRIPTOR = GEN / "validate.binpb"
PROTOS = ROOT / "protos"
EXAMPLES = PROTOS / "examples.yaml"
VALIDATE_PROTO = "buf/validate/validate.proto"
DIGEST = "contracts.sha256"
RELEASED = PROTOS / "released.binpb"

AREAS = {
    "orchestrator": "Projects, tasks, runs and agent workers.",
    "approval": "Risk assessment, policy, approval requests, decisions and grants.",
    "backup": "Snapshots, verification, retention and restore.",
}
INTRODUCTION = """
**Token.** A call needs `Authorization: Bearer TOKEN`, a JWT with a `roles` claim, unless it says otherwise. Each call
says which roles may use it.

**JSON** is that of proto3: names in lowerCamel (texts name fields as the contract does: `request_id` is `requestId`),
64-bit integers as strings, bytes in base64, times as in RFC 3339, durations in seconds with an `s`. A request with a
field that is not in the contract is refused, naming it. A message that is not set is `null`.

**Errors** have the body of `google.rpc.Status`. Its `details` name a reason that stays the same across versions, and
the fields, states or waiting times it is about.

**Streams** are lines of JSON, or server-sent events if asked for.
"""
API_VERSION = "v1"
OPENAPI_PLUGIN = "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2"
GO_PACKAGES = "github.com/mother-harness/mother-harness/gen/go"

# buf's mark for "in the image only because something imports it": field 8042 of a file, a message whose field
# 1 is true (buf.alpha.image.v1.ImageFileExtension). Lint, breaking and generate pass such files over.
IS_IMPORT = bytes([0xD2, 0xF6, 0x03, 0x02, 0x08, 0x01])


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command of this environment, showing its output; raise CalledProcessError when it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env={**os.environ, "PATH": path})


def protoc(*arguments: str | Path) -> None:
    """Compile with grpcio-tools' protoc."""
    run(sys.executable, "-m", "grpc_tools.protoc", *arguments)


def has_go() -> bool:
    """Whether a Go toolchain is on the PATH."""
    return shutil.which("go") is not None


def go(*arguments: str) -> str:
    """Run go in tools/ and return what it printed."""
    command = ["go", "-C", str(ROOT / "tools"), *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def lay_out_protodeps() -> None:
    """Put the third-party .proto files where buf and protoc look for them."""
    shutil.rmtree(PROTODEPS, ignore_errors=True)
    googleapis = Path(next(iter(google.api.__path__))).parent
    for package in ("api", "rpc"):
        (PROTODEPS / "google" / package).mkdir(parents=True)
        for proto in sorted((googleapis / package).glob("*.proto")):
            shutil.copyfile(proto, PROTODEPS / "google" / package / proto.name)
    if has_go():
        module = json.loads(go("mod", "download", "-json", "github.com/bufbuild/protovalidate"))["Dir"]
        (PROTODEPS / VALIDATE_PROTO).parent.mkdir(parents=True)
        shutil.copyfile(Path(module, "proto", "protovalidate", VALIDATE_PROTO), PROTODEPS / VALIDATE_PROTO)


def compile_validate(out: Path) -> None:
    """Compile the pinned validate.proto, comments included, for machines that have no Go."""
    protoc(f"-I{PROTODEPS}", "--include_source_info", f"--descriptor_set_out={out}", VALIDATE_PROTO)


def compile_image() -> None:
    """Compile protos/ and all it imports into one image, comments included."""
    lay_out_protodeps()
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    known = [] if has_go() else [f"--descriptor_set_in={VALIDATE_DESCRIPTOR}"]
    flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={IMAGE}"]
    protoc(f"-I{PROTOS}", f"-I{PROTODEPS}", *known, *flags, *sources)
    image = read_image()
    for proto in image.file:
        if proto.name not in sources:
            proto.MergeFromString(IS_IMPORT)
    IMAGE.write_bytes(image.SerializeToString(deterministic=True))


def read_image() -> FileDescriptorSet:
    """Return the compiled image."""
    return FileDescriptorSet.FromString(IMAGE.read_bytes())


def generate_python(out: Path) -> None:
    """Write the Python messages, stubs and types of our contracts and of buf.validate under out/python."""
    run("buf", "generate", IMAGE, "--output", out, "--path", "harness", "--path", "buf")
    # mypy-protobuf writes stub types for files that define no service, too.
    for types in (out / "python").rglob("*_pb2_grpc.pyi"):
        if not types.with_suffix(".py").exists():
            types.unlink()
    # PEP 561: whoever installs the wheel gets the types too.
    for package in ("harness", "buf"):
        (out / "python" / package / "py.typed").touch()


def generate_openapi(out: Path) -> None:
    """Write one OpenAPI document a service area, and one of all of them, under out/openapi."""
    go("build", "-o", f"{BUILD}/bin/", OPENAPI_PLUGIN)
    names = [proto.name for proto in read_image().file]
    for area, description in AREAS.items():
        ours = [name for name in names if name.startswith(f"harness/{area}/")]
        openapi_document(out, area, f"Mother-Harness {area}", description, ours)
    everything = [name for name in names if name.startswith(tuple(f"harness/{area}/" for area in AREAS))]
    openapi_document(out, "mother-harness", "Mother-Harness", " ".join(AREAS.values()), everything)


def openapi_document(out: Path, name: str, title: str, description: str, protos: list[str]) -> None:
    """Merge the routes of some .proto files into out/openapi/<name>.swagger.json."""
    bearer = {
        "type": "TYPE_API_KEY",
        "in": "IN_HEADER",
        "name": "Authorization",
        "description": 'A JWT with a "roles" claim, as `Authorization: Bearer TOKEN`.',
    }
    option = {
        "info": {
            "title": title,
            "version": API_VERSION,
            "description": f"{description}\n{INTRODUCTION}",
            "license": {"name": "MIT"},
        },
        "schemes": ["HTTP", "HTTPS"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "security_definitions": {"security": {"bearer": bearer}},
        "security": [{"security_requirement": {"bearer": {}}}],
    }
    # JSON is YAML. Every file gets the options, because the merged document takes those of the first.
    configuration = BUILD / f"openapi-{name}.yaml"
    files = [{"file": proto, "option": option} for proto in protos]
    configuration.write_text(json.dumps({"openapiOptions": {"file": files}}))
    plugin = {
        "local": str(BUILD / "bin" / "protoc-gen-openapiv2"),
        "out": "openapi",
        "strategy": "all",
        "opt": [
            "allow_merge=true",
            f"merge_file_name={name}",
            f"openapi_configuration={configuration}",
            "openapi_naming_strategy=simple",
            # The mask of a PATCH is a parameter like any other, and not only guessed from the body.
            "allow_patch_feature=false",
        ],
    }
    # The plugin is written in Go and wants a Go package for every file, though no Go is generated.
    go_package = {"file_option": "go_package_prefix", "value": GO_PACKAGES}
    managed = {"enabled": True, "override": [{**go_package, "path": "harness"}]}
    template = json.dumps({"version": "v2", "managed": managed, "plugins": [plugin]})
    run("buf", "generate", IMAGE, "--template", template, "--output", out, *(f"--path={p}" for p in protos))
    complete_document(out / "openapi" / f"{name}.swagger.json")


def complete_document(path: Path) -> None:
    """Add what the plugin cannot know to a v2 document, and write its 3.1 form beside it."""
    examples = yaml.safe_load(EXAMPLES.read_text())
    document = finish(json.loads(path.read_text()), contract.read(read_image()), examples)
    for form, content in (
        (path, document),
        (path.with_name(path.name.replace(".swagger.", ".v31.")), v31.convert(document)),
    ):
        form.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_digest(out: Path) -> None:
    """Write the digest of our contracts and examples: it tells a machine without Go whether OpenAPI is current."""
    ours = (proto for proto in read_image().file if proto.name.startswith("harness/"))
    digest = hashlib.sha256(b"".join(proto.SerializeToString(deterministic=True) for proto in ours))
    digest.update(EXAMPLES.read_bytes())
    out.write_text(digest.hexdigest() + "\n")


def produce(out: Path) -> list[str]:
    """Write all that this machine can generate under out; return the names of what it wrote there."""
    generate_python(out)
    write_digest(out / DIGEST)
    if not has_go():
        return ["python", DIGEST]
    generate_openapi(out)
    compile_validate(out / VALIDATE_DESCRIPTOR.name)
    return ["python", DIGEST, "openapi", VALIDATE_DESCRIPTOR.name]


def generate() -> int:
    """Replace gen/ by what the contracts give now."""
    if not has_go():
        print("make generate needs Go (https://go.dev/doc/install), which is not on the PATH:")
        print("OpenAPI comes from a tool built with it. Nothing else does; the generated code is committed.")
        return 1
    compile_image()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        for name in produce(Path(folder)):
            target = GEN / name
            if target.is_dir():
                shutil.rmtree(target)
            GEN.mkdir(exist_ok=True)
            shutil.move(Path(folder, name), target)
    return 0


def files_under(root: Path) -> set[Path]:
    """The files of a tree (or of one file), relative to it, without what Python caches."""
    if root.is_file():
        return {Path()}
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root) for path in found}


def stale() -> list[str]:
    """The files of gen/ that generate would add, change or remove."""
    wrong = []
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        for name in produce(Path(folder)):
            fresh, committed = Path(folder, name), GEN / name
            for path in sorted(files_under(fresh) | files_under(committed)):
                pair = (fresh / path, committed / path)
                if not all(side.exists() for side in pair) or not filecmp.cmp(*pair, shallow=False):
                    wrong.append(pair[1].relative_to(ROOT).as_posix())
    return wrong


def check() -> int:
    """Lint the contracts, compare them with the released ones, and see that gen/ is current."""
    compile_image()
    run("buf", "lint", IMAGE)
    run("buf", "breaking", IMAGE, "--against", RELEASED, "--exclude-imports")
    unshown = sorted(contract.read(read_image()).methods.keys() - yaml.safe_load(EXAMPLES.read_text()).keys())
    if unshown:
        print(f"no example in {EXAMPLES.relative_to(ROOT)}: {', '.join(unshown)}")
        return 1
    wrong = stale()
    for name in wrong:
        print(f"not what the contracts give now: {name}")
    if wrong:
        print("run `make generate` and commit gen/")
        return 1
    if not has_go():
        print("generated code: Python is current, OpenAPI came from these contracts (comparing it needs Go)")
    return 0


def baseline() -> int:
    """Accept the contracts as released."""
    compile_image()
    image = read_image()
    for proto in image.file:
        proto.ClearField("source_code_info")
    RELEASED.write_bytes(image.SerializeToString(deterministic=True))
    return 0


def protodeps() -> int:
    """Lay third-party .proto files out for buf by hand and for editors."""
    lay_out_protodeps()
    if not has_go():
        print(f"{VALIDATE_PROTO} comes with a Go module: without Go it is not laid out")
    return 0


def main(arguments: list[str]) -> int:
    """Run one of the commands; return the exit status."""
    commands = {"generate": generate, "check": check, "baseline": baseline, "protodeps": protodeps}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(__doc__)
        return 2
    BUILD.mkdir(exist_ok=True)
    try:
        return commands[arguments[0]]()
    except subprocess.CalledProcessError as error:
        # The tool has said what is wrong.
        return error.returncode or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
