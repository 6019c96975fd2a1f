"""Programs that say nothing by themselves: ordinary ones, and ones that only look around. Any other is worth a note."""

from __future__ import annotations

from services.approval.risk import scoring
from services.approval.risk.model import Factor
from services.approval.risk.shell.flows import FILTERS, LOOKERS, SPEAKERS
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import HANDLERS
from services.approval.risk.shell.wrapper_table import WRAPPERS

_ORDINARY = """
7z ack acpi ag ant apk apropos apt apt-cache apt-get ar arch autoconf automake awk b2sum babel bandit basename bash bat bazel bc bg biber bibtex black blkid break brew
bun bundle c++ cal cargo case cat cc cd chmod chown cksum clang clang-format clang-tidy clear cloc cmake cmp col column comm conda continue convert copy cp cpio cpp crontab
csplit ctags ctest curl cut cypress dart date dc dd deno df diff diff3 dig dir dircolors dirname dirs dmesg docker docker-compose dos2unix dotnet dpkg-query du echo
elixir emacs esbuild eslint exiftool exit expand expr factor fc fd ffmpeg ffprobe fg file find flake8 flutter fmt fold free fzf g++ gcc gem getconf getent getopt getopts gh git glab go
gofmt golangci-lint gradle gradlew grep groups gunzip gzip hash head helm help hexdump hg hostid hostname htop http iconv id identify ifconfig info install iostat ip isort
jar java javac jest jobs join journalctl jq kill kubectl last less let lld ln local locale localectl locate look ls lsb_release lsblk lscpu lshw lsmod lsof lspci lsusb make man
mapfile md5sum mediainfo meson mkdir mkfifo mktemp mocha mongosh more mount mtr mv mvn mvnw mypy mysql nano ncdu netstat next nice ninja nl nm node npm npx nproc nslookup numfmt
objdump od oh-my-zsh openssl paste patch pathchk pdfinfo pdftotext pgrep php phpunit pidof ping pip pip3 pipx pkg-config playwright pnpm podman poetry popd pr pre-commit
prettier printenv printf protoc ps psql ptx pushd pwd pylint pytest python ranger rails rake read readarray readelf readlink realpath redis-cli rename return rg rm rmdir rollup rsync rspec
rubocop ruby ruff rustc rustfmt rustup sar sbt scp screen sdiff sed select seq service set sh sha1sum sha224sum sha256sum sha384sum sha512sum shellcheck shfmt shift shopt
shuf sleep snap sort speedtest split sqlite3 ss ssh ssh-keygen stat strings strip stty sum svn swift swiftc sync sysctl systemctl systemd-analyze tac tail tar tee terraform test time tldr
tmux top touch tput tr tracepath traceroute tree true tsc tsort tty turbo type typeset ulimit umask uname unexpand uniq units unlink unset unxz unzip update-alternatives uptime users
vagrant vim vite vitest vmstat w wait watch wc webpack wget whatis whereis which who whoami xargs xcodebuild xxd xz yarn yes yq zcat zip zipinfo zsh zstd
ansible-lint hadolint tflint yamllint jsonlint markdownlint stylelint buf grpcurl nvm pyenv rbenv sdk cabal stack ghc ocaml dune opam lein clj mix gleam zig nim crystal cross wasm-pack
magick montage mogrify sox pandoc latexmk pdflatex xelatex inkscape gs gpg gzip lz4 dot plantuml hugo jekyll mkdocs sphinx-build nox tox coverage cmp diffstat colordiff
vercel netlify heroku fly aws gcloud az gsutil
""".split()

_KNOWN = frozenset(_ORDINARY) | FILTERS | LOOKERS | SPEAKERS | frozenset(HANDLERS) | frozenset(WRAPPERS)

# What a program that only looks tells about: id of the factor, what it is, programs.
_LOOKS = {
    "discovery.accounts": (
        "who uses this machine, and with which rights",
        "whoami id groups who w users last lastb lastlog finger logname getent loginctl",
    ),
    "discovery.system": (
        "the machine and its system",
        "uname hostname hostnamectl uptime lsb_release sw_vers arch dmidecode lshw lscpu lspci lsusb lsmod modinfo lsblk blkid mount findmnt df free vmstat "
        "dmesg systeminfo ver lsns sestatus getenforce aa-status hostid locale timedatectl",
    ),
    "discovery.processes": ("what is running", "ps top htop pstree pgrep lsof fuser tasklist pidof jps service systemctl"),
    "discovery.network": (
        "the network that the machine is in",
        "ifconfig ip netstat ss arp route iwconfig nmcli ipconfig traceroute tracepath mtr resolvectl hostname host dig nslookup whois ping iptables nft",
    ),
    "discovery.software": ("what is installed", "dpkg rpm dpkg-query apt-cache apt-mark flatpak snap"),
    "discovery.context": ("where it runs: account, project, cluster", "docker kubectl aws gcloud az"),
}
_BY_PROGRAM: dict[str, tuple[str, str]] = {}
for _id, (_what, _programs) in _LOOKS.items():
    for _program in _programs.split():
        _BY_PROGRAM.setdefault(_program, (_id, _what))

# Programs that also do other things: the first operands with which they only look. Any other operand is no look.
_ONLY_WITH = {
    "ip": frozenset("a addr address l link r route n neigh neighbour rule".split()),
    "systemctl": frozenset("list-units list-unit-files list-timers list-sockets status show".split()),
    "service": frozenset({"--status-all"}),
    "nmcli": frozenset("device dev connection con general".split()),
    "loginctl": frozenset("list-sessions list-users show-user show-session user-status session-status".split()),
    "timedatectl": frozenset({"status"}),
    "flatpak": frozenset({"list"}),
    "snap": frozenset({"list"}),
    "docker": frozenset({"info", "version"}),
    "kubectl": frozenset({"cluster-info", "auth", "config", "api-resources"}),
    "aws": frozenset({"sts"}),
    "gcloud": frozenset({"auth", "config"}),
    "az": frozenset({"account"}),
    "iptables": frozenset(),
    "nft": frozenset({"list"}),
    "resolvectl": frozenset({"status"}),
}
_ONLY_OPTIONS = {
    "iptables": frozenset({"-L", "-S", "--list"}),
    "dpkg": frozenset({"-l", "--list", "-L", "-S"}),
    "rpm": frozenset({"-q", "-qa", "--query"}),
}
# Folders and files that describe a machine; reading or listing them is a look.
_PLACES = ("/etc/os-release", "/etc/issue", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/lsb-release", "/etc/debian_version", "/etc/redhat-release",
           "/etc/fstab", "/etc/services", "/etc/shells", "/etc/network", "/etc/crontab", "/etc/cron.d", "/etc/init.d", "/proc/version", "/proc/cpuinfo", "/proc/meminfo",
           "/proc/mounts", "/proc/net", "/proc/1/", "/proc/self/", "/proc/cmdline", "/proc/modules", "/sys/class/net", "/sys/class/dmi")  # fmt: skip
_LISTED = frozenset({"/", "/home", "/root", "/users", "/etc", "/opt", "/srv", "/var/www", "/mnt", "/media", "/tmp", "/var/spool/cron", "/var/log"})
_READERS = frozenset("cat head tail less more grep egrep fgrep rg awk strings bat cut sort xxd od".split())


def known(program: str) -> bool:
    """Whether a program is in the list of ordinary ones."""
    return program in _KNOWN


def factor(call: Invocation) -> Factor | None:
    """The note of a command that only looks at the machine it runs on, None for any other. A note never adds up."""
    found = _BY_PROGRAM.get(call.name)
    if found is not None:
        if not _only_looks(call):
            return None
    elif call.name in LOOKERS:
        if not any((arg.rstrip("/") or "/").lower() in _LISTED or arg.startswith(_PLACES) for arg in call.args if arg[:1] == "/"):
            return None
        found = ("discovery.files", "which files the machine has")
    elif call.name in _READERS and any(arg.startswith(_PLACES) for arg in call.args):
        found = ("discovery.system", "the machine and its system")
    else:
        return None
    return Factor(found[0], "discovery", f"Looks at {found[1]}.", scoring.NOTE, call.excerpt, call.span)


def _only_looks(call: Invocation) -> bool:
    operands = _ONLY_WITH.get(call.name)
    if options := _ONLY_OPTIONS.get(call.name):
        return not call.flags.isdisjoint(options)
    if operands is None:
        return True
    return call.positionals[0] in operands if call.positionals else call.name not in ("docker", "kubectl", "aws", "gcloud", "az", "flatpak", "snap")
