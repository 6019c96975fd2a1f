"""How fast the audit trail is sealed and verified: `python -m benchmarks.audit_speed --records 20000`.

Starts a Redis of its own, puts entries like those of requests into the journals of 16 shards, and prints one JSON
object a line, with `records_per_s` of one core of this machine (and Redis beside it):

- "sealed": hashed, appended to the chains, checkpoints signed.
- "verified": every record and signature by the service, as VerifyAudit does.
- "exported": read and written out as lines.
- "verified_offline": the export, by the SDK.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

from motherharness.audit import verify_export
from services.approval.audit.sealer import Habits, Sealer
from services.approval.audit.trail import Trail
from services.approval.grants.keys import generate, signing_key
from services.approval.grants.ring import KeyRing
from services.approval.journal import fact
from services.approval.store import keys
from services.approval.store.audit import AuditStore
from services.runtime.ids import new_id
from services.runtime.redis import connect
from tests.support.redis_server import RedisServer

SHARDS = 16
BATCH = 1000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="in all, default %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            asyncio.run(measure(server, arguments.records))
        finally:
            server.stop()
    return 0


async def measure(server: RedisServer, records: int) -> None:
    """Fill the journals, and time each step."""
    redis = connect(server.url("approval"), client_name="benchmark")
    ring, habits = KeyRing([signing_key(generate())]), Habits()
    store = AuditStore(redis, SHARDS)
    sealer = Sealer(store, ring, habits)
    trail = Trail(store, sealer, ring, habits)
    await fill(redis, records)

    async def verify() -> int:
        return sum([report.records async for report in trail.verify({}) if report.done and report.problem is None])

    lines: list[bytes] = []

    async def export() -> int:
        lines.extend(b"".join([part async for part in trail.export()]).splitlines())
        return sum(line.startswith(b'{"event"') for line in lines)

    async def verify_offline() -> int:
        return verify_export(lines).records

    await timed("sealed", sealer.seal, records)
    await timed("verified", verify, records)
    await timed("exported", export, records)
    await timed("verified_offline", verify_offline, records)
    await redis.aclose()


async def timed(name: str, step: Callable[[], Awaitable[int]], records: int) -> None:
    """Run a step on all records and print how fast it was."""
    start = time.perf_counter()
    done = await step()
    seconds = time.perf_counter() - start
    if done != records:
        raise AssertionError(f"{name}: {done} records of {records}")
    print(json.dumps({"measure": name, "records": done, "records_per_s": round(done / seconds)}), flush=True)


async def fill(redis: Redis, records: int) -> None:
    """Put entries into the journals."""
    for first in range(0, records, BATCH):
        pipeline = redis.pipeline(transaction=False)
        for number in range(first, min(first + BATCH, records)):
            shard = number % SHARDS
            event = fact(
                "APPROVAL_REQUESTED",
                approval_id=new_id("apr", shard),
                revision=1,
                state="pending",
                run_id=new_id("run", shard),
                step_id="step",
                environment="ENVIRONMENT_STAGING",
                requester="alice@example.com",
                actor="alice@example.com",
                digest="sha256:" + "0" * 64,
                level="RISK_LEVEL_HIGH",
                score=60,
                factor_ids=["files.delete", "files.recursive"],
                rule_packs="builtin+sha256.0123456789ab",
                policy_etag="v12",
                outcome="POLICY_OUTCOME_HUMAN",
                reason="HIGH is above the policy's LOW",
                approval_type="code_execution",
            )
            pipeline.xadd(keys.journal(shard), {"e": event, "p": 1})
        await pipeline.execute()


if __name__ == "__main__":
    raise SystemExit(main())
