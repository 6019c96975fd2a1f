"""The `http` agent: calls APIs."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from harness.common.v1.action_pb2 import Action, ApiCallAction
from motherharness.agents.output import CappedOutput, fit
from motherharness.context import StepContext
from motherharness.errors import RetryableError, TerminalError

DEFAULT_TIMEOUT = 30.0
MAX_RESPONSE_BYTES = 10 * 1024 * 1024
BODY_JSON_LIMIT = 40 * 1024
HEADERS_JSON_LIMIT = 12 * 1024
MAX_REDIRECTS = 5
# Statuses that say themselves that another try may succeed.
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# A response's cookies are credentials, and a step's result is shown to people.
HIDDEN_HEADERS = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})
INPUTS = frozenset({"method", "url", "headers", "body", "json", "reason"})


class HttpAgent:
    """Makes one API call per step, after it was cleared.

    Inputs: {"url"}, and optionally "method" (default GET), "headers", "body" (text) or "json", "reason".
    Result: {"status", "headers", "body", "size", "sha256", "truncated"}.

    Proxies, netrc credentials and certificates of the worker's environment are not used. Redirects are answers like
    any other, for where they lead was not cleared.

    Args:
        timeout: seconds the call may take in all.
        max_response_bytes: a longer response fails the step.
        follow_redirects: follow up to 5 redirects of GET and HEAD to the same scheme, host and port.
        transport: how requests are sent; default over the network.
    """

    def __init__(
        self,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        follow_redirects: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout = timeout
        self._max_response_bytes = max_response_bytes
        self._follow_redirects = follow_redirects
        self._transport = transport

    async def __call__(self, context: StepContext) -> dict[str, Any]:
        """Carry out a step.

        Raises:
            RetryableError: HTTP_UNREACHABLE, HTTP_TIMEOUT, or HTTP_STATUS for 408, 425, 429 and most of 5xx.
            TerminalError: INVALID_INPUTS, RESPONSE_TOO_LARGE, or HTTP_STATUS for the rest of 4xx and 5xx.
        """
        action = api_call_action(context.inputs)
        reason = str(context.inputs.get("reason") or context.description)
        result = await context.perform(Action(api_call=action), self.run, reason)
        status = int(result["status"])
        if status >= 400:
            message = f"{action.method} {action.url} answered {status}: {str(result['body'])[:2000]}"
            raise (RetryableError if status in RETRYABLE_STATUSES else TerminalError)(message, "HTTP_STATUS")
        return result

    async def run(self, actions: Sequence[Action]) -> dict[str, Any]:
        """Make one cleared call."""
        call = actions[0].api_call
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(
                    transport=self._transport, timeout=self._timeout, trust_env=False, follow_redirects=False
                ) as client,
            ):
                return await self._send(client, call)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise RetryableError(f"{call.url} did not answer in {self._timeout:g} s", "HTTP_TIMEOUT") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise _invalid(f"{call.url!r}: {error}") from error
        except httpx.HTTPError as error:
            raise RetryableError(f"{call.url}: {error}", "HTTP_UNREACHABLE") from error

    async def _send(self, client: httpx.AsyncClient, call: ApiCallAction) -> dict[str, Any]:
        headers = dict(call.headers)
        request = client.build_request(call.method.upper(), call.url, headers=headers, content=call.body)
        for _ in range(MAX_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                following = response.next_request
                if not (self._follow_redirects and following and _may_follow(request, following)):
                    return await self._read(response)
            finally:
                await response.aclose()
            request = following
        raise TerminalError(f"{call.url} redirects more than {MAX_REDIRECTS} times", "TOO_MANY_REDIRECTS")

    async def _read(self, response: httpx.Response) -> dict[str, Any]:
        body, checksum = CappedOutput(BODY_JSON_LIMIT), hashlib.sha256()
        async for chunk in response.aiter_bytes():
            body.feed(chunk)
            checksum.update(chunk)
            if body.total > self._max_response_bytes:
                message = f"the response is longer than {self._max_response_bytes} bytes"
                raise TerminalError(message, "RESPONSE_TOO_LARGE")
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            if name.lower() not in HIDDEN_HEADERS:
                headers[name] = value
            if len(json.dumps(headers)) > HEADERS_JSON_LIMIT:
                del headers[name]
                break
        return {
            "status": response.status_code,
            "headers": headers,
            "body": fit(body.text(), BODY_JSON_LIMIT),
            "size": body.total,
            "sha256": checksum.hexdigest(),
            "truncated": body.truncated,
        }


def api_call_action(inputs: Mapping[str, Any]) -> ApiCallAction:
    """Return the action that a step's inputs describe.

    Raises:
        TerminalError: INVALID_INPUTS, naming what is wrong.
    """
    unknown = sorted(set(inputs) - INPUTS)
    if unknown:
        raise _invalid(f"unknown inputs {', '.join(unknown)}; there are {', '.join(sorted(INPUTS))}")
    url, method, headers = inputs.get("url"), inputs.get("method", "GET"), inputs.get("headers", {})
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise _invalid('"url" must begin with http:// or https://')
    if not isinstance(method, str) or not method.isalpha():
        raise _invalid('"method" must be a word such as GET')
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise _invalid('"headers" must map names to strings')
    if "body" in inputs and "json" in inputs:
        raise _invalid('give at most one of "body" and "json"')
    if "json" in inputs:
        body = json.dumps(inputs["json"], sort_keys=True)
        if not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "content-type": "application/json"}
    else:
        body = inputs.get("body", "")
        if not isinstance(body, str):
            raise _invalid('"body" must be a string')
    return ApiCallAction(method=method.upper(), url=url, headers=headers, body=body.encode("utf-8"))


def _may_follow(request: httpx.Request, following: httpx.Request) -> bool:
    """Whether a redirect stays with what was cleared: it only reads, and from the same origin."""
    same = (request.url.scheme, request.url.host, request.url.port) == (
        following.url.scheme,
        following.url.host,
        following.url.port,
    )
    return same and request.method in ("GET", "HEAD")


def _invalid(message: str) -> TerminalError:
    return TerminalError(message, "INVALID_INPUTS")
