"""What names stand for: other names of the same module, and what is known of constants, folders and variables."""

from __future__ import annotations

import builtins

BUILTINS = frozenset(dir(builtins))
MODULES = {  # other names of a module
    "posix": "os", "nt": "os", "_posixsubprocess": "subprocess", "builtins": "", "__builtin__": "", "__builtins__": "", "_winreg": "winreg", "cPickle": "pickle", "_pickle": "pickle",
    "posixpath": "os.path", "ntpath": "os.path", "_socket": "socket", "urllib2": "urllib.request", "commands": "subprocess", "Queue": "queue", "httplib": "http.client", "_ctypes": "ctypes",
    "dill": "pickle", "cloudpickle": "pickle", "_io": "io", "subprocess32": "subprocess", "pathlib2": "pathlib", "imp": "importlib",
}  # fmt: skip
FUNCTIONS = {  # other names of a function
    "io.open": "open", "codecs.open": "open", "os.fdopen": "open", "aiofiles.open": "open", "gzip.open": "open", "bz2.open": "open", "lzma.open": "open", "io.FileIO": "open",
    "os.popen2": "os.popen", "os.popen3": "os.popen", "os.unlink": "os.remove", "urllib.urlopen": "urllib.request.urlopen",
    "urllib.urlretrieve": "urllib.request.urlretrieve", "importlib.__import__": "__import__", "os.getenvb": "os.getenv", "os.environb": "os.environ", "pathlib.PosixPath": "pathlib.Path", "pathlib.WindowsPath": "pathlib.Path",
    "pathlib.PurePath": "pathlib.Path", "pathlib.PurePosixPath": "pathlib.Path", "requests.api.get": "requests.get", "requests.api.post": "requests.post", "requests.session": "requests.Session",
    "os.getcwdb": "os.getcwd",
    "distutils.spawn.spawn": "subprocess.run", "platform.popen": "os.popen",
}  # fmt: skip
# A module reached through another one (`shutil.os`, `logging.sys`) is that module.
REEXPORTED = frozenset("os sys subprocess socket shutil builtins ctypes pickle importlib io tempfile".split())
# Modules whose members must not be picked by a name that is not known.
POWERFUL = frozenset("os sys subprocess shutil socket ctypes importlib pty pickle marshal builtins".split())

CONSTANTS: dict[str, str | int] = {
    "sys.executable": "python3", "os.sep": "/", "os.linesep": "\n", "os.devnull": "/dev/null", "os.curdir": ".", "os.pardir": "..", "os.pathsep": ":", "__file__": "./program.py",
    "string.ascii_lowercase": "abcdefghijklmnopqrstuvwxyz", "string.ascii_letters": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "string.digits": "0123456789",
    "string.ascii_uppercase": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "stat.S_ISUID": 0o4000, "stat.S_ISGID": 0o2000, "stat.S_IRWXU": 0o700, "stat.S_IRWXG": 0o70, "stat.S_IRWXO": 0o7,
    "stat.S_IXUSR": 0o100, "stat.S_IXGRP": 0o10, "stat.S_IXOTH": 0o1, "stat.S_IWOTH": 0o2, "stat.S_IWGRP": 0o20, "stat.S_IRUSR": 0o400, "stat.S_IWUSR": 0o200, "stat.S_IRGRP": 0o40, "stat.S_IROTH": 0o4,
    "stat.S_IEXEC": 0o100, "stat.S_IWRITE": 0o200, "stat.S_IREAD": 0o400, "winreg.HKEY_CURRENT_USER": "HKCU", "winreg.HKEY_LOCAL_MACHINE": "HKLM", "os.name": "posix", "os.O_RDONLY": 0,
    "os.O_WRONLY": 1, "os.O_RDWR": 2, "os.O_CREAT": 64, "os.O_TRUNC": 512, "os.O_APPEND": 1024, "os.O_SYNC": 1 << 20, "os.O_EXCL": 128, "os.O_DIRECT": 1 << 14, "os.O_NONBLOCK": 2048, "os.O_CLOEXEC": 1 << 19, "os.O_BINARY": 0, "os.O_NOFOLLOW": 1 << 17, "os.O_DSYNC": 4096, "__name__": "__main__",
}  # fmt: skip

# What variables of the environment usually hold; the value of any other is not known.
ENVIRONMENT = {
    "HOME": "~", "USERPROFILE": "~", "APPDATA": "~/AppData/Roaming", "LOCALAPPDATA": "~/AppData/Local", "TMPDIR": "/tmp", "TEMP": "/tmp", "TMP": "/tmp", "SHELL": "/bin/bash", "PWD": ".",
    "XDG_CONFIG_HOME": "~/.config", "XDG_DATA_HOME": "~/.local/share", "XDG_CACHE_HOME": "~/.cache", "SYSTEMROOT": "C:/Windows", "WINDIR": "C:/Windows", "PROGRAMDATA": "C:/ProgramData",
    "HOMEPATH": "~", "SystemRoot": "C:/Windows", "COMSPEC": "cmd.exe",
}  # fmt: skip
_CREDENTIAL_WORDS = (
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PRIVATE_KEY",
    "AWS_",
    "CREDENTIAL",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "NPM_TOKEN",
    "SSH_AUTH_SOCK",
    "KUBECONFIG",
    "VAULT_TOKEN",
    "DATABASE_URL",
)


def is_credential(variable: str) -> bool:
    """Whether a variable of the environment holds a credential, by its name; that of a program's own API is ordinary."""
    upper = variable.upper()
    return any(word in upper for word in _CREDENTIAL_WORDS) and upper not in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")


def canonical(name: str) -> str:
    """One name for what has several: `posix.system`, `shutil.os.system` and `os.system` are the same."""
    head, dot, rest = name.partition(".")
    if head == "os" and rest.startswith("path."):
        rest = rest.removeprefix("path.") if rest.split(".", 2)[1] in REEXPORTED else rest
    while (
        dot
        and rest.partition(".")[0].removeprefix("_") in REEXPORTED
        and "()" not in head
        and "[]" not in head
        and head not in ("self", "cls")
        and rest != head
    ):
        head, dot, rest = rest.partition(".")
    if head.removeprefix("_") in REEXPORTED:  # how the standard library imports a module for itself (`random._os`)
        head = head.removeprefix("_")
    module = MODULES.get(head, head)
    name = f"{module}.{rest}" if module and dot else rest if dot else module
    return FUNCTIONS.get(name, name)


def plain(name: str) -> str:
    """A dotted name without calls and elements: `boto3.client().delete_bucket` as `boto3.client.delete_bucket`."""
    return name.replace("()", "").replace("[]", "") if name.endswith(("()", "[]")) or "()" in name or "[]" in name else name
