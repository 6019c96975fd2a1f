"""What every service process runs on: settings, server, identity, errors, Redis, telemetry. It knows no service."""
