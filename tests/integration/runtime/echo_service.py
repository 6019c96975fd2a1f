"""The echo service as a process, started as every service is."""

from __future__ import annotations

from services.runtime.entry import run_service
from services.runtime.redis import check_durability, connect, readiness, wait_until_reachable
from services.runtime.server import ServiceRegistration, serve
from services.runtime.settings import ServiceSettings
from tests.integration.runtime.echo import EchoServicer, add_echo


async def main(settings: ServiceSettings) -> None:
    redis = connect(settings.redis_url, client_name="echo")
    try:
        await wait_until_reachable(redis, within=2)
        await check_durability(redis, settings.require_durable_redis)
        registration = ServiceRegistration(add_echo, EchoServicer())
        await serve(settings, name="echo", services=[registration], ready=readiness(redis))
    finally:
        await redis.aclose()


if __name__ == "__main__":
    run_service("echo", ServiceSettings, main)
