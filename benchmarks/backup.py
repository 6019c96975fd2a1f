"""Backup against the other ways to get data out of a Redis server: `python -m benchmarks.backup --keys 1000000`.

Prints one JSON object a line. Ratios come from rounds in which each way runs once, one after the other, so that
what else the machine does meets all of them. Targets (issue: backup and restore): `wall_vs_rdb` at most 1.25, with
verification of every frame; `speedup_vs_script` at least 3; `speedup_vs_scan` at least 5; `bytes_vs_rdb` at most 0.55;
`peak_mb` at most 128 plus twice the largest key (20 MB); `frames_gb_per_s` at least 1; `content_keys_per_s` at least
250,000; `restore_keys_per_s` at least 200,000.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis
from pydantic import SecretStr

from benchmarks.backup_data import PREFIXES, fill
from services.backup.archive import Level
from services.backup.job import JobControl
from services.backup.restore import RestoreHooks, Restorer
from services.backup.snapshot import BackupOrder, take_backup
from services.backup.store.local import LocalRepository
from services.backup.targets import TargetConfig
from services.backup.verify import verify_archive

_PORT: Final = 7392
_SCAN_BATCH: Final = 1000


class Server:
    """A redis-server of this environment, without persistence of its own, that streams without delay."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        self.folder, self.port = folder, port
        options = {"port": port, "dir": folder, "save": "", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([tool("redis-server"), *words, "--logfile", str(folder / "log")])
        self.client: Any = redis.Redis(port=port)
        while True:
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def config(port: int, prefixes: tuple[str, ...] = PREFIXES) -> TargetConfig:
    url = SecretStr(f"redis://127.0.0.1:{port}/0")
    return TargetConfig(url=url, prefixes=prefixes, restore_url=url, diskless=True)


def control() -> JobControl:
    return JobControl(lambda: time.time_ns() // 1_000_000)


def backup(archives: Path, port: int, name: str, prefixes: tuple[str, ...] = PREFIXES) -> Any:
    order = BackupOrder(name, "all", "benchmark", 1)
    return take_backup(order, config(port, prefixes), LocalRepository(archives), control())


def in_own_process(archives: Path, port: int, name: str) -> dict[str, float]:
    """One backup of all prefixes, alone in a process, and what it took without its start."""
    command = [sys.executable, "-m", "benchmarks.backup", "--one", str(archives), str(port), name]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def one(archives: str, port: str, name: str) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    backup(Path(archives), int(port), name)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": seconds, "peak_mb": used.ru_maxrss / 1024, "cpu": time.process_time() - cpu}))


def by_rdb(server: Server, out: Path) -> None:
    subprocess.run([tool("redis-cli"), "-p", str(server.port), "--rdb", str(out)], check=True, capture_output=True)


def by_script(server: Server, out: Path) -> None:
    """As the usual script does it: BGSAVE, wait, copy, pack, hash."""
    before = server.client.lastsave()
    time.sleep(1.0 - time.time() % 1.0)
    server.client.bgsave()
    while server.client.info("persistence")["rdb_bgsave_in_progress"] or server.client.lastsave() == before:
        time.sleep(0.05)
    shutil.copyfile(server.folder / "dump.rdb", out)
    packed = out.with_suffix(".tar.gz")
    subprocess.run(["tar", "-czf", str(packed), "-C", str(out.parent), out.name], check=True)
    hashlib.sha256(packed.read_bytes())


def by_scan(server: Server, out: Path) -> None:
    cursor: int = 0
    with out.open("wb") as file:
        while True:
            cursor, keys = server.client.scan(cursor, count=_SCAN_BATCH)
            pipe = server.client.pipeline(transaction=False)
            for key in keys:
                pipe.dump(key).pttl(key)
            file.writelines(part for part in pipe.execute() if isinstance(part, bytes))
            if not cursor:
                return


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(server: Server, folder: Path, keys: int, rounds: int) -> None:
    archives = folder / "archives"
    archives.mkdir()
    rdb = folder / "copy.rdb"
    ratios: dict[str, list[float]] = {"wall_vs_rdb": [], "speedup_vs_script": [], "speedup_vs_scan": []}
    peak = 0.0
    cpu: list[float] = []
    for number in range(rounds):
        plain = timed(lambda: by_rdb(server, rdb))
        ours = in_own_process(archives, server.port, f"bkp_{number}")
        ratios["wall_vs_rdb"].append(ours["seconds"] / plain)
        ratios["speedup_vs_script"].append(timed(lambda: by_script(server, folder / "script.rdb")) / ours["seconds"])
        ratios["speedup_vs_scan"].append(timed(lambda: by_scan(server, folder / "scan")) / ours["seconds"])
        peak = max(peak, ours["peak_mb"])
        cpu.append(ours["cpu"])
    size = (archives / "bkp_0.mhb").stat().st_size
    emit(
        "backup",
        keys,
        **{name: statistics.median(values) for name, values in ratios.items()},
        bytes_vs_rdb=size / rdb.stat().st_size,
        cpu_s=statistics.median(cpu),
        peak_mb=peak,
        rounds=rounds,
    )


def verify(folder: Path, keys: int) -> None:
    with LocalRepository(folder / "archives").open("bkp_0") as reader:
        seconds = {}
        for level in (Level.FRAMES, Level.FRAMES, Level.CONTENT):
            seconds[level] = timed(partial(verify_archive, reader, level, lambda *_: None))
        emit(
            "verify",
            keys,
            frames_gb_per_s=reader.size / 1e9 / seconds[Level.FRAMES],
            content_keys_per_s=reader.manifest.keys / seconds[Level.CONTENT],
        )


def restore(folder: Path, keys: int, port: int) -> None:
    """The first prefix into an empty server: the whole restore, with verification, staging, switch and count."""
    archives, prefix = folder / "archives", PREFIXES[0]
    target = Server(folder / "target", port)
    try:
        source = LocalRepository(archives).manifest("bkp_0")[0].prefixes[0]

        def before(on_staged: object) -> str:
            backup(archives, port, "bkp_before", (prefix,))
            return "bkp_before"

        hooks = RestoreHooks(take_pre_restore_backup=before, before_switch=lambda: None)
        work = Restorer("bkp_0", prefix, config(port, (prefix,)), LocalRepository(archives), control(), hooks)
        seconds = timed(work.run)
        again = backup(archives, port, "bkp_after", (prefix,)).manifest.prefixes[0]
        emit(
            "restore",
            keys,
            restore_keys_per_s=source.keys / seconds,
            digests_equal=again.digest == source.digest,
        )
    finally:
        target.stop()


def emit(what: str, keys: int, **figures: float | bool) -> None:
    rounded = {name: value if isinstance(value, bool) else round(value, 3) for name, value in figures.items()}
    print(json.dumps({"benchmark": f"backup.{what}", "keys": keys, **rounded}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=_PORT, help="and the next one")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(*options.one)
        return
    with tempfile.TemporaryDirectory(prefix="mhbench") as name:
        folder = Path(name)
        server = Server(folder / "source", options.port)
        try:
            fill(options.port, options.keys)
            compare(server, folder, options.keys, options.rounds)
            verify(folder, options.keys)
            restore(folder, options.keys, options.port + 1)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
