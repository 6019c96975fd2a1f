"""Programs that reach other machines: what they run there, and what their options run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.shell import options
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_SSH = options.syntax(
    values="-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w -B --ssh --port --predict --server --client",
    flags="-4 -6 -A -a -C -f -G -g -K -k -M -N -n -q -s -T -t -V -v -X -x -Y -y",
)
_LOCAL_COMMANDS = frozenset({"proxycommand", "localcommand", "knownhostscommand"})
_LIBRARIES = frozenset({"pkcs11provider", "securitykeyprovider"})
_RSYNC_SHELL = patterns.compile(r"^(?:/usr/bin/)?(?:ssh|rsh|rsync|sudo rsync)\b")


def _ssh(walker: Walker, call: Invocation) -> Flow | None:
    """`ssh [options] host [options] command words`: the words are joined and given to the other machine's shell."""
    index = hosts = 0
    words = call.words
    while index < len(words):
        text = words[index].text
        if text == "--" and not hosts:
            index += 1
        elif options.is_option(text):
            found = options.read(_SSH, words, index)
            for option in found:
                if option.name == "-o" and option.value is not None:
                    _ssh_setting(walker, call, option.value.text)
            index += found[-1].taken if found else 1
        elif not hosts:
            hosts, index = 1, index + 1
        else:
            break
    command = words[index:]
    if command and command[0].text == "--":
        command = command[1:]
    if command:
        walker.flag("network.remote-command", scoring.MINOR, "Runs a command on another machine.", call.excerpt)
        return code.shell_text(walker, code.joined(command), call.stdin)
    if call.stdin.present and hosts and not call.flags & {"-N", "-n", "-V", "-G"}:
        code.fed(walker, call)
    return None


def _ssh_setting(walker: Walker, call: Invocation, setting: str) -> None:
    key, equals, value = setting.partition("=")
    if not equals:
        key, _, value = setting.strip().partition(" ")
    key, value = key.strip().lower(), value.strip().strip('"')
    if key in _LOCAL_COMMANDS and value and value.lower() != "none":
        walker.flag("escape.ssh-option", scoring.HIGH, "An SSH option runs a local command.", call.excerpt)
        walker.run_text(value)
    elif key in _LIBRARIES and "/" in value:
        walker.flag("escape.ssh-option", scoring.HIGH, "An SSH option loads a library.", call.excerpt)


def _copy(walker: Walker, call: Invocation) -> None:
    """scp and sftp: options for ssh, and a program in its place."""
    for setting in call.values("-o"):
        _ssh_setting(walker, call, setting)
    for value in call.values("-S", "-D"):
        if value.partition(" ")[0].rpartition("/")[2] not in ("ssh", "sftp-server", "") and not value.isdigit():
            walker.flag("escape.ssh-option", scoring.HIGH, "A copying option runs a local program.", call.excerpt)
            walker.run_text(value)
    if call.name == "sftp" and call.stdin.text is not None:
        for line in code.lines(walker, call.stdin.text):
            if line.lstrip().startswith("!"):
                walker.run_text(line.lstrip()[1:])


def _rsync(walker: Walker, call: Invocation) -> None:
    for value in call.values("-e", "--rsh", "--rsync-path"):
        if not _RSYNC_SHELL.match(value):
            walker.flag("escape.rsync", scoring.HIGH, "An rsync option runs a local command.", call.excerpt)
            walker.run_text(value)
        elif value.partition(" ")[0].endswith("ssh"):
            walker.run_text(f"{value} host")


def _streams(walker: Walker, call: Invocation) -> None:
    """socat and nc: programs that are connected to the network."""
    for value in call.values("-e", "-c", "--exec", "--sh-exec") if call.name == "nc" else ():
        walker.run_text(value)
    for arg in call.args if call.name == "socat" else ():
        kind, _, rest = arg.partition(":")
        if kind.lower() in ("exec", "system", "shell") and rest:
            walker.run_text(rest.partition(",pty")[0].partition(",stderr")[0].strip("'\""))


# Clients of cloud machines: the option whose value the machine's shell runs.
_CLOUD_COMMANDS = {
    "gcloud": ("--command",),
    "aws": ("--command",),
    "az": ("--scripts",),
    "fly": ("-C", "--command"),
    "vagrant": ("-c", "--command"),
    "eb": ("-c", "--command"),
}
_CLOUD_VERBS = frozenset("ssh execute-command run-command console exec".split())


def _cloud(walker: Walker, call: Invocation) -> None:
    if _CLOUD_VERBS.isdisjoint(call.positionals[:4]):
        return
    for value in call.values(*_CLOUD_COMMANDS[call.name]):
        walker.flag("network.remote-command", scoring.MINOR, "Runs a command on another machine.", call.excerpt)
        walker.run_text(value)
    if call.name == "aws":
        for value in call.values("--parameters"):
            walker.run_text(value.partition("commands=")[2].strip("[]\"'"))


HANDLERS = {
    "ssh": _ssh,
    "mosh": _ssh,
    "rsh": _ssh,
    "autossh": _ssh,
    "scp": _copy,
    "sftp": _copy,
    "rsync": _rsync,
    "nc": _streams,
    "socat": _streams,
    **dict.fromkeys(_CLOUD_COMMANDS, _cloud),
}
