"""A worker process with the built-in agents: `python -m motherharness.agents --agents shell,files --root DIR`."""

import argparse
import logging
import os
import sys
from pathlib import Path

from motherharness.agents import NAMES, register
from motherharness.errors import HarnessError
from motherharness.worker import Worker


def main() -> int:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 the server refuses this worker, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m motherharness.agents", description=__doc__)
    parser.add_argument("--agents", default=",".join(NAMES), help="comma-separated, default %(default)s")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the directory they work in, default here")
    parser.add_argument("--concurrency", type=int, default=8, help="steps at the same time, default %(default)s")
    parser.add_argument("--drain-seconds", type=float, default=10.0, help="for steps in flight, default %(default)s")
    parser.add_argument("--worker-id", default="", help="default: host, process id and a random part")
    arguments = parser.parse_args()
    level = os.environ.get("HARNESS_LOG_LEVEL", "info").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    try:
        worker = Worker(
            worker_id=arguments.worker_id,
            concurrency=arguments.concurrency,
            drain=arguments.drain_seconds,
        )
        register(worker, arguments.root.resolve(), tuple(arguments.agents.split(",")))
    except ValueError as error:
        parser.error(str(error))
    try:
        worker.run_forever()
    except HarnessError as error:
        print(f"the server refuses this worker: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
