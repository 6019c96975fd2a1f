"""Steps: what one says that it is about to do, and what a finished one brought back."""

from __future__ import annotations

from services.approval.risk import modifiers, normalise, scoring
from services.approval.risk.actions import StepResult, StepStart
from services.approval.risk.detectors import prose
from services.approval.risk.kinds import texts, values
from services.approval.risk.model import Context, Factor
from services.approval.risk.shell.walker import Walker


def start(action: StepStart, context: Context) -> list[Factor]:
    """A step before its actions are known: its description, the commands that this names, and its inputs."""
    if refusal := normalise.refusal(action.description):
        return [refusal]
    reading = prose.read(action.description)
    factors = [*reading.factors, *normalise.suspicious(action.description, prose=True), *modifiers.agent(action.agent or context.agent)]
    # A command that the text names is judged by what it does: an inferred type would only count the same thing twice.
    kind = action.approval_type or context.approval_type or ("" if reading.commands else reading.approval_type)
    if kind in scoring.TYPE_BASE:
        factors.append(Factor(f"type.{kind}", "type", f"A step of type {kind}.", scoring.TYPE_BASE[kind]))

    def inside(walker: Walker) -> list[Factor]:
        for command in reading.commands:
            before = len(walker.factors)
            walker.run_text(command)
            if not reading.whole and len(command) <= prose.MAX_MENTIONED:  # the end of a command inside a sentence is a guess
                walker.factors[before:] = [f for f in walker.factors[before:] if f.category != scoring.UNREADABLE]
        return values.assess(action.inputs, walker, context)

    return factors + texts.without_spans(texts.with_shell(context, inside))


def result(action: StepResult, context: Context) -> list[Factor]:
    """What a step returned, at any depth."""
    return texts.without_spans(texts.with_shell(context, lambda walker: values.assess(action.result, walker, context, printed=True)))
