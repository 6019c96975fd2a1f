"""Prometheus metrics of every RPC, under the names that dashboards for gRPC servers expect, and their endpoint."""

from __future__ import annotations

from grpc import StatusCode
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from services.runtime.errors import ConfigurationError

_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# Seconds; from a cached read to a long poll.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HANDLED = Counter("grpc_server_handled_total", "RPCs completed, by status code.", (*_LABELS, "grpc_code"))
LATENCY = Histogram("grpc_server_handling_seconds", "From receipt to completion of an RPC.", _LABELS, buckets=_BUCKETS)
IN_FLIGHT = Gauge("grpc_server_in_flight", "RPCs being served now.", _LABELS)
BACKGROUND_FAILURES = Counter("harness_background_failures_total", "Background tasks that failed.", ("task",))


class MethodMetrics:
    """The metrics of one method, with their labels looked up once."""

    def __init__(self, kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self._labels = labels
        self._latency = LATENCY.labels(*labels)
        self._in_flight = IN_FLIGHT.labels(*labels)
        self._handled = {StatusCode.OK: HANDLED.labels(*labels, StatusCode.OK.name)}

    def started(self) -> None:
        self._in_flight.inc()

    def finished(self, code: StatusCode, seconds: float) -> None:
        self._in_flight.dec()
        self._latency.observe(seconds)
        counter = self._handled.get(code)
        if counter is None:
            counter = self._handled[code] = HANDLED.labels(*self._labels, code.name)
        counter.inc()


class MetricsEndpoint:
    """`GET /metrics` on its own port, in a thread; port 0 takes a free one, see `port`.

    Raises:
        ConfigurationError: the address is not host:port, or in use.
    """

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), addr=host.strip("[]") or "127.0.0.1")
        except (ValueError, OverflowError, OSError) as exc:
            raise ConfigurationError(f"HARNESS_METRICS_LISTEN={listen} cannot be used: {exc}") from exc
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
