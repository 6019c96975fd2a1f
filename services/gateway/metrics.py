"""Prometheus metrics of what is served over HTTP, beside those of the process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# Seconds; from a cached read to a long poll.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS = Counter("http_requests_total", "HTTP requests answered, by the call they were for.", ("rpc", "status"))
LATENCY = Histogram("http_request_seconds", "From the headers of a request to its answer.", ("rpc",), buckets=_BUCKETS)
IN_FLIGHT = Gauge("http_requests_in_flight", "HTTP requests being answered now.")
STREAMS = Gauge("http_streams_open", "Streams being sent now.")
CONNECTIONS_REFUSED = Counter(
    "http_connections_refused_total", "Connections and requests cut off by a limit.", ("why",)
)
