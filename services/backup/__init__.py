"""The backup service: point-in-time snapshots over the replication protocol, verified archives, and
restore of one service's keys."""
