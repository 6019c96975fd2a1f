"""What commands do, one module a family. A rule is one row; what a row cannot say is a function in `CHECKS`.

To add a rule: put a `Rule` into the family's `RULES`, and an example of a match and of a non-match into its tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.rules import cloud, containers, databases, destruction, escapes, evasion, network, publishing, system, vcs
from services.approval.risk.rules.rule import RuleTable
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

TABLE = RuleTable(
    destruction.RULES,
    databases.RULES,
    vcs.RULES,
    containers.RULES,
    cloud.RULES,
    system.RULES,
    evasion.RULES,
    network.RULES,
    publishing.RULES,
    escapes.RULES,
)

CHECKS = (destruction.check, containers.check, network.check, escapes.check)


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Runs every check that looks at more than one command's own words; `read` are the taints of the files it reads."""
    for each in CHECKS:
        each(walker, call, read)
