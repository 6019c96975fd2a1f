"""The detectors' own tables: YAML files beside them, read once, at import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from services.approval.risk import scoring

VERSION = 1
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same values; libyaml's come ten times as fast


def load(name: str) -> dict[str, Any]:
    """A table by the name of its file. Raises ValueError for another version than this code reads."""
    data: dict[str, Any] = yaml.load((Path(__file__).parent / name).read_text("utf-8"), _LOADER)
    if data.get("version") != VERSION:
        raise ValueError(f"{name} has version {data.get('version')}, not {VERSION}")
    return data


def weight(name: str | None) -> int:
    """A weight by its name in `scoring`; none is 0. Raises ValueError for a name that is none."""
    if name is None:
        return 0
    if (value := {each.name: each.value for each in scoring.WEIGHTS}.get(name)) is None:
        raise ValueError(f"{name} is no weight")
    return value
