"""The network: what is fetched, sent, listened to or tunnelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.approval.risk.detectors import api
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

RULES = (
    Rule("network.listener", "nc", HIGH, "Waits for connections from the network.", flags="-l --listen"),
    Rule("network.reverse-shell", "nc", HIGH, "Gives a shell to another machine.", flags="-e -c --exec --sh-exec -U --lua-exec"),
    Rule("network.raw", "nc telnet", MEDIUM, "Opens a raw network connection.", without="-l -z -h --help", when=lambda c: bool(c.positionals)),
    Rule("network.reverse-shell", "socat", HIGH, "Connects a program to the network.", arg=r"(?i)^(?:.*,)?(?:exec|system|shell|pty)[:,].*|^(?:exec|system|shell):"),
    Rule("network.listener", "socat", HIGH, "Waits for connections from the network.", arg=r"(?i)^(?:tcp|udp|openssl|unix|sctp|vsock)?\d?-?(?:l|listen):"),
    Rule("network.raw", "socat", MEDIUM, "Connects two streams.", without="-V -h"),
    Rule("network.tunnel", "ssh autossh", SERIOUS, "Opens a tunnel through another machine.", flags="-R -L -D -w", when=lambda c: bool(c.flags & {"-R", "-D", "-w"}) or any("0.0.0.0" in v or v.startswith("*") for v in c.values("-L"))),
    Rule("network.tunnel", "ssh", MINOR, "Opens a tunnel through another machine.", flags="-L"),
    Rule("network.tunnel", "ngrok cloudflared frpc frps bore localtunnel lt serveo chisel ligolo iodine dnscat dnscat2 ptunnel stunnel stunnel4 sshuttle gost tor tailscale zerotier-cli openvpn wg wg-quick pagekite inlets rathole revsocks proxytunnel httptunnel hts htc",
         SERIOUS, "Opens a tunnel through the firewall.", without="--version version --help status show"),
    Rule("network.listener", "sshd dropbear telnetd xinetd inetd vsftpd tftpd x11vnc vncserver tightvncserver rustdesk teamviewer anydesk ttyd gotty shellinabox wetty tmate", HIGH, "Opens this machine to others.", without="-t -T --version"),
    Rule("network.tls-off", "curl wget", NOTE, "Skips the check of the server's identity.", flags="-k --insecure --no-check-certificate"),
    Rule("network.login", "sshpass", SERIOUS, "Gives a password on the command line.", flags="-p"),
    Rule("network.remote-desktop", "xfreerdp rdesktop psexec psexec.py wmic winrs wmiexec.py smbexec.py invoke-command enter-pssession", SERIOUS, "Works on another machine."),
    Rule("network.windows-fetch", "certutil bitsadmin mshta regsvr32 rundll32 msiexec cmstp installutil", HIGH, "Fetches or runs code through a system tool.", arg=r"(?i).*(?:urlcache|/transfer|https?://|javascript:|scrobj|-decode)"),
    Rule("network.windows-fetch", "invoke-webrequest iwr invoke-restmethod irm start-bitstransfer", MINOR, "Fetches from the network."),
    Rule("execution.fetched", "invoke-expression iex", HIGH, "Runs a text as code."),
    Rule("network.mail", "mail mailx mutt sendmail swaks msmtp ssmtp nail", MEDIUM, "Sends mail.", without="-v --version -H -bp", when=lambda c: bool(c.args)),
    Rule("network.copy", "scp sftp ftp lftp tftp ncftpput ncftpget smbclient rcp croc wormhole transfer magic-wormhole", MINOR, "Copies files between machines."),
    Rule("network.crypto-miner", "xmrig minerd cpuminer cgminer bfgminer ethminer nbminer t-rex lolminer xmr-stak ccminer phoenixminer", HIGH, "Mines cryptocurrency."),
    Rule("network.spoof", "macchanger arpspoof dnsspoof hping3 scapy", SERIOUS, "Forges network traffic."),
)  # fmt: skip

_SEND_OPTIONS = ("-d", "--data", "--data-binary", "--data-raw", "--data-urlencode", "--data-ascii", "--json", "-F", "--form", "--form-string")
_FILE_OPTIONS = ("-T", "--upload-file")
_MINER = re.compile(r"(?i)stratum\+(?:tcp|ssl)://|\bxmrig\b|cryptonight|--donate-level|\bmonero\w*pool|minexmr|supportxmr|nanopool")
_SINKS = frozenset(
    "curl wget nc socat telnet ftp lftp tftp sftp scp rsync ssh mail mailx mutt sendmail swaks http https xh ncftpput smbclient dig nslookup host ping rclone croc wormhole s3cmd "
    "gsutil finger whois openssl lftpput httpie aws az gcloud gh logger busybox_nc drill".split()
)
_REMOTE = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!\\)|^(?:rsync|s3|gs|ftp|sftp|https?|scp|smb)://")


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """What leaves this machine, and through which request."""
    if any(_MINER.search(arg) for arg in call.args) and call.name not in flows.SPEAKERS and call.name not in ("grep", "rg", "find"):
        walker.flag("network.crypto-miner", HIGH, "Mines cryptocurrency.", call.excerpt)
    if call.name not in _SINKS:
        return
    carried = call.taints | read | call.stdin.taints
    if call.name in ("curl", "wget"):
        _request(walker, call)
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
    elif flows.LOCAL in carried or outward == "file" or (call.stdin.present and call.stdin.text is None and flows.FETCHED not in carried):
        copies = call.name in ("scp", "rsync", "sftp", "aws", "gsutil", "gcloud", "az")
        walker.flag("exfiltration.local", MINOR if copies else MEDIUM, "Sends local data to the network.", call.excerpt, span=call.span)
    if call.name in ("dig", "nslookup", "host", "ping", "whois", "finger", "drill") and any(HIDDEN in a for a in call.args) and carried:
        walker.flag("exfiltration.names", SERIOUS, "Hides data in the names that it looks up.", call.excerpt)


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
        return "file" if copies and call.positionals and (re.match(r"^\w+://", call.positionals[-1]) or "upload" in copies) else ""
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
        if re.match(r"(?i)^(?:https?|ftp|gopher|dict|ldap|file|tftp|smb)://", address) or re.match(r"^[\w.-]+(?::\d+)?(?:/|$)", address):
            walker.add(*api.assess_request(method, address, headers, "\n".join(sent), command=True))
    user = call.values("-u", "--user", "--password")
    if any(":" in u and HIDDEN not in u for u in user):
        walker.flag("secret.command-line", MEDIUM, "Gives a password on the command line.", "[secret]", "Use a netrc file or a variable.")
    if call.values("-x", "--proxy", "--socks5", "--socks5-hostname"):
        walker.flag("network.proxy", MINOR, "Goes through a proxy.", call.excerpt)
    for value in call.values("-K", "--config"):
        walker.flag("network.hidden-options", MINOR, f"Takes its options from {value[:60]}.", call.excerpt)
