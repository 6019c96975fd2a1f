"""Tokens: what is accepted, and every way in which one is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from harness.common.v1.access_pb2 import ROLE_ADMIN, ROLE_APPROVER, ROLE_SERVICE
from services.runtime.auth import Authenticator, ServiceTokens, sign_token
from services.runtime.errors import ConfigurationError, Unauthenticated, Unavailable
from services.runtime.jwks import KeySet
from services.runtime.settings import ServiceSettings

SECRET = "s" * 32
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def settings(**values: Any) -> ServiceSettings:
    return ServiceSettings(**{"jwt_secret": SecretStr(SECRET), **values})


def pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def claims(**changes: Any) -> dict[str, Any]:
    all_claims = {
        "sub": "ann",
        "roles": ["approver"],
        "iss": "harness.dev",
        "aud": "harness",
        "exp": time.time() + 60,
        **changes,
    }
    return {name: value for name, value in all_claims.items() if value is not None}


async def verify(token: str, **values: Any) -> Any:
    return await Authenticator(settings(**values)).authenticate([f"Bearer {token}"])


async def refusal(token: str, **values: Any) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verify(token, **values)
    assert token not in str(caught.value)
    return caught.value.reason


def hs256(**changes: Any) -> str:
    # The layer below jwt.encode, which would refuse some of the claims.
    return jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), SECRET, algorithm="HS256")


async def test_who_calls() -> None:
    caller = await verify(hs256(act={"sub": "service:orchestrator"}, roles=["approver", "admin", "of-the-future"]))
    assert (caller.subject, caller.actor) == ("ann", "service:orchestrator")
    assert caller.roles == {ROLE_APPROVER, ROLE_ADMIN}
    assert (await verify(hs256(aud=["other", "harness"], roles=None))).roles == frozenset()
    caller = await Authenticator(settings()).authenticate([f"bearer  {hs256()} ".encode()])
    assert caller.subject == "ann"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": time.time() - 60}, "TOKEN_EXPIRED"),
        ({"exp": None}, "TOKEN_INVALID"),
        ({"exp": "soon"}, "TOKEN_MALFORMED"),
        ({"exp": float("inf")}, "TOKEN_MALFORMED"),
        ({"iss": None}, "TOKEN_INVALID"),
        ({"iss": "evil.example"}, "TOKEN_INVALID"),
        ({"iss": ["harness.dev"]}, "TOKEN_INVALID"),
        ({"aud": None}, "TOKEN_INVALID"),
        ({"aud": "other"}, "TOKEN_INVALID"),
        ({"aud": {"harness": 1}}, "TOKEN_INVALID"),
        ({"nbf": time.time() + 600}, "TOKEN_INVALID"),
        ({"sub": None}, "TOKEN_INVALID"),
        ({"sub": ""}, "TOKEN_INVALID"),
        ({"sub": "a" * 257}, "TOKEN_INVALID"),
        ({"sub": "ann\nadmin"}, "TOKEN_INVALID"),
        ({"roles": "admin"}, "TOKEN_INVALID"),
        ({"roles": [["admin"]]}, "TOKEN_INVALID"),
        ({"roles": {"admin": True}}, "TOKEN_INVALID"),
        ({"act": "root"}, "TOKEN_INVALID"),
        ({"act": {"sub": 1}}, "TOKEN_INVALID"),
    ],
)
async def test_refused_claims(changes: dict[str, Any], reason: str) -> None:
    assert await refusal(hs256(**changes)) == reason


async def test_clocks_may_differ_a_little() -> None:
    assert (await verify(hs256(exp=time.time() - 2))).subject == "ann"
    assert await refusal(hs256(exp=time.time() - 2), jwt_leeway_seconds=0) == "TOKEN_EXPIRED"


def forged(header: dict[str, Any], key: bytes = b"") -> str:
    """A token put together by hand, as libraries refuse to."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    body = f"{part(header)}.{part(claims(roles=['admin']))}"
    signature = hmac.new(key, body.encode(), hashlib.sha256).digest() if key else b""
    return f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS512", "RS256", None, 7, ["HS256"]])
async def test_no_other_algorithm(algorithm: Any) -> None:
    assert await refusal(forged({"alg": algorithm, "typ": "JWT"}, SECRET.encode())) in {
        "TOKEN_INVALID",
        "TOKEN_MALFORMED",
    }


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA_KEY), ("EdDSA", ED_KEY)])
async def test_the_public_key_is_no_secret(algorithm: str, key: Any) -> None:
    """Algorithm confusion: a token signed with HS256 and the public key's text as the secret."""
    values = {"jwt_algorithm": algorithm, "jwt_public_key": pem(key), "environment": "production"}
    good = jwt.encode(claims(), key, algorithm=algorithm)
    assert (await verify(good, **values)).subject == "ann"
    for text in (pem(key), pem(key).strip()):
        assert await refusal(forged({"alg": "HS256"}, text.encode()), **values) == "TOKEN_INVALID"
        assert await refusal(forged({"alg": algorithm}, text.encode()), **values) == "TOKEN_INVALID"
    assert await refusal(forged({"alg": "none"}), **values) == "TOKEN_INVALID"


async def test_key_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem(ED_KEY))
    token = jwt.encode(claims(), ED_KEY, algorithm="EdDSA")
    assert (await verify(token, jwt_algorithm="EdDSA", jwt_public_key_file=path)).subject == "ann"


async def test_a_header_cannot_bring_its_own_key() -> None:
    header = {"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}, "jku": "http://evil.example", "kid": "../../dev/null"}
    assert await refusal(forged(header, b"x")) == "TOKEN_INVALID"


async def test_a_remembered_token_still_expires() -> None:
    now = time.time()
    authenticator = Authenticator(settings(jwt_leeway_seconds=0), clock=lambda: now)
    header = [f"Bearer {hs256(exp=now + 1)}"]
    await authenticator.authenticate(header)
    now += 2
    time.sleep(1.1)  # noqa: ASYNC251 - the library has its own clock
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticator.authenticate(header)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jwt_secret": None}, "HARNESS_JWT_SECRET"),
        ({"jwt_secret": SecretStr("short")}, "32 bytes"),
        ({"environment": "production"}, "HS256 is for development"),
        ({"jwt_algorithm": "RS256"}, "exactly one of"),
        ({"jwt_algorithm": "RS256", "jwt_public_key": pem(RSA_KEY), "jwt_jwks_url": "https://x"}, "exactly one of"),
        ({"jwt_algorithm": "RS256", "jwt_public_key": pem(ED_KEY)}, "not a key for RS256"),
        ({"jwt_algorithm": "EdDSA", "jwt_public_key": pem(RSA_KEY)}, "not a key for EdDSA"),
        ({"jwt_algorithm": "EdDSA", "jwt_public_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "not a key"),
        ({"jwt_algorithm": "RS256", "jwt_public_key": SECRET}, "PEM"),
        ({"jwt_algorithm": "RS256", "jwt_public_key": pem(rsa.generate_private_key(65537, 1024))}, "1024 bits"),
        ({"jwt_algorithm": "RS256", "jwt_public_key_file": Path("/nowhere")}, "cannot be read"),
        ({"jwt_algorithm": "RS256", "jwt_jwks_url": "file:///etc/passwd"}, "https"),
        ({"jwt_algorithm": "RS256", "jwt_jwks_url": "http://x", "environment": "production"}, "https"),
    ],
)
def test_refused_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Authenticator(settings(**values))


# -- key sets


class Issuer:
    """Publishes keys, or is away."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.away = False
        self.fetches = 0
        self.now = 0.0
        self.set = KeySet("https://issuer", "RS256", fetch=self._fetch, clock=lambda: self.now)

    def _fetch(self, url: str) -> bytes:
        self.fetches += 1
        if self.away:
            raise OSError("away")
        return json.dumps({"keys": self.keys}).encode()

    def publish(self, kid: str, **changes: Any) -> None:
        self.keys.append(
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": kid, **changes}
        )


@pytest.fixture
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.publish("one")
    return issuer


async def test_keys_are_fetched_once_and_rotate(issuer: Issuer) -> None:
    assert await issuer.set.key_for("one")
    assert await issuer.set.key_for(None)
    assert issuer.fetches == 1
    issuer.keys.clear()
    issuer.publish("two")
    issuer.now = 11
    assert await issuer.set.key_for("two")
    with pytest.raises(Unauthenticated):
        await issuer.set.key_for("one")


async def test_invented_key_ids_do_not_flood_the_issuer(issuer: Issuer) -> None:
    for number in range(100):
        with pytest.raises(Unauthenticated):
            await issuer.set.key_for(f"invented-{number}")
    assert issuer.fetches == 1


async def test_an_issuer_that_is_away(issuer: Issuer) -> None:
    issuer.away = True
    with pytest.raises(Unavailable) as caught:
        await issuer.set.key_for("one")
    assert caught.value.retry_after == 10
    issuer.away, issuer.now = False, 11
    assert await issuer.set.key_for("one")
    issuer.away, issuer.now = True, 1000
    assert await issuer.set.key_for("one"), "keys outlive an issuer that is away"


async def test_unfit_keys_are_passed_over(issuer: Issuer) -> None:
    issuer.publish("encryption", use="enc")
    issuer.publish("other", alg="RS512")
    issuer.publish("broken", n="!")
    issuer.keys.append({"kty": "oct", "k": "eA", "kid": "secret"})
    assert await issuer.set.key_for("one")
    for kid in ("encryption", "other", "broken", "secret"):
        with pytest.raises(Unauthenticated):
            await issuer.set.key_for(kid)


# -- our own tokens


async def test_a_service_signs_for_itself_in_development() -> None:
    now = time.time()
    tokens = ServiceTokens(settings(service_token_ttl_seconds=100), "orchestrator", clock=lambda: now)
    first = tokens.token()
    caller = await verify(first)
    assert (caller.subject, caller.roles) == ("service:orchestrator", {ROLE_SERVICE})
    now += 79
    assert tokens.token() == first
    now += 2
    assert tokens.token() != first


def test_a_service_is_given_its_token_in_production(tmp_path: Path) -> None:
    production = {"jwt_algorithm": "EdDSA", "jwt_public_key": pem(ED_KEY), "environment": "production"}
    assert ServiceTokens(settings(service_token=SecretStr("given"), **production), "x").token() == "given"
    now = 0.0
    path = tmp_path / "token"
    path.write_text("first\n")
    tokens = ServiceTokens(settings(service_token_file=path, **production), "x", clock=lambda: now)
    assert tokens.token() == "first"
    path.write_text("second, longer\n")
    now += 2
    assert tokens.token() == "second, longer"
    with pytest.raises(ConfigurationError, match="HARNESS_SERVICE_TOKEN"):
        ServiceTokens(settings(**production), "x")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ServiceTokens(settings(service_token_file=tmp_path / "nowhere", **production), "x").token()


async def test_sign_token() -> None:
    token = sign_token(SECRET, "ann", ["user", "admin"], ttl=10)
    assert (await verify(token)).is_admin
