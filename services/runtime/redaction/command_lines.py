"""Secrets that programs are given on their command line or in a pipe, where only the program tells which word is one."""

from __future__ import annotations

from services.runtime.redaction.lists import Within
from services.runtime.redaction.rule import PatternRule, Rule
from services.runtime.redaction.values import is_reference, looks_random


def _is_password(value: str) -> bool:
    return not is_reference(value)


def _is_no_word(value: str) -> bool:
    # Prose has words where these commands have a password: "the vault login page", "net user numbers".
    return not value.isalpha() and not is_reference(value)


_ON = r"[^\n;|&]{0,300}?"  # further on in the same command
_GAP = r"[\s\x00]"  # between arguments, also of a list of them
_VALUE = r"(?:[\"']\s{0,3}\+\s{0,3}[\"']|[\"'])?([^\s\x00\"'`;|&<>(){}$-][^\s\x00\"'`;|&<>(){}]{2,200})"
_READS_A_PASSWORD = (
    rf"(?:sudo{_GAP}+(?:-\S+\s+)*)?(?:chpasswd|passwd|cryptsetup|smbpasswd|kinit|gpg\b{_ON}--passphrase-fd|sudo\b{_ON}\s-[a-zA-Z]*S"
    rf"|gh\s+auth\s+login|[a-z][\w-]*\b{_ON}--(?:password|passphrase|token)-?(?:stdin|fd))\b"
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
        rf"(?:\b(?:mysql(?:dump|admin)?|mariadb(?:-dump)?)\b{_ON}{_GAP}-p|\bsshpass{_GAP}+-p\s{{0,3}}"
        rf"|\b(?:docker|podman|buildah|skopeo|nerdctl|oras|registry|az|oc){_GAP}+login\b{_ON}{_GAP}(?:-p|--password)(?:=|{_GAP})"
        rf"|\bredis-cli\b{_ON}{_GAP}(?:-a|--pass){_GAP}+|\bldap(?:search|modify|add|delete|passwd)\b{_ON}{_GAP}-w{_GAP}+"
        rf"|{_GAP}--[a-z-]{{0,30}}pass(?:word|wd|phrase)?=|{_GAP}-pass(?:in|out)?{_GAP}+[\"']?pass:"
        rf"|\b(?:useradd|usermod|adduser|groupadd)\b{_ON}{_GAP}(?:-[a-zA-Z]{{0,5}}p|--password)(?:=|{_GAP}+)"
        rf"|\b(?:smb[a-z]+|rpcclient)\b{_ON}{_GAP}(?:-U|--user(?:name)?)(?:=|{_GAP}*)[\"']?[^\s%\"']{{1,100}}%"
        rf"|\b(?:zip|unzip|zipcloak)\b{_ON}{_GAP}-P{_GAP}*|\b(?:7z[arz]?|rar|unrar)\b{_ON}{_GAP}-h?p|\bopenssl\b{_ON}{_GAP}-[kK]{_GAP}+"
        rf"|\b(?:sqlcmd|bcp|osql){_GAP}(?:{_ON}{_GAP})?-P{_GAP}*|\b(?:keytool|jarsigner)\b{_ON}{_GAP}-(?:store|key|new|srcstore|deststore|srckey|destkey)pass{_GAP}+"
        rf"|\b[xw]?l?freerdp3?\b{_ON}{_GAP}/p(?:assword)?:|\brdesktop\b{_ON}{_GAP}-p{_GAP}*|\bwpa_passphrase{_GAP}+[^\s\x00-]+{_GAP}+)" + _VALUE,
        accepts=_is_password,
        plain=True,
    ),
    PatternRule(
        "argument-password",
        "Contains a password on a command line.",
        ("htpasswd", "vault", "net user", "net1 user", "net.exe user", "net\0user"),
        rf"(?:\bhtpasswd(?:{_GAP}+-[a-zA-Z]+)*{_GAP}+-[a-zA-Z]*b[a-zA-Z]*(?:{_GAP}+-\S+)*(?:{_GAP}+[^-\s\x00;|&]+){{1,2}}{_GAP}+"
        rf"|\bvault{_GAP}+login(?:{_GAP}+-[a-z-]+(?:=\S+)?)*{_GAP}+"
        rf"|(?i:\bnet1?(?:\.exe)?{_GAP}+user{_GAP}+[^\s/]+{_GAP}+))"
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
        accepts=_is_password,
        plain=True,
    ),
    Within(
        "secret-literal",
        "Contains the values of a Kubernetes Secret.",
        ("--from-literal",),
        r"\bsecrets?[\s\x00]",
        ";|&",
        r"--from-literal(?:=|[\s\x00]+)[\"']?[\w.-]+=[\"']?([^\s\x00\"'`<>(){}$][^\s\x00\"'`<>(){}]{2,200})",
        _is_password,
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
