"""How long something may take that must end: a bound on what could grow without end, not a measurement.

How long it does take is measured by the benchmarks; a test that times is wrong whenever the machine is busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 20.0  # of this process's time; ten times what the slowest of these takes on a busy machine


@contextmanager
def ends() -> Iterator[None]:
    """Fails when what is inside used more than SECONDS of this process's time."""
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS
