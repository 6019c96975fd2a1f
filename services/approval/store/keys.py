"""Every key of the approval service.

All of one run's approvals are in one shard, so that whatever changes together has one hash tag. `{aNN}` is the shard,
in hex; `M` is an approval id without its prefix and shard: time-ordered, so that indexes sort by age.

| key                                  | type   | content                             | written by     | ends          |
|--------------------------------------|--------|-------------------------------------|----------------|---------------|
| approval:{aNN}:apr:<id>              | hash   | one approval, see `records.py`      | create, commit | forget        |
| approval:{aNN}:request:<sha256>      | string | id of the approval it made          | create         | forget        |
| approval:{aNN}:due                   | zset   | M by when it expires by itself, ms  | create, commit | commit        |
| approval:{aNN}:closed                | zset   | M by when it was closed, ms         | create, commit | forget        |
| approval:{aNN}:all                   | zset   | M, all scores 0                     | create         | forget        |
| approval:{aNN}:state:<n>             | zset   | M in that state                     | create, commit | as written    |
| approval:{aNN}:requester:<r>         | zset   | M asked for by r                    | create         | forget        |
| approval:{aNN}:requester:<r>:<n>     | zset   | M asked for by r and in that state  | create, commit | as written    |
| approval:{aNN}:run:<run id>          | zset   | M of that run                       | create         | forget        |
| approval:{aNN}:outbox                | stream | decisions to be published: field e  | commit         | publish       |
| approval:{decisions}:stream          | stream | decisions, id <sequence>-0, field e | publish        | trim, length  |
| approval:{decisions}:sequence        | string | the last sequence given             | publish        | never         |
| approval:{decisions}:published       | hash   | shard -> last outbox id published   | publish        | never         |
| approval:{policy}:<environment>      | hash   | body, version, updated_by, _ms      | save_policy    | never         |

`<r>` is the hex SHA-256 of the subject: a subject can be anything, a key should not. No key has a TTL: what goes, goes
by a rule (`HARNESS_APPROVAL_RETENTION_DAYS`, `HARNESS_APPROVAL_DECISIONS_KEPT`).
"""

from __future__ import annotations

import hashlib
import zlib

DECISIONS_STREAM = "approval:{decisions}:stream"
DECISIONS_SEQUENCE = "approval:{decisions}:sequence"
DECISIONS_PUBLISHED = "approval:{decisions}:published"

# Never written: where what is no id of ours is looked up.
NOTHING = "approval:{a00}:nothing"

# "apr_" and two hex digits of shard.
_ID_HEAD = 6


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shard_for(run_id: str, request_id: str, shards: int) -> int:
    """The shard of a new approval: its run's, or, without a run, that of its request_id."""
    return zlib.crc32((run_id or request_id).encode()) % shards


def member(approval_id: str) -> str:
    """An approval as the indexes of its shard name it."""
    return approval_id[_ID_HEAD:]


def approval_id(shard: int, name: str) -> str:
    """The id of an index's member."""
    return f"apr_{shard:02x}{name}"


def _in(shard: int, rest: str) -> str:
    return f"approval:{{a{shard:02x}}}:{rest}"


def approval(shard: int, approval_id: str) -> str:
    """The approval itself."""
    return _in(shard, f"apr:{approval_id}")


def request(shard: int, request_id: str) -> str:
    """Which approval a request_id made."""
    return _in(shard, f"request:{_digest(request_id)}")


def due(shard: int) -> str:
    """What expires by itself, and when."""
    return _in(shard, "due")


def closed(shard: int) -> str:
    """What is over, since when."""
    return _in(shard, "closed")


def everything(shard: int) -> str:
    """All approvals."""
    return _in(shard, "all")


def in_state(shard: int, state: int) -> str:
    """Approvals in a state."""
    return _in(shard, f"state:{state}")


def by_requester(shard: int, requester: str, state: int | None = None) -> str:
    """Approvals somebody asked for, of all states or of one."""
    suffix = "" if state is None else f":{state}"
    return _in(shard, f"requester:{_digest(requester)}{suffix}")


def of_run(shard: int, run_id: str) -> str:
    """Approvals of a run."""
    return _in(shard, f"run:{run_id}")


def outbox(shard: int) -> str:
    """Decisions that are not published yet."""
    return _in(shard, "outbox")


def policy(environment: str) -> str:
    """The saved policy of an environment."""
    return f"approval:{{policy}}:{environment}"
