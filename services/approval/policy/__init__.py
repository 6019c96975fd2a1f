"""The policy: may actions run without asking a human, who must agree, and what is denied?

Pure: the time is part of the question. `model` has the documents, `cel` reads rules, `context` says what they see,
`evaluate` decides, `shorthand` is what the simple fields stand for, `windows` are the freezes, `shipped` the defaults.
"""

from __future__ import annotations

from services.approval.policy.evaluate import evaluate
from services.approval.policy.model import (
    ALL_TYPES,
    API_CALL,
    CODE_EXECUTION,
    FILE_WRITE,
    GIT_PUSH,
    WORKFLOW_CREATION,
    Freeze,
    Policy,
    Question,
    Rule,
    Verdict,
)
from services.approval.policy.shipped import DEFAULTS

__all__ = [
    "ALL_TYPES",
    "API_CALL",
    "CODE_EXECUTION",
    "DEFAULTS",
    "FILE_WRITE",
    "GIT_PUSH",
    "WORKFLOW_CREATION",
    "Freeze",
    "Policy",
    "Question",
    "Rule",
    "Verdict",
    "evaluate",
]
