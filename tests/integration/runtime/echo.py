"""A contract of the tests with every kind of method, built from descriptors, and its service.

What a message's `text` asks for happens: `raise:<Class>` raises that error, `hang` waits, `drain` waits for the drain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from buf.validate import validate_pb2
from harness.common.v1 import access_pb2
from services.runtime import errors
from services.runtime.context import current_caller, current_request_id, draining, role_names

PACKAGE = "harness.testing.v1"
SERVICE = f"{PACKAGE}.EchoService"
# name -> (client streams, server streams, access)
METHODS: dict[str, tuple[bool, bool, access_pb2.Access | None]] = {
    "Echo": (False, False, access_pb2.Access(roles=[access_pb2.ROLE_USER, access_pb2.ROLE_ADMIN])),
    "Repeat": (False, True, access_pb2.Access(roles=[access_pb2.ROLE_USER])),
    "Join": (True, False, access_pb2.Access(roles=[access_pb2.ROLE_USER])),
    "Chat": (True, True, access_pb2.Access(roles=[access_pb2.ROLE_USER])),
    "Open": (False, False, access_pb2.Access(public=True)),
}


def _define(package: str, methods: dict[str, tuple[bool, bool, access_pb2.Access | None]]) -> None:
    text, string = descriptor_pb2.FieldDescriptorProto, descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    field = text(name="text", number=1, type=string, label=text.LABEL_OPTIONAL)
    field.options.Extensions[validate_pb2.field].string.max_len = 100
    tags = text(name="tags", number=2, type=string, label=text.LABEL_REPEATED)
    tags.options.Extensions[validate_pb2.field].repeated.items.string.min_len = 1
    child = text(
        name="child", number=3, type=text.TYPE_MESSAGE, type_name=f".{package}.Note", label=text.LABEL_OPTIONAL
    )
    labels = text(
        name="labels",
        number=4,
        type=text.TYPE_MESSAGE,
        type_name=f".{package}.Note.LabelsEntry",
        label=text.LABEL_REPEATED,
    )
    labels.options.Extensions[validate_pb2.field].map.values.string.min_len = 1
    note = descriptor_pb2.DescriptorProto(name="Note", field=[field, tags, child, labels])
    entry = note.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=string, label=text.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=string, label=text.LABEL_OPTIONAL)
    service = descriptor_pb2.ServiceDescriptorProto(name="EchoService")
    for name, (client_streams, server_streams, access) in methods.items():
        method = service.method.add(
            name=name,
            input_type=f".{package}.Note",
            output_type=f".{package}.Note",
            client_streaming=client_streams,
            server_streaming=server_streams,
        )
        if access is not None:
            method.options.Extensions[access_pb2.access].CopyFrom(access)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/echo.proto",
        package=package,
        syntax="proto3",
        dependency=["harness/common/v1/access.proto", "buf/validate/validate.proto"],
        message_type=[note],
        service=[service],
    )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


_define(PACKAGE, METHODS)
_define("harness.testing.unruled.v1", {"Echo": (False, False, None)})
_define("harness.testing.empty.v1", {"Echo": (False, False, access_pb2.Access())})
_define(
    "harness.testing.both.v1", {"Echo": (False, False, access_pb2.Access(public=True, roles=[access_pb2.ROLE_USER]))}
)
Note: Any = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.Note"))


class EchoServicer:
    """Answers with the text, who calls, and under which id."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Echo(self, request: Any, context: Any) -> Any:
        return await self._act(request.text)

    async def Open(self, request: Any, context: Any) -> Any:
        return await self._act(request.text)

    async def Repeat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield await self._act(request.text)

    async def Join(self, requests: AsyncIterator[Any], context: Any) -> Any:
        return Note(text=",".join([request.text async for request in requests]))

    async def Chat(self, requests: AsyncIterator[Any], context: Any) -> None:
        async for request in requests:
            await context.write(await self._act(request.text))

    async def _act(self, text: str) -> Any:
        verb, _, what = text.partition(":")
        if verb == "raise":
            raise _FAILURES[what]
        if verb in ("hang", "drain"):
            self.started.set()
            try:
                await (draining().wait() if verb == "drain" else asyncio.sleep(60))
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if verb == "nothing":
            return None
        caller = current_caller()
        return Note(
            text=text,
            tags=[caller.subject, *role_names(caller.roles), caller.actor],
            labels={"id": current_request_id()},
        )


_FAILURES: dict[str, Exception] = {
    "NotFound": errors.NotFound("NOTE_NOT_FOUND", "no such note", note="n1"),
    "FailedPrecondition": errors.FailedPrecondition("NOTE_SEALED", "the note is sealed", note="n1"),
    "Unavailable": errors.Unavailable("AWAY", "come back", retry_after=2.5),
    "Redis": RedisConnectionError("Connection refused to redis://echo:hunter2@10.0.0.1"),
    "OOM": ResponseError("Error running script: @user_script:1: OOM command not allowed"),
    "ResponseError": ResponseError("WRONGTYPE Operation against a key"),
    "Broken": grpc.aio.InternalError('Failed "execute_batch"'),
    "ValueError": ValueError("hunter2 is the password"),
    "Huge": errors.InvalidArgument(
        "BIG", "m" * 9000, violations=[(f"f{n}", "v" * 900) for n in range(500)], k="x" * 9000
    ),
}


def add_echo(servicer: Any, server: Any, service: str = SERVICE) -> None:
    """What generated code does to register a service."""
    handlers = {}
    methods = METHODS if service == SERVICE else {"Echo": METHODS["Echo"]}
    for name, (client_streams, server_streams, _) in methods.items():
        kind = f"{'stream' if client_streams else 'unary'}_{'stream' if server_streams else 'unary'}"
        build = getattr(grpc, f"{kind}_rpc_method_handler")
        handlers[name] = build(
            getattr(servicer, name),
            request_deserializer=Note.FromString,
            response_serializer=Note.SerializeToString,
        )
    server.add_registered_method_handlers(service, handlers)


class EchoStub:
    """What generated code gives to call it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name, (client_streams, server_streams, _) in METHODS.items():
            kind = f"{'stream' if client_streams else 'unary'}_{'stream' if server_streams else 'unary'}"
            setattr(
                self,
                name,
                getattr(channel, kind)(
                    f"/{SERVICE}/{name}",
                    request_serializer=Note.SerializeToString,
                    response_deserializer=Note.FromString,
                ),
            )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
