"""How a service process starts: `services/<name>/__main__.py` calls `run_service` and nothing else.

Exit codes: 0 after a drain, 2 for settings or an environment that it cannot start with, 1 for a defect.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

import structlog
import uvloop

from services.runtime.errors import ConfigurationError
from services.runtime.logs import configure_logging
from services.runtime.settings import ServiceSettings, load_settings

S = TypeVar("S", bound=ServiceSettings)

EXIT_DEFECT, EXIT_CONFIGURATION = 1, 2


def run_service(
    name: str, settings_cls: type[S], main: Callable[[S], Awaitable[None]], argv: Sequence[str] | None = None
) -> NoReturn:
    """Read the settings, set up logs, run `main(settings)` in a fresh event loop, and exit.

    Args:
        name: of the service, in logs and `--help`.
        settings_cls: its settings.
        main: connects its stores and calls `serve`; returns after the drain.
        argv: the arguments; by default those of the process. `--print-config` prints the settings, secrets masked.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description=f"The {name} service. Settings come from HARNESS_* variables.",
    )
    parser.add_argument("--print-config", action="store_true", help="print the settings as JSON, secrets masked")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(settings_cls)
    except ConfigurationError as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION)
    if arguments.print_config:
        print(json.dumps(settings.masked(), indent=2))
        sys.exit(0)
    configure_logging(name, level=settings.log_level, log_format=settings.log_format)
    log = structlog.get_logger(__name__)

    async def run() -> None:
        await main(settings)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except ConfigurationError as exc:
        log.error("cannot_start", reason=str(exc))
        sys.exit(EXIT_CONFIGURATION)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as exc:
        log.critical("crashed", exc_info=exc)
        sys.exit(EXIT_DEFECT)
    sys.exit(0)
