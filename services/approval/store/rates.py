"""Rates that hold over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis

from services.runtime.redis import Script, ScriptCall, run_scripts

_RATE = Script.load(Path(__file__).parent / "rate.lua")
_MINUTE_US = 60_000_000


async def let_through(redis: Redis, asked: Sequence[tuple[str, int]], per_minute: int) -> list[tuple[int, int]]:
    """How many of what comes may pass: for each key and number, that many at most, and ms until one more may.

    A minute's worth can come at once.
    """
    calls = [ScriptCall(_RATE, [key], [_MINUTE_US / per_minute, per_minute, count]) for key, count in asked]
    answers = await run_scripts(redis, calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return [(int(passed), int(wait_ms)) for passed, wait_ms in answers]
