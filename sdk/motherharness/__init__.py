"""What callers import: an async Client, and a Worker to write agents with."""

from motherharness.circumstances import Circumstances
from motherharness.client import Client
from motherharness.context import StepContext
from motherharness.digest import digest
from motherharness.errors import HarnessError, RetryableError, StepFailure, TerminalError, Violation
from motherharness.transport import Connection
from motherharness.worker import Worker

__all__ = [
    "Circumstances",
    "Client",
    "Connection",
    "HarnessError",
    "RetryableError",
    "StepContext",
    "StepFailure",
    "TerminalError",
    "Violation",
    "Worker",
    "digest",
]
