"""A protoc plugin for gRPC's Python stubs, which grpcio-tools offers only inside its own protoc.

Reads a CodeGeneratorRequest from stdin, hands its descriptors to `grpc_tools.protoc`, answers with
what came out.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet


def answer(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """Return the `_pb2_grpc.py` of every requested file that defines a service."""
    with_services = {proto.name for proto in request.proto_file if proto.service}
    names = [name for name in request.file_to_generate if name in with_services]
    response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    if not names:
        return response
    with tempfile.TemporaryDirectory() as folder:
        descriptors, out = Path(folder, "descriptors.binpb"), Path(folder, "out")
        out.mkdir()
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors}"]
        subprocess.run([*command, f"--grpc_python_out={out}", *names], check=True)
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text(encoding="utf-8"))
    return response


if __name__ == "__main__":
    reply = answer(CodeGeneratorRequest.FromString(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(reply.SerializeToString())
