"""Settings that every service has: read from the environment (`HARNESS_*`), checked once, never changed.

A service subclasses `ServiceSettings`, sets its own default for `listen`, and adds its own fields; the name of a field
in upper case with `HARNESS_` in front is its variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.errors import ConfigurationError

ENV_PREFIX = "HARNESS_"
MASK = "********"

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """Durations are seconds, sizes bytes. Fields named `*_file` hold a path whose content is the value."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    environment: Literal["development", "staging", "production"] = "development"
    listen: str = Field("127.0.0.1:0", description="host:port or unix:/path; port 0 takes a free one")
    ready_file: Path | None = Field(None, description="written with the bound host:port once calls are served")

    redis_url: str = Field(
        "",
        validation_alias=AliasChoices("HARNESS_REDIS_URL", "REDIS_URL"),
        repr=False,
        description="redis://user:password@host:port/db, rediss:// or unix://",
    )
    require_durable_redis: bool = False

    jwt_algorithm: Literal["HS256", "RS256", "EdDSA"] = "HS256"
    jwt_secret: SecretStr | None = Field(None, description="HS256: at least 32 bytes; never in production")
    jwt_public_key: str | None = Field(None, description="RS256 or EdDSA: PEM")
    jwt_public_key_file: Path | None = None
    jwt_jwks_url: str | None = Field(
        None, repr=False, description="RS256 or EdDSA: https URL of a key set, in place of one key"
    )
    jwt_issuer: str = "harness.dev"
    jwt_audience: str = "harness"
    jwt_leeway_seconds: float = Field(5.0, ge=0, le=300, description="tolerated difference between clocks")

    service_token: SecretStr | None = Field(None, description="token for calls to other services")
    service_token_file: Path | None = Field(None, description="the same from a file, read again when it changes")
    service_token_ttl_seconds: float = Field(300.0, ge=10, description="life of a token signed here (HS256 only)")

    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = Field(None, description="demand client certificates signed by this CA")
    client_tls_ca_file: Path | None = Field(None, description="call other services over TLS, trusting this CA")
    client_tls_cert_file: Path | None = None
    client_tls_key_file: Path | None = None

    metrics_listen: str | None = Field(None, description="host:port of the Prometheus endpoint; none by default")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console in a terminal")

    drain_seconds: float = Field(10.0, ge=0, description="how long calls in flight may finish after SIGTERM")
    drain_delay_seconds: float = Field(
        0.0, ge=0, description="how long to serve on after NOT_SERVING, so that load balancers notice"
    )
    health_interval_seconds: float = Field(2.0, gt=0)
    max_message_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    default_timeout_seconds: float = Field(10.0, gt=0, description="deadline of an outgoing call that names none")
    keepalive_seconds: float = Field(60.0, ge=10)
    max_connection_age_seconds: float = Field(300.0, ge=1, description="gRPC adds 10 % jitter")
    max_connection_age_grace_seconds: float = Field(60.0, ge=1, description="must exceed the longest long poll")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("HARNESS_TLS_CERT_FILE and HARNESS_TLS_KEY_FILE go together")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("HARNESS_TLS_CLIENT_CA_FILE needs HARNESS_TLS_CERT_FILE and HARNESS_TLS_KEY_FILE")
        if bool(self.client_tls_cert_file) != bool(self.client_tls_key_file):
            raise ValueError("HARNESS_CLIENT_TLS_CERT_FILE and HARNESS_CLIENT_TLS_KEY_FILE go together")
        return self

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    def masked(self) -> dict[str, str]:
        """Every setting by its variable, secrets masked, for people and logs."""
        return {_variable(name): _shown(name, getattr(self, name)) for name in sorted(type(self).model_fields)}


def load_settings(cls: type[S]) -> S:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: names every wrong variable and never repeats a value, which could be a secret.
    """
    try:
        return cls()
    except ValidationError as exc:
        problems = []
        for error in exc.errors(include_url=False, include_input=False, include_context=False):
            message = error["msg"].removeprefix("Value error, ")
            name = ".".join(str(part) for part in error["loc"])
            problems.append(f"{_variable(name)}: {message}" if name else message)
        raise ConfigurationError("wrong settings: " + "; ".join(problems)) from None


def _variable(field: str) -> str:
    return field.upper() if field.upper().startswith(ENV_PREFIX) else ENV_PREFIX + field.upper()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return mask_url(str(value)) if name.endswith("url") else str(value)


def mask_url(url: str) -> str:
    """The URL with its password, and any query (which may carry one), masked."""
    head, _, query = url.partition("?")
    scheme, slashes, rest = head.partition("://")
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{scheme}{slashes}{user}{colon}{MASK if colon else ''}{at}{place}" if at else head
    return shown + (f"?{MASK}" if query else "")
