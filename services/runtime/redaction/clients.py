"""Passwords that clients of databases, networks and accounts are given as arguments, and those that a sentence tells."""

from __future__ import annotations

from services.runtime.redaction.arguments import GAP, ON, QUOTE, VALUE, is_password
from services.runtime.redaction.lists import Within
from services.runtime.redaction.rule import PatternRule, Rule
from services.runtime.redaction.values import is_reference, looks_random

_OPERAND = r"[\s\x00]+[^\s\x00-][^\s\x00]*"
_NAMED = r"([^\s\x00\"'`;|&<>(){}\[\]$-][^\s\x00\"'`;|&<>(){}\[\],]{3,200})"
_END = r"(?:[\s\x00\"'`,;&]|$)"


def _is_no_word(value: str) -> bool:
    # Of options that any program may have, prose speaks too: "the --password flag", "password=required".
    return not value.isalpha() and any(c.isalpha() for c in value) and not is_reference(value)


def _is_mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and not is_reference(value)


# Programs by the option behind which their password stands.
_BY_OPTION = "|".join(
    rf"\b(?:{programs})(?:\.exe|\.py|\.rb)?{GAP}{ON}(?:{options}){GAP}{{1,3}}"
    for programs, options in (
        ("mongo(?:sh|dump|restore|export|import|stat|top|files)?|cypher-shell|cqlsh|crackmapexec|cme|nxc|netexec|evil-winrm|hydra|ncftp[a-z]*", "-p"),
        ("mosquitto_(?:pub|sub|rr)|ipmitool|bcp|[ot]sql|f?isql|sqsh", "-P"),
        ("swaks", "-ap|-AP"),
        ("mysql(?:dump|admin)?|mariadb|svn|mongo[a-z]*|clickhouse-client|ncftp[a-z]*", "--password"),
        ("mysqladmin", "password"),
        ("rabbitmqctl", r"(?:add_user|change_password)[\s\x00]+[^\s\x00]{1,60}"),
        ("nmcli", "password|wifi-sec.psk"),
        ("pdftk", "(?:user|owner|input)_pw"),
        ("aws", r"configure[\s\x00]+set[\s\x00]+(?:[a-z0-9_.-]{0,40}\.)?(?:aws_secret_access_key|aws_session_token)"),
    )
)

RULES: tuple[Rule, ...] = (
    PatternRule(
        "client-password",
        "Contains a password on a command line.",
        (
            *("mongo", "cypher-shell", "cqlsh", "crackmapexec", "cme", "nxc", "netexec", "evil-winrm", "hydra", "ncftp", "mosquitto"),
            *("ipmitool", "bcp", "osql", "tsql", "isql", "sqsh", "swaks", "mysql", "mariadb", "svn", "clickhouse", "rabbitmqctl", "nmcli", "pdftk"),
            *("aws_secret_access_key", "aws_session_token"),
        ),
        rf"(?:{_BY_OPTION}){VALUE}",
        accepts=is_password,
        plain=True,
    ),
    # Of these, one command has two passwords or more.
    Within(
        "client-passwords",
        "Contains a password on a command line.",
        ("snmp",),
        rf"({GAP}-[AX]{GAP})",
        "\n;|&",
        rf"{GAP}-[AX]{GAP}{{1,3}}{VALUE}",
        is_password,
        program=r"\bsnmp[a-z]+",
        plain=True,
    ),
    Within(
        "key-passwords",
        "Contains a password on a command line.",
        ("ssh-keygen", "keytool", "jarsigner"),
        rf"({GAP}-(?:[NP]|[a-z]{{3,9}}pass){GAP})",
        "\n;|&",
        rf"{GAP}-(?:[NP]|[a-z]{{3,9}}pass){GAP}{{1,3}}{VALUE}",
        is_password,
        program=r"\b(?:ssh-keygen|keytool|jarsigner)",
        plain=True,
    ),
    PatternRule(
        "client-operand",
        "Contains a password on a command line.",
        ("isql", "net use", "net1 use", "net.exe use", "net\0use"),
        rf"(?:\bisql(?:{GAP}+-[^\s\x00]+)*(?:{GAP}+[\w.]{{1,60}}){{2}}{GAP}+"
        rf"|(?i:\bnet1?(?:\.exe)?{GAP}+use{GAP}+(?:(?:[a-z]:|\*){GAP}+)?\\{{2,4}}[^\s\x00]+{GAP}+(?:/[^\s\x00]+{GAP}+)*))"
        r"[\"']?([^\s\x00\"'`;|&<>(){}$*/-][^\s\x00\"'`;|&<>(){}]{2,200})",
        accepts=_is_no_word,
        plain=True,
    ),
    PatternRule(
        "store-account",
        "Contains the secret key of an object store.",
        tuple(f"{first}{gap}{second}" for first, second in (("alias", "set"), ("host", "add"), ("user", "add")) for gap in " \0"),
        rf"\b(?:mc|mcli|mc\.exe)(?:{GAP}+--?[^\s\x00]+)*{GAP}+(?:(?:alias{GAP}+set|config{GAP}+host{GAP}+add)(?:{GAP}+--?[^\s\x00]+)*{_OPERAND}"
        rf"|admin{GAP}+user{GAP}+add(?:{GAP}+--?[^\s\x00]+)*){_OPERAND}{_OPERAND}{GAP}+{VALUE}",
        accepts=is_password,
        plain=True,
    ),
    PatternRule(
        "client-account",
        "Contains a password on a command line.",
        ("curl", "http", "etcdctl", "lftp", "sqlplus", "impacket", "psexec", "wmiexec", "smbexec", "secretsdump", "docker"),
        rf"(?:\bcurl\b{GAP}{ON}(?:--proxy-user|-U)(?:=|{GAP}{{1,3}}){QUOTE}[^\s:\"']{{1,60}}:"
        rf"|\b(?:https?|xh){GAP}{ON}(?:-a|--auth)(?:=|{GAP}{{1,3}}){QUOTE}[^\s:\"']{{1,60}}:"
        rf"|\betcdctl\b{ON}{GAP}--user(?:=|{GAP}{{1,3}}){QUOTE}[^\s:\"']{{1,60}}:"
        rf"|\blftp\b{ON}{GAP}(?:-u|--user){GAP}{{0,3}}{QUOTE}[^\s,\"']{{1,60}},"
        rf"|\bsqlplus(?:{GAP}+-[a-zA-Z]+)*{GAP}+{QUOTE}[\w.]{{1,60}}/"
        rf"|\b(?:impacket-[a-z]+|(?:ps|wmi|smb|at|dcom)exec(?:\.py)?|secretsdump(?:\.py)?){GAP}{ON}[\w.-]{{1,60}}(?:/[\w.-]{{1,60}})?:"
        rf"|\b(?:docker|podman){GAP}+login\b{ON}{GAP}-p)([^\s\x00\"'`;|&<>(){{}}$@-][^\s\x00\"'`;|&<>(){{}}@]{{2,200}})",
        accepts=is_password,
        plain=True,
    ),
    PatternRule(
        "here-password",
        "Contains a password that is given to a program.",
        ("<<<",),
        rf"(?:\bsudo\b{ON}\s(?:-[a-zA-Z]*S|--stdin)\b|\b(?:kinit|su|vncpasswd|cryptsetup|ssh-add|smbpasswd)\b|--(?:password|passphrase)-?(?:stdin|fd)\b){ON}"
        rf"<<<\s{{0,3}}{VALUE}",
        accepts=is_password,
        plain=True,
    ),
    PatternRule(
        "password-option",
        "Contains a password on a command line.",
        ("password", "passwd", "passphrase"),
        rf"{GAP}--?[a-z_-]{{0,30}}(?:password|passwd|passphrase){GAP}{{1,3}}{VALUE}",
        accepts=_is_no_word,
        plain=True,
    ),
    PatternRule(
        "password-named",
        "Contains a literal password.",
        ("password", "passwd", "passphrase", "pwd", "_pass", "pw"),
        r"(?i)(?:^|[^a-z0-9_])[a-z0-9_.-]{0,30}(?:password|passwd|passphrase|pwd|_pass|\bpw|_pw)"
        rf"(?:=|\s{{1,3}}=\s{{1,3}}|[\"']?:\s{{0,3}})(?:[\"']([^\s\"'$]{{4,200}})[\"']|{_NAMED}{_END})",
        accepts=_is_mixed,
        plain=True,
    ),
    PatternRule(
        "password-in-sentence",
        "Tells a password.",
        ("password", "passphrase", "passcode"),
        r"(?i)\b(?:use|using|with|enter|type|provide|give|try|set)\s+(?:the\s+|this\s+|its\s+|my\s+)?(?:\w{1,20}\s+)?(?:password|passphrase|passcode)"
        r"\s{1,3}(?:to\s{1,3}|=\s{0,3})?(?:[\"'`]([^\s\"'`$]{4,200})[\"'`]|([^\s\"'`$,;()<>]{4,200}[^\s\"'`$,;.:!?()<>]))",
        accepts=_is_mixed,
        plain=True,
    ),
    PatternRule(
        "password-in-quotes",
        "Tells a password.",
        ("password", "passphrase", "passcode"),
        r"(?i)\b(?:password|passphrase|passcode)\s{1,3}(?:is|to|will\s+be|was)\s{1,3}(?:now\s+)?[\"'`]([^\s\"'`$]{4,200})[\"'`]",
        accepts=is_password,
        plain=True,
    ),
    PatternRule(
        "telegram-token",
        "Contains the token of a Telegram bot.",
        (":aa",),
        r"(?:\bbot|(?:^|[^0-9A-Za-z]))(\d{8,10}:AA[0-9A-Za-z_-]{33})(?:[^0-9A-Za-z_-]|$)",
        accepts=looks_random,
    ),
    PatternRule(
        "discord-token",
        "Contains the token of a Discord bot.",
        ("discord", "bot", "token", "client.", "mfa."),
        r"(?:^|[^0-9A-Za-z_-])([MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,40}|mfa\.[0-9A-Za-z_-]{80,100})(?:[^0-9A-Za-z_-]|$)",
        accepts=_is_mixed,
    ),
    PatternRule(
        "discord-webhook",
        "Contains an address that lets anybody write to a channel.",
        ("/api/webhooks/",),
        r"/api/webhooks/\d{17,20}/([0-9A-Za-z_-]{60,80})",
        accepts=looks_random,
    ),
)
