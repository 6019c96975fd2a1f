"""Puts a preview together. Pure, and bounded in time and size whatever the actions are."""

from __future__ import annotations

import traceback
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, replace

import structlog

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.preview import consequences, files
from services.approval.preview.budget import Budget
from services.approval.preview.consequences import Consequence, Undo
from services.approval.preview.masking import Masked
from services.approval.preview.paths import paths_of
from services.approval.preview.texts import details_of, text_of
from services.runtime.redaction import redact
from services.runtime.redaction.messages import redacted

TEXT_CHARS = 16_000
"""Of one action's main text: several screens."""
LINE_CHARS = files.EXCERPT_CHARS
MAX_DETAILS = 64
MAX_LISTED = 64
"""Commands, calls and files that are listed; a step's inputs may name thousands."""
MAX_ALTERNATIVES = 10

log = structlog.get_logger(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Shown:
    """Actions as people see them: secrets masked, and the places of factors as they are in what is shown."""

    actions: list[action_pb2.Action]
    assessment: risk.Assessment


def mask(actions: Sequence[action_pb2.Action], found: risk.Assessment) -> Shown:
    """Actions that were assessed, as people see them."""
    shown = [redacted(action) for action in actions]
    if all(factor.span is None for factor in found.factors):
        return Shown(shown, found)
    masked = _all_masked(actions, shown)
    return Shown(shown, replace(found, factors=tuple(_placed(factor, masked) for factor in found.factors)))


def preview_of(
    actions: Sequence[action_pb2.Action], shown: Shown, context: risk_pb2.ActionContext
) -> approval_pb2.Preview:
    """The preview of actions, of which `shown` is what people see. Never raises."""
    try:
        return _preview(actions, shown.actions, _all_masked(actions, shown.actions), context, shown.assessment)
    except Exception as error:
        # A defect here must neither lose the request nor pass it: people still see the actions and the assessment.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("preview_failed", error=type(error).__name__, where=where)
        return approval_pb2.Preview(reversibility=approval_pb2.REVERSIBILITY_UNKNOWN, truncated=True)


def _all_masked(actions: Sequence[action_pb2.Action], shown: Sequence[action_pb2.Action]) -> list[Masked | None]:
    return [_masked(action, other) for action, other in zip(actions, shown, strict=True)]


def _masked(action: action_pb2.Action, shown: action_pb2.Action) -> Masked | None:
    """The main text of an action and where its places went; None where it was masked in another way, part by part."""
    masked = Masked(text_of(action))
    return masked if masked.text == text_of(shown) else None


def _placed(factor: risk.Factor, masked: Sequence[Masked | None]) -> risk.Factor:
    """The factor with its place in what is shown, or without one."""
    if factor.span is None:
        return factor
    text = masked[factor.action] if factor.action < len(masked) else None
    place = text.place(factor.span.start, factor.span.end) if text else None
    return replace(factor, span=risk.Span(*place) if place else None)


def _preview(
    actions: Sequence[action_pb2.Action],
    shown: Sequence[action_pb2.Action],
    masked: Sequence[Masked | None],
    context: risk_pb2.ActionContext,
    assessment: risk.Assessment,
) -> approval_pb2.Preview:
    preview, budget = approval_pb2.Preview(), Budget()
    for number, (action, text) in enumerate(zip(shown, masked, strict=True)):
        own = [factor for factor in assessment.factors if factor.action == number]
        preview.actions.append(_action(action, text, own, budget))
    followed = [*_files(actions, context, preview, budget), *_effects(actions, assessment)]
    for each in consequences.worst_first(followed):
        preview.consequences.add(
            what=each.what,
            reversibility=approval_pb2.Reversibility.ValueType(int(each.undo)),
            reason=each.reason,
            factor_ids=each.factor_ids,
        )
    preview.reversibility = approval_pb2.Reversibility.ValueType(max((int(each.undo) for each in followed), default=0))
    safer = dict.fromkeys(f.safer_alternative for f in assessment.factors if f.safer_alternative)
    preview.safer_alternatives.extend(budget.line(text, LINE_CHARS) for text in list(safer)[:MAX_ALTERNATIVES])
    _list(actions, preview, budget)  # after the actions themselves: most of it repeats them
    paths, more = paths_of(actions, convert.context_of(context, ""))
    for path in paths:
        resolved = budget.line(redact(path.resolved), LINE_CHARS)
        preview.paths.add(path=budget.line(redact(path.path), LINE_CHARS), resolved=resolved, outside=path.outside)
    preview.truncated = budget.truncated or more
    return preview


def _action(
    action: action_pb2.Action, masked: Masked | None, factors: Sequence[risk.Factor], budget: Budget
) -> approval_pb2.ActionPreview:
    text = masked.text if masked else redact(text_of(action))
    kept, cut = budget.take(text, TEXT_CHARS)
    shown = approval_pb2.ActionPreview(kind=action.WhichOneof("kind") or "", text=kept, truncated=cut)
    for count, line in enumerate(details_of(action)):
        if count == MAX_DETAILS:
            shown.truncated = budget.truncated = True
            break
        shown.details.append(budget.line(redact(line), LINE_CHARS))
    if masked is None:
        return shown
    for factor in factors:
        span = factor.span
        # Cutting may have masked more, and then what stands there is something else.
        if span and span.end <= len(kept) and kept[: span.end] == text[: span.end]:
            shown.marks.add(
                span=risk_pb2.Span(start=span.start, end=span.end), factor_id=factor.id, weight=factor.weight
            )
    return shown


def _files(
    actions: Sequence[action_pb2.Action],
    context: risk_pb2.ActionContext,
    preview: approval_pb2.Preview,
    budget: Budget,
) -> list[Consequence]:
    """The files that actions write and delete, in their order: each finds what those before it leave."""
    states = {state.path: state for state in context.observed}
    followed = []
    for action in actions:
        match action.WhichOneof("kind"):
            case "file_write":
                path = action.file_write.path
                shown = files.written(action.file_write, states.get(path), budget)
            case "file_delete":
                path = action.file_delete.path
                shown = files.deleted(action.file_delete, states.get(path), budget)
            case _:
                continue
        states[path] = files.state_after(action)
        preview.files.append(shown.file)
        followed.append(shown.consequence)
    return followed


def _effects(actions: Sequence[action_pb2.Action], assessment: risk.Assessment) -> list[Consequence]:
    """What follows from the factors, but for what is said of files and of reading already."""
    kinds = [action.WhichOneof("kind") for action in actions]
    said = {
        number
        for number, action in enumerate(actions)
        if kinds[number] == "api_call" and action.api_call.method.upper() in _READING
    }
    factors = [
        factor
        for factor in assessment.factors
        if not (factor.id == "change.api-call" and factor.action in said)
        and not (factor.id == "destruction.delete" and kinds[factor.action] == "file_delete")
    ]
    followed = consequences.of_factors(factors)
    if "step_start" in kinds and not followed:
        followed.append(Consequence("what the step will do", Undo.UNKNOWN, "its actions are not known yet"))
    return followed


def _list(actions: Sequence[action_pb2.Action], preview: approval_pb2.Preview, budget: Budget) -> None:
    """The commands, calls and files of the other actions, also those that a step only names."""
    for action in actions:
        match action.WhichOneof("kind"):
            case "file_write" | "file_delete" | None:
                continue
            case "workflow_creation":
                _extend(preview.workflows, [redact(text_of(action).strip())], budget)
            case _:
                found = risk.preview([convert.action_of(action, risk.Context())])
                _extend(preview.commands, found.commands, budget)
                _extend(preview.api_calls, found.api_calls, budget)
                for path in found.files[: MAX_LISTED - len(preview.files)]:
                    preview.files.add(path=budget.line(path, LINE_CHARS), operation="write")
                _extend(preview.workflows, [found.workflow] if found.workflow else [], budget)


def _extend(listed: MutableSequence[str], texts: Sequence[str], budget: Budget) -> None:
    """Add masked texts, as many as are listed."""
    room = max(0, MAX_LISTED - len(listed))
    listed.extend(budget.line(text, LINE_CHARS) for text in texts[:room])
    budget.truncated = budget.truncated or len(texts) > room
