"""Keeps the leases of a worker alive from a thread of its own, which a blocked event loop cannot starve."""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from harness.orchestrator.v1 import agent_pb2
from motherharness.errors import from_rpc
from motherharness.transport import CHANNEL_OPTIONS, Connection, backoff, new_request_id

logger = logging.getLogger(__name__)

LeaseKey = tuple[str, str, int]
# Quoted: generic in its type stubs only.
Beat: TypeAlias = "grpc.UnaryUnaryMultiCallable[Any, agent_pb2.HeartbeatStepsResponse]"
METHOD = "/harness.orchestrator.v1.AgentService/HeartbeatSteps"
MAX_TOKENS = 500
# Three tries fit into one lease, so that one lost heartbeat does not lose it.
BEATS_PER_LEASE = 3.0
DEFAULT_LEASE_SECONDS = 30.0
CALL_TIMEOUT = 5.0


def key_of(token: agent_pb2.LeaseToken) -> LeaseKey:
    """Return the token as something hashable."""
    return token.run_id, token.step_id, token.attempt


class Heart:
    """Heartbeats for every lease it is told to hold, until it is told to drop it.

    Args:
        connection: where the orchestrator is.
        worker_id: the worker that holds the leases.
        on_lost: called, from the heart's thread, with each lease the server says is no longer held.
    """

    def __init__(self, connection: Connection, worker_id: str, on_lost: Callable[[LeaseKey], None]) -> None:
        self._connection = connection
        self._worker_id = worker_id
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._held: dict[LeaseKey, float] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="harness-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; leases end by themselves."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=CALL_TIMEOUT + 1)

    def hold(self, lease: agent_pb2.StepLease) -> None:
        """Keep a lease alive from now on."""
        duration = lease.lease_duration.seconds + lease.lease_duration.nanos / 1e9 or DEFAULT_LEASE_SECONDS
        with self._lock:
            shorter = not self._held or duration < min(self._held.values())
            self._held[key_of(lease.token)] = duration
        if shorter:
            self._wake.set()

    def drop(self, key: LeaseKey) -> None:
        """Keep a lease alive no longer."""
        with self._lock:
            self._held.pop(key, None)

    def _run(self) -> None:
        credentials = self._connection.credentials()
        address = self._connection.orchestrator
        if credentials is None:
            channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        else:
            channel = grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
        beat: Beat = channel.unary_unary(
            METHOD,
            request_serializer=agent_pb2.HeartbeatStepsRequest.SerializeToString,
            response_deserializer=agent_pb2.HeartbeatStepsResponse.FromString,
        )
        failures = 0
        with channel:
            while not self._stopped:
                period = self._period()
                self._wake.wait(backoff(failures) if failures else period)
                if self._stopped:
                    return
                if self._wake.is_set():
                    # A first or shorter lease came: the wait that was under way may be too long for it.
                    self._wake.clear()
                    continue
                failures = 0 if self._beat(beat) else failures + 1

    def _period(self) -> float | None:
        with self._lock:
            return min(self._held.values()) / BEATS_PER_LEASE if self._held else None

    def _beat(self, beat: Beat) -> bool:
        """Extend all leases once; return whether the server answered."""
        with self._lock:
            keys = list(self._held)
        for start in range(0, len(keys), MAX_TOKENS):
            tokens = [
                agent_pb2.LeaseToken(run_id=run_id, step_id=step_id, attempt=attempt)
                for run_id, step_id, attempt in keys[start : start + MAX_TOKENS]
            ]
            request = agent_pb2.HeartbeatStepsRequest(worker_id=self._worker_id, tokens=tokens)
            metadata = self._connection.metadata(new_request_id())
            try:
                answer = beat(request, timeout=CALL_TIMEOUT, metadata=metadata)
            except grpc.RpcError as error:
                logger.warning("heartbeat failed, trying again: %s", from_rpc(error))
                return False
            for token in answer.lost:
                key = key_of(token)
                self.drop(key)
                self._on_lost(key)
        return True
