"""The entry points: one action or several in, one assessment out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.approval.risk import masking, modifiers, normalise, scoring
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
from services.approval.risk.kinds import commands, files, requests, steps, workflows
from services.approval.risk.model import Assessment, Context, Factor, strictest

_ANYWHERE = Context()
_NOTHING = scoring.conclude([])


def assess(action: Action, context: Context | None = None) -> Assessment:
    """What an action would do: level, score and factors.

    Never raises on any input: what cannot be read is UNKNOWN. Linear in the size of the input.
    """
    where = context or _ANYWHERE
    try:
        factors = _factors(action, where)
        if not factors and where.agent_rating is None:
            return _NOTHING
        factors = masking.masked(factors, action)
        return scoring.conclude([*factors, *modifiers.circumstances(factors, where)], where.agent_rating)
    except RecursionError:
        unread = normalise.unreadable("too-deep", "Nested deeper than is analysed.")
    except UnicodeEncodeError:  # in a field that is not looked at as a text of its own
        unread = normalise.unreadable("encoding", "Contains what is no character.")
    return scoring.conclude([unread], where.agent_rating)


def assess_all(actions: Iterable[Action], context: Context | None = None) -> Assessment:
    """The strictest assessment of several actions, with the factors of all of them."""
    each = [assess(action, context) for action in actions]
    found = (replace(factor, action=number) if number else factor for number, assessment in enumerate(each) for factor in assessment.factors)
    factors = scoring.heaviest(found)
    ordered = tuple(sorted(factors.values(), key=lambda f: (-f.weight, f.id)))
    return Assessment(strictest(*(a.level for a in each)), max((a.score for a in each), default=0), ordered)


def _factors(action: Action, context: Context) -> list[Factor]:
    match action:
        case Command():
            return commands.command(action, context)
        case CodeExecution():
            return commands.execution(action, context)
        case FileWrite():
            return files.write(action, context)
        case FileDelete():
            return files.delete(action, context)
        case ApiCall():
            return requests.api_call(action)
        case GitPush():
            return requests.git_push(action)
        case WorkflowCreation():
            return workflows.creation(action, context)
        case StepStart():
            return steps.start(action, context)
        case StepResult():
            return steps.result(action, context)
