"""An embedded Redis for one machine: the server on the PATH, else the one that came with this environment."""

import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_VERSION = (6, 2)
SERVICES = ("orchestrator", "approval", "backup")
# Run as a process of its own, for the rules belong to the services: what each needs, and nothing more.
ACL_PROGRAM = """
import json, sys
from services.runtime.acl import acl_line, acl_rule, replication_rule, restore_rule
passwords = json.load(sys.stdin)
for name in ("orchestrator", "approval", "backup"):
    print(acl_line(name, acl_rule(name, passwords[name])))
print(acl_line("replica", replication_rule(passwords["replica"])))
for name in ("orchestrator", "approval"):
    print(acl_line("restore-" + name, restore_rule([name], passwords["restore-" + name])))
"""
USERS = (*SERVICES, "replica", "restore-orchestrator", "restore-approval", "operator")


class RedisMissing(Exception):
    """There is no redis-server that is new enough."""


@dataclass(frozen=True)
class Candidate:
    """A redis-server found on this machine."""

    path: str
    version: tuple[int, ...]


def find_redis_server() -> Candidate:
    """Return the first redis-server of version 6.2 or later: on the PATH, then beside this Python.

    Raises:
        RedisMissing: saying where was looked and what to do.
    """
    places = [shutil.which("redis-server"), str(Path(sys.executable).parent / "redis-server")]
    found = []
    for place in places:
        if place is None or not Path(place).exists():
            continue
        answer = subprocess.run([place, "--version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer)
        version = tuple(int(part) for part in match.groups()) if match else (0,)
        if version >= MIN_VERSION:
            return Candidate(place, version)
        found.append(f"{place} is {'.'.join(map(str, version))}")
    looked = "; ".join(found) or "none on the PATH and none beside " + sys.executable
    raise RedisMissing(f"no redis-server 6.2 or later: {looked}. Run `make setup`, or install Redis")


def new_passwords() -> dict[str, str]:
    """Return a fresh password for each Redis user."""
    return {user: secrets.token_urlsafe(24) for user in USERS}


def acl_lines(passwords: Mapping[str, str]) -> list[str]:
    """Return the `user` lines of the configuration: a user a service, each confined to its own keys."""
    answer = subprocess.run(
        [sys.executable, "-c", ACL_PROGRAM],
        input=json.dumps(dict(passwords)),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise RuntimeError(f"the services' Redis rules cannot be read: {answer.stderr.strip()}")
    operator = f"user operator on >{passwords['operator']} ~* &* +@all"
    return ["user default off", *answer.stdout.splitlines(), operator]


def configuration(directory: Path, port: int, users: Sequence[str]) -> str:
    """Return a configuration that loses at most a second of writes when the machine stops, none when Redis does."""
    return "\n".join(
        [
            "bind 127.0.0.1",
            f"port {port}",
            f'dir "{directory}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            'save ""',
            *users,
            "",
        ]
    )


def free_port(preferred: int = 0) -> int:
    """Return the preferred port if nothing listens there, else one that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As servers do: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port")


def answers(port: int, password: str) -> bool:
    """Whether the server has loaded its data and serves the operator."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH operator {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                received = connection.recv(1024)
                if not received:
                    break
                answer += received
    except OSError:
        return False
    return answer.endswith(b"+PONG\r\n")


WIPE = (
    "local cursor, count = '0', 0 repeat local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 500) "
    "cursor = page[1] for _, key in ipairs(page[2]) do count = count + redis.call('UNLINK', key) end "
    "until cursor == '0' return count"
)


def wipe(port: int, password: str, pattern: str) -> int:
    """Delete every key that matches, and return how many there were: the accident that backups are for."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f'AUTH operator {password}\r\nEVAL "{WIPE}" 0 {pattern}\r\n'.encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            received = connection.recv(1024)
            if not received:
                break
            answer += received
    count = answer.split(b"\r\n")[1]
    if not count.startswith(b":"):
        raise RuntimeError(f"Redis answered {answer.decode(errors='replace')}")
    return int(count[1:])
