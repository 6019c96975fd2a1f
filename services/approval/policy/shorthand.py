"""The simple fields of a policy as the rules that they stand for.

`evaluate` answers from the fields themselves, which takes a microsecond; a test holds it to these rules.
"""

from __future__ import annotations

from services.approval.lifecycle import Outcome
from services.approval.policy.cel import compile
from services.approval.policy.model import Policy, Rule

DISABLED = "simple.disabled"
PASSES = "simple.passes"


def rules_of(policy: Policy) -> tuple[Rule, ...]:
    """The rules that the simple fields compile to."""
    if not policy.enabled:
        return (Rule(DISABLED, Outcome.HUMAN, compile("true"), "automatic approval is disabled"),)
    allowed = ", ".join(f"'{name}'" for name in sorted(policy.allowed_types))
    conditions = [f"assessment.level <= {policy.max_level.name}", "assessment.level != UNKNOWN"]
    conditions.append(f"assessment.types.all(each, each in [{allowed}])")
    if policy.require_scan:
        conditions.append("size(assessment.unread) == 0")
    explanation = f"within the policy (up to {policy.max_level.name})"
    return (Rule(PASSES, Outcome.AUTO, compile(" && ".join(conditions)), explanation),)
