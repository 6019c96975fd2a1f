"""What a program does when it calls something: the same judgement for every language that is read as a tree.

A language's table says of each name which kind of effect it has (`KINDS`); here the arguments decide what it weighs: the command
that is started, the path that is removed, the data that is sent, and where the data came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.approval.risk import normalise
from services.approval.risk.detectors import api, paths, secrets
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import sql
from services.approval.risk.languages.values import DECODED, ENVIRONMENT, FETCHED, INPUT, LOCAL, ROAMED, SECRET, Value, joined
from services.approval.risk.model import Factor
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, NOTE, SERIOUS

MAX_COMMANDS = 300  # different commands that one program starts; more is UNKNOWN
_SHELLS = frozenset("sh bash dash zsh ksh ash cmd cmd.exe powershell pwsh".split())

# Effects whose arguments do not matter: factor id, weight, what it means.
KINDS: dict[str, tuple[str, int, str]] = {
    "kill": ("code.kill", MEDIUM, "Ends processes."),
    "native": ("code.native", SERIOUS, "Works below the language."),
    "unsafe": ("code.native", NOTE, "Works below the language."),
    "privilege": ("code.privilege", HIGH, "Changes whose rights it runs with."),
    "deserialise": ("code.deserialise", SERIOUS, "Runs whatever the data it loads says."),
    "socket": ("code.socket", MEDIUM, "Opens network connections."),
    "listen": ("code.listener", MINOR, "Waits for connections from the network."),
    "money": ("api.money", SERIOUS, "May move money."),
    "mail": ("code.send", MEDIUM, "Sends mail."),
    "fork": ("code.fork", MEDIUM, "Makes copies of its process."),
    "input": ("code.input", HIGH, "Records a person's input or screen."),
    "upload": ("code.upload", MEDIUM, "Stores files that visitors send."),
    "settings": ("code.settings", MINOR, "Changes settings of the interpreter."),
    "drop": ("database.drop", HIGH, "Removes tables or a whole database."),
    "delete-many": ("database.delete-all", SERIOUS, "Deletes documents."),
    "flush": ("database.flush", HIGH, "Removes every key."),
    "object-delete": ("cloud.delete", MEDIUM, "Removes objects from a cloud's store."),
    "remote-delete": ("api.delete", MEDIUM, "Deletes something through an API."),
    "cloud-delete": ("cloud.delete", HIGH, "Removes cloud resources."),
    "debug": ("code.native", HIGH, "Looks into other processes."),
}
_TELLING = (
    ("/dev/tcp/", "code.reverse-shell", HIGH, "Gives a shell to another machine."),
    ("169.254.169.254", "code.metadata", HIGH, "Reads the machine's cloud credentials."),
    ("metadata.google.internal", "code.metadata", HIGH, "Reads the machine's cloud credentials."),
    ("100.100.100.200", "code.metadata", HIGH, "Reads the machine's cloud credentials."),
    ("stratum+tcp", "code.miner", HIGH, "Mines cryptocurrency."),
    ("coinhive", "code.miner", HIGH, "Mines cryptocurrency."),
    ("cryptonight", "code.miner", HIGH, "Mines cryptocurrency."),
    ("currentversion\\run", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("/etc/cron", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("/etc/systemd", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("authorized_keys", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("api.telegram.org", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("discord.com/api/webhooks", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("discordapp.com/api/webhooks", "code.suspicious-text", SERIOUS, "Names a place that attacks use."),
    ("/bin/sh", "code.shell", NOTE, "Names a shell."),
    ("/bin/bash", "code.shell", NOTE, "Names a shell."),
)
# Variables that make the programs started next load code, or run it; and those that do so with some options of an interpreter.
_LOADERS = frozenset("LD_PRELOAD LD_AUDIT DYLD_INSERT_LIBRARIES PYTHONSTARTUP BASH_ENV PROMPT_COMMAND GIT_SSH_COMMAND".split())
_OPTION_VARIABLES = frozenset("NODE_OPTIONS PERL5OPT RUBYOPT".split())
_LOADING_OPTIONS = ("-r", "--require", "--import", "--loader", "--experimental-loader", "-M", "-m", "-I", "-e")
_PATH_STARTS = ("/", "~", ".", "C:", "c:")
_PATH_WORDS = (
    "ssh",
    "aws",
    "shadow",
    "passwd",
    "credential",
    "secret",
    "cookie",
    "login",
    "history",
    ".env",
    ".pem",
    ".key",
    "wallet",
    "id_",
    "kube",
    ".npmrc",
    "netrc",
)
# Where files are, unlike routes of a site: the roots of a file system, and folders that hold a person's settings.
_ROOTS = ("~", "/etc/", "/root/", "/home/", "/users/~", "/var/", "/proc/", "/run/", "/usr/", "/opt/", "/dev/", "/sys/", "/boot/", "/tmp/", "c:")
_PROFILES = ("/.", "chrome", "chromium", "mozilla", "firefox", "appdata", "library/", "id_rsa", "id_ed25519", "\\")


class Effects:
    """The factors of one program. `run_shell` assesses a command found inside and adds its own factors elsewhere."""

    def __init__(self, run_shell: Callable[[str], object], nested: Callable[[str], Iterable[Factor]]) -> None:
        self.factors: dict[str, Factor] = {}
        self._run_shell = run_shell
        self._nested = nested
        self._ran: set[str] = set()
        self._files: dict[str, int] = {}  # paths that were written: where their content came from

    def add(self, factor: Factor) -> None:
        known = self.factors.get(factor.id)
        if known is None or known.weight < factor.weight:
            self.factors[factor.id] = factor

    def flag(self, id: str, weight: int, message: str, excerpt: str) -> None:
        self.add(
            Factor(
                id, id.partition(".")[0], message, weight, secrets.redact(excerpt)[:200], safer_alternative="Propose the effect itself as an action."
            )
        )

    def plain(self, kind: str, excerpt: str) -> None:
        """An effect whose arguments do not matter."""
        id, weight, message = KINDS[kind]
        self.flag(id, weight, message, excerpt)

    # -- programs and code

    def command(self, command: Value, excerpt: str) -> None:
        """Starts what a shell makes of a text: a harmless command weighs less than one that is not known."""
        self._tainted_run(command.taints, excerpt)
        weight = MINOR
        for text in command.texts:
            if not text.replace(HIDDEN, "").strip() or HIDDEN in text.lstrip().split(" ")[0]:
                weight = SERIOUS
            if text.replace(HIDDEN, "").strip():
                self._shell(text, excerpt)
        self.flag("code.process", weight, "Starts other programs.", excerpt)

    def program(self, words: list[Value], excerpt: str) -> None:
        """Starts a program with arguments that no shell reads."""
        first = words[0].text if words else HIDDEN
        name = first.rpartition("/")[2]
        if name in _SHELLS and len(words) == 1:
            self.flag("code.interactive-shell", MEDIUM, "Opens a shell whose commands nobody sees.", excerpt)
            self.flag("code.process", SERIOUS, "Starts other programs.", excerpt)
            return
        if name in _SHELLS and any(word.text.startswith(HIDDEN) for word in words[2:3]):
            self.flag("code.process", SERIOUS, "Starts other programs.", excerpt)
        self.command(joined([_quoted(word) for word in words], " "), excerpt)

    def _shell(self, text: str, excerpt: str) -> None:
        if text in self._ran:
            return
        self._ran.add(text)
        if len(self._ran) > MAX_COMMANDS:
            self.add(normalise.unreadable("too-many", f"More than {MAX_COMMANDS} different commands."))
            return
        for path, taints in self._files.items():
            if path in text and taints & FETCHED:
                self.flag("execution.fetched", HIGH, "Runs code fetched from the network.", excerpt)
        self._run_shell(text)

    def _tainted_run(self, taints: int, excerpt: str) -> None:
        if taints & FETCHED:
            self.flag("execution.fetched", HIGH, "Runs code fetched from the network.", excerpt)
        if taints & DECODED:
            self.flag("execution.decoded", HIGH, "Runs code that was encoded.", excerpt)
        if taints & INPUT:
            self.flag("execution.input", HIGH, "Runs what a visitor sends.", excerpt)

    def code(self, code: Value, excerpt: str) -> None:
        """Runs code that is made while it runs; constant code is read too."""
        self._tainted_run(code.taints, excerpt)
        self.flag("code.dynamic", SERIOUS, "Runs code that is made while it runs.", excerpt)
        for text in code.texts:
            if HIDDEN not in text and text.strip():
                for factor in self._nested(text):
                    self.add(factor)

    def loads(self, module: Value, excerpt: str) -> None:
        """Runs a file as code: one that lies where anybody can write may be anybody's."""
        if any(paths.is_temporary(text) for text in module.texts):
            self.flag("code.temporary", MEDIUM, "Runs a file from where anybody can write.", excerpt)

    def variable(self, name: str, value: Value, excerpt: str) -> None:
        """Sets a variable of the environment."""
        options = [word for text in value.texts for word in text.split()] if name in _OPTION_VARIABLES else []
        if name in _LOADERS or any(word.startswith(_LOADING_OPTIONS) or HIDDEN in word for word in options):
            self.flag("code.loader-variable", SERIOUS, "Makes programs load other code.", excerpt)

    # -- files

    def delete(self, target: Value, excerpt: str) -> None:
        weight, message = SERIOUS, "Deletes files."
        for text in target.texts:
            if text != HIDDEN and paths.is_root(text):
                weight, message = CRITICAL, "Removes the system or a person's files."
            self._touch(text, write=True)
        self.flag("code.delete", weight, message, excerpt)

    def write(self, target: Value, data: int, excerpt: str) -> None:
        """Writes a file: an ordinary one in the project is only noted."""
        self.flag("code.write", NOTE, "Writes files.", excerpt)
        if target.taints & ROAMED:
            self.flag("code.bulk-write", SERIOUS, "Writes over every file that it finds outside its own folder.", excerpt)
        for text in target.texts:
            self._touch(text, write=True)
            if HIDDEN not in text:
                self._files[text] = self._files.get(text, 0) | data
        if data & ENVIRONMENT:
            self.environment(excerpt)

    def read(self, target: Value) -> int:
        """Reads a file; where what it holds comes from."""
        taints = LOCAL
        for text in target.texts:
            taints |= self._touch(text, write=False)
        return taints

    @staticmethod
    def listed(folder: Value) -> int:
        """Lists a folder; where the names that it gives come from."""
        return ROAMED if any(paths.outside(text, "") and not paths.is_temporary(text) for text in folder.texts) else 0

    def _touch(self, path: str, *, write: bool) -> int:
        if not path or path == HIDDEN:
            return 0
        found = paths.write_factor(path) if write else paths.read_factor(path)
        if found is None:
            return 0
        self.add(found)
        return SECRET if not write and found.weight >= MEDIUM else 0

    def permissions(self, mode: Value, target: Value, excerpt: str) -> None:
        digits = mode.text.lower().removeprefix("0o").lstrip("0")
        special = len(digits) == 4 and digits[0] in "2467"
        weight = HIGH if special or "s" in digits else MEDIUM if digits[-1:] in ("2", "3", "6", "7") else MINOR
        self.flag("code.permissions", weight, "Changes the rights of files.", excerpt)
        for text in target.texts:
            self._touch(text, write=True)
            if self._files.get(text, 0) & FETCHED:
                self.flag("execution.fetched", HIGH, "Makes a fetched file executable.", excerpt)

    # -- data

    def environment(self, excerpt: str) -> None:
        self.flag("code.environment", MEDIUM, "Reads every variable, secrets included.", excerpt)

    def network(self, method: str, url: Value, data: int, excerpt: str, *, sends: bool = False) -> None:
        """Talks to another machine: what is fetched and sent, where to, and whether what is sent is secret."""
        data |= url.taints
        judged = False
        for text in url.texts[:8]:
            if text and not text.startswith(HIDDEN) and "://" in text:
                judged = True
                for factor in api.assess_request(method, text, {}, None, command=True):
                    self.add(factor)
        if sends and not judged:
            self.flag("code.send", MINOR, "Sends data to the network.", excerpt)
        elif not sends:
            self.flag("code.fetch", NOTE, "Fetches from the network.", excerpt)
        self.sent(data, excerpt)

    def sent(self, data: int, excerpt: str) -> None:
        """Data that leaves the machine."""
        if data & (SECRET | ENVIRONMENT):
            self.flag("exfiltration.sensitive", HIGH, "Reads secrets and sends data to the network.", excerpt)
        elif data & LOCAL:
            self.flag("exfiltration.local", MEDIUM, "Sends local files to the network.", excerpt)

    def statement(self, text: Value, excerpt: str) -> None:
        """A text given to something that runs database statements."""
        for each in text.texts:
            if len(each) > 6:
                for factor in sql.assess(each):
                    self.add(factor)
        if text.taints & INPUT and any(" " in each for each in text.texts):
            self.flag("code.injection", MEDIUM, "Puts what a visitor sends into a statement.", excerpt)

    def literal(self, text: str) -> int:
        """A constant of the program: what it names is telling wherever it is used. Answers where its data comes from."""
        if len(text) < 6:
            return SECRET if text.startswith(".env") and self._sensitive(text) else 0
        lowered = text.lower()
        for word, id, weight, message in _TELLING:
            if word in lowered:
                self.flag(id, weight, message, text)
        if len(text) < 400 and (text.startswith(_PATH_STARTS) or any(word in lowered for word in _PATH_WORDS)) and "\n" not in text:
            return SECRET if self._sensitive(text) else 0
        return 0

    def _sensitive(self, text: str) -> bool:
        if " " in text and not text.startswith(_PATH_STARTS):
            return False
        if not ("/" in text or text.startswith((".", "id_", "~")) or text.endswith((".pem", ".key", ".p12", ".pfx", ".kdbx"))):
            return False
        name, lowered = text.rpartition("/")[2], text.lower()
        if "." not in name and not lowered.startswith(_ROOTS) and not any(part in lowered for part in _PROFILES):
            return False  # '/users/password' is a route, './secrets' a module; a call that reads such a file is judged by itself
        found = paths.read_factor(text)
        if found is None or found.weight < MEDIUM:
            return False
        self.add(found)
        return True

    def conclude(self) -> list[Factor]:
        """The factors, with what follows from several of them together."""
        if ("code.socket" in self.factors and ({"code.interactive-shell", "code.shell", "code.reverse-shell"} & self.factors.keys())) or (
            "code.socket" in self.factors and self.factors.get("code.process", self.factors["code.socket"]).weight >= SERIOUS
        ):
            self.flag("code.reverse-shell", HIGH, "Connects programs of this machine to the network.", self.factors["code.socket"].excerpt)
        return list(self.factors.values())


def _quoted(word: Value) -> Value:
    return Value(tuple(_quoted_text(text) for text in word.texts), taints=word.taints)


def _quoted_text(text: str) -> str:
    if text == HIDDEN or (text and all(char.isalnum() or char in "_./=:@%+,~-" for char in text)):
        return text
    return "'" + text.replace("'", "'\\''") + "'"
