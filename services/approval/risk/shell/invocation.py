"""One program being started, with its resolved words, as rules see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.approval.risk.model import Span
from services.approval.risk.shell.words import NONE, Word

T = TypeVar("T")


class _once(Generic[T]):
    """A property that is worked out when it is first asked for: `functools.cached_property` without the lock that it has before
    Python 3.12, which costs more than most of these properties."""

    def __init__(self, work: Callable[[Invocation], T]) -> None:
        self._work = work
        self._name = work.__name__

    def __get__(self, call: Invocation, owner: type[Invocation]) -> T:
        value = self._work(call)
        call.__dict__[self._name] = value  # found there before this descriptor from now on
        return value


# Options that take a value before a subcommand ("git -C dir clean"): the value is not the subcommand.
VALUE_OPTIONS: dict[str, frozenset[str]] = {
    "sqlite3": frozenset("-separator -cmd -init -nullvalue -newline -mmap -vfs -maxsize -heap -pagecache -lookaside -A".split()),
    "git": frozenset("-C -c --git-dir --work-tree --namespace --exec-path".split()),
    "kubectl": frozenset("-n --namespace --context --cluster --kubeconfig -s --server --user --token --as -l --selector -f".split()),
    "helm": frozenset("-n --namespace --kube-context --kubeconfig".split()),
    "docker": frozenset("-H --host --context --config -l --log-level -f --file -p --project-name --profile".split()),
    "docker-compose": frozenset("-f --file -p --project-name --profile --project-directory".split()),
    "aws": frozenset("--profile --region --output --endpoint-url --query".split()),
    "gcloud": frozenset("--project --account --configuration --format --region --zone".split()),
    "az": frozenset("--subscription -o --output --query".split()),
    "gsutil": frozenset("-o -h".split()),
    "systemctl": frozenset("-H --host -M --machine -p -t -n".split()),
    "npm": frozenset("--prefix -w --workspace --registry --userconfig".split()),
    "terraform": frozenset("-chdir".split()),
    "hg": frozenset("-R --repository --cwd --config --encoding".split()),
    "apt": frozenset("-o --option -c --config-file -t --target-release".split()),
    "yum": frozenset("-c --config --repo --enablerepo --disablerepo".split()),
    "dnf": frozenset("-c --config --repo --enablerepo --disablerepo".split()),
    "apt-get": frozenset("-o --option -c --config-file -t --target-release".split()),
    "gh": frozenset("-R --repo".split()),
    "glab": frozenset("-R --repo".split()),
    "bosh": frozenset("-d --deployment -e --environment".split()),
    "virsh": frozenset("-c --connect".split()),
    "ctr": frozenset("-n --namespace -a --address".split()),
    "vim": frozenset("-c -S -s -u -i -T -w -W".split()),
    "ex": frozenset("-c -S -u -i -T -w -W".split()),
    "tmux": frozenset("-L -S -f -s -n".split()),
    "restic": frozenset("-r --repo --repository-file -p --password-file --password-command --cacert".split()),
    "snapper": frozenset("-c --config".split()),
    "pulumi": frozenset("-C --cwd -s --stack".split()),
    "vault": frozenset("-address -namespace".split()),
    "ufw": frozenset(),
    "rsync": frozenset(
        "-e --rsh -f --filter --exclude --include --exclude-from --include-from --files-from --bwlimit --log-file --chmod --chown --timeout --port "
        "--partial-dir --backup-dir --suffix --max-size --min-size -T --temp-dir --compare-dest --copy-dest --link-dest --password-file -B --info "
        "--out-format --rsync-path -M --remote-option".split()
    ),
    "scp": frozenset("-P -i -o -F -c -l -S -J -D -X".split()),
    "cp": frozenset("-t --target-directory -S --suffix".split()),
    "mv": frozenset("-t --target-directory -S --suffix".split()),
    "ln": frozenset("-t --target-directory -S --suffix".split()),
    "install": frozenset("-m --mode -o --owner -g --group -t --target-directory -S --suffix".split()),
    "mkdir": frozenset("-m --mode".split()),
    "touch": frozenset("-d --date -t -r --reference".split()),
    "split": frozenset("-l -b -n -a -C --lines --bytes --number --suffix-length --filter --additional-suffix".split()),
    "sort": frozenset("-o --output -k --key -t --field-separator -S --buffer-size -T --temporary-directory --parallel --compress-program".split()),
    "shuf": frozenset("-o --output -n --head-count -i --input-range --random-source".split()),
    "iconv": frozenset("-o --output -f --from-code -t --to-code".split()),
    "redis-cli": frozenset("-h -p -n -a -u -s -r -i -d -D -X -t --user --pass --cacert --cacertdir --cert --key --sni --pipe-timeout".split()),
    "curl": frozenset(
        "-X --request -H --header -d --data --data-raw --data-binary --data-urlencode --data-ascii --json -F --form -T --upload-file "
        "-o --output -u --user -A --user-agent -e --referer -x --proxy -m --max-time --connect-timeout --retry -b --cookie -c "
        "--cookie-jar -K --config -E --cert --key --cacert -w --write-out -r --range --resolve --interface --retry-delay -D "
        "--dump-header -C --continue-at -z --time-cond -Y -y --limit-rate --unix-socket --output-dir".split()
    ),
    "wget": frozenset(
        "-O --output-document -o --output-file -P --directory-prefix -U --user-agent --header --post-data --post-file --body-data "
        "--body-file --method -t --tries -T --timeout -e --execute -i --input-file --user --password -A -R -Q --limit-rate".split()
    ),
}
ALIASES = {
    "k": "kubectl",
    "oc": "kubectl",
    "kubecolor": "kubectl",
    "podman": "docker",
    "nerdctl": "docker",
    "flyctl": "fly",
    "tofu": "terraform",
    "terragrunt": "terraform",
    "podman-compose": "docker-compose",
    "mariadb": "mysql",
    "gawk": "awk",
    "mawk": "awk",
    "nawk": "awk",
    "vi": "vim",
    "nvim": "vim",
    "view": "vim",
    "rvim": "vim",
    "rview": "vim",
    "vimdiff": "vim",
    "gvim": "vim",
    "ncat": "nc",
    "netcat": "nc",
    "nodejs": "node",
    "bsdtar": "tar",
    "gtar": "tar",
    "gsed": "sed",
    "ssed": "sed",
    "batcat": "bat",
    "srm": "shred",
    "wipe": "shred",
    "axel": "wget",
    "aria2c": "wget",
    "batch": "at",
    "redis-server-cli": "redis-cli",
    "valkey-cli": "redis-cli",
    "keydb-cli": "redis-cli",
    "mongo": "mongosh",
    "pacaur": "pacman",
    "yay": "pacman",
    "grm": "rm",
    "del": "rm",
    "erase": "rm",
    "gfind": "find",
    "zcat": "cat",
    "tac": "cat",
    "xzcat": "cat",
    "bzcat": "cat",
    "update-rc.d": "chkconfig",
    "ssh.exe": "ssh",
    "gdd": "dd",
    "gmv": "mv",
    "gcp": "cp",
    "rd": "rmdir",
    "pgrep": "pgrep",
}

_DRY = ("--dry-run", "--dryrun", "--what-if", "--whatif", "--simulate", "--just-print", "-dry-run")
_WET = ("--no-dry", "--no-n")  # `--no-n` is rsync's, whose short options have long opposites
# Programs that honour a dry run. `-n` means that only to some of them.
_DRY_LONG = frozenset(
    "kubectl aws rsync git npm pnpm yarn helm terraform make gsutil apt apt-get docker cargo ansible-playbook az fly poetry rclone restic borg rustic kopia".split()
)
_DRY_SHORT = {"rsync": "-n", "make": "-n", "git": "-n", "apt-get": "-s", "gsutil": "-n"}


@dataclass(slots=True)
class Flow:
    """What comes in on standard input: its text when that is known, and where it came from."""

    text: str | None = None
    taints: frozenset[str] = NONE
    present: bool = False


def _joined(arg: str, taking: frozenset[str]) -> tuple[str, ...]:
    """The option among joined short ones that takes a value, and the value if it is attached: `-so`, `-sofile`. Else nothing."""
    if len(arg) > 2 and arg[0] == "-" and arg[1] != "-" and taking:
        for position in range(1, len(arg)):
            if f"-{arg[position]}" in taking:
                return f"-{arg[position]}", arg[position + 1 :]
    return ()


@dataclass
class Invocation:
    """A program with its resolved words. `name` is the lower-cased base name, aliases of the same program merged."""

    name: str
    args: tuple[str, ...]
    typed: str = ""
    words: tuple[Word, ...] = ()
    stdin: Flow = field(default_factory=Flow)
    span: Span | None = None
    excerpt: str = ""
    cwd: str = ""
    privileged: bool = False
    taking: frozenset[str] = NONE  # options that take a value, besides those in VALUE_OPTIONS

    @_once
    def value_options(self) -> frozenset[str]:
        """The options of this program that are known to take a value."""
        return VALUE_OPTIONS.get(self.name, NONE) | self.taking if self.taking else VALUE_OPTIONS.get(self.name, NONE)

    @_once
    def taints(self) -> frozenset[str]:
        """Where the words came from."""
        return NONE.union(*found) if (found := [word.taints for word in self.words if word.taints]) else NONE

    @_once
    def flags(self) -> frozenset[str]:
        """Every option, in every spelling: `-rf` gives -rf, -r and -f; `--force=yes` gives --force=yes and --force."""
        found: set[str] = set()
        for arg in self.args:
            if arg == "--":
                break
            if len(arg) < 2 or arg[0] != "-":
                continue
            found.add(arg)
            if "=" in arg:
                found.add(arg.partition("=")[0])
            if arg[1] != "-" and len(arg) <= 12:
                found.update(f"-{letter}" for letter in arg[1:])
        return frozenset(found)

    @_once
    def positionals(self) -> tuple[str, ...]:
        """The arguments that are no options, without the values of the options known to take one."""
        taking = self.value_options
        found: list[str] = []
        skip = only = False
        for arg in self.args:
            if skip:
                skip = False
            elif only or not arg.startswith("-") or arg == "-":
                found.append(arg)
            elif arg == "--":
                only = True
            elif arg in taking or _joined(arg, taking)[1:] == ("",):
                skip = True
        return tuple(found)

    @_once
    def lowered(self) -> tuple[str, ...]:
        """The positionals in lower case."""
        return tuple(map(str.lower, self.positionals))

    @_once
    def joined(self) -> str:
        """The arguments as one text, with NUL between them, which none of them has."""
        return "\0".join(self.args)

    @_once
    def line(self) -> str:
        """The arguments, joined by spaces."""
        return " ".join(self.args)

    @property
    def asks_help(self) -> bool:
        """Whether the program was only asked what it can do: "git push --help", "terraform --version"."""
        last = self.args[-1] if self.args else ""
        if last == "--help":
            return len(self.args) <= 4 and not any(arg.startswith("-") for arg in self.args[:-1])
        return len(self.args) == 1 and last in ("--version", "-V")

    def values(self, *options: str) -> list[str]:
        """The values given to any of these options, as `-o v`, `-ov`, `--opt v` or `--opt=v`, and `-so v` where `-o` is known."""
        taking = self.value_options
        found: list[str] = []
        for index, arg in enumerate(self.args):
            if not arg.startswith(options) and not (taking and arg[:1] == "-"):  # joined ones stand further on: `-so`
                continue
            for option in options:
                if arg == option:
                    if index + 1 < len(self.args):
                        found.append(self.args[index + 1])
                elif option.startswith("--"):
                    if arg.startswith(option + "="):
                        found.append(arg[len(option) + 1 :])
                elif len(option) == 2 and arg.startswith(option) and not arg.startswith("--"):
                    found.append(arg[2:].removeprefix("="))
                elif option in taking and arg[:1] == "-" and (joined := _joined(arg, taking))[:1] == (option,):
                    found += [joined[1]] if joined[1] else self.args[index + 1 : index + 2]
        return found

    @_once
    def dry_run(self) -> bool:
        """Whether the program was asked to only say what it would do."""
        short = "" if self.name == "git" and "clean" not in self.args[:3] else _DRY_SHORT.get(self.name, "")
        long = self.name in _DRY_LONG
        dry = False
        for arg in self.args:  # the last one wins
            if arg[:1] != "-":
                continue
            if long and arg.startswith(_DRY):
                dry = arg.partition("=")[2] not in ("none", "false", "no")
            elif arg.startswith(_WET):
                dry = False
            elif short and arg[1:2] != "-" and len(arg) <= 12 and short[1] in arg:
                dry = True
        return dry
