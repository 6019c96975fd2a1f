"""Grants: what they say, that nothing but a key in force can make one, and how keys follow each other."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from motherharness import RetryableError, TerminalError, grants
from motherharness.signing_keys import create
from services.approval.grants import ring as ring_module
from services.approval.grants import token
from services.approval.grants.issuer import Grants
from services.approval.grants.keys import SigningKey, generate, parse, pem_of, signing_key, time_in
from services.approval.grants.ring import KeyRing
from services.approval.grants.token import Claims, sign, verify
from services.runtime.errors import ConfigurationError, FailedPrecondition

KEY, OTHER = signing_key(generate()), signing_key(generate())
DIGEST = "sha256:" + "ab" * 32
LEASE: dict[str, Any] = {"digest": DIGEST, "run_id": "run_1", "step_id": "clean", "attempt": 2}
CLAIMS = Claims(
    approval_id="apr_00",
    revision=3,
    issued_ms=1_700_000_000_000,
    expires_ms=1_700_003_600_000,
    grant_id=token.new_grant_id(),
    **LEASE,
)
GRANT = sign(CLAIMS, KEY)
HELD = Grants(KeyRing([KEY]))


def find(kid: str) -> SigningKey | None:
    return {KEY.kid: KEY}.get(kid)


def both_refuse(grant: str) -> str:
    """The service and the SDK refuse it alike; the service's word for what is wrong with it."""
    keys = grants.public_keys(HELD.keys())
    with pytest.raises(TerminalError) as at_the_worker:
        grants.verify(grant, keys, now=0, **LEASE)
    assert at_the_worker.value.reason == "GRANT_INVALID"
    with pytest.raises(FailedPrecondition) as at_the_service:
        verify(grant, find)
    assert at_the_service.value.reason == "GRANT_INVALID"
    return at_the_service.value.metadata["problem"]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(header: object, payload: object, key: SigningKey = KEY) -> str:
    """A token with any header and payload, correctly signed."""
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(payload).encode())}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


def parts_of(grant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in grant.split(".")[:2])
    return header, payload


HEADER, PAYLOAD = parts_of(GRANT)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
claims = st.builds(
    Claims,
    approval_id=texts,
    revision=st.integers(1, 2**31),
    digest=texts,
    run_id=texts,
    step_id=texts,
    attempt=st.integers(1, 2**31),
    issued_ms=st.integers(0, 2**42),
    expires_ms=st.integers(0, 2**42),
    grant_id=texts,
)


def test_a_grant_is_a_jws_with_the_documented_claims() -> None:
    header, payload = parts_of(GRANT)
    assert header == {"alg": "EdDSA", "kid": KEY.kid, "typ": "grant+jwt"}
    assert payload == {
        "iss": "harness.dev/approval",
        "sub": "apr_00",
        "rev": 3,
        "digest": DIGEST,
        "run": "run_1",
        "step": "clean",
        "attempt": 2,
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
        "jti": CLAIMS.grant_id,
    }


@given(claims)
def test_what_was_signed_is_read_by_the_service_and_by_workers(said: Claims) -> None:
    grant = sign(said, KEY)
    assert len(grant) <= token.MAX_BYTES
    read = verify(grant, find)
    whole_seconds = dataclasses.replace(
        said, issued_ms=said.issued_ms // 1000 * 1000, expires_ms=-(-said.expires_ms // 1000) * 1000
    )
    assert read == whole_seconds
    lease = {"digest": said.digest, "run_id": said.run_id, "step_id": said.step_id, "attempt": said.attempt}
    at_a_worker = grants.verify(grant, grants.public_keys(HELD.keys()), now=0, **lease)  # type: ignore[arg-type]
    assert (at_a_worker.approval_id, at_a_worker.revision) == (said.approval_id, said.revision)
    assert at_a_worker.expires * 1000 == read.expires_ms


def test_any_changed_bit_is_refused() -> None:
    raw = GRANT.encode()
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            both_refuse(changed.decode("latin-1"))


@given(st.integers(0, len(GRANT)), st.text(max_size=3))
def test_anything_put_in_or_left_out_is_refused(place: int, text: str) -> None:
    for other in (GRANT[:place] + text + GRANT[place:], GRANT[:place] + text + GRANT[place + 1 :], GRANT[:place]):
        if other != GRANT:
            both_refuse(other)


@given(st.text(max_size=300))
def test_what_is_no_grant_is_refused(text: str) -> None:
    assert both_refuse(text) == "FORM"


def test_what_nobody_in_force_has_signed_is_refused() -> None:
    signed, _, signature = GRANT.rpartition(".")
    header, payload, _ = GRANT.split(".")
    none = base64url(json.dumps({"alg": "none", "kid": KEY.kid, "typ": "grant+jwt"}).encode())
    hs256 = base64url(json.dumps({"alg": "HS256", "kid": KEY.kid, "typ": "grant+jwt"}).encode())
    public_pem = KEY.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public_raw = KEY.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert both_refuse(sign(CLAIMS, OTHER)) == "KEY"
    # With the id of a key in force, and another key.
    assert both_refuse(made(HEADER, PAYLOAD, OTHER)) == "SIGNATURE"
    assert (
        both_refuse(f"{header}.{base64url(json.dumps(PAYLOAD | {'attempt': 3}).encode())}.{signature}") == "SIGNATURE"
    )
    assert both_refuse(f"{signed}.") == "SIGNATURE"
    assert both_refuse(f"{none}.{payload}.") == "FORM"
    assert both_refuse(f"{none}.{payload}.{signature}") == "FORM"
    for secret in (public_pem, public_raw, KEY.x.encode()):
        confused = hmac.digest(secret, f"{hs256}.{payload}".encode(), hashlib.sha256)
        assert both_refuse(f"{hs256}.{payload}.{base64url(confused)}") == "FORM"
        confused = hmac.digest(secret, signed.encode(), hashlib.sha256)
        assert both_refuse(f"{signed}.{base64url(confused)}") == "SIGNATURE"


@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"typ": "JWT"},
        HEADER | {"alg": "ES256"},
        HEADER | {"crit": ["b64"], "b64": False},
        HEADER | {"jwk": {"kty": "OKP"}},
        HEADER | {"kid": None},
        HEADER | {"kid": [KEY.kid]},
        {"alg": "EdDSA", "typ": "grant+jwt"},
        [],
        "EdDSA",
    ],
)
def test_a_signed_token_with_another_header_is_no_grant(header: object) -> None:
    assert both_refuse(made(header, PAYLOAD)) == "FORM"


@pytest.mark.parametrize(
    "payload",
    [
        PAYLOAD | {"iss": "harness.dev"},
        PAYLOAD | {"attempt": "2"},
        PAYLOAD | {"attempt": True},
        PAYLOAD | {"exp": 1.5},
        PAYLOAD | {"run": 1},
        *({name: value for name, value in PAYLOAD.items() if name != left} for left in ("sub", "rev", "exp", "digest")),
        [],
        None,
    ],
)
def test_a_signed_token_with_other_claims_is_no_grant(payload: object) -> None:
    assert both_refuse(made(HEADER, payload)) == "CLAIMS"


@pytest.mark.parametrize(
    ("name", "value"),
    [("digest", "sha256:" + "0" * 64), ("run_id", "run_2"), ("step_id", "other"), ("attempt", 1)],
)
def test_a_grant_is_for_one_digest_and_one_lease(name: str, value: object) -> None:
    assert HELD.read(GRANT) == CLAIMS
    with pytest.raises(TerminalError) as at_the_worker:
        grants.verify(GRANT, grants.public_keys(HELD.keys()), now=0, **(LEASE | {name: value}))
    assert at_the_worker.value.reason == "GRANT_MISMATCH"


def test_a_worker_gives_the_clocks_some_leeway_and_then_asks_again() -> None:
    keys, ends = grants.public_keys(HELD.keys()), CLAIMS.expires_ms / 1000
    assert grants.verify(GRANT, keys, now=ends + grants.LEEWAY - 1, **LEASE).expires == ends
    with pytest.raises(RetryableError) as late:
        grants.verify(GRANT, keys, now=ends + grants.LEEWAY, **LEASE)
    assert late.value.reason == "GRANT_UNUSABLE"


# -- keys ----------------------------------------------------------------------------------------------


def test_the_name_of_a_key_is_its_thumbprint() -> None:
    # RFC 8037, appendix A.3.
    raw = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert signing_key(Ed25519PrivateKey.from_private_bytes(raw)).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_only_plain_ed25519_keys_are_taken() -> None:
    private, other = generate(), generate_private_key(SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(parse("a.pem", pem_of(private)), SigningKey)
    assert not isinstance(parse("a.pem", public), SigningKey)
    assert parse("a.pem", public).kid == parse("a.pem", pem_of(private)).kid
    encrypted = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    elliptic = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for wrong in (b"", b"secret", encrypted, elliptic, pem_of(private)[:-40]):
        with pytest.raises(ValueError, match=r"^a\.pem ") as refused:
            parse("a.pem", wrong)
        assert "secret" not in str(refused.value)


def test_a_name_can_say_when_a_key_begins() -> None:
    assert time_in("20231114T221320Z.pem") == time_in("20231114T221320Z-1f.pem") == 1_700_000_000
    assert [time_in(name) for name in ("key.pem", "20231399T000000Z.pem", "20231114T221320Zx.pem")] == [None] * 3


class Clock:
    """A clock that stands still until it is set."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "_RECHECK_SECONDS", 0.0)


def put(folder: Path, name: str) -> SigningKey:
    """A new key in a file."""
    private = generate()
    (folder / name).write_bytes(pem_of(private))
    return signing_key(private)


def test_the_last_by_name_signs_and_all_verify(tmp_path: Path) -> None:
    a, c = put(tmp_path, "a.pem"), put(tmp_path, "c.pem")
    (tmp_path / ".hidden.pem").write_text("no key")
    (tmp_path / "README").write_text("no key")
    ring = KeyRing.open(tmp_path, development=False)
    assert ring.signer().kid == c.kid
    b, d = put(tmp_path, "b.pem"), put(tmp_path, "d.pem")
    assert ring.signer().kid == d.kid
    assert [key.kid for key, _ in ring.published()] == [a.kid, b.kid, c.kid, d.kid]
    assert all(ring.find(key.kid) for key in (a, b, c, d))
    (tmp_path / "d.pem").unlink()
    assert ring.signer().kid == c.kid
    assert ring.find(d.kid) is None


def test_a_key_signs_when_its_time_has_come(tmp_path: Path, clock: Clock) -> None:
    old, new = put(tmp_path, "20231114T220000Z.pem"), put(tmp_path, "20231114T230000Z.pem")
    ring = KeyRing.open(tmp_path, development=False, clock=clock)
    assert ring.signer().kid == old.kid
    assert ring.find(new.kid) is not None
    begins = time_in("20231114T230000Z.pem")
    assert begins is not None
    assert [retires for _, retires in ring.published()] == [begins, None]
    clock.now = begins
    assert ring.signer().kid == new.kid


def test_a_key_without_its_private_half_only_verifies(tmp_path: Path) -> None:
    a = put(tmp_path, "a.pem")
    retired = generate()
    public = retired.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "b.pem").write_bytes(public)
    ring = KeyRing.open(tmp_path, development=False)
    assert ring.signer().kid == a.kid
    assert verify(sign(CLAIMS, signing_key(retired)), ring.find) == CLAIMS


def test_a_new_key_of_another_process_is_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.pem")
    monkeypatch.setattr(ring_module, "_RECHECK_SECONDS", 3600.0)
    ring = KeyRing.open(tmp_path, development=False)
    b = put(tmp_path, "b.pem")
    assert verify(sign(CLAIMS, b), ring.find) == CLAIMS


def test_what_goes_wrong_later_takes_no_good_key_away(tmp_path: Path) -> None:
    a = put(tmp_path, "a.pem")
    ring = KeyRing.open(tmp_path, development=False)
    (tmp_path / "b.pem").write_text("half writ")
    assert ring.signer().kid == a.kid
    b = put(tmp_path, "b.pem")
    assert ring.signer().kid == b.kid
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).unlink()
    assert ring.signer().kid == b.kid
    tmp_path.rmdir()
    assert ring.signer().kid == b.kid


@pytest.mark.parametrize("development", [False, True])
def test_keys_that_are_wrong_from_the_start_stop_it(tmp_path: Path, development: bool) -> None:
    (tmp_path / "a.pem").write_text("no key")
    with pytest.raises(ConfigurationError, match=r"HARNESS_APPROVAL_SIGNING_KEYS: a\.pem"):
        KeyRing.open(tmp_path, development=development)


def test_only_development_makes_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    for missing in (None, folder, tmp_path):
        with pytest.raises(ConfigurationError, match="HARNESS_APPROVAL_SIGNING_KEYS"):
            KeyRing.open(missing, development=False)
    in_memory = KeyRing.open(None, development=True)
    assert in_memory.find(in_memory.signer().kid) is not None
    made_here = KeyRing.open(folder, development=True).signer()
    (file,) = folder.glob("*.pem")
    assert file.stat().st_mode & 0o077 == 0
    assert KeyRing.open(folder, development=True).signer().kid == made_here.kid


def test_the_command_line_makes_keys_that_follow_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = create(folder)
    ring = KeyRing.open(folder, development=False)
    kid = ring.signer().kid
    later = create(folder, begins_in=600)
    assert ring.signer().kid == kid
    assert len(ring.published()) == 2
    assert first.name < later.name
    assert later.stat().st_mode & 0o077 == 0
    assert not list(folder.glob(".*"))


# -- the worker's copy of the keys ---------------------------------------------------------------------


class Service:
    """Answers ListGrantKeys and counts."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys)
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        return Grants(KeyRing(self.keys)).keys()


async def test_keys_are_fetched_once_and_again_when_there_is_a_new_one_or_they_are_old(clock: Clock) -> None:
    service = Service(KEY)
    keys = grants.KeySet(service, clock)
    for _ in range(3):
        clock.now += 1
        assert set(await keys.for_grant(GRANT)) == {KEY.kid}
    assert service.asked == 1
    service.keys = [KEY, OTHER]
    assert OTHER.kid in await keys.for_grant(sign(CLAIMS, OTHER))
    assert service.asked == 2
    # One that was removed is trusted for minutes, not for ever.
    service.keys = [OTHER]
    clock.now += grants.MAX_AGE
    assert KEY.kid not in await keys.for_grant(GRANT)


async def test_what_has_not_the_form_of_a_grant_asks_nobody() -> None:
    service = Service(KEY)
    with pytest.raises(TerminalError) as refused:
        await grants.KeySet(service).for_grant("a.b.c")
    assert (refused.value.reason, service.asked) == ("GRANT_INVALID", 0)
