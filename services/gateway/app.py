"""The gateway's ASGI application: `/health`, `/metrics`, the documents, and every path that the contracts bind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette import routing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

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
    documents: Sequence[Route] = (),
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
    routes = [Route("/health", health.answer), Route("/metrics", _metrics), *documents]
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
    app = Starlette(middleware=middleware)
    app.router = _Routes(routes, Transcoder(settings, bindings, channels, draining))
    return app


class _Routes(routing.Router):
    """Routes, and the calls for whatever no route takes: not as a route for every path, which would be none for one
    with a line's end in it.

    Routes are compared with a path one after the other; a call has to wait for that only if it begins as a route does.
    """

    def __init__(self, routes: Sequence[Route], calls: Transcoder) -> None:
        # A path that ends in a slash is another path.
        super().__init__(routes=routes, redirect_slashes=False, default=calls)
        self._heads = {_head(route.path) for route in routes}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _head(scope["path"]) in self._heads:
            await super().app(scope, receive, send)
        else:
            await self.default(scope, receive, send)


def _head(path: str) -> str:
    """The part of a path up to its second slash."""
    return path[1:].partition("/")[0]


async def _metrics(_request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
