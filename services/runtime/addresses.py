"""Where a process listens: what others dial to reach it, and the file that tells them."""

from __future__ import annotations

import os
from pathlib import Path

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def dialable(address: str) -> str:
    """The address as somebody on this machine dials it: a wildcard becomes the loopback address."""
    host, colon, port = address.rpartition(":")
    return address if address.startswith("unix:") else f"{_WILDCARDS.get(host, host)}{colon}{port}"


def is_local(listen: str) -> bool:
    """True when nobody on another machine can reach the address."""
    return listen.startswith(("unix:", "127.", "localhost:", "[::1]:"))


def announce(file: Path, address: str) -> None:
    """Write the dialable address to the file; whoever waits for the file never reads half of it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(dialable(address), encoding="ascii")
    temporary.replace(file)
