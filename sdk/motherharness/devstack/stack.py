"""The whole suite on one machine: Redis, the three services, the gateway and a worker, each a process of its own."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from motherharness.devstack.redis import (
    SERVICES,
    acl_lines,
    answers,
    configuration,
    find_redis_server,
    free_port,
    new_passwords,
    wipe,
)
from motherharness.guardian import Guardian
from motherharness.signing_keys import create
from motherharness.tokens import mint
from motherharness.transport import Connection

DEFAULT_PORTS = {"orchestrator": 50051, "approval": 50052, "backup": 50053, "gateway": 8000}
# What is stopped first must not miss what is stopped later.
STOP_ORDER = ("gateway", "worker", "orchestrator", "approval", "backup", "redis")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
TOKEN_TTL = 30 * 24 * 3600.0
IDENTITIES = {
    "alice": ("user",),
    "bob": ("approver",),
    "root": ("admin",),
    "worker": ("agent",),
}


class StackError(Exception):
    """A process did not come up, with the end of its log."""


class Stack:
    """Starts, kills, restarts and stops the processes. `with Stack() as stack:` cleans up.

    Args:
        home: where data, logs and archives go; default a temporary directory that is removed at the end.
        root: where the worker's agents work; default a directory in home.
        agents: of the worker, as in `python -m motherharness.agents --agents`; empty starts none.
        concurrency: steps the worker carries out at the same time.
        gateway: start the HTTP gateway, too.
        default_ports: listen on 50051 to 50053 and 8000 where these are free; otherwise on any free ports.
        environment: variables added for one process, by its name.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        root: Path | None = None,
        agents: str = "shell,files,http",
        concurrency: int = 8,
        gateway: bool = False,
        default_ports: bool = False,
        environment: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._temporary = home is None
        self.home = (home or Path(tempfile.mkdtemp(prefix="harness-"))).resolve()
        self.root = (root or self.home / "work").resolve()
        self.signing_keys = self.home / "keys"
        self.secret = secrets.token_urlsafe(48)
        self._agents = agents
        self._concurrency = concurrency
        self.servers = (*SERVICES, "gateway") if gateway else SERVICES
        self._environment = {name: dict(values) for name, values in (environment or {}).items()}
        self._passwords = new_passwords()
        self._guardian = Guardian()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        wanted = DEFAULT_PORTS if default_ports else dict.fromkeys(DEFAULT_PORTS, 0)
        # Chosen once: a service that restarts is found where it was.
        self.ports = {"redis": free_port(), **{name: free_port(port) for name, port in wanted.items()}}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def address(self, name: str) -> str:
        """Return the "host:port" of a service."""
        return f"127.0.0.1:{self.ports[name]}"

    def redis_url(self, user: str) -> str:
        """Return the Redis URL of a user: a service, "replica", "restore-<service>" or "operator"."""
        return f"redis://{user}:{self._passwords[user]}@127.0.0.1:{self.ports['redis']}/0"

    def token(self, subject: str, *roles: str, ttl: float = TOKEN_TTL) -> str:
        """Return a token; roles default to those of alice, bob, root and worker."""
        return mint(self.secret, subject, roles or IDENTITIES[subject], ttl=ttl)

    def connection(self, subject: str, *roles: str) -> Connection:
        """Return what a Client or Worker of somebody needs."""
        return Connection(
            orchestrator=self.address("orchestrator"),
            approval=self.address("approval"),
            backup=self.address("backup"),
            token=self.token(subject, *roles),
        )

    def client_environment(self, subject: str, *roles: str) -> dict[str, str]:
        """Return the variables that the CLI and Connection.from_env read."""
        return {
            "HARNESS_ORCHESTRATOR_ADDRESS": self.address("orchestrator"),
            "HARNESS_APPROVAL_ADDRESS": self.address("approval"),
            "HARNESS_BACKUP_ADDRESS": self.address("backup"),
            "HARNESS_TOKEN": self.token(subject, *roles),
        }

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.home / "logs" / f"{name}.log"

    def pid(self, name: str) -> int:
        """Return the process id of a process that was started."""
        return self._processes[name].pid

    def start(self) -> None:
        """Start everything; returns when the services serve.

        Raises:
            StackError: a process ended or was not ready in 30 s.
            RedisMissing: there is no redis-server.
        """
        for directory in (self.home / "logs", self.home / "redis", self.home / "backups", self.root):
            directory.mkdir(parents=True, exist_ok=True)
        # Made once: grants outlast a restart of what signed them.
        if not any(self.signing_keys.glob("*.pem")):
            create(self.signing_keys)
        self.launch("redis")
        for name in self.servers:
            self._spawn(name)
        for name in self.servers:
            self._await_ready(name)
        if self._agents:
            self._spawn("worker")

    def launch(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        self._spawn(name)
        self._await_ready(name)

    def kill(self, name: str) -> None:
        """End a process with SIGKILL, as a crash does."""
        process = self._processes[name]
        process.kill()
        process.wait()
        self._guardian.ended(process.pid)

    def restart(self, name: str) -> None:
        """Start a process again, after ending it politely if it runs."""
        self.terminate(name)
        self.launch(name)

    def terminate(self, name: str) -> int | None:
        """End a process with SIGTERM and return its exit code; SIGKILL after 15 s."""
        process = self._processes.get(name)
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
        if process.poll() is None:
            process.kill()
            process.wait()
        self._guardian.ended(process.pid)
        return process.returncode

    def stop(self) -> None:
        """End everything in order, and remove a temporary home."""
        for name in STOP_ORDER:
            self.terminate(name)
        self._guardian.close()
        if self._temporary:
            shutil.rmtree(self.home, ignore_errors=True)

    def lose_keys(self, service: str) -> int:
        """Delete all keys of a service, as an accident would; return how many there were."""
        return wipe(self.ports["redis"], self._passwords["operator"], f"{service}:*")

    def failed(self) -> list[str]:
        """Return the names of processes that were started and have ended."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def _command(self, name: str) -> list[str]:
        if name == "redis":
            directory = self.home / "redis"
            file = directory / "redis.conf"
            file.touch(mode=0o600)
            file.write_text(configuration(directory, self.ports["redis"], acl_lines(self._passwords)))
            return [find_redis_server().path, str(file)]
        if name == "worker":
            command = [sys.executable, "-m", "motherharness.agents", "--agents", self._agents]
            return [*command, "--root", str(self.root), "--concurrency", str(self._concurrency)]
        return [sys.executable, "-m", f"services.{name}"]

    def _variables(self, name: str) -> dict[str, str]:
        """Return the environment of a process: nothing of ours but where programs are, and what it is told."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if key in os.environ}
        if name == "redis":
            return kept
        if name == "worker":
            told = self.client_environment("worker")
        elif name == "gateway":
            # No secret: it passes on the tokens of its callers.
            told = {
                "HARNESS_ENVIRONMENT": "development",
                "HARNESS_LISTEN": self.address(name),
                "HARNESS_READY_FILE": str(self._ready_file(name)),
                "HARNESS_LOG_FORMAT": "json",
                **{f"HARNESS_{service.upper()}_ADDRESS": self.address(service) for service in SERVICES},
            }
        else:
            told = {
                "HARNESS_ENVIRONMENT": "development",
                "HARNESS_LISTEN": self.address(name),
                "HARNESS_READY_FILE": str(self._ready_file(name)),
                "HARNESS_REDIS_URL": self.redis_url(name),
                "HARNESS_JWT_SECRET": self.secret,
                "HARNESS_LOG_FORMAT": "json",
            }
        if name == "orchestrator":
            told["HARNESS_APPROVAL_ADDRESS"] = self.address("approval")
        if name == "approval":
            told["HARNESS_APPROVAL_SIGNING_KEYS"] = str(self.signing_keys)
        if name == "backup":
            told["HARNESS_BACKUP_DIRECTORY"] = str(self.home / "backups")
            told["HARNESS_BACKUP_TARGETS"] = json.dumps(self._backup_targets())
        return kept | told | self._environment.get(name, {})

    def _backup_targets(self) -> dict[str, dict[str, object]]:
        replica = self.redis_url("replica")
        targets: dict[str, dict[str, object]] = {
            name: {"url": replica, "prefixes": [f"{name}:"], "restore_url": self.redis_url(f"restore-{name}")}
            for name in ("orchestrator", "approval")
        }
        targets["all"] = {"url": replica, "prefixes": ["orchestrator:", "approval:"]}
        return targets

    def _ready_file(self, name: str) -> Path:
        return self.home / f"{name}.ready"

    def _spawn(self, name: str) -> None:
        self._ready_file(name).unlink(missing_ok=True)
        command, variables = self._command(name), self._variables(name)
        with self.log(name).open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches us, and we end them in order.
            self._processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,
            )
        # Nothing of it outlives us, however we end.
        self._guardian.started(self._processes[name].pid)

    def _await_ready(self, name: str) -> None:
        give_up = time.monotonic() + START_TIMEOUT
        while not self._is_ready(name):
            code = self._processes[name].poll()
            if code is not None:
                raise StackError(f"{name} ended with exit code {code} while starting:\n{self.end_of_log(name)}")
            if time.monotonic() > give_up:
                raise StackError(f"{name} was not ready in {START_TIMEOUT:g} s:\n{self.end_of_log(name)}")
            time.sleep(0.02)

    def _is_ready(self, name: str) -> bool:
        if name == "worker":
            return True
        if name == "redis":
            return answers(self.ports["redis"], self._passwords["operator"])
        return self._ready_file(name).exists()

    def end_of_log(self, name: str) -> str:
        """Return the last 20 lines of a process's log."""
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])
