"""The gRPC face of the backup service."""
