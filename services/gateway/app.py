"""The gateway's ASGI application: `/health`, `/metrics`, the documents, and every path that the contracts bind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.gateway.bindings import bindings_of
from services.gateway.health import Health
from services.gateway.router import Router
from services.gateway.settings import GatewaySettings
from services.gateway.transcoder import Transcoder


def build(
    settings: GatewaySettings,
    *,
    services: Sequence[ServiceDescriptor],
    channels: Mapping[str, grpc.aio.Channel],
    health: Health,
    draining: asyncio.Event,
    documents: Sequence[BaseRoute] = (),
) -> Starlette:
    """Put the application together.

    Args:
        settings: limits, timeouts, CORS.
        services: whose methods with `google.api.http` rules are served.
        channels: to the processes that serve them, by the name in their packages.
        health: what `/health` tells.
        draining: set when the process is told to stop.
        documents: routes that are served beside the calls, and before them.

    Raises:
        ConfigurationError: a rule is wrong, two bind the same, or a service has no channel.
    """
    bindings = bindings_of(services)
    routes: list[BaseRoute] = [
        Route("/health", health.answer),
        Route("/metrics", _metrics),
        *documents,
    ]
    middleware = []
    if settings.gateway_cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.gateway_cors_origins,
                allow_methods=Router(bindings).methods,
                allow_headers=["*"],
                expose_headers=["x-request-id", "retry-after"],
            )
        )
    app = Starlette(routes=routes, middleware=middleware)
    # What no route takes, and not a route for every path: those do not match a path with a line's end in it.
    app.router.default = Transcoder(settings, bindings, channels, draining)
    # A path that ends in a slash is another path.
    app.router.redirect_slashes = False
    return app


async def _metrics(_request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
