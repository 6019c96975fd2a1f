"""A small blocking Redis connection for job threads.

redis-py restores 70,000 keys a second where packed pipelines on a plain socket restore 200,000, and it has no
way to speak the replication protocol; the event loop's clients stay redis-py.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

import hiredis
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from services.backup.failure import JobFailed

TIMEOUT_S: Final = 60.0
"""Longest silence of a server. Redis' own `repl-timeout` is 60 s."""

Argument = bytes | str | int


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


def open_socket(url: str, timeout: float = TIMEOUT_S) -> tuple[socket.socket, dict[str, Any]]:
    """Connect to a redis://, rediss:// or unix:// URL. Returns the socket and the URL's parts.

    JobFailed if nobody answers.
    """
    options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    kind = options.get("connection_class")
    try:
        if kind is not None and issubclass(kind, UnixDomainSocketConnection):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            sock.connect(options["path"])
            return sock, options
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        sock = socket.create_connection((host, port), timeout=min(timeout, 10.0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind is not None and issubclass(kind, SSLConnection):
            sock = _tls(options).wrap_socket(sock, server_hostname=host)
        sock.settimeout(timeout)
        return sock, options
    except OSError as error:
        raise JobFailed("SERVER_UNREACHABLE", f"cannot connect to the target's Redis server: {error}") from error


def auth_command(options: dict[str, Any]) -> list[Argument] | None:
    """The AUTH command for a URL's user and password, None if it has none."""
    if not options.get("password"):
        return None
    return ["AUTH", *([options["username"]] if options.get("username") else []), options["password"]]


def pack(args: Sequence[Argument]) -> bytes:
    """One command in the wire format."""
    packed: bytes = hiredis.pack_command(tuple(args))  # type: ignore[arg-type]
    return packed


class Connection:
    """One connection, logged in and with its database selected. Not thread-safe. Use as a context manager."""

    def __init__(self, url: str, timeout: float = TIMEOUT_S) -> None:
        self._sock, options = open_socket(url, timeout)
        self._reader = hiredis.Reader()
        login = auth_command(options)
        try:
            if login is not None:
                self.command(*login)
            if options.get("db"):
                self.command("SELECT", options["db"])
        except JobFailed:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def _reply(self) -> Any:
        while True:
            reply = self._reader.gets()
            if reply is not False:
                return reply
            data = self._sock.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)

    def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send all, then read all replies; an error reply is an item of the result.

        JobFailed if the connection breaks.
        """
        try:
            self._sock.sendall(b"".join(map(pack, commands)))
            return [self._reply() for _ in commands]
        except (OSError, hiredis.ProtocolError) as error:
            raise JobFailed("CONNECTION_LOST", f"the connection to the target's Redis server broke: {error}") from error

    def command(self, *args: Argument) -> Any:
        """Run one command. JobFailed for an error reply too."""
        (reply,) = self.pipeline([args])
        if isinstance(reply, hiredis.ReplyError):
            raise JobFailed(refusal_reason(str(reply)), f"the target's Redis server refused {args[0]!s}: {reply}")
        return reply


def refusal_reason(error: str) -> str:
    """The stable reason for a server's error reply."""
    word = error.split(" ", 1)[0]
    return {
        "NOAUTH": "AUTHENTICATION_FAILED",
        "WRONGPASS": "AUTHENTICATION_FAILED",
        "NOPERM": "PERMISSION_MISSING",
        "OOM": "TARGET_OUT_OF_MEMORY",
        "READONLY": "TARGET_READ_ONLY",
        "LOADING": "SERVER_LOADING",
        "NOMASTERLINK": "REPLICA_NOT_SYNCED",
    }.get(word, "SERVER_REFUSED")
