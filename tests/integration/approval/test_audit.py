"""The audit trail over real gRPC and Redis: complete, in order, sealed once, and whatever is done to it is found."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from harness.approval.v1 import approval_pb2, audit_pb2, policy_pb2, risk_pb2
from harness.common.v1 import action_pb2
from motherharness import audit
from motherharness.signing_keys import create
from services.approval.audit.lines import Link, canonical, record_line
from services.approval.audit.sealer import Habits, Sealer
from services.approval.audit.trail import Query, Report, Trail
from services.approval.grants.ring import KeyRing
from services.approval.journal import fact
from services.approval.risk.rules import BUILTIN
from services.approval.rule_packs import condensed
from services.approval.store import keys
from services.approval.store.audit import AuditStore
from services.runtime.ids import new_id
from services.runtime.redis import connect
from tests.integration.approval.harness import ROOT, Approvals, item, reason_of, running
from tests.support.patience import ends
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

DOCS = Path(__file__).parents[3] / "docs" / "audit.md"
CAROL = as_("carol", "approver")


def types(records: list[audit_pb2.AuditRecord]) -> list[str]:
    return [audit_pb2.AuditEventType.Name(record.event.type).removeprefix("AUDIT_EVENT_TYPE_") for record in records]


async def eventful(service: Approvals) -> tuple[str, str]:
    """A request that was decided, granted and redeemed, and one that was edited and rejected."""
    asked = item("rm -rf build", run_id="run_2")
    (waiting,) = await service.request(asked)
    approval_id = waiting.approval.id
    with pytest.raises(grpc.aio.AioRpcError):
        await service.decide(approval_id, as_=as_("alice", "approver"))
    await service.decide(approval_id, reason="looks right")
    (granted,) = await service.request(asked)
    await service.redeem(granted.grant, granted.approval)
    other = await service.pending(run_id="run_3")
    revise = approval_pb2.ReviseApprovalRequest(
        approval_id=other.id,
        actions=[action_pb2.Action(command=action_pb2.CommandAction(script="rm -rf dist"))],
        reason="not the build",
        digest=other.digest,
    )
    await service.approvals.ReviseApproval(revise, metadata=CAROL)
    await service.decide(other.id, approve=False, reason="no")
    return approval_id, other.id


async def test_all_that_happens_is_in_the_trail(service: Approvals) -> None:
    approval_id, other = await eventful(service)
    records = await service.trail(approval_id=approval_id)
    assert types(records) == ["GRANT_REDEEMED", "GRANT_ISSUED", "APPROVED", "REFUSED", "APPROVAL_REQUESTED"]
    redeemed, issued, approved, refused, requested = (record.event for record in records)
    assert (redeemed.actor, issued.grant_id) == ("worker", redeemed.grant_id)
    assert (approved.actor, approved.reason, approved.digest) == ("bob", "looks right", requested.digest)
    assert (refused.actor, refused.error_reason) == ("alice", "SELF_APPROVAL")
    assert requested.rule_packs == condensed(BUILTIN)
    assert requested.policy_etag == "v0"
    assert requested.level == refused.level
    rejected, revised, _ = (record.event for record in await service.trail(approval_id=other))
    assert rejected.state == "rejected"
    assert (revised.actor, revised.revision, revised.rule_packs) == ("carol", 2, condensed(BUILTIN))
    assert (revised.policy_etag, revised.score > 0) == ("v0", True)


async def test_a_policy_that_changes_is_in_the_trail_with_its_versions(service: Approvals) -> None:
    policy = policy_pb2.Policy(
        environment=action_pb2.ENVIRONMENT_STAGING, enabled=True, max_risk_level=risk_pb2.RISK_LEVEL_LOW
    )
    for _ in range(2):
        await service.policies.UpdatePolicy(policy_pb2.UpdatePolicyRequest(policy=policy), metadata=ROOT)
    second, first = await service.trail(type=audit_pb2.AUDIT_EVENT_TYPE_POLICY_CHANGED)
    assert (first.event.policy_etag_before, first.event.policy_etag) == ("v0", "v1")
    assert (second.event.policy_etag_before, second.event.policy_etag) == ("v1", "v2")
    assert (second.event.actor, second.event.subject_name) == ("root", "staging")


async def test_lists_are_by_time_over_all_shards_and_filters_add_up(service: Approvals) -> None:
    for number in range(40):
        await service.request(item(run_id=f"run_{number}", requester=("alice", "dave")[number % 2]))
    await eventful(service)
    everything = await service.trail()
    assert len(everything) >= 46
    assert len({record.shard for record in everything}) > 8
    times = [record.time.ToMilliseconds() for record in everything]
    assert times == sorted(times, reverse=True)
    for page_size in (1, 7, 1000):
        assert await service.trail(page_size=page_size) == everything
    by_bob = await service.trail(actor="bob", page_size=1)
    assert types(by_bob) == ["REJECTED", "APPROVED"]
    assert types(await service.trail(actor="bob", type=audit_pb2.AUDIT_EVENT_TYPE_APPROVED)) == ["APPROVED"]
    assert await service.trail(project_id="prj_none") == []
    of_one = await service.trail(run_id="run_7", page_size=1)
    assert of_one == [record for record in everything if record.event.run_id == "run_7"] != []
    for unknown in ("apr_ff" + "0" * 32, "apr_00" + "0" * 32, "nonsense"):
        assert await service.trail(approval_id=unknown) == []
    middle = everything[20].time
    later, earlier = (
        await service.trail(start_time=middle, page_size=3),
        await service.trail(end_time=middle, page_size=3),
    )
    assert later + earlier == everything
    assert all(record.time.ToMilliseconds() >= middle.ToMilliseconds() for record in later)
    user = as_("eve", "user")
    with pytest.raises(grpc.aio.AioRpcError) as denied:
        await service.trail(as_=user)
    assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_trail_verifies_by_the_service_and_as_an_export(service: Approvals) -> None:
    await eventful(service)
    reports = await service.verified()
    assert [report.shard for report in reports] == list(range(16))
    assert not any(report.HasField("problem") for report in reports)
    assert sum(report.unsealed for report in reports) == 0
    lines = await service.exported()
    report = audit.verify_export(lines)
    assert report.records == sum(shard.records_checked for shard in reports) == len(await service.trail())
    assert sum(shard.checkpoints for shard in report.shards) >= 2
    # What was kept from one export holds for the next one, and for the service.
    await eventful(service)
    known = audit.read_checkpoints(lines)
    assert sum(shard.known_met for shard in audit.verify_export(await service.exported(), known=known).shards) > 0
    kept = [line.decode() for line in lines if line.startswith(b'{"checkpoint"')]
    reports = await service.verified(*kept)
    assert sum(shard.known_met for shard in reports) == len(kept)
    assert all(shard.checkpoint in ("", *kept) or shard.signed_through > 1 for shard in reports)
    with pytest.raises(grpc.aio.AioRpcError) as invalid:
        await service.verified("x")
    assert reason_of(invalid.value) == "CHECKPOINT_INVALID"


async def test_every_change_of_a_real_export_is_found(service: Approvals) -> None:
    await eventful(service)
    lines = await service.exported()
    texts = [number for number, line in enumerate(lines) if b'"key"' not in line]
    for number in texts:
        line = lines[number]
        # One byte of each token: what is between them cannot change without the line being no JSON, or not canonical.
        for at in range(0, len(line), 7):
            changed = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
            with pytest.raises(audit.AuditBroken):
                audit.verify_export([*lines[:number], changed, *lines[number + 1 :]])
        with pytest.raises(audit.AuditBroken):
            audit.verify_export([*lines[:number], *lines[number + 1 :]])


async def test_the_verifier_that_the_documentation_shows_agrees(service: Approvals, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "verify.py").write_text(code)
    await eventful(service)
    lines = await service.exported()
    record = next(number for number, line in enumerate(lines) if line.startswith(b'{"event"'))
    changed = lines[record].replace(b'"state":"', b'"state":"x')
    for other in (lines, [*lines[:record], *lines[record + 1 :]], [*lines[:record], changed, *lines[record + 1 :]]):
        (tmp_path / "trail.jsonl").write_bytes(b"".join(line + b"\n" for line in other))
        ended = await asyncio.create_subprocess_exec(
            sys.executable, tmp_path / "verify.py", tmp_path / "trail.jsonl", stdout=-1, stderr=-1
        )
        output, _ = await ended.communicate()
        assert (ended.returncode, output) == ((0, b"whole\n") if other is lines else (1, b""))


class Trails:
    """A trail without a service around it, of one shard."""

    def __init__(self, redis: Redis, ring: KeyRing, habits: Habits) -> None:
        self.redis = redis
        self.store = AuditStore(redis, 1)
        self.sealer = Sealer(self.store, ring, habits)
        self.trail = Trail(self.store, self.sealer, ring, habits)

    async def happen(self, count: int, **fields: Any) -> None:
        """Put entries into the journal."""
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(count):
            pipeline.xadd(keys.journal(0), {"e": fact("VOTED", actor="bob", score=number + 1, **fields), "p": 0})
        await pipeline.execute()

    async def verified(self, known: dict[int, str] | None = None) -> Report:
        """What is found at the end."""
        return [report async for report in self.trail.verify({0: known or {}})][-1]

    async def problem(self, known: dict[int, str] | None = None) -> tuple[str, int] | None:
        """What is wrong, and where."""
        problem = (await self.verified(known)).problem
        return None if problem is None else (problem.reason, problem.sequence)

    async def lines(self) -> list[bytes]:
        """The lines of an export."""
        return b"".join([part async for part in self.trail.export()]).splitlines()

    async def stored(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """The entries of the chain's stream."""
        found: Any = await self.redis.xrange(keys.audit(0))
        return list(found)

    async def rewrite(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Put other entries in the place of the chain, as whoever has the database can."""
        await self.redis.delete(keys.audit(0))
        for entry_id, fields in entries:
            await self.redis.xadd(keys.audit(0), fields, id=entry_id)  # type: ignore[arg-type]

    async def forge(self, changed: int) -> Link:
        """Change a record and make all hashes anew, and note the new end."""
        head, entries = Link(), []
        for entry_id, fields in await self.stored():
            value = json.loads(fields[b"l"])
            if "event" in value:
                event = value["event"] | ({"actor": "mallory"} if value["sequence"] == changed else {})
                line, head = record_line(0, head, value["time_ms"], canonical(event))
                fields = {b"l": line}
            entries.append((entry_id, fields))
        await self.rewrite(entries)
        await self.redis.hset(keys.audit_head(0), mapping={"hash": head.hash})
        return head


@pytest.fixture
async def redis(fresh_redis: RedisServer) -> AsyncIterator[Redis]:
    client = connect(fresh_redis.url("approval"), client_name="approval")
    yield client
    await client.aclose()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    create(tmp_path)
    return KeyRing.open(tmp_path, development=False)


@pytest.fixture
def trails(redis: Redis, ring: KeyRing) -> Trails:
    return Trails(redis, ring, Habits(checkpoint_records=5, checkpoint_ms=3_600_000))


async def test_checkpoints_come_by_number_and_by_time(redis: Redis, ring: KeyRing) -> None:
    trails = Trails(redis, ring, Habits(checkpoint_records=5, checkpoint_ms=300))
    # The first record is signed at once, for there never was a checkpoint.
    for count, signed in ((1, 1), (4, 1), (1, 6), (2, 6)):
        await trails.happen(count)
        assert await trails.sealer.seal() == count
        assert (await trails.verified()).signed == signed
    await asyncio.sleep(0.35)
    assert await trails.sealer.seal() == 0
    report = await trails.verified()
    assert (report.signed, report.last, report.checkpoints, report.unsealed) == (8, 8, 3, 0)
    # Nothing is new: nothing is signed.
    await asyncio.sleep(0.35)
    await trails.sealer.seal()
    assert (await trails.verified()).checkpoints == 3


async def test_what_is_done_to_the_database_is_found(trails: Trails, ring: KeyRing) -> None:
    await trails.happen(12)
    await trails.sealer.seal()
    await trails.happen(3)
    assert await trails.problem() is None
    whole = await trails.stored()
    head: Any = await trails.redis.hgetall(keys.audit_head(0))

    async def found(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> tuple[str, int] | None:
        await trails.rewrite(entries)
        problem = await trails.problem()
        assert (await trails.trail.find(Query(), None, 100))[0]
        return problem

    lines = [fields[b"l"] for _, fields in whole]
    assert await found(whole) is None
    for number, (entry_id, fields) in enumerate(whole):
        changed = {b"l": fields[b"l"].replace(b"bob", b"eve").replace(b'"previous":', b'"previous":1')}
        assert await found([*whole[:number], (entry_id, changed), *whole[number + 1 :]]) is not None
        assert await found([*whole[:number], *whole[number + 1 :]]) is not None
        assert await found([*whole[:number], (entry_id, {b"x": b"y"}), *whole[number + 1 :]]) is not None
    # An entry more, beyond the end.
    line, _ = record_line(0, Link(15, json.loads(lines[-1])["hash"]), 9_999_999_999_999, b"{}")
    assert await found([*whole, (b"16-0", {b"l": line})]) == ("AFTER_THE_END", 16)
    # Another end noted.
    await trails.rewrite(whole)
    await trails.redis.hset(keys.audit_head(0), "hash", "0" * 64)
    assert await Trails(trails.redis, ring, Habits()).problem() == ("REWRITTEN", 15)
    await trails.redis.hset(keys.audit_head(0), mapping=head)
    # Hashes made anew over what was signed.
    await trails.forge(3)
    assert await trails.problem() == ("CHECKPOINT_MISMATCH", 12)


async def test_a_trail_forged_to_its_end_is_found_by_what_was_kept(trails: Trails, ring: KeyRing) -> None:
    await trails.happen(12)
    lines = await trails.lines()
    known = audit.read_checkpoints(lines)[0]
    # Whoever forges removes the checkpoints too. Nothing is signed then, which is found when it is old.
    whole = await trails.stored()
    await trails.rewrite([(entry_id, fields) for entry_id, fields in whole if entry_id.endswith(b"-0")])
    await trails.forge(3)
    await trails.redis.hset(keys.audit_head(0), mapping={"checkpoint": 0, "checkpoint_ms": 0})
    idle = Trails(trails.redis, ring, Habits(checkpoint_ms=10**13))
    idle.trail = Trail(idle.store, idle.sealer, ring, Habits(checkpoint_ms=-30_000))
    assert await idle.problem() == ("UNSIGNED", 1)
    # Or has the service sign it.
    assert await trails.problem() is None
    assert await trails.problem(known) == ("REWRITTEN", 12)
    # Or cuts the end off; that this process saw it is written down as record 4.
    await trails.rewrite(whole[:3])
    last = json.loads(whole[2][1][b"l"])
    end: dict[Any, Any] = {"sequence": 3, "hash": last["hash"], "time_ms": last["time_ms"], "checkpoint": 0}
    await trails.redis.hset(keys.audit_head(0), mapping=end)
    assert await trails.problem(known) == ("TRUNCATED", 5)


async def test_a_process_that_saw_the_trail_writes_down_that_it_has_changed(trails: Trails) -> None:
    await trails.happen(8)
    await trails.sealer.seal()
    await trails.forge(8)
    await trails.happen(1)
    await trails.sealer.seal()
    await trails.sealer.seal()
    found, _ = await trails.trail.find(Query(type="AUDIT_EVENT_TYPE_TRAIL_CHANGED"), None, 10)
    (changed,) = found
    assert (changed.event["subject_name"], changed.event["actor"]) == ("a00", "clock")
    assert changed.event["reason"].startswith("it was at 8 (")


async def test_another_process_that_seals_is_no_alarm(redis: Redis, ring: KeyRing) -> None:
    habits = Habits(checkpoint_records=5)
    first, second = Trails(redis, ring, habits), Trails(redis, ring, habits)
    for number in range(6):
        await first.happen(7)
        await (first, second)[number % 2].sealer.seal()
    assert await first.problem() is None
    assert (await first.trail.find(Query(type="AUDIT_EVENT_TYPE_TRAIL_CHANGED"), None, 10)) == ([], None)


async def test_many_who_seal_at_once_seal_each_entry_once(redis: Redis, ring: KeyRing) -> None:
    habits = Habits(checkpoint_records=50)
    replicas = [Trails(redis, ring, habits) for _ in range(4)]
    sealed = 0
    for _ in range(5):
        await replicas[0].happen(300)
        sealed += sum(await asyncio.gather(*(replica.sealer.seal() for replica in replicas)))
    assert sealed == 1500
    report = await replicas[0].verified()
    assert (report.problem, report.records, report.unsealed) == (None, 1500, 0)
    events = [
        json.loads(fields[b"l"])["event"]["score"]
        for entry_id, fields in await replicas[0].stored()
        if entry_id.endswith(b"-0")
    ]
    assert events == [number + 1 for _ in range(5) for number in range(300)]


async def test_what_was_not_sealed_when_a_process_ended_is_sealed_by_the_next(
    fresh_redis: RedisServer, tmp_path: Path
) -> None:
    create(tmp_path)
    async with running(fresh_redis, approval_signing_keys=tmp_path, approval_audit_seal_seconds=3600) as service:
        await asyncio.sleep(0.1)
        approval_id, _ = await eventful(service)
        assert (await service.redis.xlen(keys.audit(int(approval_id[4:6], 16)))) == 0
    async with running(fresh_redis, approval_signing_keys=tmp_path, approval_audit_seal_seconds=0.01) as service:
        await asyncio.sleep(0.3)
        assert (await service.redis.xlen(keys.audit(int(approval_id[4:6], 16)))) >= 5
        assert types(await service.trail(approval_id=approval_id))[-1] == "APPROVAL_REQUESTED"
        assert not any(report.HasField("problem") for report in await service.verified())


async def test_a_journal_is_trimmed_when_it_is_sealed(trails: Trails) -> None:
    await trails.happen(3)
    assert await trails.sealer.sealed() == {}
    await trails.sealer.seal()
    newest: Any = await trails.redis.xrevrange(keys.journal(0), count=1)
    ((last, _),) = newest
    assert await trails.sealer.sealed() == {0: last.decode()}


async def test_old_records_are_removed_up_to_a_checkpoint(redis: Redis, ring: KeyRing) -> None:
    approval_id = new_id("apr", 0)
    keeping = Trails(redis, ring, Habits(checkpoint_records=5, checkpoint_ms=3_600_000))
    await keeping.happen(12, approval_id=approval_id)
    await keeping.sealer.seal()
    await keeping.happen(5, approval_id=approval_id)
    await keeping.sealer.seal()
    assert await keeping.sealer.forget_old() == 0
    known = audit.read_checkpoints(await keeping.lines())[0]
    old = Trails(redis, ring, Habits(retention_ms=3_600_000, checkpoint_ms=3_600_000))
    assert await old.sealer.forget_old() == 0
    await asyncio.sleep(0.05)
    fresh = Trails(redis, ring, Habits(retention_ms=20, checkpoint_ms=3_600_000))
    await fresh.happen(2, approval_id=approval_id)
    assert await fresh.sealer.seal() == 2
    assert await fresh.sealer.forget_old() == 17
    assert await fresh.sealer.forget_old() == 0
    report = await fresh.verified(known)
    assert (report.problem, report.first, report.last, report.records) == (None, 18, 19, 2)
    assert (report.known_met, report.known_removed) == (1, 1)
    found, _ = await fresh.trail.find(Query(approval_id=approval_id), None, 10)
    assert [record.position.sequence for record in found] == [19, 18]
    assert [record.position.sequence for record in (await fresh.trail.find(Query(), None, 10))[0]] == [19, 18]
    (shard,) = audit.verify_export(await fresh.lines()).shards
    assert (shard.first, shard.last) == (18, 19)
    # A start that was removed by somebody else has no root.
    await redis.hdel(keys.audit_head(0), "root", "root_sequence")
    assert await fresh.problem() == ("WRONG_SEQUENCE", 1)


async def test_what_is_broken_is_not_removed(redis: Redis, ring: KeyRing) -> None:
    trails = Trails(redis, ring, Habits(checkpoint_records=5, retention_ms=1))
    await trails.happen(12)
    await trails.sealer.seal()
    await trails.forge(3)
    await asyncio.sleep(0.01)
    assert await trails.sealer.forget_old() == 0
    assert len(await trails.stored()) == 13


async def test_an_export_comes_in_messages_that_any_client_takes(trails: Trails) -> None:
    await trails.happen(300, reason="x" * 8000)
    parts = [part async for part in trails.trail.export()]
    assert max(map(len, parts)) < 300_000
    assert audit.verify_export(b"".join(parts).splitlines()).records == 300
    assert all(part.endswith(b"\n") for part in parts)


async def test_an_entry_that_is_no_event_does_not_stop_the_chain(trails: Trails) -> None:
    for raw in (b"\xff", b"[]", b'{"a":{"b":1}}', b'{"a":1.5}', b'{ "actor":"bob" }'):
        await trails.redis.xadd(keys.journal(0), {"e": raw, "p": 0})
    await trails.sealer.seal()
    assert await trails.problem() is None
    found, _ = await trails.trail.find(Query(), None, 10)
    assert [record.event.get("reason") for record in found] == [None, '{"a":1.5}', '{"a":{"b":1}}', "[]", "\ufffd"]


async def test_prometheus_is_told_how_sealing_goes(trails: Trails) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"harness_audit_{name}", labels) or 0.0

    sealed = value("records_sealed_total")
    await trails.redis.xadd(keys.journal(0), {"e": fact("VOTED", actor="bob"), "p": 0}, id="1000-0")
    await trails.happen(2)
    await trails.sealer.seal(sign=True)
    assert (value("unsealed_entries"), value("records_sealed_total") - sealed) == (3, 3)
    assert value("lag_seconds") > 1_000_000
    await trails.sealer.seal()
    assert (value("unsealed_entries"), value("lag_seconds")) == (0, 0)
    assert value("checkpoint_timestamp_seconds") > 1_000_000
    sealed_at = value("sealed_timestamp_seconds")
    assert sealed_at > 1_000_000
    reasons = ("TRAIL_CHANGED", "CANNOT_BE_EXTENDED", "WRONG_SEQUENCE")
    before = [value("problems_total", reason=reason) for reason in reasons]
    await trails.redis.hset(keys.audit_head(0), "sequence", "1")
    await trails.happen(1)
    await trails.sealer.seal()
    await trails.redis.xdel(keys.audit(0), "2-0")
    assert await trails.problem() == ("WRONG_SEQUENCE", 2)
    after = [value("problems_total", reason=reason) for reason in reasons]
    assert [now - then > 0 for now, then in zip(after, before, strict=True)] == [True] * 3
    assert value("sealed_timestamp_seconds") == sealed_at


async def test_ten_thousand_records_are_sealed_and_verified(trails: Trails) -> None:
    await trails.happen(10_000)
    with ends():
        assert await trails.sealer.seal() == 10_000
        report = await trails.verified()
    assert (report.problem, report.records) == (None, 10_000)


async def test_two_services_seal_what_many_clients_do(fresh_redis: RedisServer, tmp_path: Path) -> None:
    create(tmp_path)
    settings: dict[str, Any] = {"approval_signing_keys": tmp_path, "approval_audit_seal_seconds": 0.01}
    async with running(fresh_redis, **settings) as first, running(fresh_redis, **settings) as second:

        async def live(number: int) -> None:
            service = (first, second)[number % 2]
            waiting = await service.pending(run_id=f"run_{number}")
            await service.decide(waiting.id, approve=number % 3 > 0)

        await asyncio.gather(*(live(number) for number in range(60)))
        counts = Counter(types(await second.trail()))
        assert counts == {"APPROVAL_REQUESTED": 60, "APPROVED": 40, "REJECTED": 20}
        for service in (first, second):
            reports = await service.verified()
            assert not any(report.HasField("problem") for report in reports)
            assert sum(report.records_checked for report in reports) == 120
