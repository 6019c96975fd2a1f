"""What a job in its thread and the event loop share: progress going out, cancellation coming in."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from harness.backup.v1 import backup_pb2 as pb
from services.backup.failure import JobFailed


class JobControl:
    """Progress of one job.

    Written by its thread, read by anyone; every field is one assignment, so no lock is needed.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        """The service's Redis clock, in Unix milliseconds; callable from the job's thread only."""
        self._stop = threading.Event()
        self._shielded = False
        self._within: pb.Phase.ValueType | None = None
        self._progress = (pb.PHASE_UNSPECIFIED, 0, 0, 0)

    def enter(self, phase: pb.Phase.ValueType, total_keys: int = 0) -> None:
        """Begin a phase. JobFailed if the job is told to stop."""
        self.check()
        self._progress = (phase if self._within is None else self._within, 0, 0, total_keys)

    @contextlib.contextmanager
    def within(self, phase: pb.Phase.ValueType) -> Iterator[None]:
        """Show this one phase while a part of the job goes through phases of its own."""
        self.enter(phase)
        self._within = phase
        try:
            yield
        finally:
            self._within = None

    def report(self, keys: int, size: int) -> None:
        """Set what this phase has done. JobFailed if the job is told to stop."""
        self.check()
        phase, _, _, total = self._progress
        self._progress = (phase, keys, size, total)

    def check(self) -> None:
        """JobFailed if the job is told to stop."""
        if self._stop.is_set() and not self._shielded:
            raise JobFailed("SHUTTING_DOWN", "the backup service is shutting down; ask again when it is back")

    def stop(self) -> None:
        """Tell the job to stop at its next report."""
        self._stop.set()

    def shield(self) -> None:
        """From now on go on to the end, even if told to stop."""
        self._shielded = True

    def progress(self) -> pb.Progress:
        phase, keys, size, total = self._progress
        return pb.Progress(phase=phase, keys=keys, bytes=size, total_keys=total)
