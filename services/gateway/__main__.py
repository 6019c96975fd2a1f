"""Start the gateway: `python -m services.gateway`."""

from __future__ import annotations

from services.gateway.documents import routes
from services.gateway.process import serve
from services.gateway.settings import GatewaySettings
from services.runtime.entry import run_service


async def main(settings: GatewaySettings) -> None:
    """Serve until told to stop."""
    await serve(settings, routes(settings))


if __name__ == "__main__":
    run_service("gateway", GatewaySettings, main)
