"""Which policy holds where: a saved one, or the shipped default. Saving them, their versions, and trying drafts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import policy_pb2
from services.approval import convert, trials
from services.approval.history import History, Past
from services.approval.journal import fact
from services.approval.policy import DEFAULTS, Policy
from services.approval.policy.messages import PolicyError, decision_message, policy_of, saved_policy_of
from services.approval.policy.shipped import MESSAGES
from services.approval.risk.rules import RuleBook
from services.approval.store.policies import PolicyChanged, PolicyStore, Saved, SavedPolicy, Stamp
from services.runtime.context import Caller
from services.runtime.errors import Aborted, InvalidArgument, NotFound

# A message that is larger takes long to check and to keep; two hundred rules with examples take a third of it.
_MAX_BYTES = 256 * 1024
_NAMED = 10  # fields in the message of a policy that cannot be used; the violations have all
_BATCH = 25


@dataclass(frozen=True, slots=True)
class InForce:
    """The policies that hold, by environment, and the time at which they do: milliseconds of the Redis clock."""

    policies: Mapping[str, Policy]
    now_ms: int

    def __getitem__(self, environment: str) -> Policy:
        return self.policies[environment]


class Policies:
    """The policies of all environments. `rules` are those about commands, with which examples are assessed."""

    def __init__(self, store: PolicyStore, history: History, rules: RuleBook | None = None) -> None:
        self._store = store
        self._history = history
        self._rules = rules
        self._known: dict[str, tuple[Stamp, Policy]] = {}

    async def of(self, environments: Iterable[str]) -> InForce:
        """The policies that hold now. A change holds everywhere from the next call on; its rules are compiled once."""
        wanted = sorted(set(environments))
        stamps, now_ms = await self._store.stamps(wanted)
        return InForce(
            {name: await self._policy(name, stamp) for name, stamp in zip(wanted, stamps, strict=True)}, now_ms
        )

    async def _policy(self, environment: str, stamp: Stamp | None) -> Policy:
        if stamp is None:
            return DEFAULTS[environment]
        known = self._known.get(environment)
        if known is not None and known[0] == stamp:
            return known[1]
        saved = await self._store.load(environment)
        if saved is None:  # removed in between, as a restore does
            return DEFAULTS[environment]
        message = policy_pb2.Policy.FromString(saved.body)
        policy = await asyncio.to_thread(saved_policy_of, message, _etag(saved.version))
        self._known[environment] = (Stamp(saved.version, saved.updated_ms), policy)
        return policy

    async def get(self, environment: str, version: int = 0) -> policy_pb2.Policy:
        """The policy of an environment, or an earlier version. Raises NotFound (POLICY_VERSION_NOT_FOUND)."""
        saved = await (self._store.load_version(environment, version) if version else self._store.load(environment))
        if saved is not None:
            return _message(saved)
        if version:
            raise NotFound(
                "POLICY_VERSION_NOT_FOUND",
                f"there is no version {version} of the policy of {environment}; list them with ListPolicyVersions",
                environment=environment,
                version=version,
            )
        message = policy_pb2.Policy()
        message.CopyFrom(MESSAGES[environment])
        message.etag = _etag(0)
        return message

    async def versions(self, environment: str, before: int, limit: int) -> list[Saved]:
        """The saves before a version (0: all), newest first."""
        return await self._store.versions(environment, before, limit)

    async def replace(self, message: policy_pb2.Policy, by: Caller) -> policy_pb2.Policy:
        """Save a policy, and write down who did.

        Raises InvalidArgument (POLICY_INVALID), and Aborted (POLICY_CHANGED) if it has an etag that is not current.
        """
        environment = convert.environment_name(message.environment, "")
        await self._checked(message)
        event = _changed(environment, by)
        try:
            saved = await self._store.save(environment, _body(message), by.subject, _version(message.etag), event)
        except PolicyChanged as changed:
            raise Aborted(
                "POLICY_CHANGED",
                f"the policy of {environment} has changed since you read it; read it again and repeat your change",
                environment=environment,
                etag=_etag(changed.version),
            ) from None
        return _message(saved)

    async def try_out(self, request: policy_pb2.TestPolicyRequest) -> policy_pb2.TestPolicyResponse:
        """Try a draft on examples and on the newest requests. Raises InvalidArgument (POLICY_INVALID)."""
        environment = convert.environment_name(request.policy.environment, "")
        policy = await self._checked(request.policy)
        response = policy_pb2.TestPolicyResponse()

        def judge_examples() -> None:
            for example in request.examples:
                judged = trials.judge_example(policy, environment, example, self._rules)
                answer = decision_message(judged.verdict)
                judged.put_assessment(answer.assessment)
                response.examples.append(answer)

        await asyncio.to_thread(judge_examples)
        batch: list[Past] = []
        async for past in self._history.newest(environment, request.last_requests):
            batch.append(past)
            if len(batch) == _BATCH:
                await asyncio.to_thread(self._compare, policy, environment, batch, response)
                batch = []
        await asyncio.to_thread(self._compare, policy, environment, batch, response)
        return response

    def _compare(
        self, policy: Policy, environment: str, batch: list[Past], response: policy_pb2.TestPolicyResponse
    ) -> None:
        for past in batch:
            then, now = trials.verdict_then(past), trials.verdict_now(policy, past, environment, self._rules)
            response.requests_tested += 1
            if then.outcome is not now.outcome:
                changed = response.changed.add(
                    approval_id=past.record.id,
                    create_time=_timestamp(past.record.created_ms),
                    then=decision_message(then),
                    now=decision_message(now),
                )
                # Its factors are in the approval; five hundred times all of them might not fit into an answer.
                changed.then.assessment.level = past.body.assessment.level
                changed.then.assessment.score = past.body.assessment.score

    async def _checked(self, message: policy_pb2.Policy) -> Policy:
        """The policy of a message that is right in itself, with examples that come out as they say."""

        def read() -> Policy:
            policy = policy_of(message)
            trials.check(policy, message, self._rules)
            return policy

        if message.ByteSize() > _MAX_BYTES:
            raise _invalid([("", f"takes {message.ByteSize()} bytes; write at most {_MAX_BYTES}")])
        try:
            return await asyncio.to_thread(read)
        except PolicyError as error:
            raise _invalid(error.faults) from error


def _changed(environment: str, by: Caller) -> tuple[bytes, bytes, bytes]:
    """The journal's entry of a change: what stands around the numbers of the new version and of the one before."""
    # Nobody can have it in their name: it is made here.
    place = secrets.token_hex(16)
    entry = fact(
        "POLICY_CHANGED",
        subject_name=environment,
        environment=f"ENVIRONMENT_{environment.upper()}",
        policy_etag=f"v{place}",
        policy_etag_before=f"v{place}",
        actor=by.subject,
        acting=by.actor,
    )
    before, between, after = entry.split(place.encode())
    return before, between, after


def _invalid(faults: Iterable[tuple[str, str]]) -> InvalidArgument:
    named = [(f"policy.{field}".rstrip("."), what) for field, what in faults]
    # The message says where, the violations say what: clients show both, and nothing is to be read twice.
    places = list(dict.fromkeys(field for field, _ in named))
    where = ", ".join(places[:_NAMED]) + (f" and {len(places) - _NAMED} more" if len(places) > _NAMED else "")
    return InvalidArgument("POLICY_INVALID", f"the policy cannot be used; correct {where}", violations=named)


def _etag(version: int) -> str:
    return f"v{version}"


def _version(etag: str) -> int | None:
    """The version an etag names; None without an etag, and for what is no etag of ours one that never is current."""
    if not etag:
        return None
    digits = etag.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _body(message: policy_pb2.Policy) -> bytes:
    """What is stored of a policy: what its writer says, and not what the store knows."""
    body = policy_pb2.Policy()
    body.CopyFrom(message)
    for name in ("etag", "version", "updated_by", "update_time"):
        body.ClearField(name)
    return body.SerializeToString(deterministic=True)


def _message(saved: SavedPolicy) -> policy_pb2.Policy:
    message = policy_pb2.Policy.FromString(saved.body)
    message.etag = _etag(saved.version)
    message.version = saved.version
    message.updated_by = saved.updated_by
    message.update_time.CopyFrom(_timestamp(saved.updated_ms))
    return message


def _timestamp(ms: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp
