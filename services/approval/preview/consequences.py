"""What would be lost or set off, and whether that can be undone: a table over factors, with a reason a row.

A row is found by the longest beginning of a factor's id, part by part. What the assessment itself says cannot be undone
(`modifiers.IRREVERSIBLE`) is irreversible here too, with the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from services.approval.risk import scoring
from services.approval.risk.model import Factor
from services.approval.risk.modifiers import IRREVERSIBLE

MAX_SHOWN = 16


class Undo(IntEnum):
    """The values of `harness.approval.v1.Reversibility`, with the same numbers: the worst is the greatest."""

    REVERSIBLE = 1
    RECOVERABLE = 2
    UNKNOWN = 3
    IRREVERSIBLE = 4


@dataclass(frozen=True, slots=True)
class Consequence:
    """Something that would be lost or set off, and the factors that say so."""

    what: str
    undo: Undo
    reason: str
    factor_ids: tuple[str, ...] = ()


_UNDONE, _WORK, _UNKNOWN, _GONE = Undo.REVERSIBLE, Undo.RECOVERABLE, Undo.UNKNOWN, Undo.IRREVERSIBLE

# What is at stake for the rows of IRREVERSIBLE, which says why it cannot be undone.
_AT_STAKE = {
    "destruction": "files, folders or disks",
    "database": "rows, tables or whole databases",
    "exfiltration": "data that leaves for other machines",
    "history.discard": "changes that were never committed",
    "history.purge": "what the repository keeps of its past",
    "cloud.delete": "cloud resources",
    "cluster.delete": "resources of a cluster",
    "platform.delete": "an application and its data",
    "hosting.delete": "a repository, project or release",
    "infrastructure.destroy": "the infrastructure that is managed here",
    "backup.delete": "backups",
    "machine.delete": "machines",
    "container.prune": "containers, images or volumes",
    "publishing.publish": "a version that others can install",
    "evasion.logs": "logs and records",
    "network.mail": "messages that are sent",
    "api.delete": "what a service keeps",
    "api.destructive": "what a service keeps",
    "api.money": "money",
    "intent.destructive": "what the step says that it removes",
    "intent.payment": "money",
    "intent.outward": "what the step says that it sends",
}

_REFLOG = "the commits stay in the reflog for some weeks"
_AGAIN = "it can be started again; what was only in memory is lost"
_SETTINGS = "they can be set back by whoever knows what they were"
_RIGHTS = "rights can be taken back, but not what was done with them meanwhile"
_LATER = "it can be removed, but not what it did until then"
_SEEN = "they can be replaced; who has seen them stays unknown"
_RUNS = "what it does is not known before it runs"

# id or its beginning: what, whether it can be undone, why.
_OTHERS: dict[str, tuple[str, Undo, str]] = {
    "change.git-push": (
        "commits that others can fetch",
        _WORK,
        "a revert can be pushed; who has fetched them keeps them",
    ),
    "change.workflow": ("an automation that runs later", _WORK, _LATER),
    "change.api-call": (
        "what a service does with the call",
        _UNKNOWN,
        "whether the service can take it back is not known",
    ),
    "api": ("what a service does with the call", _UNKNOWN, "whether the service can take it back is not known"),
    "history.force-push": ("commits of the remote", _WORK, "whoever still has the old commits can push them again"),
    "history.remote-delete": ("a branch or tag of the remote", _WORK, "whoever still has it can push it again"),
    "history.worktree": (
        "a working tree and what is not committed in it",
        _GONE,
        "work that was never committed is in no history",
    ),
    "history.delete-ref": ("a branch or tag", _WORK, _REFLOG),
    "history.rewrite": ("the order and content of commits", _WORK, _REFLOG),
    "history": ("commits and branches", _WORK, _REFLOG),
    "container.down-volumes": ("containers and their volumes", _GONE, "volumes hold data"),
    "container.remove.data": ("containers or volumes", _GONE, "volumes hold data"),
    "container.remove": (
        "containers",
        _WORK,
        "they can be made again from their images, without what they had written",
    ),
    "container.stop-all": ("running containers", _WORK, _AGAIN),
    "container": ("containers", _UNKNOWN, _RUNS),
    "cluster.disrupt": ("running work of a cluster", _WORK, _AGAIN),
    "cluster.rights": ("who may do what in a cluster", _WORK, _RIGHTS),
    "cluster.secrets": ("secrets", _WORK, _SEEN),
    "cluster": ("resources of a cluster", _UNKNOWN, "whether their earlier state is kept is not known"),
    "cloud.stop": ("running cloud resources", _WORK, _AGAIN),
    "cloud.rights": ("who may do what in the cloud", _WORK, _RIGHTS),
    "cloud.secrets": ("secrets", _WORK, _SEEN),
    "cloud": ("cloud resources", _UNKNOWN, "whether their earlier state is kept is not known"),
    "infrastructure.stop": ("running infrastructure", _WORK, _AGAIN),
    "infrastructure": (
        "the infrastructure that is managed here",
        _UNKNOWN,
        "whether its earlier state is kept is not known",
    ),
    "machine.stop": ("running machines", _WORK, _AGAIN),
    "machine": ("machines", _WORK, "they can be removed again"),
    "platform.scale": ("running work", _WORK, _AGAIN),
    "platform": ("a deployed application", _WORK, "the version before can be deployed again"),
    "hosting": ("a repository, project or release", _UNKNOWN, "whether the host can take it back is not known"),
    "backup": ("backups", _UNKNOWN, "where they go, and whether they stay whole, is not known"),
    "publishing.remove": (
        "a version that others install",
        _GONE,
        "a name or version that is gone may never be given again",
    ),
    "packages.install": ("installed packages", _WORK, "a package can be removed, but not what its installer did"),
    "packages.remove": ("installed packages", _WORK, "they can be installed again; their settings may be gone"),
    "packages": ("packages, and what they run", _WORK, "a package can be removed, but not what it did"),
    "package": ("installed packages", _WORK, "they can be installed again; their settings may be gone"),
    "persistence": ("something that starts again by itself", _WORK, _LATER),
    "privilege": ("who may do what", _WORK, _RIGHTS),
    "credential": ("secrets", _WORK, _SEEN),
    "secret-store": ("secrets", _WORK, _SEEN),
    "process": ("running programs", _WORK, _AGAIN),
    "resource": ("running programs, slowed down or stopped", _WORK, _AGAIN),
    "system.power": ("everything that runs on the machine", _WORK, _AGAIN),
    "system.stop": ("everything that runs on the machine", _WORK, _AGAIN),
    "system": ("settings of the machine", _WORK, _SETTINGS),
    "netconfig": ("settings of the network", _WORK, _SETTINGS),
    "evasion": ("what would tell what happened", _WORK, _SETTINGS),
    "sensitive-path.read": ("secrets, or what only the system reads", _WORK, _SEEN),
    "sensitive-path": (
        "files outside of ordinary work",
        _UNKNOWN,
        "what they hold, and whether anything keeps it, is not known",
    ),
    "network": ("what goes over the network", _UNKNOWN, _RUNS),
    "execution": ("whatever the code does that it runs", _UNKNOWN, _RUNS),
    "escape": ("whatever the shell does that it opens", _UNKNOWN, _RUNS),
    "deception": ("more than is seen", _UNKNOWN, "it may not do what it shows"),
    "intent": ("what the step says that it does", _UNKNOWN, "its actions are not known yet"),
    "unreadable": ("whatever the part does that cannot be read", _UNKNOWN, _RUNS),
    "unlisted": ("whatever a program does that no rule knows", _UNKNOWN, _RUNS),
}

TABLE: dict[str, tuple[str, Undo, str]] = {
    **_OTHERS,
    **{id: (_AT_STAKE[id], _GONE, reason) for id, reason in IRREVERSIBLE.items()},
}

# They say that something is unknown, however little they weigh.
_ALWAYS = frozenset({"unreadable", "unlisted"})


def row_of(id: str) -> tuple[str, Undo, str] | None:
    """The row for a factor's id; None for one that nothing follows from."""
    while id:
        if id in TABLE:
            return TABLE[id]
        id = id.rpartition(".")[0]
    return None


def of_factors(factors: Iterable[Factor]) -> list[Consequence]:
    """What follows from factors. Notes say nothing here, nor does a script that is only written."""
    found: dict[tuple[str, Undo, str], list[str]] = {}
    for factor in factors:
        if factor.weight < scoring.ADDS_FROM and factor.category not in _ALWAYS:
            continue
        if row := row_of(factor.id):
            found.setdefault(row, []).append(factor.id)
    return [Consequence(what, undo, reason, tuple(ids)) for (what, undo, reason), ids in found.items()]


def worst_first(consequences: Iterable[Consequence]) -> list[Consequence]:
    """In the order in which they are shown, at most MAX_SHOWN."""
    return sorted(consequences, key=lambda each: -each.undo)[:MAX_SHOWN]
