"""Containers: what of the host is given to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors import paths
from services.approval.risk.scoring import HIGH
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_OUT_OF_CONTAINER = patterns.compile(
    r"(?:^|[\s{,\"'])(?:privileged|hostPID|hostNetwork|hostIPC|allowPrivilegeEscalation)[\"']?\s*:\s*true\b|(?:^|[\s{,\"'])hostPath[\"']?\s*:|\b(?:SYS_ADMIN|SYS_PTRACE|SYS_MODULE)\b"
)
# Folders of a host that hold its settings, its programs, its devices or everybody's files.
_HOST_FOLDERS = frozenset("/ /etc /root /proc /sys /dev /boot /var/run /run /home /usr /var/lib".split())
PROGRAMS = frozenset("docker lxc kubectl".split())


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Folders of the host that are given to a container, by one of `PROGRAMS`."""
    if call.name == "kubectl":
        if call.positionals[:1] in (("apply",), ("create",), ("replace",)):
            _manifests(walker, call)
        return
    for value in call.values("-v", "--volume", "--mount"):
        source = _source(value)
        if source.startswith(("/", "~")) and (paths.normalised(source) in _HOST_FOLDERS or source.endswith("docker.sock")):
            walker.flag(
                "container.escape", HIGH, "Gives a container the files of its host.", call.excerpt, "Mount only the folder that it needs.", call.span
            )


def _manifests(walker: Walker, call: Invocation) -> None:
    """Manifests that the script itself holds: what of a node they give to a container."""
    files = call.values("-f", "--filename")
    if not files and call.args[-1:] == ("-f",):  # the grammar drops the dash of `kubectl apply -f - <<END`
        files = ["-"]
    texts = [call.stdin.text if file in ("-", "/dev/stdin") else walker.file_text(file) for file in files]
    if any(text is not None and _OUT_OF_CONTAINER.search(text) for text in texts):
        walker.flag("container.escape", HIGH, "Gives a container the rights of its node.", call.excerpt, "Run it without extra rights.", call.span)


def _source(value: str) -> str:
    """The folder of the host in `-v SOURCE:TARGET` or `--mount type=bind,source=SOURCE,target=TARGET`."""
    for part in value.split(","):
        key, equals, rest = part.partition("=")
        if equals and key in ("source", "src"):
            return rest
    return "" if "=" in value.partition(":")[0] else value.partition(":")[0]
