"""Which programs an action starts, as far as can be read: for policies that name programs.

A command line is walked as it is for its assessment, so that programs behind wrappers (`sudo`, `xargs`, `sh -c`), in
pipes and in substitutions are among them, and compound commands hide none.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.approval.risk import normalise
from services.approval.risk.actions import Action, CodeExecution, Command, GitPush
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages.source import LANGUAGES
from services.approval.risk.model import Context
from services.approval.risk.scoring import UNREADABLE
from services.approval.risk.shell.dispatch import canonical, dispatch
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.walker import Walker
from services.approval.risk.shell.words import Value, Word

UNSURE = "?"
"""Stands for a program, or a part of a word, that is not known before the command runs."""

# Where a program is the one of that name; elsewhere it is a file that happens to have it, and goes by its path.
_SYSTEM = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})


@dataclass(frozen=True, slots=True)
class Started:
    """Programs in the order in which they start, each once, and all the words of all their commands.

    A program goes by its name, lower-cased, several names of one program merged (`k` is kubectl); one that is named by
    a path outside the system's folders by that path. UNSURE among them: something else may run as well.
    """

    programs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def started_by(action: Action, context: Context) -> Started:
    """What an action starts. Never raises: what cannot be read is UNSURE."""
    match action:
        case Command(argv=argv, script=script, cwd=cwd, env=env):
            return _walked(context, cwd, env, script, argv)
        case CodeExecution(language=language, code=code):
            if LANGUAGES.get(language.lower()) == "bash":
                return _walked(context, "", {}, code, ())
            return Started((language.lower(), UNSURE))  # any language can start programs
        case GitPush(remote=remote, refspec=refspec, force=force):
            words = ("git", "push", *(("--force",) if force else ()), remote, *refspec.split())
            return Started(("git",), words)
        case _:
            return Started()


def _walked(context: Context, cwd: str, env: object, script: str, argv: tuple[str, ...]) -> Started:
    programs: dict[str, None] = {}
    words: list[str] = []

    def record(walker: Walker, command: list[Word], stdin: Flow) -> Flow:
        programs[_name(command[0].text)] = None
        words.extend(word.text.replace(HIDDEN, UNSURE) for word in command)
        return dispatch(walker, command, stdin)

    if normalise.refusal(script or " ".join(argv)):
        return Started((UNSURE,))
    walker = Walker(context, record, cwd)
    try:
        for name, value in env.items() if isinstance(env, dict) else ():
            walker.assign(name, Value(value))
        if script:
            walker.run_text(script)
        else:
            walker.state.nested = 1
            walker.run_words([Word(argument) for argument in argv])
    except (RecursionError, UnicodeEncodeError):
        return Started((*programs, UNSURE), tuple(words))
    if not programs or any(factor.category == UNREADABLE for factor in walker.factors):
        programs[UNSURE] = None
    return Started(tuple(programs), tuple(words))


def _name(typed: str) -> str:
    folder, slash, _ = typed.replace("\\", "/").rpartition("/")
    return typed.replace(HIDDEN, UNSURE) if slash and folder not in _SYSTEM else canonical(typed)
