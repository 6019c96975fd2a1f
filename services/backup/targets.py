"""What can be backed up: named Redis servers with the key prefixes that belong together."""

from __future__ import annotations

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

STAGING: Final = "~restore:"
"""Behind a prefix, where a restore writes keys before it switches them into place.

Snapshots leave such keys out.
"""

_PREFIX = re.compile(r"[^\x00-\x20*?\[\]\\~{}]{1,128}")


class TargetConfig(BaseModel):
    """One target.

    `url` is the server to take snapshots from; its user needs `+psync +replconf +ping`. `restore_url` is the
    server to write to, with a user confined to the one prefix; a target without it cannot be restored.
    `diskless`: let the server stream without using its disk (slower to begin).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    prefixes: tuple[str, ...] = Field(min_length=1)
    restore_url: SecretStr | None = None
    diskless: bool = False

    @field_validator("prefixes")
    @classmethod
    def _separate(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for place, prefix in enumerate(prefixes):
            if not _PREFIX.fullmatch(prefix):
                raise ValueError(f"{prefix!r} cannot be a prefix: 1 to 128 characters, no blanks, none of *?[]\\~{{}}")
            if any(other.startswith(prefix) for other in prefixes[:place] + prefixes[place + 1 :]):
                raise ValueError(f"prefix {prefix!r} contains another of the same target")
        return prefixes

    @property
    def restorable(self) -> bool:
        return self.restore_url is not None and len(self.prefixes) == 1

    def overlaps(self, other: TargetConfig) -> bool:
        """Whether the two may hold the same keys, judged by prefix alone: the same server can have many
        addresses."""
        return any(a.startswith(b) or b.startswith(a) for a in self.prefixes for b in other.prefixes)


TARGET_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


def check_names(targets: dict[str, TargetConfig]) -> dict[str, TargetConfig]:
    """ValueError if a target's name is not one that the contract can carry."""
    for name in targets:
        if not TARGET_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a target's name: small letters, digits and hyphens, a letter first")
    return targets
