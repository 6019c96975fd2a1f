"""What Prometheus is told of the trail."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SEALED = Counter("harness_audit_records_sealed_total", "Records that this process has sealed.")
UNSEALED = Gauge("harness_audit_unsealed_entries", "Entries to be sealed at the last look, counted to 200 a shard.")
LAG = Gauge("harness_audit_lag_seconds", "Age of the oldest entry that was to be sealed at the last look.")
SEALED_AT = Gauge(
    "harness_audit_sealed_timestamp_seconds", "When all journals were last sealed to their ends, Unix time."
)
CHECKPOINT = Gauge("harness_audit_checkpoint_timestamp_seconds", "When the newest checkpoint was signed, Unix time.")
PROBLEMS = Counter(
    "harness_audit_problems_total",
    "What was found wrong with the trail: reasons of VerifyAudit, TRAIL_CHANGED, CANNOT_BE_EXTENDED.",
    ("reason",),
)
