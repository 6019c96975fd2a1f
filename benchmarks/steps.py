"""How fast steps go through the real processes: `python -m benchmarks.steps --seconds 30`.

Starts a stack of its own (Redis, the three services, a worker with an agent that does nothing), then measures two
things and prints a JSON object for each, one a line:

- "alone": single-step runs one after the other. `p50_ms` and `p99_ms` are from the call of StartRun until the caller
  has seen the run's end; `step_p50_ms` and `step_p99_ms` are the part from the step being ready to its recorded
  outcome, by the server's clock, which counts whole milliseconds.
- "throughput": `runs` tasks of `steps` steps in a chain, all under way at the same time and started again whenever
  they end. `steps_per_s` counts the steps of runs that ended in the measured time; `cpu_ms_per_step` is the processor
  time that each process used in it, by step.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

from harness.orchestrator.v1 import run_pb2
from motherharness import Client, StepContext, Worker
from motherharness.devstack import Stack

AGENT = "noop"
PROCESSES = ("redis", "orchestrator", "approval", "backup")
# Of the time given: the rest is for the throughput.
SHARE_ALONE = 0.3
SHARE_WARM_UP = 0.1
# Longer than any run takes; ends a measurement of something that hangs.
LIMIT = 60.0


def main() -> int:
    """Measure and print. Exit code 1 means that a run did not complete."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="to measure in all, default %(default)s")
    parser.add_argument("--runs", type=int, default=32, help="at the same time, default %(default)s")
    parser.add_argument("--steps", type=int, default=20, help="of each run, default %(default)s")
    parser.add_argument("--concurrency", type=int, default=64, help="of the worker, default %(default)s")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.concurrency)
        return 0
    with Stack(agents="") as stack, worker_process(stack, arguments.concurrency) as worker:
        return asyncio.run(measure(stack, worker, arguments))


def work(concurrency: int) -> None:
    """Be the worker."""
    worker = Worker(concurrency=concurrency)

    @worker.agent(AGENT)
    async def noop(context: StepContext) -> None:
        """Do nothing, and return nothing that would have to be assessed."""

    worker.run_forever()


@contextmanager
def worker_process(stack: Stack, concurrency: int) -> Iterator[psutil.Process]:
    """Run the worker as a process."""
    command = [sys.executable, "-m", "benchmarks.steps", "--worker", "--concurrency", str(concurrency)]
    process = subprocess.Popen(command, env=os.environ | stack.client_environment("worker"))
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


async def measure(stack: Stack, worker: psutil.Process, arguments: argparse.Namespace) -> int:
    """Measure both things and print them."""
    processes = {name: psutil.Process(stack.pid(name)) for name in PROCESSES}
    processes |= {"worker": worker, "client": psutil.Process()}
    parameters = {
        "seconds": arguments.seconds,
        "runs": arguments.runs,
        "steps": arguments.steps,
        "concurrency": arguments.concurrency,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    async with Client(stack.connection("alice"), timeout=LIMIT) as client:
        project = (await client.create_project("benchmark")).id
        alone = await measure_alone(client, project, arguments.seconds * SHARE_ALONE)
        print(json.dumps({"benchmark": "steps", "measure": "alone", **alone, **parameters}), flush=True)
        load = Load(client, arguments.runs, arguments.steps)
        throughput = await load.measure(project, arguments.seconds * (1 - SHARE_ALONE), processes)
        print(json.dumps({"benchmark": "steps", "measure": "throughput", **throughput, **parameters}), flush=True)
        return 1 if load.incomplete or not throughput["steps_per_s"] else 0


def chain(length: int) -> dict[str, object]:
    """Return a plan of steps that follow one another."""
    steps = [
        {"id": f"s{number}", "agent": AGENT, "depends_on": [f"s{number - 1}"] if number else []}
        for number in range(length)
    ]
    return {"steps": steps}


async def measure_alone(client: Client, project: str, seconds: float) -> dict[str, object]:
    """Run a task of one step again and again with nothing beside it."""
    task = (await client.create_task(project, "nothing", plan=chain(1))).id
    whole: list[float] = []
    step: list[float] = []
    warm = time.perf_counter() + seconds * SHARE_WARM_UP
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not whole:
        began = time.perf_counter()
        run = await client.start_run(task)
        ready = took = 0.0
        async for event in client.watch_run(run.id, patience=LIMIT):
            at = event.time.ToNanoseconds() / 1e6
            if event.type == run_pb2.EVENT_TYPE_STEP_READY:
                ready = at
            elif event.type == run_pb2.EVENT_TYPE_STEP_COMPLETED:
                took = at - ready
        elapsed = (time.perf_counter() - began) * 1000
        if time.perf_counter() > warm:
            whole.append(elapsed)
            step.append(took)
    return {
        "p50_ms": round(statistics.median(whole), 2),
        "p99_ms": round(percentile(whole, 0.99), 2),
        "step_p50_ms": round(statistics.median(step), 2),
        "step_p99_ms": round(percentile(step, 0.99), 2),
        "samples": len(whole),
    }


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Load:
    """Many runs at the same time."""

    def __init__(self, client: Client, runs: int, steps: int) -> None:
        self._client = client
        self._runs = runs
        self._steps = steps
        self._before_last = 0
        self._stopping = False
        self.completed = 0
        self.incomplete = 0

    async def measure(self, project: str, seconds: float, processes: Mapping[str, psutil.Process]) -> dict[str, object]:
        """Keep the load up for so long and say what it came to."""
        plan = chain(self._steps)
        tasks = [(await self._client.create_task(project, "nothing", plan=plan)).id for _ in range(self._runs)]
        first = (await self._client.start_run(tasks[0])).id
        events = [event async for event in self._client.watch_run(first, patience=LIMIT)]
        # All runs have as many events. Watching only the last one keeps the caller from being what is measured.
        self._before_last = len(events) - 1
        drivers = [asyncio.create_task(self._keep_running(task)) for task in tasks]
        await asyncio.sleep(seconds * SHARE_WARM_UP)
        began, done, before = time.perf_counter(), self.completed, cpu_seconds(processes)
        await asyncio.sleep(seconds * (1 - SHARE_WARM_UP))
        elapsed, steps = time.perf_counter() - began, (self.completed - done) * self._steps
        after = cpu_seconds(processes)
        self._stopping = True
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*drivers)
        spent = {name: (after[name] - before[name]) * 1000 for name in processes}
        return {
            "steps_per_s": round(steps / elapsed, 1),
            "cpu_ms_per_step": {name: round(spent[name] / steps, 3) if steps else None for name in processes},
            "completed_steps": steps,
        }

    async def _keep_running(self, task: str) -> None:
        while not self._stopping:
            run = await self._client.start_run(task)
            async for event in self._client.watch_run(run.id, after_sequence=self._before_last, patience=LIMIT):
                if event.type == run_pb2.EVENT_TYPE_RUN_TERMINATED and event.data["reason"] == "completed":
                    self.completed += 1
                else:
                    self.incomplete += 1


def cpu_seconds(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the processor time that each process has used so far."""
    times = {name: process.cpu_times() for name, process in processes.items()}
    return {name: spent.user + spent.system for name, spent in times.items()}


if __name__ == "__main__":
    sys.exit(main())
