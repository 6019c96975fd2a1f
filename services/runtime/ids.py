"""Resource ids: opaque strings that sort by creation and, where data is sharded, name their shard.

`apr_<uuid7>` has no shard; `run_07<uuid7>` lives in shard 7. The uuid is 32 hex digits (RFC 9562, version 7); a shard
is two hex digits. The time in an id orders it and decides nothing.
"""

from __future__ import annotations

import re
import secrets
import time

MAX_SHARDS = 256
_SHAPE = re.compile(r"[a-z]{2,8}_(?P<shard>[0-9a-f]{2})?[0-9a-f]{32}")

_last_ms = 0
_sequence = 0


def uuid7_hex() -> str:
    """A version 7 UUID as 32 hex digits, increasing within this process even if its clock steps back."""
    global _last_ms, _sequence
    now_ms = time.time_ns() // 1_000_000
    if now_ms > _last_ms:
        _last_ms, _sequence = now_ms, secrets.randbits(11)
    else:
        _sequence += 1
        if _sequence > 0xFFF:
            _last_ms, _sequence = _last_ms + 1, secrets.randbits(11)
    value = _last_ms << 80 | 0x7 << 76 | _sequence << 64 | 0b10 << 62 | secrets.randbits(62)
    return f"{value:032x}"


def new_id(prefix: str, shard: int | None = None) -> str:
    """A new id, e.g. `new_id("run", 7)` -> `run_07019a...`.

    Raises:
        ValueError: the shard is not in 0..255.
    """
    if shard is None:
        return f"{prefix}_{uuid7_hex()}"
    if not 0 <= shard < MAX_SHARDS:
        raise ValueError(f"shard {shard} is not in 0..{MAX_SHARDS - 1}")
    return f"{prefix}_{shard:02x}{uuid7_hex()}"


def shard_of(resource_id: str) -> int:
    """The shard that an id names.

    Raises:
        ValueError: it is not an id, or one without a shard.
    """
    match = _SHAPE.fullmatch(resource_id)
    if match is None or match["shard"] is None:
        raise ValueError(f"{resource_id[:64]!r} is not an id with a shard")
    return int(match["shard"], 16)


def is_id(resource_id: str, prefix: str) -> bool:
    """True when the string has the form of an id with this prefix, sharded or not."""
    return resource_id.startswith(prefix + "_") and _SHAPE.fullmatch(resource_id) is not None
