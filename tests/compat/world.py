"""What the requests are about: an object for every id that protos/examples.yaml mentions, made over gRPC.

Each gateway has a world of its own to change. Both begin the same, and get the same requests in the same order, so that
they stay the same but for ids and times.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import yaml
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from motherharness.devstack import Stack
from services.gateway.contracts import generated_services, owner_of

_EXAMPLES = Path(__file__).parents[2] / "protos" / "examples.yaml"
_ID = re.compile(r"\b(req|prj|tsk|run|apr|whk|dlg|bkp|rst)_01jq8z\w+")
_DIGEST = re.compile(r"sha256:3b0c44298fc1c149\w+")
_DAY = 24 * 3600
_TRIES, _PATIENCE = 5, 30.0


@cache
def examples() -> dict[str, Any]:
    """Requests and answers by Service_Method."""
    found: dict[str, Any] = yaml.safe_load(_EXAMPLES.read_text())
    return found


@cache
def methods() -> dict[str, MethodDescriptor]:
    """Every method of the contracts, by Service_Method."""
    return {f"{service.name}_{method.name}": method for service in generated_services() for method in service.methods}


class Wire:
    """Calls by name, with JSON, as whoever may make them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def call(self, name: str, request: Any, subject: str = "alice", role: str = "") -> Any:
        """Make a call; as an admin, unless another role is named."""
        method = methods()[name]
        owner = owner_of(method.containing_service)
        if owner not in self._channels:
            self._channels[owner] = grpc.aio.insecure_channel(self._stack.address(owner))
        stub: Any = self._channels[owner].unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        message = json_format.ParseDict(request, GetMessageClass(method.input_type)())
        token = self._stack.token(subject, role or "admin")
        answer = await _patiently(stub, message, [("authorization", f"Bearer {token}")])
        return json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()


class World:
    """The ids that stand for those of the examples."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._ids: dict[str, str] = {}
        self._digest = ""
        self._makers: dict[str, Callable[[], Awaitable[str]]] = {
            "req": self._request,
            "prj": self._project,
            "tsk": self._task,
            "run": self._run,
            "apr": self._approval,
            "whk": self._webhook,
            "dlg": self._delegation,
            "bkp": self._backup,
            "rst": self._restore,
        }

    async def make(self, kinds: list[str]) -> None:
        """Replace the objects of these kinds (`prj`, `run`, ...) by new ones."""
        for kind in kinds:
            self._ids[kind] = await self._makers[kind]()

    async def make_all_but(self, kinds: list[str]) -> None:
        """Make an object of each kind but some."""
        await self.make([kind for kind in self._makers if kind not in kinds])

    async def renew(self, data: bytes, *, backups: bool) -> None:
        """Replace what a request is about; backups and restores take their time, and are replaced if that is said."""
        mentioned = {match[1] for match in _ID.finditer(data.decode("latin-1"))}
        kept = {"rst"} if backups else {"rst", "bkp"}
        await self.make([kind for kind in self._makers if kind in mentioned - kept])

    async def start(self) -> str:
        """Start a run whose step nobody has leased; returns its id."""
        run = await self._wire.call("RunService_StartRun", {"taskId": await self._task()})
        return str(run["run"]["id"])

    async def unhook(self, webhook_id: str) -> None:
        """Delete a webhook: there may not be many."""
        await self._wire.call("WebhookService_DeleteWebhook", {"webhookId": webhook_id})

    def fill(self, data: bytes) -> bytes:
        """Put ids, and the digest of what is to be approved, in the place of those of the examples."""
        text = _ID.sub(lambda match: self._ids[match[1]], data.decode("latin-1"))
        return _DIGEST.sub(self._digest, text).encode("latin-1")

    async def _request(self) -> str:
        return f"req_{uuid.uuid4().hex}"

    async def _project(self) -> str:
        made = await self._wire.call("ProjectService_CreateProject", {"displayName": "compared"})
        return str(made["project"]["id"])

    async def _task(self) -> str:
        steps = [{"id": "clean", "agent": "shell", "inputs": {"command": "true", "numbers": [1, 2.5, None]}}]
        request = {"projectId": await self._project(), "query": "tidy <up> & \u2028 é", "plan": {"steps": steps}}
        return str((await self._wire.call("TaskService_CreateTask", request))["task"]["id"])

    async def _run(self) -> str:
        """A run whose step is leased."""
        run_id = await self.start()
        lease = {"workerId": "shell-1", "agents": ["shell"], "maxSteps": 50}
        await self._wire.call("AgentService_LeaseSteps", lease, "worker", "agent")
        return run_id

    async def _approval(self) -> str:
        item = {**examples()["ApprovalService_RequestApprovals"]["request"]["items"][0], "requestId": uuid.uuid4().hex}
        item["context"] = {**item["context"], "projectId": self._ids["prj"], "runId": self._ids["run"]}
        asked = await self._wire.call("ApprovalService_RequestApprovals", {"items": [item]}, "orchestrator", "service")
        approval = asked["results"][0]["approval"]
        self._digest = approval["digest"]
        return str(approval["id"])

    async def decide(self) -> None:
        """Let somebody decide, so that there is a decision to be told of."""
        decision = {"approvalId": await self._approval(), "verdict": "VERDICT_REJECT", "reason": "to have one"}
        await self._wire.call("ApprovalService_DecideApproval", decision, "carol", "approver")

    async def _webhook(self) -> str:
        # Nobody listens there: what it is told is refused at once.
        request = {**examples()["WebhookService_CreateWebhook"]["request"], "url": "http://127.0.0.1:9/hook"}
        request["requestId"] = uuid.uuid4().hex
        if "whk" in self._ids:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.unhook(self._ids["whk"])
        return str((await self._wire.call("WebhookService_CreateWebhook", request))["webhook"]["id"])

    async def _delegation(self) -> str:
        request = {**examples()["DelegationService_CreateDelegation"]["request"], "requestId": uuid.uuid4().hex}
        request["expireTime"] = tomorrow()
        made = await self._wire.call("DelegationService_CreateDelegation", request, "bob", "approver")
        return str(made["delegation"]["id"])

    async def _backup(self) -> str:
        request = {"target": "orchestrator", "wait": True}
        while True:
            try:
                return str((await self._wire.call("BackupService_CreateBackup", request))["backup"]["backupId"])
            except grpc.aio.AioRpcError as error:
                # A restore of the other world's keeps the target for a moment after its end.
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise

    async def _restore(self) -> str:
        request = {"backupId": self._ids["bkp"], "confirmTarget": "orchestrator"}
        restore = (await self._wire.call("BackupService_RestoreBackup", request))["restore"]
        watched = {"restoreId": str(restore["restoreId"])}
        while restore["state"] == "RESTORE_STATE_RUNNING":
            restore = (await self._wire.call("BackupService_GetRestore", watched))["restore"]
        return watched["restoreId"]


async def _patiently(stub: Any, message: Any, metadata: list[tuple[str, str]]) -> Any:
    """Make a call; again if a service did not answer in time, as on a busy machine."""
    for _ in range(_TRIES - 1):
        try:
            return await stub(message, metadata=metadata, timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
    return await stub(message, metadata=metadata, timeout=_PATIENCE)


def tomorrow() -> str:
    """A time that is not over."""
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 2 * _DAY))
