"""Where and how a gateway listens: TLS, client certificates, a unix socket, and what it refuses to start with."""

from __future__ import annotations

import os
import resource
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from services.gateway.process import Gateway
from services.runtime.errors import ConfigurationError
from services.runtime.server import Server
from tests.integration.gateway.conftest import gateway_settings, shelf_gateway


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost, which is also the authority for clients, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file


async def test_tls_and_client_certificates(shelf: Server, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    async with shelf_gateway(shelf.address, tls_cert_file=cert, tls_key_file=key, tls_client_ca_file=cert) as gateway:
        url = f"https://localhost:{gateway.address.rpartition(':')[2]}/v1/search"
        known = ssl.create_default_context(cafile=str(cert))
        async with httpx.AsyncClient(verify=known, timeout=50) as stranger:
            with pytest.raises(httpx.TransportError):
                await stranger.get(url)
        known.load_cert_chain(cert, key)
        async with httpx.AsyncClient(verify=known, timeout=50) as http:
            assert (await http.get(url)).status_code == 200


async def test_a_unix_socket(shelf: Server, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with shelf_gateway(shelf.address, listen=f"unix:{path}", ready_file=tmp_path / "ready"):
        assert (tmp_path / "ready").read_text() == f"unix:{path}"
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), timeout=50) as http:
            assert (await http.get("http://gateway/v1/search")).status_code == 200
            # Somebody listens there.
            with pytest.raises(ConfigurationError, match="HARNESS_LISTEN"):
                await Gateway(gateway_settings(listen=f"unix:{path}"), services=[], upstreams={}).start()
    assert os.listdir(tmp_path) == []
    # What a crash leaves is replaced.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with shelf_gateway(shelf.address, listen=f"unix:{path}"):
        pass


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"listen": "nowhere"}, "HARNESS_LISTEN"),
        ({"listen": "127.0.0.1:99999"}, "HARNESS_LISTEN"),
        ({"tls_cert_file": Path("/nowhere"), "tls_key_file": Path("/nowhere")}, "HARNESS_TLS_CERT_FILE"),
        ({"client_tls_ca_file": Path("/nowhere")}, "HARNESS_CLIENT_TLS_CA_FILE"),
        ({"metrics_listen": "nowhere"}, "HARNESS_METRICS_LISTEN"),
    ],
)
async def test_what_a_gateway_does_not_start_with(values: dict[str, object], variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        await Gateway(gateway_settings(**values), services=[], upstreams={"shelf": "127.0.0.1:1"}).start()


async def test_a_port_that_is_taken_is_refused(gateway: Gateway) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_LISTEN"):
        await Gateway(gateway_settings(listen=gateway.address), services=[], upstreams={}).start()


async def test_open_files_are_allowed_for_every_connection(shelf: Server) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        async with shelf_gateway(shelf.address, gateway_max_connections=1100):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
