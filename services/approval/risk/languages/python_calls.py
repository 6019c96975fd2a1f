"""What Python's functions do: the tables that `python_code` looks calls up in."""

from __future__ import annotations

from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, NOTE, SERIOUS

# A dotted name, or a prefix of one that ends with a dot: (factor id, weight, what it does)
CALLS: dict[str, tuple[str, int, str]] = {}


def _calls(id: str, weight: int, message: str, names: str) -> None:
    for name in names.split():
        CALLS[name] = (f"code.{id}", weight, message)


_calls(
    "process",
    SERIOUS,
    "Starts other programs.",
    "os.system os.popen os.execl os.execle os.execlp os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnlp os.spawnv os.spawnve os.spawnvp os.posix_spawn os.startfile "
    "subprocess. commands. pty.spawn asyncio.create_subprocess_shell asyncio.create_subprocess_exec popen2. pexpect.spawn pexpect.run sh. plumbum. fabric. invoke.run multiprocessing.popen",
)
_calls("fork", MEDIUM, "Makes copies of its process.", "os.fork os.forkpty")
_calls(
    "delete",
    SERIOUS,
    "Deletes files.",
    "os.remove os.unlink os.rmdir os.removedirs os.truncate shutil.rmtree pathlib.Path.unlink pathlib.Path.rmdir send2trash. shutil.move",
)
_calls(
    "dynamic",
    SERIOUS,
    "Runs code that is made while it runs.",
    "eval exec compile __import__ builtins.eval builtins.exec builtins.compile builtins.__import__ code.interact code.InteractiveInterpreter runpy. imp.load_source "
    "importlib.util.spec_from_file_location types.FunctionType types.CodeType",
)
_calls("dynamic-import", MINOR, "Imports what is named while it runs.", "importlib.import_module")
_calls(
    "deserialise",
    SERIOUS,
    "Runs whatever the data it loads says.",
    "pickle.load pickle.loads pickle.Unpickler cPickle.loads dill.loads dill.load marshal.loads marshal.load shelve.open yaml.unsafe_load yaml.full_load joblib.load torch.load jsonpickle.decode pandas.read_pickle",
)
_calls("native", SERIOUS, "Works below the language.", "ctypes. cffi. mmap.mmap")
_calls("privilege", HIGH, "Changes rights.", "os.setuid os.setgid os.setreuid os.setresuid os.seteuid os.setegid os.chroot os.setgroups")
_calls("permissions", MEDIUM, "Changes the rights of files.", "os.chmod os.chown os.lchown shutil.chown")
_calls("kill", MEDIUM, "Ends processes.", "os.kill os.killpg psutil.Process.kill psutil.Process.terminate")
_calls(
    "socket",
    MEDIUM,
    "Opens network connections.",
    "socket.socket socket.create_connection socket.create_server socketserver. paramiko. ftplib. telnetlib. smtplib. scapy. impacket. pysftp. nmap. asyncio.open_connection",
)
_calls(
    "listener",
    MEDIUM,
    "Opens this machine to others.",
    "http.server.HTTPServer http.server.ThreadingHTTPServer socketserver.TCPServer xmlrpc.server. wsgiref.simple_server.make_server",
)
_calls(
    "send",
    MEDIUM,
    "Sends data to the network.",
    "requests.post requests.put requests.patch requests.delete httpx.post httpx.put httpx.patch httpx.delete urllib3.PoolManager.request",
)
_calls(
    "fetch",
    MINOR,
    "Fetches from the network.",
    "requests.get requests.request requests.Session httpx.get urllib.request.urlopen urllib.request.urlretrieve urllib2.urlopen urllib.urlopen urllib.urlretrieve http.client.HTTPSConnection http.client.HTTPConnection "
    "wget.download aiohttp.ClientSession httpx.Client",
)
_calls(
    "input",
    HIGH,
    "Records a person's input or screen.",
    "pynput. keyboard.on_press keyboard.record keyboard.read_event keyboard.hook pyautogui.screenshot PIL.ImageGrab.grab ImageGrab.grab mss. pyscreenshot. pyxhook. cv2.VideoCapture sounddevice.rec pyperclip.paste win32clipboard. pyHook.",
)
_calls(
    "credential",
    HIGH,
    "Reads stored credentials.",
    "browser_cookie3. keyring.get_password keyring.get_credential win32crypt.CryptUnprotectData secretstorage. browsercookie. pwd.getpwall spwd.",
)
_calls(
    "decode",
    NOTE,
    "Decodes data.",
    "base64.b64decode base64.b32decode base64.b85decode binascii.unhexlify zlib.decompress codecs.decode bytes.fromhex",
)
_calls(
    "persistence",
    HIGH,
    "Makes something start by itself.",
    "winreg.SetValueEx winreg.CreateKey winreg.OpenKey _winreg.SetValueEx crontab.CronTab atexit_cron.",
)
_calls("bulk-encrypt", SERIOUS, "Encrypts data.", "cryptography.fernet.Fernet.encrypt_file pyAesCrypt.encryptFile")

WILD = {name: what for name, what in CALLS.items() if name.endswith(".")}
METHODS = {  # on any object: (needed import, factor)
    "rmtree": ("", ("code.delete", SERIOUS, "Deletes files.")),
    "unlink": ("", ("code.delete", SERIOUS, "Deletes files.")),
    "exec_command": ("", ("code.process", SERIOUS, "Starts programs on another machine.")),
    "drop_all": ("", ("database.drop", HIGH, "Removes every table.")),
    "drop_database": ("", ("database.drop", HIGH, "Removes a database.")),
    "flushall": ("", ("database.flush", HIGH, "Removes every key.")),
    "flushdb": ("", ("database.flush", HIGH, "Removes every key.")),
    "delete_many": ("", ("database.delete-all", SERIOUS, "Deletes documents.")),
    "dup2": ("", ("code.reverse-shell", HIGH, "Connects a shell to something else.")),
    "terminate_instances": ("", ("cloud.delete", HIGH, "Removes cloud resources.")),
    "delete_bucket": ("", ("cloud.delete", HIGH, "Removes cloud resources.")),
    "delete_objects": ("", ("cloud.delete", HIGH, "Removes cloud resources.")),
    "delete_object": ("", ("cloud.delete", SERIOUS, "Removes cloud resources.")),
    "delete_db_instance": ("", ("cloud.delete", HIGH, "Removes cloud resources.")),
    "sendmail": ("smtplib", ("code.send", MEDIUM, "Sends mail.")),
    "storbinary": ("ftplib", ("code.send", SERIOUS, "Sends files to the network.")),
    "bind": ("socket", ("code.listener", SERIOUS, "Opens this machine to others.")),
    "rmdir": ("pathlib", ("code.delete", SERIOUS, "Deletes files.")),
    "extractall": ("", ("code.extract", MINOR, "Unpacks an archive, to wherever it says.")),
}
