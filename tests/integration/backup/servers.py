"""Real Redis servers for the tests of backup and restore, each in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

from services.runtime.acl import acl_line, acl_rule

# The least that a source and a restore need; the service's own user is the one that every service gets.
ACL = "\n".join(
    (
        "user default off",
        "user admin on >admin ~* &* +@all",
        "user source on >source resetchannels -@all +psync +replconf +ping",
        "user restore-orchestrator on >restore resetchannels ~orchestrator:* -@all"
        " +restore +rename +unlink +exists +time +ping",
        acl_line("backup", acl_rule("backup", "backup")),
        "",
    )
)


def server_binary() -> str:
    """HARNESS_TEST_REDIS_SERVER, to test against another version; else the one beside this Python, or on the PATH."""
    chosen = os.environ.get("HARNESS_TEST_REDIS_SERVER")
    if chosen:
        return chosen
    bundled = Path(sys.executable).parent / "redis-server"
    return str(bundled) if bundled.exists() else shutil.which("redis-server") or "redis-server"


@dataclass
class RedisServer:
    """One redis-server process; `options` are command line options without their dashes."""

    folder: Path
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        (self.folder / "users.acl").write_text(ACL)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "aclfile": str(self.folder / "users.acl"),
            "logfile": str(self.folder / "log"),
            **self.options,
        }
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([server_binary(), *flags], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                if self.client().ping():
                    return
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(20)
        self._process = None

    def url(self, user: str, password: str, db: int = 0) -> str:
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/{db}"

    @property
    def source_url(self) -> str:
        return self.url("source", "source")

    @property
    def restore_url(self) -> str:
        return self.url("restore-orchestrator", "restore")

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, username="admin", password="admin", socket_timeout=20)
