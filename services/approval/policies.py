"""Which policy holds where: a saved one, or the shipped default."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import policy_pb2
from services.approval import convert
from services.approval.policy import DEFAULTS, Policy
from services.approval.store.policies import PolicyChanged, PolicyStore, SavedPolicy
from services.runtime.errors import Aborted


class Policies:
    """The policies of all environments."""

    def __init__(self, store: PolicyStore) -> None:
        self._store = store

    async def of(self, environments: Iterable[str]) -> dict[str, Policy]:
        """The policies that hold now, by environment."""
        wanted = sorted(set(environments))
        return {
            name: convert.policy_of(policy_pb2.Policy.FromString(saved.body)) if saved else DEFAULTS[name]
            for name, saved in zip(wanted, await self._store.load(wanted), strict=True)
        }

    async def get(self, environment: str) -> policy_pb2.Policy:
        """The policy of an environment, with its etag."""
        (saved,) = await self._store.load([environment])
        if saved is None:
            message = convert.policy_message(environment, DEFAULTS[environment])
            message.etag = _etag(0)
            return message
        return _message(saved)

    async def replace(self, message: policy_pb2.Policy, by: str) -> policy_pb2.Policy:
        """Save a policy. Raises Aborted (POLICY_CHANGED) if it has an etag that is not the current one."""
        environment = convert.environment_name(message.environment, "")
        body = convert.policy_message(environment, convert.policy_of(message)).SerializeToString(deterministic=True)
        try:
            return _message(await self._store.save(environment, body, by, _version(message.etag)))
        except PolicyChanged as changed:
            raise Aborted(
                "POLICY_CHANGED",
                f"the policy of {environment} has changed since you read it; read it again and repeat your change",
                environment=environment,
                etag=_etag(changed.version),
            ) from None


def _etag(version: int) -> str:
    return f"v{version}"


def _version(etag: str) -> int | None:
    """The version an etag names; None without an etag, and for what is no etag of ours one that never is current."""
    if not etag:
        return None
    digits = etag.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _message(saved: SavedPolicy) -> policy_pb2.Policy:
    message = policy_pb2.Policy.FromString(saved.body)
    message.etag = _etag(saved.version)
    message.updated_by = saved.updated_by
    update_time = Timestamp()
    update_time.FromMilliseconds(saved.updated_ms)
    message.update_time.CopyFrom(update_time)
    return message
