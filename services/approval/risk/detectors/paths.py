"""What a path means: secrets, version-control internals, system files, start-up files, devices, the outside."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache

from services.approval.risk import scoring
from services.approval.risk.model import Factor

HIDDEN = "\ufffc"  # stands for the part of a word that is not known before it runs


@dataclass(frozen=True, slots=True)
class PathClass:
    """A kind of path: what reading and what changing it weighs. 0 means that it says nothing."""

    id: str
    pattern: re.Pattern[str]
    what: str
    read: int
    write: int


def _class(id: str, what: str, read: int, write: int, *patterns: str) -> PathClass:
    return PathClass(id, re.compile("|".join(f"(?:{p})" for p in patterns)), what, read, write)


# Matched against the normalised, lower-cased path; the first match decides, so the gravest come first.
CLASSES = (
    _class(
        "password-hashes",
        "the system's password hashes or its password database",
        scoring.HIGH,
        scoring.HIGH,
        r"^/etc/(?:g?shadow-?|security/opasswd|master\.passwd|krb5\.keytab)$",
        r"/ntds\.dit$",
        r"/etc/shadow\b",
        r"(?:^|/)windows/system32/config/(?:sam|system|security)$",
    ),
    _class(
        "privileges",
        "who may act as whom",
        scoring.MEDIUM,
        scoring.HIGH,
        r"^/etc/(?:sudoers(?:\.d(?:/|$)|$)|pam\.d(?:/|$)|pam\.conf$|polkit-1/|doas\.conf$|security/)",
        r"^/etc/ssh/sshd_config",
    ),
    _class(
        "accounts",
        "the system's accounts",
        scoring.MEDIUM,
        scoring.HIGH,
        r"^/etc/(?:passwd|group|gshadow)-?$",
    ),
    _class(
        "ssh-keys",
        "SSH keys or who may log in",
        scoring.HIGH,
        scoring.HIGH,
        r"(?:^|/)\.ssh(?:/(?!known_hosts$|config$|.*\.pub$).*)?$",
        r"(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)$",
        r"(?:^|/)authorized_keys2?$",
        r"^/etc/ssh/ssh_host_[^/]{1,40}_key$",
    ),
    _class(
        "cloud-credentials",
        "credentials for cloud, cluster, registry or code hosting",
        scoring.HIGH,
        scoring.HIGH,
        r"(?:^|/)\.aws(?:/|$)",
        r"(?:^|/)\.config/(?:gcloud|gh|doctl|rclone)(?:/|$)",
        r"(?:^|/)\.azure(?:/|$)",
        r"(?:^|/)\.kube(?:/config)?$",
        r"^/etc/kubernetes/(?:admin\.conf|pki)",
        r"(?:^|/)\.docker/config\.json$",
        r"^/(?:var/)?run/secrets(?:/|$)",
        r"(?:^|/)\.(?:netrc|pgpass|my\.cnf|npmrc|pypirc|git-credentials|vault-token|s3cfg|boto)$",
        r"(?:^|/)_netrc$",
        r"(?:^|/)\.gem/credentials$",
        r"(?:^|/)\.cargo/credentials",
        r"(?:^|/)\.terraform\.d/credentials",
        r"(?:^|/)application_default_credentials\.json$",
        r"(?:^|/)\.m2/settings\.xml$",
    ),
    _class(
        "key-material",
        "key material or a password store",
        scoring.SERIOUS,
        scoring.SERIOUS,
        r"(?:^|/)(?![^/]*(?:cert|chain|public|pub\.|csr|ca[._-]|^ca\.))[^/]*\.pem$",
        r"\.(?:key|p12|pfx|jks|keystore|kdbx?|ppk|ovpn|keytab)$",
        r"(?:^|/)\.gnupg(?:/|$)",
        r"(?:^|/)\.password-store(?:/|$)",
        r"(?:^|/)(?:login\.keychain(?:-db)?|key[34]\.db|logins\.json|cookies\.sqlite)$",
        r"(?:^|/)keychains(?:/|$)",
        r"(?:^|/)(?:login data|cookies|web data|local state)$",
        r"(?:^|/)\.mozilla(?:/|$)",
        r"(?:^|/)\.config/(?:google-chrome|chromium)(?:/|$)",
        r"(?:^|/)(?:gnome-keyring|keyrings)(?:/|$)",
        r"(?:^|/)wallet\.dat$",
        r"(?:^|/)\.(?:bitcoin|ethereum|electrum)(?:/|$)",
    ),
    _class(
        "credentials",
        "credentials or secret settings",
        scoring.SERIOUS,
        scoring.SERIOUS,
        r"(?:^|/)\.env(?!rc$)(?:\.(?!example$|sample$|template$|dist$|test$)[a-z0-9_.-]{1,40}|\*)?$",
        r"(?:^|/)(?:credentials?|secrets?|passwords?|passwd)(?:\.(?:json|ya?ml|toml|ini|txt|xml|csv|env|conf|cfg|properties|db))?$",
        r"(?:^|/)service[-_]account[a-z0-9_-]{0,40}\.json$",
        r"(?:^|/)\.htpasswd$",
        r"(?:^|/)wp-config\.php$",
        r"(?:^|/)(?:database\.yml|master\.key|local_settings\.py|\.dockercfg|shadow)$",
        r"(?:^|/)terraform\.tfstate(?:\.backup)?$",
        r"(?:^|/)unattend\.xml$",
        r"(?:^|/)sysprep\.(?:xml|inf)$",
    ),
    _class(
        "history",
        "what was typed before",
        scoring.SERIOUS,
        scoring.SERIOUS,
        r"(?:^|/)\.(?:bash|zsh|sh|fish|python|mysql|psql|sqlite|node_repl|rediscli|ash|k?sh)_history$",
        r"(?:^|/)\.lesshst$",
        r"(?:^|/)\.histfile$",
        r"(?:^|/)\.\*_?history$",
        r"(?:^|/)fish_history$",
        r"(?:^|/)consolehost_history\.txt$",
    ),
    _class(
        "process-memory",
        "another process's memory, settings or the kernel's memory",
        scoring.SERIOUS,
        scoring.HIGH,
        r"^/proc/(?:\d+|self|\*|\ufffc)/(?:environ|mem|maps|root|fd)\b",
        r"^/dev/(?:k?mem|port)$",
        r"^/proc/kcore$",
    ),
    _class(
        "kernel",
        "a kernel control",
        scoring.NOTE,
        scoring.HIGH,
        r"^/proc/sys(?:rq-trigger|/)",
        r"^/sys/(?:kernel|fs/cgroup|class|module|firmware)",
        r"release_agent$",
        r"core_pattern$",
        r"^/proc/(?:self|\d+)/(?:oom|coredump|attr|exe)",
    ),
    _class(
        "container-control",
        "the control socket of a container engine",
        scoring.HIGH,
        scoring.HIGH,
        r"(?:^|/)(?:docker|containerd|crio|podman)\.sock$",
    ),
    _class(
        "startup",
        "what starts at boot, at login or on a schedule",
        0,
        scoring.HIGH,
        r"^/etc/(?:cron[a-z.]*(?:/|$)|anacrontab|rc\.local$|rc\d?\.d|init(?:\.d|tab)?(?:/|$)|systemd/|profile(?:\.d)?(?:/|$)|bash\.?bashrc"
        r"|bashrc|zsh|environment$|ld\.so\.preload$|ld\.so\.conf|update-motd\.d|xdg/autostart|inittab|udev/|modules-load\.d|skel/|at\.|"
        r"network/if-|networkmanager/dispatcher\.d|apt/apt\.conf\.d|logrotate\.d|launchd)",
        r"^/var/spool/(?:cron|at)",
        r"(?:^|/)systemd/(?:system|user)(?:/|$)",
        r"^/(?:usr/)?lib/systemd/",
        r"^/usr/lib/python[0-9.]{1,6}/(?:site-packages|dist-packages)/[^/]*\.pth$",
        r"(?:^|/)\.(?:bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|zshrc|zshenv|zprofile|zlogin|kshrc|cshrc|tcshrc|xinitrc"
        r"|xprofile|xsession|inputrc|vimrc|emacs|tmux\.conf|pam_environment|pythonrc|irbrc|gdbinit|selected_editor|forward)$",
        r"(?:^|/)\.config/(?:autostart|fish/|systemd)",
        r"(?:^|/)library/launch(?:agents|daemons)(?:/|$)",
        r"(?:^|/)start menu/programs/startup",
        r"(?:^|/)\.git(?:/modules/[^/]{1,100})?/hooks(?:/|$)",
        r"(?:^|/)\.ssh/(?:rc|config)$",
    ),
    _class(
        "vcs-internals",
        "the inside of a repository",
        0,
        scoring.SERIOUS,
        r"(?:^|/)\.(?:git|hg|svn|bzr)(?:/|$)",
        r"(?:^|/)\.gitconfig$",
        r"(?:^|/)\.(?:github/workflows|gitlab-ci\.yml|circleci)(?:/|$)",
    ),
    _class(
        "block-device",
        "a disk, below its file system",
        scoring.MEDIUM,
        scoring.CRITICAL,
        r"^/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|disk\d?|rdisk\d|mapper/|dm-\d|md\d|loop\d|sr\d|nbd\d|root$|block/|ram\d)",
        r"^\\\\\.\\physicaldrive",
    ),
    _class(
        "logs",
        "logs, the record of what happened",
        0,
        scoring.SERIOUS,
        r"^/var/log(?:/|$)",
        r"^/var/run/utmp$",
        r"(?:^|/)audit/audit\.log",
        r"^/(?:var/)?run/(?:log|systemd/journal)",
        r"^/library/logs",
    ),
    _class(
        "boot",
        "what the machine boots from",
        0,
        scoring.HIGH,
        r"^/boot(?:/|$)",
        r"^/efi(?:/|$)",
        r"^/etc/(?:default/grub|grub|fstab$|crypttab$|modprobe|initramfs)",
    ),
    _class(
        "system",
        "the operating system's own files",
        0,
        scoring.SERIOUS,
        r"^/(?:etc|usr(?!/local/(?:src|share|games))|bin|sbin|lib(?:32|64|x32)?|system|library|opt|srv|sys|proc|root|var/(?:lib|www|spool|cache|backups|mail))"
        r"(?:/|$)",
        r"^[a-z]:/windows",
    ),
)

_REMOTE = re.compile(r"^[\w.+-]{1,40}://")
_HARMLESS_DEVICES = re.compile(r"^/dev/(?:null|zero|full|u?random|tty|stdin|stdout|stderr|fd(?:/.*)?|shm(?:/.*)?|ptmx|pts(?:/.*)?)$")
_TEMPORARY = re.compile(r"^/(?:tmp|var/tmp|dev/shm|private/tmp)(?:/|$)")


def normalised(path: str, cwd: str = "") -> str:
    """`path` without `.`, `..` and doubled slashes, backslashes turned, relative to `cwd` when that is given."""
    text = path.replace("\\", "/").strip()
    if text.startswith("file://"):
        text = text[7:]
    if cwd.startswith("/") and text and not text.startswith(("/", "~")):
        text = f"{cwd}/{text}"
    while text.startswith("//"):
        text = text[1:]
    return posixpath.normpath(text) if text else ""


@lru_cache(maxsize=8192)
def classify(path: str) -> PathClass | None:
    """The gravest class of a path, None for an ordinary one. Remote addresses have no class."""
    if not path or len(path) > 4096 or (_REMOTE.match(path) and not path.startswith("file://")):
        return None
    clean = normalised(path).lower()
    if _HARMLESS_DEVICES.match(clean):
        return None
    if clean.startswith("~"):
        _, _, rest = clean.partition("/")
        clean = f"/home/~/{rest}" if rest else "/home/~"
    for each in CLASSES:
        if each.pattern.search(clean):
            return each
    return None


def is_root(path: str) -> bool:
    """Whether removing everything under `path` would end the system or a person's files."""
    clean = normalised(path)
    if clean.endswith(("/*", "/.*")):
        clean = clean[: clean.rindex("/")] or "/"
    if clean in ("/", "~", "/.", "/home", "/root", "/users", f"~{HIDDEN}"):
        return True
    return bool(
        re.match(
            r"^/(?:bin|boot|dev|etc|home|lib(?:32|64)?|opt|proc|root|sbin|srv|sys|usr|var|mnt|media|system|library|users|applications)"
            r"(?:/(?:bin|lib|sbin|local|log|share|www|html|db|backups|mysql|postgresql))?$",
            clean.lower(),
        )
        or re.match(r"^/(?:home|users)/[^/]+$", clean.lower())
        or re.match(r"^[a-z]:/?(?:\*|windows)?$", clean.lower())
    )


def is_temporary(path: str) -> bool:
    """Whether a path is in a folder for temporary files."""
    return bool(_TEMPORARY.match(normalised(path)))


def outside(path: str, working_dir: str) -> bool:
    """Whether a path leaves the working directory; without one, whether it is absolute or climbs out."""
    if not path or path.startswith(HIDDEN):
        return False
    if path.startswith("~"):
        return True
    clean = normalised(path, working_dir)
    if working_dir.startswith("/"):
        base = posixpath.normpath(working_dir)
        return clean != base and not clean.startswith(base.rstrip("/") + "/")
    return clean.startswith(("/", "../")) or clean == ".." or bool(re.match(r"^[A-Za-z]:/", clean))


def read_factor(path: str) -> Factor | None:
    """The factor of reading `path`."""
    found = classify(path)
    if found is None or not found.read:
        return None
    return Factor(
        f"sensitive-path.read-{found.id}",
        "sensitive-path",
        f"Reads {path[:120]}: {found.what}.",
        found.read,
        excerpt=path[:200],
        safer_alternative="Leave it out, or give only the one value that is needed.",
    )


def write_factor(path: str, working_dir: str = "") -> Factor | None:
    """The factor of creating, changing or removing `path`."""
    found = classify(path)
    if found is None or not found.write:
        if outside(path, working_dir) and not is_temporary(path) and not _HARMLESS_DEVICES.match(normalised(path)):
            return Factor(
                "sensitive-path.outside",
                "sensitive-path",
                f"Changes {path[:120]}, outside the working directory.",
                scoring.MEDIUM if working_dir or path.startswith("..") else scoring.MINOR,
                excerpt=path[:200],
                safer_alternative="Work inside the project's folder.",
            )
        return None
    return Factor(
        f"sensitive-path.write-{found.id}",
        "sensitive-path",
        f"Changes {path[:120]}: {found.what}.",
        found.write,
        excerpt=path[:200],
        safer_alternative="Write a copy inside the working directory and let a person put it in place.",
    )
