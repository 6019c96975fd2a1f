"""What HTTP costs beside gRPC: `python -m benchmarks.gateway --seconds 20`.

Starts a stack of its own (Redis, the three services, the gateway), then measures and prints a JSON object for each
measure, one a line. Other work on the machine changes every figure; those of one line were taken in turns, so that
their ratios hold.

- "alone": GetProject, one call after the other, over gRPC and over HTTP in turns. `overhead_p50_ms` is the difference
  of the medians; `gateway_cpu_ms` is the processor time of the gateway by call.
- "throughput": the same call from `concurrency` callers, first over gRPC, then over HTTP, in turns. Both callers are
  in this process, whose own work limits both.
- "watchers": so many event streams of one run, opened and then ended by a cancellation. `opened_s` is until all have
  their first event; `delivered_p50_ms` and `delivered_p99_ms` are from the call of CancelRun to a stream's last event;
  `gateway_kb_per_stream` is what the gateway's memory grew by.

`--against http://host:port` measures another gateway in front of the same services in place of ours: start it within
`--wait` seconds of the line "services", which has their addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import psutil

from motherharness import Client
from motherharness.devstack import Stack

TURNS = 8
WARM_UP_CALLS = 200
LIMIT = 120.0
_HEAD_END = b"\r\n\r\n"

Call = Callable[[], Awaitable[None]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="for calls, in all; default %(default)s")
    parser.add_argument("--concurrency", type=int, default=32, help="callers at the same time, default %(default)s")
    parser.add_argument("--watchers", type=int, default=1000, help="event streams, default %(default)s; 0 for none")
    parser.add_argument("--against", default="", help="http://host:port of another gateway; default ours")
    parser.add_argument("--wait", type=float, default=10.0, help="seconds to start the other one in")
    arguments = parser.parse_args()
    with Stack(agents="", gateway=True) as stack:
        return asyncio.run(measure(stack, arguments))


async def measure(stack: Stack, arguments: argparse.Namespace) -> int:
    """Measure everything, one line each."""
    parameters = {
        "seconds": arguments.seconds,
        "concurrency": arguments.concurrency,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "gateway": arguments.against or "ours",
    }
    address = stack.address("gateway")
    gateway = psutil.Process(stack.pid("gateway")) if not arguments.against else None
    if arguments.against:
        show("services", {name: stack.address(name) for name in ("orchestrator", "approval", "backup")}, {})
        await asyncio.sleep(arguments.wait)
        address = arguments.against.removeprefix("http://").rstrip("/")
    async with Client(stack.connection("alice"), timeout=LIMIT) as client:
        project = (await client.create_project("benchmark")).id
        http = Http(address, stack.token("alice"))

        async def over_grpc() -> None:
            await client.get_project(project)

        over_http = http.getter(f"/v1/projects/{project}")
        for call in (over_grpc, over_http):
            for _ in range(WARM_UP_CALLS):
                await call()
        share = arguments.seconds / 2
        show("alone", await alone(over_grpc, over_http, share, gateway), parameters)
        callers = [http.getter(f"/v1/projects/{project}") for _ in range(arguments.concurrency)]
        show(
            "throughput",
            await throughput([over_grpc] * arguments.concurrency, callers, share, gateway),
            parameters,
        )
        if arguments.watchers:
            task = (await client.create_task(project, "wait", plan={"steps": [{"id": "s", "agent": "nobody"}]})).id
            run = (await client.start_run(task)).id
            show("watchers", await watchers(client, http, run, arguments.watchers, gateway), parameters)
    return 0


def show(name: str, found: dict[str, object], parameters: dict[str, object]) -> None:
    print(json.dumps({"benchmark": "gateway", "measure": name, **found, **parameters}), flush=True)


class Http:
    """The least that a client of HTTP/1.1 can do, so that the client is not what is measured."""

    def __init__(self, address: str, token: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._token = token

    def getter(self, path: str) -> Call:
        """A caller with a connection of its own, kept open."""
        request = self._request(path, "application/json")
        connection: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        async def get() -> None:
            if not connection:
                connection.append(await self._connect())
            reader, writer = connection[0]
            writer.write(request)
            head = (await reader.readuntil(_HEAD_END)).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(head.decode())
            if b"transfer-encoding: chunked" in head:
                while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                    await reader.readexactly(size + 2)
            else:
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))

        return get

    async def events(self, path: str, first: Callable[[], None]) -> float:
        """Read an event stream to its end, and return when its last event came; tells of the first."""
        reader, writer = await self._connect()
        writer.write(self._request(path, "text/event-stream"))
        await reader.readuntil(b"data: ")
        first()
        last = 0.0
        while line := await reader.readline():
            if line.startswith(b'data: {"event"'):
                last = time.perf_counter()
            elif line.startswith(b"event: end"):
                break
        writer.close()
        return last

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, int(self._port))

    def _request(self, path: str, accept: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._host}", f"Authorization: Bearer {self._token}"]
        return "\r\n".join([*lines, f"Accept: {accept}", "", ""]).encode()


async def alone(over_grpc: Call, over_http: Call, seconds: float, gateway: psutil.Process | None) -> dict[str, object]:
    """One call after the other, in turns."""
    took: dict[str, list[float]] = {"grpc": [], "http": []}
    cpu = 0.0
    for turn in range(TURNS * 2):
        name, call = (("grpc", over_grpc), ("http", over_http))[turn % 2]
        before, end = cpu_seconds(gateway), time.perf_counter() + seconds / (TURNS * 2)
        while time.perf_counter() < end:
            began = time.perf_counter()
            await call()
            took[name].append((time.perf_counter() - began) * 1000)
        cpu += cpu_seconds(gateway) - before if name == "http" else 0.0
    found: dict[str, object] = {}
    for name, values in took.items():
        found |= {
            f"{name}_p50_ms": round(statistics.median(values), 3),
            f"{name}_p99_ms": round(percentile(values, 0.99), 3),
        }
    found["overhead_p50_ms"] = round(statistics.median(took["http"]) - statistics.median(took["grpc"]), 3)
    if gateway is not None:
        found["gateway_cpu_ms"] = round(cpu / len(took["http"]) * 1000, 3)
    return found | {"samples": len(took["http"])}


async def throughput(
    over_grpc: Sequence[Call], over_http: Sequence[Call], seconds: float, gateway: psutil.Process | None
) -> dict[str, object]:
    """Many callers at the same time, in turns."""
    done, spent, cpu = {"grpc": 0, "http": 0}, {"grpc": 0.0, "http": 0.0}, 0.0
    for turn in range(TURNS):
        name, callers = (("grpc", over_grpc), ("http", over_http))[turn % 2]
        before, began = cpu_seconds(gateway), time.perf_counter()
        done[name] += sum(await asyncio.gather(*(repeat(call, began + seconds / TURNS) for call in callers)))
        spent[name] += time.perf_counter() - began
        cpu += cpu_seconds(gateway) - before if name == "http" else 0.0
    found: dict[str, object] = {f"{name}_per_s": round(done[name] / spent[name], 1) for name in done}
    if gateway is not None:
        found["gateway_cpu_ms"] = round(cpu / done["http"] * 1000, 3)
    return found


async def repeat(call: Call, end: float) -> int:
    """Call until the time is up; return how often."""
    count = 0
    while time.perf_counter() < end:
        await call()
        count += 1
    return count


async def watchers(
    client: Client, http: Http, run: str, number: int, gateway: psutil.Process | None
) -> dict[str, object]:
    """Open so many streams of a run, end it, and see when each hears of it."""
    before = gateway.memory_info().rss if gateway else 0
    opened, all_open = 0, asyncio.Event()

    def first() -> None:
        nonlocal opened
        opened += 1
        if opened == number:
            all_open.set()

    began = time.perf_counter()
    watching = [asyncio.ensure_future(http.events(f"/v1/runs/{run}:watch", first)) for _ in range(number)]
    async with asyncio.timeout(LIMIT):
        await all_open.wait()
        opened_s = time.perf_counter() - began
        grown = (gateway.memory_info().rss - before) / 1024 / number if gateway else 0.0
        cancelled = time.perf_counter()
        await client.cancel_run(run)
        took = [(last - cancelled) * 1000 for last in await asyncio.gather(*watching)]
    found: dict[str, object] = {
        "watchers": number,
        "opened_s": round(opened_s, 2),
        "delivered_p50_ms": round(statistics.median(took), 1),
        "delivered_p99_ms": round(percentile(took, 0.99), 1),
    }
    return found | ({"gateway_kb_per_stream": round(grown, 1)} if gateway else {})


def cpu_seconds(process: psutil.Process | None) -> float:
    """Return the processor time that a process has used so far."""
    if process is None:
        return 0.0
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
