"""`harness doctor`: what works here, what does not, and what to do about it."""

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import grpc
import typer

from motherharness.cli.output import FAILED, emit, say, table
from motherharness.cli.session import Json
from motherharness.devstack.redis import RedisMissing, find_redis_server
from motherharness.transport import CHANNEL_OPTIONS, Connection, new_request_id

MIN_PYTHON = (3, 11)
MAX_SKEW = 5.0
TIMEOUT = 3.0
# HealthCheckResponse{status: SERVING} in the wire format of grpc.health.v1.
SERVING = b"\x08\x01"
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True)
class Finding:
    """One check: its name, whether it is fine, what was found, what to do if it is not."""

    check: str
    ok: bool
    found: str
    advice: str = ""


def doctor(json_output: Json = False) -> None:
    """Check Python, Redis, the services' health, the token and the clocks. Exit code 1: something is not fine."""
    connection = Connection.from_env()
    findings = [*machine(), *services(connection), token(connection)]
    if json_output:
        emit({"ok": all(finding.ok for finding in findings), "checks": [asdict(finding) for finding in findings]})
    else:
        table(("", "CHECK", "FOUND"), (("ok" if f.ok else "!!", f.check, f.found) for f in findings))
        for finding in findings:
            if not finding.ok:
                say(f"{finding.check}: {finding.advice}", style="yellow")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


def machine() -> Iterator[Finding]:
    """Check what the suite needs of this machine."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info >= MIN_PYTHON, version, "install Python 3.11 or later")
    try:
        server = find_redis_server()
        yield Finding("redis-server", True, f"{'.'.join(map(str, server.version))} at {server.path}")
    except RedisMissing as missing:
        yield Finding("redis-server", False, str(missing), "only `harness dev`, `harness demo` and the tests need it")


def services(connection: Connection) -> Iterator[Finding]:
    """Check that each service serves, and that its clock agrees with ours."""
    for name in ("orchestrator", "approval", "backup"):
        address = getattr(connection, name)
        variable = f"HARNESS_{name.upper()}_ADDRESS"
        advice = f"start it (`harness dev`, or `python -m services.{name}`), or set {variable}"
        credentials = connection.credentials()
        channel = (
            grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
        )
        with channel:
            check: Callable[..., bytes] = channel.unary_unary(HEALTH)
            try:
                answer = check(b"", timeout=TIMEOUT, metadata=(("x-request-id", new_request_id()),))
            except grpc.RpcError as error:
                detail = error.code().name if isinstance(error, grpc.Call) else str(error)
                yield Finding(name, False, f"{address}: {detail}", advice)
                continue
        serving = answer == SERVING
        advice = "it runs and cannot work: is its Redis up? Its log says more"
        yield Finding(name, serving, f"{address}: {'serving' if serving else 'not serving'}", advice)


def token(connection: Connection) -> Finding:
    """Check the token's shape and time; only a service can check its signature."""
    try:
        value = connection.token() if callable(connection.token) else connection.token
    except OSError as error:
        return Finding("token", False, str(error), "HARNESS_TOKEN_FILE must name a file that can be read")
    if not value:
        return Finding("token", False, "none", "set HARNESS_TOKEN; in development, `harness token` makes one")
    try:
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        left = float(claims["exp"]) - time.time()
        found = f"{claims['sub']}, roles {', '.join(claims['roles'])}"
    except (IndexError, KeyError, TypeError, ValueError):
        return Finding("token", False, "not a token", "HARNESS_TOKEN must be a JWT with sub, roles and exp")
    if left <= 0:
        return Finding("token", False, f"{found}, expired {-left:.0f} s ago", "fetch a new one")
    if float(claims.get("iat", 0)) > time.time() + MAX_SKEW:
        return Finding("token", False, f"{found}, issued in the future", "this machine's clock is behind: set it")
    return Finding("token", True, f"{found}, for another {left / 60:.0f} min")
