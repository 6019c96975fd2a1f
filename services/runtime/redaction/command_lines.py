"""Secrets that programs are given on their command line or in a pipe, where only the program tells which word is one."""

from __future__ import annotations

from services.runtime.redaction.arguments import GAP, ON, VALUE, is_password
from services.runtime.redaction.lists import Within
from services.runtime.redaction.rule import PatternRule, Rule
from services.runtime.redaction.values import is_reference, looks_random


def _is_no_word(value: str) -> bool:
    # Prose has words where these commands have a password: "the vault login page", "net user numbers".
    return not value.isalpha() and not is_reference(value)


_READS_A_PASSWORD = (
    rf"(?:sudo{GAP}+(?:-\S+\s+)*)?(?:chpasswd|passwd|cryptsetup|smbpasswd|kinit|gpg\b{ON}--passphrase-fd|sudo\b{ON}\s-[a-zA-Z]*S"
    rf"|gh\s+auth\s+login|[a-z][\w-]*\b{ON}--(?:password|passphrase|token)-?(?:stdin|fd))\b"
)

RULES: tuple[Rule, ...] = (
    PatternRule(
        "command-password",
        "Contains a password on a command line.",
        (
            "mysql",
            "mariadb",
            "sshpass",
            "login",
            "redis-cli",
            "ldap",
            "--pass",
            "-pass",
            "useradd",
            "usermod",
            "zip",
            "7z",
            "rar ",
            "rar\0",
            "openssl",
            "smb",
            "rpcclient",
            "sqlcmd",
            "keytool",
            "jarsigner",
            "freerdp",
            "rdesktop",
            "wpa_passphrase",
        ),
        rf"(?:\b(?:mysql(?:dump|admin)?|mariadb(?:-dump)?)\b{ON}{GAP}-p|\bsshpass{GAP}+-p\s{{0,3}}"
        rf"|\b(?:docker|podman|buildah|skopeo|nerdctl|oras|registry|az|oc){GAP}+login\b{ON}{GAP}(?:-p|--password)(?:=|{GAP})"
        rf"|\bredis-cli\b{ON}{GAP}(?:-a|--pass){GAP}+|\bldap(?:search|modify|add|delete|passwd)\b{ON}{GAP}-w{GAP}+"
        rf"|{GAP}--[a-z-]{{0,30}}pass(?:word|wd|phrase)?=|{GAP}-pass(?:in|out)?{GAP}+[\"']?pass:"
        rf"|\b(?:useradd|usermod|adduser|groupadd)\b{ON}{GAP}(?:-[a-zA-Z]{{0,5}}p|--password)(?:=|{GAP}+)"
        rf"|\b(?:smb[a-z]+|rpcclient)\b{ON}{GAP}(?:-U|--user(?:name)?)(?:=|{GAP}*)[\"']?[^\s%\"']{{1,100}}%"
        rf"|\b(?:zip|unzip|zipcloak)\b{ON}{GAP}-P{GAP}*|\b(?:7z[arz]?|rar|unrar)\b{ON}{GAP}-h?p|\bopenssl\b{ON}{GAP}-[kK]{GAP}+"
        rf"|\b(?:sqlcmd|bcp|osql){GAP}(?:{ON}{GAP})?-P{GAP}*|\b(?:keytool|jarsigner)\b{ON}{GAP}-(?:store|key|new|srcstore|deststore|srckey|destkey)pass{GAP}+"
        rf"|\b[xw]?l?freerdp3?\b{ON}{GAP}/p(?:assword)?:|\brdesktop\b{ON}{GAP}-p{GAP}*|\bwpa_passphrase{GAP}+[^\s\x00-]+{GAP}+)" + VALUE,
        accepts=is_password,
        plain=True,
    ),
    PatternRule(
        "argument-password",
        "Contains a password on a command line.",
        ("htpasswd", "vault", "net user", "net1 user", "net.exe user", "net\0user"),
        rf"(?:\bhtpasswd(?:{GAP}+-[a-zA-Z]+)*{GAP}+-[a-zA-Z]*b[a-zA-Z]*(?:{GAP}+-\S+)*(?:{GAP}+[^-\s\x00;|&]+){{1,2}}{GAP}+"
        rf"|\bvault{GAP}+login(?:{GAP}+-[a-z-]+(?:=\S+)?)*{GAP}+"
        rf"|(?i:\bnet1?(?:\.exe)?{GAP}+user{GAP}+[^\s/]+{GAP}+))"
        r"[\"']?([^\s\x00\"'`;|&<>(){}$*/=-][^\s\x00\"'`;|&<>(){}=]{2,200})(?:[\s\x00\"';|&]|$)",
        accepts=_is_no_word,
        plain=True,
    ),
    PatternRule(
        "piped-password",
        "Contains a password that is given to a program.",
        ("passwd", "sudo", "cryptsetup", "kinit", "gpg", "auth login", "-stdin"),
        r"(?:\b(?:echo|printf|print)\s+(?:-[a-zA-Z]+\s+)*[\"']?(?:[\w.-]{1,64}:)?([^\s\"'`;|&<>(){}$-][^\s\"'`;|&<>(){}]{2,200})"
        rf"[\"']?(?:\s+[^\s|;&]{{1,60}})?\s*\|\s*{_READS_A_PASSWORD}"
        r"|\b(?:chpasswd|passwd)\b[^\n;|&]{0,100}<<<?-?\s*(?:[\"']?\w+[\"']?\n)?[\"']?(?:[\w.-]{1,64}:)([^\s\"'`;|&<>(){}$-][^\s\"'`;|&<>(){}]{2,200}))",
        accepts=is_password,
        plain=True,
    ),
    Within(
        "secret-literal",
        "Contains the values of a Kubernetes Secret.",
        ("--from-literal",),
        r"\bsecrets?[\s\x00]",
        ";|&",
        r"--from-literal(?:=|[\s\x00]+)[\"']?[\w.-]+=[\"']?([^\s\x00\"'`<>(){}$][^\s\x00\"'`<>(){}]{2,200})",
        is_password,
        plain=True,
    ),
    Within(
        "session-cookie",
        "Contains the cookie of a session.",
        ("cookie", "curl"),
        r"(?i)\b(?:set-)?cookies?[\"']?\s{0,3}[:=]|([\s\x00](?:-b|--cookie)[\s\x00=])",
        "\n:",
        r"(?i)(?:sess|sid|auth|token|jwt|login|remember|identity)[\w.-]{0,30}=([^\s\x00;,\"'&]{8,})",
        looks_random,
        program=r"(?i)\bcurl\b",
    ),
    PatternRule(
        "signed-address",
        "Contains an address that opens what it names to anybody.",
        ("sig=", "signature="),
        r"(?i)[?&;](?:sig|signature|x-(?:amz|goog)-signature)=([a-z0-9%+/=_.-]{16,600})",
        accepts=looks_random,
    ),
)
