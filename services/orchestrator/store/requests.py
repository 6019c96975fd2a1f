"""What a request_id has made before (AIP-155)."""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

from google.protobuf.message import Message
from redis.asyncio import Redis

from services.runtime.errors import AlreadyExists


def fingerprint(request: Message) -> str:
    """Return what tells two requests apart: a hash of all fields but request_id."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


async def earlier(redis: Redis, key: str, mark: str) -> str | None:
    """Return the id that the same request made, or None. Raises AlreadyExists if the request id made something else."""
    row: list[Any] = await redis.hmget(key, ["id", "fingerprint"])
    if row[0] is None:
        return None
    identifier: str = row[0].decode()
    if row[1].decode() != mark:
        refuse(identifier)
    return identifier


def refuse(identifier: str) -> NoReturn:
    """Raise AlreadyExists: the request id was used with other content."""
    raise AlreadyExists(
        "REQUEST_ID_REUSED",
        f"this request_id made {identifier} from a different request; use a new request_id for new content",
        id=identifier,
    )
