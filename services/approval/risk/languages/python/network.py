"""Connections: where they go, what they carry, what they let in, and how often."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk.detectors import addresses, api
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.python.calls import Call
from services.approval.risk.languages.python.values import NONE, NOTHING, UNKNOWN, Value, text_of
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

if TYPE_CHECKING:
    from services.approval.risk.languages.python.effects import Effects

_BODIES = ("data", "json", "files", "content", "body", "fields", "params", "multipart")
_FETCHED = frozenset({"fetched"})
_TELLING = frozenset(
    {"secret", "credential", "environ", "recorded", "roams", "machine:user", "machine:host", "machine:os", "machine:net"}
)  # what an address must not hold
_LOCAL = frozenset("localhost 127.0.0.1 ::1 127.0.1.1".split())
_WRITES = frozenset("post put patch delete request".split())
_MANY_HOSTS = 16  # addresses from which it is no longer a few known ones that are looked at
_MANY = 1000  # repetitions without a pause from which requests are a flood


def requested(effects: Effects, call: Call) -> Value:
    """An HTTP request."""
    attr = call.attr.lower()
    method, at = attr, 0
    if attr in ("request", "stream", "urlopen") and call.plain.startswith(("requests", "httpx", "urllib3", "aiohttp", "http.client", "httplib2")):
        method, at = (
            (call.argument(0, "method").text().lower(), 1)
            if not call.plain.startswith("httplib2")
            else (call.argument(1, "method").text().lower(), 0)
        )
    url = call.argument(at, "url", "fullurl")
    position = 2 if call.plain.startswith(("http.client",)) else 1 + at
    body = [v for k, v in call.keywords.items() if k in _BODIES]
    if len(call.args) > position and attr not in ("get", "head", "options"):
        body.append(call.args[position])
    if call.name == "urllib.request.urlopen" or (attr == "request" and call.plain.startswith("urllib")):
        body = [*body, *(a for a in call.args[1:2])]
        method = "post" if (body and any(b.consts != (None,) for b in body)) or "posted" in url.taints else "get"
    addressed(effects, call, url, method, bool(body))
    carried = NONE.union(*(b.taints for b in body)) if body else NONE
    carried |= call.argument(-1, "headers", "cookies").taints & (_TELLING - {"credential"})  # a login is what headers are for
    carried |= url.taints if "posted" in url.taints else url.taints & _TELLING
    if url.known and all(_local(text) for text in url.texts()):
        return Value(hidden=True, names=(f"{call.name}()",), taints=_FETCHED)
    effects.leaving(call, carried)
    if "files" in call.keywords and not (carried & {"secret", "environ", "roams"}):
        effects.flag("exfiltration.local", MEDIUM, "Sends local files to the network.", call)
    if method in _WRITES:
        effects.sends = effects.sends or call.shown
    else:
        effects.flag("code.fetch", NOTE, "Fetches from the network.", call)
    _tried(effects, call, [*body, *[v for k, v in call.keywords.items() if k == "auth"]])
    repeated(effects, call)
    return Value(hidden=True, names=(f"{call.name}()",), taints=_FETCHED)


def _local(url: str) -> bool:
    """Whether an address is one of this machine."""
    parsed = addresses.parse(url) if HIDDEN not in url else None
    return parsed is not None and parsed.kind == "local"


def addressed(effects: Effects, call: Call, url: Value, method: str, body: bool) -> None:
    """Where a request goes."""
    for text in url.texts()[:40]:
        if call.plain.startswith("http.client") and text.startswith("/"):
            text = HIDDEN  # the host is the connection's
        if text.startswith(HIDDEN) and method in ("delete", "put", "patch"):
            text = f"https://{HIDDEN}/"  # what is done is known, where it is done is not
        if not text or text.startswith(HIDDEN) or ("://" not in text and call.plain.startswith("http.client")):
            continue
        for factor in api.assess_request(method.upper() if method and HIDDEN not in method else "GET", text, {}, None, command=True):
            effects.add(factor)
        host = text.partition("://")[2].partition("/")[0].partition(":")[0]
        address(effects, call, host)


def address(effects: Effects, call: Call, host: str) -> None:
    """A public address without a name is unusual for a program that has nothing to hide."""
    ip = addresses.canonical(host) if host and HIDDEN not in host else None
    if ip is not None and (ip.is_global or _documentation(ip)):
        effects.flag("network.raw-address", MEDIUM, "Reaches a machine by its number.", call)


def _documentation(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Addresses set aside for examples stand for public ones."""
    return str(ip).startswith(("192.0.2.", "198.51.100.", "203.0.113."))


def prepared(effects: Effects, call: Call) -> Value:
    """A request that is made first and sent later."""
    url, data = call.argument(0, "url"), call.argument(1, "data")
    taints = url.taints | data.taints | ({"posted"} if data is not NOTHING and data.consts != (None,) else NONE)
    return Value(url.consts, url.hidden, (f"{call.name}()",), taints)


def retrieved(effects: Effects, call: Call) -> Value:
    """A download to a file."""
    addressed(effects, call, call.argument(0, "url"), "get", False)
    target = call.argument(1, "filename", "out", "output")
    effects.touch(target, call, write=True)
    effects.fetched.update(t for t in target.texts() if t != HIDDEN)
    effects.flag("code.fetch", NOTE, "Fetches from the network.", call)
    return Value(target.consts, True, taints=_FETCHED)


def connection(effects: Effects, call: Call) -> Value:
    """A client that connects when it is made."""
    host = call.argument(0, "host", "hostname", "address", "url", "uri")
    pair = host.items[0] if host.items else host
    _reach(effects, call, pair, host)
    effects.flag("code.socket", NOTE, "Opens network connections.", call)
    return Value(hidden=True, names=(f"{call.name}()",), taints=frozenset({"socket"}))


def socket_made(effects: Effects, call: Call) -> Value:
    """A socket; a raw one sees and sends what is not its own."""
    kinds = " ".join(n for v in call.all() for n in v.names)
    if "SOCK_RAW" in kinds or "AF_PACKET" in kinds:
        effects.flag("network.capture", HIGH, "Reads or makes raw packets.", call)
    effects.socket_used = True
    return Value(hidden=True, names=("socket.socket()",), taints=frozenset({"socket"}))


def connected(effects: Effects, call: Call) -> Value:
    """`connect` of a socket."""
    given = call.argument(0, "address")
    host = given.items[0] if given.items else given
    _reach(effects, call, host, given)
    return NOTHING


def _reach(effects: Effects, call: Call, host: Value, pair: Value) -> None:
    texts = host.texts()
    if any(t.startswith("/") for t in texts):  # a socket of this machine
        effects.touch(host, call, write=True)
        return
    local = all(t in _LOCAL or t.startswith(("localhost", "ws://localhost", "http://localhost")) for t in texts)
    effects.connects = effects.connects or not local
    if local:
        effects.flag("code.socket", NOTE, "Opens connections to this machine.", call)
        return
    for text in texts:
        address(effects, call, text)
    port = pair.items[1] if pair.items is not None and len(pair.items) > 1 else call.argument(1, "port")
    few = not host.hidden and len(host.consts) < _MANY_HOSTS and "looped" not in port.taints
    if call.loops and (host.taints | port.taints) & {"looped", "addresses"} and not few:
        effects.flag("network.scan", SERIOUS, "Looks for open ports or hosts.", call)
    else:
        effects.flag("code.connect", MINOR, "Connects to another machine.", call)


def sent(effects: Effects, call: Call) -> Value:
    """Data go out."""
    effects.sends = effects.sends or call.shown
    if "socket.socket" in call.plain or "create_connection" in call.plain:
        effects.flag("code.connect", MEDIUM if effects.connects or call.attr == "sendto" else NOTE, "Sends data over a connection.", call)
    effects.leaving(call, call.taints - {"socket"})
    repeated(effects, call)
    return NOTHING


def received(effects: Effects, call: Call) -> Value:
    """Data come in."""
    if effects.connects:
        effects.flag("code.connect", MEDIUM, "Takes data from another machine.", call)
    return Value(hidden=True, taints=frozenset({"socket"}), items=None)


def bound(effects: Effects, call: Call) -> Value:
    """This machine is opened to others, or only to itself."""
    given = (
        call.argument(0, "address", "server_address", "host", "app")
        if "run" not in call.attr and "make_server" not in call.attr
        else call.argument(0 if "make_server" in call.attr else 9, "host")
    )
    if call.attr in ("start_server", "create_server", "serve"):
        given = call.argument(1, "host") if call.attr != "create_server" else call.argument(0, "address", "host")
    host = given.items[0] if given.items else given
    port = given.items[1] if given.items is not None and len(given.items) > 1 else call.argument(1, "port")
    texts = host.texts() if host is not NOTHING else ["localhost"]
    effects.socket_used = effects.socket_used or call.plain.startswith("socket")
    if all(t in _LOCAL for t in texts) or port.consts == (0,):
        effects.flag("code.listener", NOTE, "Listens on this machine.", call)
    elif any(t in ("", "0.0.0.0", "::") for t in texts):  # the addresses of everybody, looked for, not bound to
        effects.flag("code.listener", MEDIUM if call.plain != "socket.socket.bind" else SERIOUS, "Opens this machine to others.", call)
    else:
        effects.flag("code.listener", MEDIUM if HIDDEN not in texts else MINOR, "Opens this machine to others.", call)
    effects.listens = True
    if any(c is True for c in call.argument(-1, "debug").consts) and not all(t in _LOCAL for t in texts):
        effects.flag("code.debugger", SERIOUS, "Lets anyone run code through its debugger.", call)
    return Value(hidden=True, names=(f"{call.name}()",))


def accepted(effects: Effects, call: Call) -> Value:
    """A connection from another machine."""
    effects.listens = True
    conn = Value(hidden=True, names=("socket.socket()",), taints=frozenset({"socket"}))
    return Value(taints=frozenset({"socket"}), items=(conn, UNKNOWN), size=3)


def looked_up(effects: Effects, call: Call) -> Value:
    """A name is looked up; what is in the name goes to whoever answers for it."""
    given = call.argument(0, "host", "qname")
    taints = given.taints & {"secret", "environ", "file", "command", "recorded", "roams", "credential"}
    about = any(t.startswith("machine:") for t in given.taints) and any(HIDDEN in t and not t.endswith(HIDDEN) for t in given.texts())
    if (taints or about) and any("." in t for t in given.texts()):
        effects.flag("exfiltration.dns", HIGH, "Sends data in the names that it looks up.", call)
    return Value(hidden=True, taints=given.taints & {"looped"} | {"machine:net"})


def mailed(effects: Effects, call: Call) -> Value:
    """A mail is sent."""
    effects.sends = effects.sends or call.shown
    many = bool(call.loops) and call.loops[-1].times != 1
    effects.flag("message.send", SERIOUS if many else MEDIUM, "Sends mail to many." if many else "Sends mail.", call)
    effects.leaving(call, call.taints)
    return NOTHING


def logged_in(effects: Effects, call: Call) -> Value | None:
    """A login: one, or one password after another."""
    _tried(effects, call, [v for k, v in call.keywords.items() if "pass" in k or k == "pw"] + call.args[1:4])
    if call.attr in ("connect", "Connection", "SSHClient"):
        host = call.argument(0, "hostname", "host")
        if "looped" in host.taints:
            effects.flag("network.scan", SERIOUS, "Logs in to one machine after another.", call)
    return None


def uploaded(effects: Effects, call: Call) -> Value:
    """Files go to a server or a store."""
    given = call.argument(0, "Filename", "filename", "localpath", "local_path", "Body", "file", "cmd")
    data = call.argument(-1, "Body", "Data", "Message", "payload", "fp", "Fileobj", "document", "photo", "file", "content")
    effects.sends = effects.sends or call.shown
    secret = effects.touch(given, call, write=False)
    taints = call.taints | ({"secret"} if secret else NONE)
    for text in given.texts():
        taints |= effects.written_taints(text)
    effects.leaving(call, taints)
    effects.flag("exfiltration.upload", MEDIUM if data is NOTHING or data.hidden else MINOR, "Sends data to a server or a store.", call)
    return NOTHING


def repeated(effects: Effects, call: Call) -> None:
    """Requests without end or pause, or very many."""
    endless = [loop for loop in call.loops if (loop.endless or loop.times >= _MANY) and not loop.waits]
    if endless and not any(loop.waits for loop in call.loops):
        effects.flag("network.flood", HIGH, "Sends without end and without a pause.", call)


def _tried(effects: Effects, call: Call, values: list[Value]) -> None:
    for value in values:
        for key, each in (*(value.entries or ()), *((None, v) for v in value.items or ())):
            if "looped" in each.taints and (key is None or any(w in text_of(key).lower() for w in ("pass", "pwd", "pin", "otp", "code"))):
                effects.flag("network.brute-force", HIGH, "Tries one password after another.", call)
        if (
            value.entries is None
            and value.items is None
            and "looped" in value.taints
            and call.attr in ("login", "connect", "connect_ssh", "authenticate", "auth_password")
        ):
            effects.flag("network.brute-force", HIGH, "Tries one password after another.", call)


def _names(roots: str, attrs: str) -> list[str]:
    return [f"{root}.{attr}" for root in roots.split() for attr in attrs.split()]


HANDLERS: dict[str, Callable[[Effects, Call], Value | None]] = {
    **dict.fromkeys(_names("requests requests.Session httpx httpx.Client httpx.AsyncClient aiohttp.ClientSession aiohttp urllib3.PoolManager urllib3 http.client.HTTPSConnection http.client.HTTPConnection httplib2.Http requests_html.HTMLSession "
                           "cloudscraper.create_scraper curl_cffi.requests tornado.httpclient.AsyncHTTPClient", "get post put patch delete head options request stream urlopen fetch"), requested),
    "urllib.request.urlopen": requested,
    **dict.fromkeys(("urllib.request.build_opener.open", "urllib.request.OpenerDirector.open"), requested),
    "urllib.request.Request": prepared,
    **dict.fromkeys(("urllib.request.urlretrieve", "wget.download", "gdown.download", "pandas.read_html"), retrieved),
    **dict.fromkeys(("socket.create_connection", "websocket.create_connection", "websockets.connect", "websocket.WebSocket.connect", "asyncio.open_connection", "telnetlib.Telnet", "smtplib.SMTP", "smtplib.SMTP_SSL", "ftplib.FTP", "ftplib.FTP_TLS", "imaplib.IMAP4_SSL", "poplib.POP3_SSL", "irc.client.Reactor", "socketio.Client.connect", "paho.mqtt.client.Client.connect", "nclib.Netcat", "pwn.remote", "asyncio.get_event_loop.create_connection"), connection),
    "socket.socket": socket_made,
    **dict.fromkeys(("socket.socket.connect", "socket.socket.connect_ex", "ssl.SSLContext.wrap_socket.connect", "ssl.wrap_socket.connect", "ssl.create_default_context.wrap_socket.connect"), connected),
    **dict.fromkeys([*_names("socket.socket socket.create_connection ssl.SSLContext.wrap_socket ssl.wrap_socket ssl.create_default_context.wrap_socket websocket.create_connection websocket.WebSocket websockets.connect telnetlib.Telnet", "send sendall sendto sendfile write sendmsg"),
                      "paho.mqtt.client.Client.publish"], sent),
    **dict.fromkeys(_names("socket.socket socket.create_connection ssl.wrap_socket websocket.create_connection websockets.connect ssl.SSLContext.wrap_socket ssl.create_default_context.wrap_socket", "recv recvfrom recv_into recvmsg read makefile"), received),
    **dict.fromkeys(("socket.socket.bind", "socket.create_server", "http.server.HTTPServer", "http.server.ThreadingHTTPServer", "socketserver.TCPServer", "socketserver.ThreadingTCPServer", "socketserver.UDPServer", "xmlrpc.server.SimpleXMLRPCServer", "wsgiref.simple_server.make_server", "asyncio.start_server", "flask.Flask.run", "uvicorn.run", "aiohttp.web.run_app", "bottle.run", "waitress.serve", "websockets.serve", "gevent.pywsgi.WSGIServer", "pyftpdlib.servers.FTPServer", "rpyc.utils.server.ThreadedServer"), bound),
    **dict.fromkeys(("socket.socket.accept", "socket.create_server.accept"), accepted),
    **dict.fromkeys(("socket.gethostbyname", "socket.getaddrinfo", "socket.gethostbyname_ex", "dns.resolver.resolve", "dns.resolver.query", "dns.resolver.Resolver.resolve", "dns.resolver.Resolver.query"), looked_up),
    **dict.fromkeys(("smtplib.SMTP.sendmail", "smtplib.SMTP.send_message", "smtplib.SMTP_SSL.sendmail", "smtplib.SMTP_SSL.send_message", "yagmail.SMTP.send", "sendgrid.SendGridAPIClient.send", "win32com.client.Dispatch.CreateItem.Send"), mailed),
    **dict.fromkeys(("smtplib.SMTP.login", "smtplib.SMTP_SSL.login", "ftplib.FTP.login", "imaplib.IMAP4_SSL.login", "?.login", "?.connect_ssh"), logged_in),
    **dict.fromkeys(("ftplib.FTP.storbinary", "ftplib.FTP.storlines", "ftplib.FTP_TLS.storbinary", "paramiko.SSHClient.open_sftp.put", "paramiko.SFTPClient.from_transport.put", "paramiko.SFTPClient.put", "paramiko.SSHClient.open_sftp.putfo", "pysftp.Connection.put", "scp.SCPClient.put", "?.storbinary", "?.upload_file", "?.upload_fileobj", "?.put_object", "boto3.client.upload_file", "boto3.client.upload_fileobj", "boto3.client.put_object", "boto3.resource.Bucket.upload_file", "boto3.resource.Object.put",
                     "boto3.resource.Bucket.put_object", "google.cloud.storage.Client.bucket.blob.upload_from_filename", "google.cloud.storage.Client.get_bucket.blob.upload_from_filename", "?.upload_from_filename", "?.upload_blob", "?.send_document", "?.send_photo", "?.files_upload", "?.files_upload_v2", "?.send_file", "dropbox.Dropbox.files_upload", "telegram.Bot.send_document", "telegram.Bot.send_message", "telebot.TeleBot.send_document"), uploaded),
}  # fmt: skip
HANDLERS |= dict.fromkeys(("paramiko.SSHClient.connect", "paramiko.Transport.connect", "pexpect.pxssh.pxssh.login", "pymysql.connect", "psycopg2.connect", "mysql.connector.connect", "asyncssh.connect", "ftplib.FTP.connect", "pysftp.Connection"), logged_in)  # fmt: skip
