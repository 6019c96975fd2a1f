"""What requests are judged to do: where they lead in every spelling, their effect, and what they carry."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.approval.risk import ApiCall, Level, assess
from services.approval.risk.detectors import addresses, operations, tables
from services.approval.risk.detectors.api import assess_request

DATA = tables.load("api.yaml")


def ids(method: str, url: str, headers: dict[str, str] | None = None, body: str = "") -> set[str]:
    return {f.id for f in assess_request(method, url, headers or {}, body)}


@pytest.mark.parametrize(("id", "method", "url"), DATA["match"])
def test_the_tables_examples_match(id: str, method: str, url: str) -> None:
    assert id in ids(method, url)


@pytest.mark.parametrize(("id", "method", "url"), DATA["no_match"])
def test_the_tables_counterexamples_do_not_match(id: str, method: str, url: str) -> None:
    assert id not in ids(method, url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fd00:0ec2:0:0:0:0:0:254]",
        "169.254.169.254.nip.io",
        "a.169-254-169-254.sslip.io",
        "a9fea9fe.nip.io",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "169%2e254%2e169%2e254",
        "\uff11\uff16\uff19.254.169.254",
        "169\u3002254\u3002169\u3002254",
        "169.254.169.254:80",
        "user@169.254.169.254",
        "user:pw@169.254.169.254",
    ],
)
def test_the_metadata_service_is_known_in_every_spelling(host: str) -> None:
    assert "api.metadata" in ids("GET", f"http://{host}/latest/meta-data/")
    assert assess(ApiCall("GET", f"http://{host}/x")).level is Level.HIGH


@pytest.mark.parametrize(
    ("url", "kind", "odd"),
    [
        ("https://example.com/a", "public", False),
        ("http://localhost:3000/", "local", False),
        ("http://127.0.0.1:8000/", "local", False),
        ("http://[::1]:8000/", "local", False),
        ("http://0.0.0.0/", "local", False),
        ("http://10.1.2.3/", "private", False),
        ("http://[fd00::1]/", "private", False),
        ("http://db.internal/", "private", False),
        ("http://api.default.svc.cluster.local/", "private", False),
        ("http://web:8080/health", "single", False),
        ("http://2130706433/", "local", True),
        ("http://0177.1/", "local", True),
        ("http://localtest.me/", "local", True),
        ("http://10-0-0-1.sslip.io/", "private", True),
        ("http://8.8.2056/", "public", True),
        ("https://github.com@evil.io/", "public", True),
        ("https://good.com\\@evil.io/", "public", True),
        ("https://a@b@evil.io/", "public", True),
        ("https://exam%70le.com/", "public", True),
        ("https://g\u0456thub.com/", "public", True),
        ("https://xn--80ak6aa92e.com/", "public", True),
        ("https://b\u00fccher.de/", "public", False),
        ("https://me@example.com/", "public", False),
        ("https://exam\tple.com/", "public", True),
    ],
)
def test_where_an_address_leads(url: str, kind: str, odd: bool) -> None:
    address = addresses.parse(url)
    assert address is not None
    assert (address.kind, bool(address.odd)) == (kind, odd)


@pytest.mark.parametrize("url", ["http://[::1", "http://a:99999999/"])
def test_an_address_that_cannot_be_read_is_unknown(url: str) -> None:
    assert assess(ApiCall("GET", url)).level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://api.example.com/v1/items?page=2"),
        ("GET", "https://api.example.com/v1/tokenizer"),
        ("GET", "https://api.example.com/products/production-line"),
        ("GET", "https://mail.example.com/deleted-items"),
        ("HEAD", "https://example.com/file.zip"),
        ("GET", "https://docs.example.com/guides/using-secrets"),
        ("GET", "https://example.com/how-to-delete-a-branch"),
        ("GET", "https://en.wikipedia.org/wiki/Payment"),
        ("GET", "http://localhost:8000/users"),
        ("GET", "https://registry.example/left-pad"),
        ("OPTIONS", "https://api.example.com/v1/users"),
    ],
)
def test_reading_is_low(method: str, url: str) -> None:
    assert assess(ApiCall(method, url)).level is Level.LOW


@pytest.mark.parametrize(
    ("method", "url", "id"),
    [
        ("POST", "https://api.example.com/v1/users/5/delete", "api.destructive"),
        ("POST", "https://api.example.com/v1/bulkDelete", "api.destructive"),
        ("POST", "https://api.example.com/_delete_by_query", "api.destructive"),
        ("PUT", "https://api.example.com/machines/5/terminate", "api.destructive"),
        ("POST", "https://api.example.com/subscription/cancel", "api.disruptive"),
        ("DELETE", "https://api.example.com/v1/items/5", "api.delete"),
        ("GET", "https://api.example.com/v1/items/5/delete", "api.get-destructive"),
        ("GET", "https://api.example.com/?action=delete&id=5", "api.get-destructive"),
        ("GET", "https://example.com/logout", "api.get-disruptive"),
        ("POST", "https://api.example.com/v1/payouts", "api.money"),
        ("POST", "https://api.example.com/v1/users/5/roles", "api.rights"),
        ("POST", "https://api.example.com/repos/a/b/hooks", "api.rights"),
        ("POST", "http://localhost:2375/containers/create", "api.control-port"),
        ("POST", "https://ci.example.com/scriptText", "api.execute"),
        ("POST", "https://web.example.com/api/containers/5/exec", "api.execute"),
        ("PATCH", "https://api.example.com/v1/items/5", "api.change"),
        ("GET", "https://vault.example.com/v1/secrets/db", "api.secrets"),
        ("GET", "https://example.com/.env", "api.secrets"),
        ("POST", "https://webhook.site/abc", "api.drop-site"),
        ("POST", "https://a.b.ngrok-free.app/x", "api.drop-site"),
        ("POST", "https://discord.com/api/webhooks/1/x", "api.drop-site"),
        ("GET", "https://bit.ly/3abc", "api.short-address"),
        ("GET", "gopher://example.com/_x", "api.scheme"),
        ("GET", "https://me:pa55w0rd@example.com/", "secret.url-password"),
        ("GET", "http://proxy.local/computeMetadata/v1/instance", "api.metadata"),
        ("GET", "https://proxy.example.com/fetch?url=http://169.254.169.254/latest", "api.metadata"),
    ],
)
def test_addresses_and_their_effects(method: str, url: str, id: str) -> None:
    assert id in ids(method, url)


@pytest.mark.parametrize("path", ["drop-off-points", "deleted-items", "v1/tokenizer", "charge-stations", "wire-frames"])
def test_words_inside_words_and_other_meanings_are_nothing(path: str) -> None:
    assert ids("POST", f"https://api.example.com/{path}") == {"api.post"}


@pytest.mark.parametrize("site", ["discord.com/channels/1", "notpastebin.com", "pastebin.com.example.org"])
def test_names_that_are_like_a_drop_site_are_none(site: str) -> None:
    assert "api.drop-site" not in ids("POST", f"https://{site}")


def test_deleting_all_weighs_more_than_deleting_one() -> None:
    def weight(path: str) -> int:
        found = assess_request("DELETE", f"https://api.example.com/{path}", {}, "")
        return next(f.weight for f in found if f.id == "api.delete")

    assert weight("v1/comments/5") < weight("v1/projects/5") <= weight("v1/comments") < weight("*")
    assert weight("") == weight("indices/_all") == weight("*")


@pytest.mark.parametrize(
    ("headers", "body", "id"),
    [
        ({"X-HTTP-Method-Override": "DELETE"}, "", "api.delete"),
        ({}, "_method=delete&x=1", "api.delete"),
        ({}, json.dumps({"query": 'mutation { deleteUser(id: "{") { id } }'}), "api.destructive"),
        ({}, json.dumps([{"query": "query { a }"}, {"query": "mutation M { x: purgeAll }"}]), "api.destructive"),
        ({}, json.dumps({"query": "mutation { createPayment(amount: 5) { id } }"}), "api.money"),
        ({}, json.dumps({"jsonrpc": "2.0", "method": "user.delete", "params": [5]}), "api.destructive"),
        ({}, json.dumps({"action": "terminate", "id": 5}), "api.destructive"),
        ({}, "Action=TerminateInstances&InstanceId=i-1", "api.destructive"),
        ({"X-Amz-Target": "DynamoDB_20120810.DeleteTable"}, "{}", "api.destructive"),
        ({"SOAPAction": '"http://example.com/DeleteAccount"'}, "<a/>", "api.destructive"),
        ({}, "<soap:Envelope><soap:Body><m:RemoveUser/></soap:Body></soap:Envelope>", "api.destructive"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "x", "api.upload"),
        ({"Metadata-Flavor": "Google"}, "", "api.metadata"),
        ({}, json.dumps({"url": "https://webhook.site/abc", "events": ["push"]}), "api.drop-site"),
        ({}, "password=hunter2hunter2x9", "secret.assigned"),
    ],
)
def test_what_headers_and_body_ask_for(headers: dict[str, str], body: str, id: str) -> None:
    found = ids("POST", "https://api.example.com/v1/run", headers, body)
    assert id in found or (id.startswith("secret.") and any(each.startswith("secret.") for each in found))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"query": "query { deletedUsers { id } }"}),
        json.dumps({"query": "{ payments { amount } }"}),
        json.dumps({"text": "please delete this", "note": "mutation { deleteUser }"}),
        "comment=delete+me",
    ],
)
def test_asking_and_telling_is_no_operation(body: str) -> None:
    assert ids("POST", "https://api.example.com/graphql", {}, body) == {"api.post"}


def test_secrets_in_a_request_are_masked_in_what_is_shown() -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    for factor in assess(ApiCall("POST", f"http://example.com/?t={token}", {"Authorization": token}, token)).factors:
        assert token not in factor.excerpt + factor.message


@given(st.text(max_size=60), st.text(max_size=80))
def test_any_request_has_an_answer(url: str, body: str) -> None:
    assert assess(ApiCall("POST", url, {"a": body}, body)).level in Level
    assert assess(ApiCall("GET", f"http://{url}/{body}")).level in Level


@given(st.integers(0, 2**32 - 1))
def test_every_spelling_of_an_address_is_one_address(number: int) -> None:
    plain = addresses.canonical(str(addresses.canonical(str(number))))
    octets = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    for text in (hex(number), "0" + oct(number)[2:], ".".join(map(hex, octets)), f"{octets[0]}.{number & 0xFFFFFF}"):
        assert addresses.canonical(text) == plain
    assert addresses.canonical(f"[::ffff:{plain}]") == plain


@given(st.text(max_size=300))
def test_any_text_is_read_for_operations(text: str) -> None:
    list(operations.names({}, text, text))
    list(operations.mutations("mutation {" + text))
    assert operations.queries_only(text) in (True, False)


def test_a_request_that_names_more_addresses_than_are_looked_at_is_unknown() -> None:
    body = " ".join(f"http://a{i}.example/b" for i in range(4100))
    assert assess(ApiCall("GET", "http://a.example/", body=body)).level >= Level.UNKNOWN
