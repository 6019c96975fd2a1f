"""The network: what leaves this machine, and through which request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors import api
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.words import Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_SEND_OPTIONS = ("-d", "--data", "--data-binary", "--data-raw", "--data-urlencode", "--data-ascii", "--json", "-F", "--form", "--form-string")
_FILE_OPTIONS = ("-T", "--upload-file")
_BODIES = (*_SEND_OPTIONS, "--post-data", "--body-data")
_MINER = patterns.compile(
    r"(?i)stratum\+(?:tcp|ssl)://|\bxmrig\b|cryptonight|--donate-level|\bmonero\w*pool|minexmr|supportxmr|nanopool"
    r"|(?:^|\x00)(?:--algo|--coin|-a)[\x00=](?:rx/|cn/|randomx|kawpow|ethash|etchash|astrobwt|ghostrider|verushash)"
)
_NAMES_MINERS = flows.SPEAKERS | {"grep", "rg", "find"}  # programs that name one without running it
_SINKS = frozenset(
    "curl wget nc socat telnet ftp lftp tftp sftp scp rsync ssh mail mailx mutt sendmail swaks http https xh ncftpput smbclient dig nslookup host ping rclone croc wormhole s3cmd "
    "gsutil finger whois openssl lftpput httpie aws az gcloud gh logger busybox_nc drill".split()
)
_REMOTE = patterns.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?:[^\\]|$)|^(?:rsync|s3|gs|ftp|sftp|https?|scp|smb)://")
# With a scheme, or without one, and then with a name and a password or without them.
_ADDRESS = patterns.compile(
    r"(?i)^(?:(?:https?|ftp|gopher|dict|ldap|file|tftp|smb):/|/{2,}\w|(?:[^\s/@]+@)?(?:\[[0-9a-f:.%]+\]|[\w.-]+)(?::\d+)?(?:[/?#]|$))"
)
_HERE = patterns.compile(
    r"(?i)^(?:[^@]*@)?(?:localhost|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[?::1\]?|[\w.-]+\.(?:local|internal|lan|test))"
)
_URL = patterns.compile(r"^\w+://")


_LOOK_UPS = frozenset("dig nslookup host ping whois finger drill".split())
_HIDDEN_LABEL = HIDDEN + "."
_NEVER_A_HOST = frozenset({flows.SENSITIVE, flows.ENVIRONMENT, flows.ENCODED})


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """What leaves this machine, and through which request."""
    if call.name not in _NAMES_MINERS and _MINER.search(call.joined):
        walker.flag("network.crypto-miner", HIGH, "Mines cryptocurrency.", call.excerpt)
    if call.name not in _SINKS:
        return
    looks_up = call.name in _LOOK_UPS
    carried = _carried(call, read)
    if call.name in ("curl", "wget"):
        _request(walker, call)
        _told(walker, call)
    outward = _sends(call)
    if not outward:
        return
    if flows.SENSITIVE in carried or flows.ENVIRONMENT in carried:
        walker.flag(
            "exfiltration.sensitive",
            HIGH,
            "Sends secrets or settings of this machine to the network.",
            call.excerpt,
            "Send only what is meant to leave, to a place that is known.",
            call.span,
        )
    elif (
        flows.LOCAL in carried
        or outward == "file"
        or (not looks_up and call.stdin.present and call.stdin.text is None and flows.FETCHED not in carried)
    ):
        copies = call.name in ("scp", "rsync", "sftp", "aws", "gsutil", "gcloud", "az")
        walker.flag("exfiltration.local", MINOR if copies else MEDIUM, "Sends local data to the network.", call.excerpt, span=call.span)
    named = any(flows.IDENTITY in word.taints and f"//{_HIDDEN_LABEL}" in word.text for word in call.words)
    if named or (looks_up and any(HIDDEN in a for a in call.args) and carried):
        walker.flag("exfiltration.names", SERIOUS, "Hides data in a name that it looks up or connects to.", call.excerpt)


# Options whose value is a name and a password, or a header: how a service is told who asks.
_SAYS_WHO = frozenset(
    "-H --header -u --user -U --proxy-user -b --cookie -E --cert --key --pass --oauth2-bearer --password --http-password -x --proxy -A --user-agent".split()
)


def _told(walker: Walker, call: Invocation) -> None:
    """What curl and wget are given to send as words: secrets of the environment by name, and lists of what is here."""
    sent = ""
    for index, word in enumerate(call.words):
        before = call.args[index - 1] if index else ""
        if word.text.partition("=")[0] in _SAYS_WHO or before in _SAYS_WHO or (word.text[:2] in ("-H", "-u", "-b") and len(word.text) > 2):
            continue
        if flows.SECRET in word.taints:
            sent = flows.SECRET
            break
        if (flows.LISTED in word.taints and (before in _BODIES or word.text.startswith(_BODIES))) or _named_in_address(word):
            sent = flows.LISTED
    if sent == flows.SECRET:
        walker.flag(
            "exfiltration.variable",
            SERIOUS,
            "Sends a secret of the environment in an address or a body.",
            call.excerpt,
            "Tell a service who asks in a header.",
            call.span,
        )
    elif sent:
        walker.flag("exfiltration.local", MEDIUM, "Sends local data to the network.", call.excerpt, span=call.span)


def _named_in_address(word: Word) -> bool:
    """Whether an address elsewhere has what this machine or its user is called in its path or its question."""
    if flows.IDENTITY not in word.taints or not _ADDRESS.match(word.text):
        return False
    host, _, rest = word.text.partition("://")[2].partition("/") if "://" in word.text else word.text.partition("/")
    return HIDDEN in rest and not _HERE.match(host)


def _carried(call: Invocation, read: frozenset[str]) -> frozenset[str]:
    """What goes out with a command. A host that is looked up or connected to is no data; a part of its name can be."""
    if call.name == "openssl":
        return read | call.stdin.taints
    if call.name in _LOOK_UPS:
        return call.taints | read if any(_HIDDEN_LABEL in arg for arg in call.args) else call.taints & _NEVER_A_HOST
    return call.taints | read | call.stdin.taints


def _sends(call: Invocation) -> str:
    """ "file" when a local file goes out, "data" when data does, empty when nothing does."""
    if call.name == "curl":
        sent = call.values(*_SEND_OPTIONS)
        if call.values(*_FILE_OPTIONS) or any(v.startswith("@") or "=@" in v or "=<" in v for v in sent):
            return "file"
        return "data" if sent or _carries(call) else ""
    if call.name == "wget":
        if call.values("--post-file", "--body-file"):
            return "file"
        return "data" if call.values("--post-data", "--body-data") or _carries(call) else ""
    if call.name in ("scp", "rsync"):
        last = call.positionals[-1:]
        return "file" if last and _REMOTE.match(last[0]) and not last[0].startswith(("/", ".")) else ""
    if call.name in ("aws", "gsutil", "rclone", "s3cmd", "az", "gcloud"):
        copies = {"cp", "sync", "put", "copy", "upload", "rsync"} & set(call.positionals[:4])
        return "file" if copies and call.positionals and (_URL.match(call.positionals[-1]) or "upload" in copies) else ""
    if call.name in ("nc", "telnet", "socat", "mail", "mailx", "mutt", "sendmail", "ssh", "openssl", "sftp", "ftp", "lftp", "tftp", "swaks"):
        if call.name == "openssl" and call.positionals[:1] != ("s_client",):
            return ""
        return "data" if call.stdin.present or call.taints or (call.flags & {"-a", "-A", "-b"} and call.name in ("mutt", "mail", "mailx")) else ""
    if call.name == "gh":
        return "file" if call.positionals[:2] == ("gist", "create") else ""
    return "data" if call.args else ""


def _carries(call: Invocation) -> bool:
    """Whether an address or option has a part that is not known; one that is not known at all is an address, from a list."""
    return any(HIDDEN in arg and arg.strip(HIDDEN) for arg in call.args)


def _request(walker: Walker, call: Invocation) -> None:
    """A request of curl or wget, as the API call that it is."""
    method = (call.values("-X", "--request", "--method") or [""])[-1].upper()
    sent = call.values(*_SEND_OPTIONS, *_FILE_OPTIONS, "--post-data", "--post-file", "--body-data", "--body-file")
    headers: dict[str, str] = {}
    for header in call.values("-H", "--header"):
        key, _, value = header.partition(":")
        headers[key.strip()] = value.strip()
    method = method or ("POST" if sent else "GET")
    for address in call.positionals + tuple(call.values("--url")):
        if _ADDRESS.match(address):
            walker.add(*api.assess_request(method, address, headers, "\n".join(sent), command=True))
    user = call.values("-u", "--user", "--password")
    if any(":" in u and HIDDEN not in u for u in user):
        walker.flag("secret.command-line", MEDIUM, "Gives a password on the command line.", "[secret]", "Use a netrc file or a variable.")
    if call.values("-x", "--proxy", "--socks5", "--socks5-hostname"):
        walker.flag("network.proxy", MINOR, "Goes through a proxy.", call.excerpt)
    for value in call.values("-K", "--config"):
        walker.flag("network.hidden-options", MINOR, f"Takes its options from {value[:60]}.", call.excerpt)
