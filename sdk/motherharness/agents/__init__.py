"""Agents that do real work in a root directory: `shell`, `files` and `http`.

Each is a callable to register on a Worker, and `python -m motherharness.agents` is a worker process with them.
"""

from pathlib import Path

from motherharness.agents.files import FilesAgent
from motherharness.agents.http import HttpAgent
from motherharness.agents.shell import ShellAgent
from motherharness.worker import Worker

NAMES = ("shell", "files", "http")


def register(worker: Worker, root: Path, names: tuple[str, ...] = NAMES) -> None:
    """Register built-in agents on a worker.

    Args:
        root: the directory they work in and cannot leave.
        names: of "shell", "files", "http".

    Raises:
        ValueError: an unknown name, or the root is not a directory.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a directory")
    for name in names:
        if name == "shell":
            worker.agent(name)(ShellAgent(root))
        elif name == "files":
            worker.agent(name)(FilesAgent(root))
        elif name == "http":
            worker.agent(name)(HttpAgent())
        else:
            raise ValueError(f"no built-in agent {name!r}; there are {', '.join(NAMES)}")


__all__ = ["NAMES", "FilesAgent", "HttpAgent", "ShellAgent", "register"]
