"""Transport security by configuration: TLS and mutual TLS, for the server and for outgoing channels."""

from __future__ import annotations

from pathlib import Path

import grpc

from services.runtime.errors import ConfigurationError
from services.runtime.settings import ServiceSettings


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """The server's certificate, demanding one of clients when a client CA is set; None without a certificate.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    chain = (read_file(settings.tls_key_file, "TLS_KEY_FILE"), read_file(settings.tls_cert_file, "TLS_CERT_FILE"))
    ca = settings.tls_client_ca_file
    if ca is None:
        return grpc.ssl_server_credentials([chain])
    return grpc.ssl_server_credentials([chain], read_file(ca, "TLS_CLIENT_CA_FILE"), require_client_auth=True)


def channel_credentials(settings: ServiceSettings) -> grpc.ChannelCredentials | None:
    """What outgoing calls trust and show; None for plain text.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    if settings.client_tls_ca_file is None:
        return None
    cert, key = settings.client_tls_cert_file, settings.client_tls_key_file
    return grpc.ssl_channel_credentials(
        read_file(settings.client_tls_ca_file, "CLIENT_TLS_CA_FILE"),
        read_file(key, "CLIENT_TLS_KEY_FILE") if key else None,
        read_file(cert, "CLIENT_TLS_CERT_FILE") if cert else None,
    )


def read_file(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"HARNESS_{variable} cannot be read: {exc}") from exc
