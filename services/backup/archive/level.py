"""How far an archive can be verified."""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    """Each level includes those before it."""

    FOOTER = 0
    """It begins, ends and is as long as it says, and its manifest is right."""
    FRAMES = 1
    """Every byte has the checksum that it was written with."""
    CONTENT = 2
    """Everything decrypts, decompresses and parses; counts, expiries and digests are those of the manifest."""
    SERVER = 3
    """A scratch server loads it and then holds exactly the values that it was made from."""
