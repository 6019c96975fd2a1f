"""A real S3 server for tests (versitygw over a directory), and a proxy before it that fails on demand."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from services.backup.store.objects import ObjectRepository

BUILT = Path(__file__).parents[3] / ".build" / "bin" / "versitygw"
FOUND = shutil.which("versitygw") or (str(BUILT) if BUILT.exists() else "")
MUST_BE_THERE = bool(os.environ.get("CI")) and shutil.which("go") is not None
USER, PASSWORD = "test", "test-password"
_START_SECONDS = 30.0


@dataclass
class Bucket:
    """A bucket with a directory of its own."""

    folder: Path
    port: int

    def repository(self, *, port: int = 0, prefix: str = "backups") -> ObjectRepository:
        config = {
            "access_key_id": USER,
            "secret_access_key": PASSWORD,
            "region": "us-east-1",
            "endpoint": f"http://127.0.0.1:{port or self.port}",
        }
        return ObjectRepository(f"s3://bucket/{prefix}", config, allow_http=True)

    def objects(self) -> list[str]:
        """The names of all objects."""
        root = self.folder / "bucket"
        files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if path.parts[0] != ".sgwtmp")

    def unfinished(self) -> list[Path]:
        """The parts of uploads that were neither completed nor aborted."""
        return [path for path in (self.folder / "bucket" / ".sgwtmp").rglob("*") if path.is_file()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """A server over `folder` with an empty bucket."""
    (folder / "bucket").mkdir(parents=True)
    port = _free_port()
    command = [FOUND, "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(folder)]
    environment = {**os.environ, "ROOT_ACCESS_KEY": USER, "ROOT_SECRET_KEY": PASSWORD}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, "versitygw ended"
                    assert time.monotonic() < deadline, "versitygw did not start"
                    time.sleep(0.02)
            yield Bucket(folder, port)
        finally:
            process.terminate()


@dataclass
class Proxy:
    """Hands requests on to the server, but answers those that `fails` with an error of the storage."""

    port: int = 0
    fails: Callable[[str, str], bool] = lambda method, path: False
    status: int = 507
    failed: list[str] = field(default_factory=list)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    state = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if state.fails(self.command, self.path):
                state.failed.append(f"{self.command} {self.path}")
                self.send_response(state.status)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            upstream = http.client.HTTPConnection("127.0.0.1", target, timeout=30)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("content-length") if self.command == "HEAD" else str(len(data))
            self.send_header("content-length", length or "0")
            self.end_headers()
            self.wfile.write(data)
            upstream.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
