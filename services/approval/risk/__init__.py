"""Risk assessment: what an action would do, before it does it.

Pure: the same input gives the same answer; no I/O, no clock, no randomness. Linear in the size of its input.
"""

from __future__ import annotations

from services.approval.risk.actions import (
    Action,
    ApiCall,
    CodeExecution,
    Command,
    FileDelete,
    FileWrite,
    GitPush,
    StepResult,
    StepStart,
    WorkflowCreation,
)
from services.approval.risk.detectors.secrets import redact
from services.approval.risk.engine import assess, assess_all
from services.approval.risk.model import Assessment, Context, Factor, Level, Preview, Span, strictest
from services.approval.risk.preview import preview

__all__ = [
    "Action",
    "ApiCall",
    "Assessment",
    "CodeExecution",
    "Command",
    "Context",
    "Factor",
    "FileDelete",
    "FileWrite",
    "GitPush",
    "Level",
    "Preview",
    "Span",
    "StepResult",
    "StepStart",
    "WorkflowCreation",
    "assess",
    "assess_all",
    "preview",
    "redact",
    "strictest",
]
