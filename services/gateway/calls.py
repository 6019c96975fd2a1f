"""Calls that are answered once: JSON in, one RPC, JSON out; cancelled when the client goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from services.gateway import jsonwrite, metadata
from services.gateway.bindings import Binding
from services.gateway.errors import upstream_failure
from services.gateway.exchange import Exchange, HeaderPairs
from services.gateway.limits import ClientGone


async def unary(
    exchange: Exchange,
    binding: Binding,
    stub: Any,
    request: bytes,
    pairs: metadata.Pairs,
    timeout: float | None,
    owner: str,
) -> None:
    """Make the call and answer with its response.

    Raises:
        ClientGone: the client has closed the connection; the call is cancelled.
    """
    call = stub(request, metadata=pairs, timeout=timeout)
    watching = asyncio.ensure_future(exchange.gone())
    watching.add_done_callback(lambda _: call.cancel())
    try:
        response = await call
        trailers = await trailing(exchange, call)
        headers = metadata.outgoing(await call.initial_metadata(), metadata.PREFIX)
        await exchange.reply(200, jsonwrite.dump(shown(binding, response)), headers, trailers)
    except grpc.aio.AioRpcError as exc:
        headers = metadata.outgoing(exc.initial_metadata(), metadata.PREFIX)
        await exchange.fail(upstream_failure(exc, owner, exchange.request_id), headers)
    except asyncio.CancelledError:
        if watching.done():
            raise ClientGone from None
        call.cancel()
        raise
    finally:
        watching.cancel()


async def trailing(exchange: Exchange, call: Any) -> HeaderPairs:
    """The trailers that the client gets, if it takes any."""
    if not exchange.takes_trailers:
        return []
    return metadata.outgoing(await call.trailing_metadata(), metadata.TRAILER_PREFIX)


def shown(binding: Binding, response: Any) -> Any:
    """The part of a response that the binding returns, as a JSON value."""
    if not binding.response_body:
        return jsonwrite.jsonable(response)
    for field in binding.response_body[:-1]:
        response = getattr(response, field.name)
    return jsonwrite.jsonable_field(response, binding.response_body[-1])
