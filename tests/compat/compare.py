"""Sends each case to both gateways, and says in what their answers differ."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from motherharness.devstack import Stack
from tests.compat.cases import FORM, ROLES, Case
from tests.compat.http import Answer, Connection
from tests.compat.world import Wire, World

# What changes nothing is asked this many at a time.
_AT_ONCE = 6
_TRY_AGAIN, _TRIES = 503, 5
# What two objects differ in that are made in the same way.
_OWN = (
    (re.compile(r"\b([a-z]{3,4})_[0-9a-z]{16,}\b"), r"\1_*"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{24,}\b"), "HEX"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), "SECRET"),
    (re.compile(r"\beyJ[\w.-]+"), "TOKEN"),
)
_OWN_FIELDS = frozenset(
    "etag version updateTime duration phase totalKeys archiveBytes bytes replicationOffset sequence hash".split()
)
_REQUEST_ID = "request_id"
# The base64 of how the last part of an export begins: with the time of it.
_MANIFEST = "eyJtYW5pZmVzdCI6"

FACETS = ("status", "content-type", "grpc-metadata", "www-authenticate", "trailers", "body")


@dataclass(frozen=True)
class Seen:
    """An answer, as far as it is compared."""

    status: int
    content_type: str
    metadata: tuple[tuple[str, str], ...]
    www_authenticate: str
    trailers: tuple[tuple[str, str], ...]
    body: Any

    @property
    def facets(self) -> dict[str, Any]:
        values = (
            *(self.status, self.content_type, self.metadata),
            *(self.www_authenticate, self.trailers, self.body),
        )
        return dict(zip(FACETS, values, strict=True))


@dataclass(frozen=True)
class Pair:
    """The answers to one case."""

    case: Case
    ours: Seen
    theirs: Seen

    @property
    def differs(self) -> frozenset[str]:
        """The facets in which they differ."""
        ours, theirs = self.ours.facets, self.theirs.facets
        return frozenset(name for name in FACETS if not _same(ours[name], theirs[name]))


def _same(ours: Any, theirs: Any) -> bool:
    """Equal, types included: true is not 1, and 1 is 1.0 only in a number's own terms."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, bool) != isinstance(theirs, bool):
        return False
    return bool(ours == theirs)


class Comparison:
    """Both gateways in front of one stack.

    Args:
        ours, theirs: addresses.
        worlds: of each; what changes nothing is asked of both about the first.
    """

    def __init__(self, stack: Stack, ours: str, theirs: str, worlds: tuple[World, World]) -> None:
        self._stack = stack
        self._addresses = (ours, theirs)
        self._worlds = worlds
        self._tokens: dict[str, str] = {}

    async def run(self, cases: Sequence[Case]) -> list[Pair]:
        """Compare all: first what changes nothing, many at a time, then the rest, in order."""
        reads = [case for case in cases if not changes(case)]
        writes = [case for case in cases if changes(case)]
        waiting = iter(reads)
        parts = await asyncio.gather(*(self._several(waiting) for _ in range(_AT_ONCE)))
        return [pair for part in parts for pair in part] + await self._changing(writes)

    async def _several(self, waiting: Iterable[Case]) -> list[Pair]:
        found = []
        async with Connection(self._addresses[0]) as ours, Connection(self._addresses[1]) as theirs:
            for case in waiting:
                world = self._worlds[0]
                answers = await asyncio.gather(*(self._send(to, case, world) for to in (ours, theirs)))
                found.append(Pair(case, *(seen(answer, case) for answer in answers)))
        return found

    async def _changing(self, cases: Sequence[Case]) -> list[Pair]:
        found = []
        async with Connection(self._addresses[0]) as ours, Connection(self._addresses[1]) as theirs:
            for case in cases:
                sides = list(zip((ours, theirs), self._worlds, strict=True))
                if case.good:
                    await self._prepare(case)
                if case.rpc in SHARED:
                    answers = [await self._settled(to, case, world) for to, world in sides]
                else:
                    answers = list(await asyncio.gather(*(self._send(to, case, world) for to, world in sides)))
                found.append(Pair(case, *(seen(answer, case, own=True) for answer in answers)))
        return found

    async def _prepare(self, case: Case) -> None:
        """Make anew what a good request is about."""
        for world in self._worlds:
            await world.renew(case.target + case.body, backups=case.name == "good" and case.rpc != _RESTORING)
            if case.rpc == _LEASING:
                await world.start()

    async def _settled(self, to: Connection, case: Case, world: World) -> Answer:
        answer = await self._send(to, case, world)
        if case.rpc == _HOOKING and answer.status == 200 and case.method == "POST":
            await world.unhook(json.loads(answer.body)["webhook"]["id"])
        return answer

    async def _send(self, to: Connection, case: Case, world: World) -> Answer:
        headers = list(case.headers)
        if case.token != "-":
            headers.append(("authorization", self._authorization(case.token)))
        target, body = world.fill(case.target), world.fill(case.body)
        for _ in range(_TRIES):
            answer = await to.send(case.method, target, headers, body, case.lines)
            # A service that another did not answer in time, on a busy machine: nothing has been done.
            if answer.status != _TRY_AGAIN:
                break
        return answer

    def _authorization(self, token: str) -> str:
        if token not in self._tokens:
            if token == "EXPIRED":
                made = f"Bearer {self._stack.token('bob', 'admin', ttl=-3600.0)}"
            elif set(token.split()) <= set(ROLES):
                made = f"Bearer {self._stack.token('bob', *token.split())}"
            else:
                made = token
            self._tokens[token] = made
        return self._tokens[token]


_LEASING = "AgentService_LeaseSteps"
# A restore takes its time, and nothing else for as long: the one of each world's beginning is enough.
_RESTORING = "BackupService_RestoreBackup"
_HOOKING = "WebhookService_CreateWebhook"
# What both worlds have in common, so that one gateway after the other changes it.
SHARED = frozenset({"PolicyService_UpdatePolicy", "BackupService_CreateBackup", _LEASING, _HOOKING})


def changes(case: Case) -> bool:
    """Whether a request may change something: all but those of methods that only read."""
    name = case.rpc.rpartition("_")[2]
    headers = dict(case.headers)
    stands = case.method == "POST" and headers.get("content-type") == FORM[1]
    method = headers.get("X-HTTP-Method-Override", case.method) if stands else case.method
    return method not in ("GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get") or not name.startswith(
        ("Get", "List", "Watch", "Export", "Verify", "Assess")
    )


def seen(answer: Answer, case: Case, *, own: bool = False) -> Seen:
    """What of an answer is compared; `own` leaves out what is of the objects."""
    body: Any = answer.body.decode("utf-8", "replace")
    try:
        lines = [json.loads(line) for line in body.split("\n") if line]
        body = lines[0] if len(lines) == 1 else lines
    except ValueError:
        pass
    body = _neutral(body, own=own)
    metadata = tuple(sorted((key, value) for key, value in answer.headers if key.startswith("grpc-metadata-")))
    trailers = sorted((key, value) for key, value in answer.headers if key == "trailer") + sorted(answer.trailers)
    return Seen(
        answer.status,
        answer.header("content-type"),
        metadata,
        answer.header("www-authenticate"),
        tuple(trailers),
        body,
    )


def _neutral(value: Any, *, own: bool) -> Any:
    if isinstance(value, dict):
        return {key: _field(key, item, own=own) for key, item in value.items()}
    if isinstance(value, list):
        return [_neutral(item, own=own) for item in value]
    if own and isinstance(value, str):
        for pattern, name in _OWN:
            value = pattern.sub(name, value)
    return value


def _field(key: str, value: Any, *, own: bool) -> Any:
    if key == "data" and isinstance(value, str) and value.startswith(_MANIFEST):
        return "MANIFEST"
    if key == _REQUEST_ID and isinstance(value, str):
        return "HEX"
    if own and key in _OWN_FIELDS and isinstance(value, str):
        return f"{key.upper()} of {len(value) > 0}"
    return _neutral(value, own=own)


async def worlds(wire: Wire) -> tuple[World, World]:
    """Two worlds that are alike."""
    both = World(wire), World(wire)
    for world in both:
        await world.make(["bkp", "rst"])
    for world in both:
        await world.make_all_but(["bkp", "rst"])
        await world.decide()
    return both
