"""The audit trail: a hash chain per shard with signed checkpoints. `docs/audit.md` describes its format."""
