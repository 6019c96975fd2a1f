"""Commands and code: what would run, run on paper."""

from __future__ import annotations

import shlex

from services.approval.risk import normalise
from services.approval.risk.actions import CodeExecution, Command
from services.approval.risk.detectors import secrets
from services.approval.risk.kinds import texts
from services.approval.risk.model import Context, Factor
from services.approval.risk.shell.dispatch import dispatch
from services.approval.risk.shell.walker import Walker
from services.approval.risk.shell.words import Value, Word


def command(action: Command, context: Context) -> list[Factor]:
    """A process: its script or arguments, and the variables that it gets."""
    shown = action.script or shlex.join(action.argv)
    if refusal := normalise.refusal(shown):
        return [refusal]
    if not shown.strip():
        return [normalise.unreadable("empty", "There is no command.")]
    factors = texts.plain(shown) if action.script else texts.without_spans(texts.plain(shown))
    if action.cwd:
        factors += texts.without_spans(secrets.detect(action.cwd))
    walker = Walker(context, dispatch, action.cwd)
    for name, value in action.env.items():
        factors += texts.without_spans(secrets.detect(f"{name}={value}"))
        walker.assign(name, Value(value))
    if action.script:
        walker.run_text(action.script)
        if action.argv:
            factors.append(normalise.unreadable("two-commands", "Both a script and arguments are given."))
    else:
        walker.state.nested = 1
        walker.run_words([Word(argument) for argument in action.argv])
    return [*factors, *walker.factors]


def execution(action: CodeExecution, context: Context) -> list[Factor]:
    """Source code given to an interpreter."""
    named = texts.without_spans(secrets.detect(action.language))
    return [*named, *texts.with_shell(context, lambda walker: texts.code(action.language, action.code, walker))]
