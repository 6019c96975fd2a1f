"""Secrets that only the program tells, and such as are written so that they are not seen; what resembles them stays."""

from __future__ import annotations

import pytest

from services.runtime.redaction import MASK, redact
from services.runtime.redaction.disguise import without

PASSWORD = "hunter2xyzzy"


@pytest.mark.parametrize(
    "text",
    [
        "useradd -p {} bob",
        "snmpget -v3 -u bob -A other9value -X {} host",
        "snmpwalk -X other9value -A {} host",
        "snmpwalk\0-X\0other9value\0-A\0{}\0host",
        "ssh-keygen -p -P other9value -N {} -f key",
        "keytool -genkey -storepass other9value -keypass {} -alias a",
        "net use Z: \\\\server\\share {} /user:dom\\bob",
        "net use \\\\server\\share /user:dom\\bob {}",
        "isql -v source sa {}",
        "isql -U sa -P {} -S srv",
        "mc alias set store http://localhost:9000 minio {}",
        "mc config host add store http://localhost:9000 minio {}",
        "mc admin user add store bob {}",
        "docker login -u bob -p {} registry.example",
        "docker login -u bob -p{}",
        "Then log in: the password is {}.",
        "usermod --password {} bob",
        "smbclient -U bob%{} //host/share",
        "echo bob:{} | chpasswd",
        "echo 'bob:{}' | sudo chpasswd",
        "chpasswd <<< 'bob:{}'",
        "chpasswd <<EOF\nbob:{}\nEOF",
        "echo {} | passwd --stdin bob",
        "echo {} | sudo -S ls",
        "echo {} | docker login --password-stdin host",
        "zip -P {} a.zip a",
        "7z a -p{} a.7z a",
        "htpasswd -b file bob {}",
        "htpasswd -nbB bob {}",
        "vault login {}",
        "vault login -no-store {}",
        "openssl enc -aes-256-cbc -k {} -in a",
        "openssl enc -pass pass:{} -in a",
        "net user bob {} /add",
        "sqlcmd -S db -U sa -P {}",
        "keytool -list -storepass {} -keystore a",
        "xfreerdp /v:host /u:bob /p:{}",
        "wpa_passphrase home {}",
        "export DB_PASS={}",
        "MYSQL_ROOT_PASSWORD: {}",
        "CREATE USER a IDENTIFIED BY '{}'",
        "whsec_Ab1{}Cd2Ef3Gh4Ij5",
        "kubectl create secret generic s --from-literal=a={}",
        "kubectl create secret generic s --from-literal=b=other9value --from-literal 'a={}'",
        "Cookie: theme=dark; session={}",
        "Set-Cookie: a=b; sid={}",
        "curl -H 'A: b' -s --cookie 'x=y; sid={}' https://host",
        "curl -b 'theme=dark; PHPSESSID={}' https://host",
        "https://host/c?sv=2020&sig={}%2FabcDEF0123%3D",
        "useradd\0-p\0{}\0bob",
        "htpasswd\0-b\0file\0bob\0{}",
        "p\u0430ssword={}",
        "p\u200dassword={}",
        'pass""word={}',
        "The password for bob is now {}.",
        "the API key was set to '{}'",
    ],
)
def test_secrets_that_only_their_program_or_place_tells_are_masked(text: str) -> None:
    assert PASSWORD not in redact(text.format(PASSWORD))
    assert MASK in redact(text.format(PASSWORD))


@pytest.mark.parametrize("sign", ['""', "''", "\\\n", "\\\r\n", "\u200b", "\ufeff"])
def test_what_a_shell_or_a_reader_joins_is_one_secret(sign: str) -> None:
    assert redact(f"x AKIA{sign}IOSFODNN7EXAMPLF y") == f"x {MASK} y"


def test_a_short_key_of_a_model_provider_is_masked_without_capitals() -> None:
    assert redact("key sk-ant-api03-a1b2c3d4e5f6g7h8i9j0k1l2 end") == f"key {MASK} end"


@pytest.mark.parametrize(
    "text",
    [
        "Open the vault login page",
        "snmpget -v2c -c public host",
        "net use Z: \\\\server\\share /persistent:yes",
        "net use Z: /delete",
        "isql source sa",
        "isql -b source < q.sql",
        "mc alias set store http://localhost:9000 minio",
        "mc cp store/a/b.txt store/c/d.txt",
        "ssh-keygen -t ed25519 -N '' -f key",
        "curl https://host/api/webhooks/1/test",
        "Chart net user growth by month",
        "net user bob /active:no",
        "echo ok | sudo tee /etc/motd",
        "kubectl create configmap c --from-literal=level=debug9values",
        "zip -r a.zip folder",
        "7z x a.7z -oout",
        "unzip -p a.zip b.txt",
        "openssl req -key k.pem",
        "the password is wrong",
        "the password is case-sensitive",
        "the password is stored in the vault",
        "the password is base64-encoded and at least 12 characters",
        "the token is in secrets/db2.yaml",
        "vault login -method=oidc",
        "Cookie: theme=dark; lang=en",
        "curl -b cookies.txt https://host",
        "curl https://host; tool -b sid=k9f3m2x8q7z1w5",
        "useradd -m bob",
        'a = ""\nb = "abc"',
        "f('', \"\")",
        "\u043f\u0430\u0440\u043e\u043b\u044c \u0437\u0430\u0431\u044b\u0442",
    ],
)
def test_what_resembles_them_is_left(text: str) -> None:
    assert redact(text) == text


def test_each_letter_keeps_its_place() -> None:
    text = 'a""b\u200bc\u0430 d'
    plain, places = without(text)
    assert plain == "abca d"
    assert [text[at] for at in places] == ["a", "b", "c", "\u0430", " ", "d"]
