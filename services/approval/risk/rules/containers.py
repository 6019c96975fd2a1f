"""Containers and clusters: what is removed, and what lets a container out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.approval.risk.detectors import paths
from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_CONTAINER = "docker docker-compose"


def _all_containers(call: Invocation) -> bool:
    return any("\ufffc" in a for a in call.args[1:])


RULES = (
    Rule("container.remove", "docker", SERIOUS, "Removes containers, images, volumes or networks by force.", sub="rm|rmi|container rm|image rm", flags="-f --force -v --volumes"),
    Rule("container.remove", "docker", SERIOUS, "Removes volumes or networks.", sub="volume rm|network rm|volume remove|network remove|stack rm|service rm|secret rm|config rm|node rm|swarm leave|plugin rm|context rm|network disconnect",
         safer="List them first."),
    Rule("container.stop-all", "docker", MEDIUM, "Stops containers that are not known before it runs.", sub="stop|kill|rm|container stop|container kill|pause|rmi|container rm", when=_all_containers),
    Rule("container.stop-all", "docker", MEDIUM, "Kills containers.", sub="kill|container kill"),
    Rule("container.prune", "docker", SERIOUS, "Removes everything that is not in use.", sub="system prune|image prune|builder prune|buildx prune", flags="-a --all -f --force --volumes"),
    Rule("container.prune", "docker", SERIOUS, "Removes everything that is not in use.", sub="volume prune|container prune|network prune"),
    Rule("container.down-volumes", "docker docker-compose", SERIOUS, "Removes the data of an application.", flags="-v --volumes --rmi",
         when=lambda c: "down" in c.positionals[:3] or "rm" in c.positionals[:3]),
    Rule("container.escape", "docker", HIGH, "Gives a container the rights of its host.", flags="--privileged --cap-add --device --userns --pid --ipc --uts --security-opt --cgroupns --volumes-from --net --network",
         when=lambda c: _escapes(c), safer="Run it without extra rights."),
    Rule("container.push", "docker", MEDIUM, "Publishes an image.", sub="push *|image push|manifest push|push"),
    Rule("container.login", "docker", MEDIUM, "Logs in with a password on the command line.", sub="login", flags="-p --password"),
    Rule("container.exec-privileged", "docker", SERIOUS, "Runs with all rights inside a container.", sub="exec|compose exec", flags="--privileged"),
    Rule("container.load", "docker", MINOR, "Brings files in or out of a container.", sub="cp|load|import|commit|export|save"),
    Rule("container.escape", "ctr crictl runc nerdctl lxc incus", SERIOUS, "Controls containers below the engine.",
         sub="run *|exec *|rm *|delete *|stop *|image rm|container rm|tasks kill|init *|config device add|profile *|start *|import *|image import|t exec|task exec|c rm|i rm|rmp *|rmi *|stopp *"),
    Rule("cluster.delete", "kubectl", HIGH, "Removes resources from a cluster.", sub="delete", safer="Use --dry-run=client first; name exactly what should go."),
    Rule("cluster.disrupt", "kubectl", SERIOUS, "Disrupts workloads or nodes.", sub="drain|cordon|scale|taint|evict|set env|set image|set resources|set serviceaccount|set subject|set selector|rollout undo|rollout restart|rollout pause|rollout resume|autoscale"),
    Rule("cluster.replace", "kubectl", SERIOUS, "Replaces resources by force.", sub="replace|apply", flags="--force --prune"),
    Rule("cluster.change", "kubectl", MEDIUM, "Changes resources of a cluster.", sub="patch|edit|label|annotate|expose|create *|run *", when=lambda c: c.positionals[0] in ("patch", "edit")),
    Rule("cluster.rights", "kubectl", HIGH, "Changes who may do what in a cluster.", sub="create clusterrolebinding|create rolebinding|create role|create clusterrole|create token|create serviceaccount|certificate approve|auth reconcile|config set-credentials"),
    Rule("cluster.secrets", "kubectl", SERIOUS, "Reads secrets of a cluster.", sub="get secret*|describe secret*|get *,secret*", when=lambda c: c.positionals[0] == "get" and bool(c.flags & {"-o", "--output", "-oyaml", "-ojson", "--template"} or any(f.startswith("-o") for f in c.flags))),
    Rule("cluster.secrets", "kubectl", MINOR, "Reads the names of a cluster's secrets.", sub="get secret*|describe secret*|config view", when=lambda c: c.positionals[0] != "config" or "--raw" in c.flags),
    Rule("cluster.remote-manifest", "kubectl", SERIOUS, "Applies a manifest fetched from the network.", sub="apply|create|replace", when=lambda c: any(v.startswith(("http://", "https://")) for v in c.values("-f", "--filename"))),
    Rule("cluster.exposed", "kubectl", MEDIUM, "Opens the cluster's API or a port to others.", sub="proxy|port-forward", when=lambda c: any("0.0.0.0" in a for a in c.args) or any(a.startswith("--accept-hosts") for a in c.args)),
    Rule("cluster.escape", "kubectl", HIGH, "Starts a pod with the rights of its node.", sub="run|debug|create", when=lambda c: any(re.search(r"(?i)privileged\"?\s*:\s*true|hostpid|hostnetwork|hostpath", a) for a in c.args) or (c.positionals[0] == "debug" and any(p.startswith("node/") for p in c.positionals))),
    Rule("cluster.helm", "helm", SERIOUS, "Removes or forces a release.", sub="uninstall|delete|rollback|del"),
    Rule("cluster.helm", "helm", SERIOUS, "Forces a release.", sub="upgrade", flags="--force --reset-values"),
    Rule("cluster.delete", "eksctl kops kind minikube k3d kubeadm k3s-uninstall.sh rancher", HIGH, "Removes a cluster.",
         when=lambda c: c.name == "k3s-uninstall.sh" or (bool({"delete", "reset"} & set(c.positionals[:2])) and c.name not in ("kind", "minikube", "k3d"))),
    Rule("cluster.delete", "kind minikube k3d vagrant virsh qm pct vboxmanage multipass", SERIOUS, "Removes a local cluster or machine.",
         arg=r"(?i)^(?:delete|destroy|undefine|unregistervm|purge)$"),
)  # fmt: skip


def _escapes(call: Invocation) -> bool:
    for index, arg in enumerate(call.args):
        key, _, value = arg.partition("=")
        value = value or (call.args[index + 1] if index + 1 < len(call.args) else "")
        if arg in ("--privileged", "--privileged=true"):
            return True
        if key == "--cap-add" and value.upper().removeprefix("CAP_") in (
            "ALL",
            "SYS_ADMIN",
            "SYS_PTRACE",
            "SYS_MODULE",
            "DAC_READ_SEARCH",
            "NET_ADMIN",
            "SYS_RAWIO",
            "DAC_OVERRIDE",
        ):
            return True
        if key in ("--pid", "--ipc", "--uts", "--userns", "--cgroupns") and value == "host":
            return True
        if key == "--security-opt" and ("unconfined" in value or "disable" in value or "no-new-privileges:false" in value):
            return True
        if key == "--device" and re.match(r"^/dev/(?:sd|vd|nvme|mem|kmsg|dm|mapper|xvd)", value):
            return True
    return False


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Folders of the host that are given to a container."""
    if call.name not in ("docker", "lxc"):
        return
    for value in call.values("-v", "--volume", "--mount"):
        match = re.search(r"(?:^|source=|src=)([^:,]+)", value)
        source = match.group(1) if match else ""
        if source.startswith(("/", "~")) and (
            paths.normalised(source) == "/"
            or source.endswith("docker.sock")
            or re.match(r"^/(?:etc|root|proc|sys|dev|boot|var/run|run|home|usr|var/lib)/?$", source)
        ):
            walker.flag(
                "container.escape", HIGH, "Gives a container the files of its host.", call.excerpt, "Mount only the folder that it needs.", call.span
            )
