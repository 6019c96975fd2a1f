"""A contract of the tests with every kind of field and HTTP rule, compiled here from shelf.proto, and its service.

Its servicer answers with what it got, so that a test sees what the gateway made of a request.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from services.runtime import errors
from services.runtime.context import current_request_id

ROOT = Path(__file__).resolve().parents[2]
PROTO = Path(__file__).with_name("shelf.proto")
PACKAGE = "harness.shelf.v1"
SERVICE = f"{PACKAGE}.ShelfService"


def compile_proto(text: str, name: str) -> FileDescriptor:
    """Compile a .proto file as `make generate` does, and add it to the contracts that are known here."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / name).write_text(text)
        image = Path(directory) / "image.binpb"
        found = importlib.util.find_spec("google.api")
        assert found is not None
        assert found.submodule_search_locations is not None
        googleapis = Path(next(iter(found.submodule_search_locations))).parents[1]
        well_known = Path(protoc.__file__).parent / "_proto"
        paths = [f"--proto_path={path}" for path in (directory, ROOT / "protos", googleapis, well_known)]
        assert protoc.main(["protoc", *paths, f"--descriptor_set_out={image}", name]) == 0
        compiled = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    for imported in compiled.file[0].dependency:
        importlib.import_module(imported.removesuffix(".proto").replace("/", ".") + "_pb2")
    descriptor_pool.Default().AddSerializedFile(compiled.file[0].SerializeToString())
    return descriptor_pool.Default().FindFileByName(name)


FILE = compile_proto(PROTO.read_text(), "shelf.proto")
DESCRIPTOR: ServiceDescriptor = FILE.services_by_name["ShelfService"]


def message(name: str) -> Any:
    """A message class of the contract."""
    return GetMessageClass(FILE.message_types_by_name[name])


Book, Everything, EchoResponse = message("Book"), message("Everything"), message("EchoResponse")
CODES: dict[int, type[errors.HarnessError]] = {
    kind.code.value[0]: kind
    for kind in (
        errors.InvalidArgument,
        errors.DeadlineExceeded,
        errors.NotFound,
        errors.AlreadyExists,
        errors.PermissionDenied,
        errors.ResourceExhausted,
        errors.FailedPrecondition,
        errors.Aborted,
        errors.OutOfRange,
        errors.Unimplemented,
        errors.Internal,
        errors.Unavailable,
        errors.DataLoss,
        errors.Unauthenticated,
    )
}


class ShelfServicer:
    """Answers with the request.

    Attributes:
        hanging: set while a call hangs.
        cancelled: set when a hanging call, or a stream, was cancelled by its caller.
        sent: messages that the last stream has handed to gRPC.
    """

    def __init__(self) -> None:
        self.hanging = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.sent = 0

    async def GetBook(self, request: Any, context: Any) -> Any:
        return Book(name=request.name, display_name=request.text)

    async def CreateBook(self, request: Any, context: Any) -> Any:
        book = Book(name=f"{request.parent}/books/{request.book_id}")
        book.MergeFrom(request.book)
        return message("CreateBookResponse")(book=book if request.HasField("book") else None)

    async def UpdateBook(self, request: Any, context: Any) -> Any:
        return request

    async def DeleteBook(self, request: Any, context: Any) -> Any:
        return Empty()

    async def Search(self, request: Any, context: Any) -> Any:
        return _echo(request, context)

    async def Echo(self, request: Any, context: Any) -> Any:
        await context.send_initial_metadata((("colour", "blue"), ("shape-bin", b"\x00\xff")))
        context.set_trailing_metadata((("end", "near"),))
        return _echo(request, context)

    async def PutTags(self, request: Any, context: Any) -> Any:
        return _echo(request, context)

    async def ReadFile(self, request: Any, context: Any) -> Any:
        return Book(name=request.name, display_name=request.text)

    async def Private(self, request: Any, context: Any) -> Any:
        return _echo(Everything(), context)

    async def Hidden(self, request: Any, context: Any) -> Any:
        return Empty()

    async def Fail(self, request: Any, context: Any) -> Any:
        kind = CODES.get(request.code)
        if kind is None:
            return await context.abort(request.code, request.text)
        raise kind("BOOK_BROKEN", request.text or "it broke", retry_after=1.2, book="b1")

    async def Hang(self, request: Any, context: Any) -> Any:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        kind = message("WatchResponse")
        try:
            for number in range(request.after_number + 1, request.count + 1):
                yield kind(event={"number": number, "text": "x" * request.size})
                self.sent = number
            self.hanging.set()
            if request.stay:
                await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        if request.code:
            raise CODES[request.code]("WATCH_BROKEN", "the watch broke")


def _echo(request: Any, context: Any) -> Any:
    metadata = {"x-request-id": current_request_id()}
    for key, value in context.invocation_metadata():
        metadata.setdefault(key, value if isinstance(value, str) else value.hex())
    left = context.time_remaining()
    return EchoResponse(request=request, metadata=metadata, seconds_left=left or 0.0)


def add_shelf(servicer: Any, server: Any) -> None:
    """What generated code does to register the service."""
    add(servicer, server, DESCRIPTOR)


def add(servicer: Any, server: Any, descriptor: ServiceDescriptor) -> None:
    """Register a servicer for any service without client streams."""
    handlers = {}
    for method in descriptor.methods:
        build = getattr(grpc, f"unary_{'stream' if method.server_streaming else 'unary'}_rpc_method_handler")
        handlers[method.name] = build(
            getattr(servicer, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    server.add_registered_method_handlers(descriptor.full_name, handlers)
