"""What rules see of a question: the values of `names`, made by hand from the domain's own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from urllib.parse import urlsplit

from services.approval import risk
from services.approval.policy.cel import EvaluationError, Program, Values
from services.approval.policy.model import API_CALL, CODE_EXECUTION, FILE_WRITE, GIT_PUSH, WORKFLOW_CREATION, Question
from services.approval.policy.names import ACTION, MAX_ITEMS, MAX_TEXT, NAMES, Kind
from services.approval.policy.windows import moment, zone
from services.approval.risk import Level
from services.approval.risk.detectors import paths
from services.approval.risk.started import UNSURE, started_by

_EMPTY: Mapping[Kind, object] = {Kind.TEXT: "", Kind.NUMBER: 0, Kind.FLAG: False, Kind.TEXTS: ()}
_NOTHING: Mapping[str, object] = {name: _EMPTY[kind] for name, kind in ACTION.items()}
_STARTED = frozenset({"action.programs", "action.words"})
_TIMES = frozenset(name for name in NAMES if name.startswith("time."))
UNREADABLE = "the actions could not be read"


class Views:
    """A question as rules see it: once as a whole, and once for each action. Only what `needs` names is worked out."""

    def __init__(self, question: Question, needs: frozenset[str], time_zone: str) -> None:
        self._question = question
        self._needs = needs
        self._facts = {name: value for name, value in _facts(question, needs, time_zone).items() if name in needs}
        self._whole: Values | None = None
        self._each: list[Values] | None = None

    def of(self, program: Program) -> Sequence[Values]:
        """What a program is asked about: every action if it looks at actions, else the request once."""
        return self._actions() if not program.names.isdisjoint(ACTION) else (self._request(),)

    def _request(self) -> Values:
        if self._whole is None:
            self._whole = _values(self._facts)
        return self._whole

    def _actions(self) -> list[Values]:
        if self._each is None:
            wanted = self._needs & ACTION.keys()
            actions = self._question.actions
            self._each = [
                _values(
                    self._facts
                    | {
                        name: value
                        for name, value in _of(action, self._question.where, wanted).items()
                        if name in wanted
                    }
                )
                for action in actions
            ] or [Values(self._facts, dict.fromkeys(wanted, UNREADABLE))]
        return self._each


def _values(found: Mapping[str, object]) -> Values:
    missing = {name: why for name, value in found.items() if (why := _too_large(name, value))}
    return Values({name: value for name, value in found.items() if name not in missing} if missing else found, missing)


def _too_large(name: str, value: object) -> str:
    if isinstance(value, str):
        return f"{name} has more than {MAX_TEXT} characters" if len(value) > MAX_TEXT else ""
    if isinstance(value, tuple | list):
        if len(value) > MAX_ITEMS:
            return f"{name} has more than {MAX_ITEMS} entries"
        if sum(map(len, value)) > MAX_TEXT:
            return f"{name} has more than {MAX_TEXT} characters"
    return ""


def _facts(question: Question, needs: frozenset[str], time_zone: str) -> dict[str, object]:
    """The names of `REQUEST`; those of the time only if they are needed."""
    facts: dict[str, object] = {
        "assessment.level": int(question.level),
        "assessment.score": question.score,
        "assessment.types": sorted(question.types),
        "assessment.unread": question.unread,
        "factors.ids": tuple(dict.fromkeys(factor.id for factor in question.factors)),
        "factors.categories": tuple(dict.fromkeys(factor.category for factor in question.factors)),
        "environment": question.where.environment,
        "project": question.project,
        "agent": question.where.agent,
        "requester": question.requester,
        "request.actions": len(question.actions),
        "request.require_approval": question.require_approval,
    }
    if not needs.isdisjoint(_TIMES):
        for prefix, name in (("", time_zone), ("utc_", "UTC")):
            now = moment(question.now_ms, zone(name))
            facts[f"time.{prefix}hour"] = now.hour
            facts[f"time.{prefix}weekday"] = now.isoweekday()
            facts[f"time.{prefix}date"] = now.date().isoformat()
            facts.setdefault("time.minute", now.minute)
    return facts


def _of(action: risk.Action, where: risk.Context, wanted: frozenset[str]) -> dict[str, object]:
    """The names of `ACTION` for one action."""
    facts = {**_NOTHING, **_own(action, where)}
    if not wanted.isdisjoint(_STARTED):
        started = started_by(action, where)
        facts["action.programs"], facts["action.words"] = started.programs, started.words
    return facts


def _own(action: risk.Action, where: risk.Context) -> dict[str, object]:
    match action:
        case risk.Command(script=script, cwd=cwd, env=env):
            return {
                "action.kind": "command",
                "action.script": script,
                "action.cwd": _folder(cwd, where) if cwd else "",
                "action.env": tuple(f"{name}={value}" for name, value in sorted(env.items())),
                "action.size": len(script),
            }
        case risk.FileWrite(path=path, content=content):
            return {"action.kind": "file_write", "action.path": _path(path, where), "action.size": len(content)}
        case risk.FileDelete(path=path, recursive=recursive):
            return {"action.kind": "file_delete", "action.path": _path(path, where), "action.recursive": recursive}
        case risk.CodeExecution(language=language, code=code):
            return {
                "action.kind": "code_execution",
                "action.language": language.lower(),
                "action.script": code,
                "action.size": len(code),
            }
        case risk.ApiCall(method=method, url=url, body=body):
            return {
                "action.kind": "api_call",
                "action.method": method.upper(),
                "action.url": url,
                "action.host": host_of(url),
                "action.size": len(body),
            }
        case risk.GitPush(remote=remote, refspec=refspec, force=force):
            refspecs = tuple(refspec.split())
            forced = force or any(each.startswith("+") for each in refspecs)
            return {
                "action.kind": "git_push",
                "action.remote": remote,
                "action.refspecs": refspecs,
                "action.force": forced,
            }
        case risk.WorkflowCreation(name=name, definition=definition):
            return {
                "action.kind": "workflow_creation",
                "action.name": name,
                "action.script": definition,
                "action.size": len(definition),
            }
        case risk.StepStart(description=description):
            return {"action.kind": "step_start", "action.description": description}
        case risk.StepResult(description=description):
            return {"action.kind": "step_result", "action.description": description}


def _path(path: str, where: risk.Context) -> str:
    """What a path leads to: below the folder that may be changed relative to it, else absolute; UNSURE: nowhere."""
    place = paths.place_of(where)
    found = paths.resolved(path, place)
    if found is None:
        return UNSURE
    return found.removeprefix(f"{place.root}/") if place.root else found


def _folder(path: str, where: risk.Context) -> str:
    """As `_path`, and empty for the folder that may be changed."""
    found = _path(path, where)
    root = paths.place_of(where).root
    return "" if root and found == root else found


def host_of(url: str) -> str:
    """The host that a URL names, lower-cased; UNSURE where clients do not agree on what it is."""
    if not url.isascii() or any(letter <= " " or letter in "\\\x7f" for letter in url):
        return UNSURE
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return UNSURE
    return host.rstrip(".") if host and "%" not in host else UNSURE


def rehearse(program: Program) -> None:
    """Run a program over one action of each kind. Raises EvaluationError, naming the kind it has no answer for."""
    for kind, views in _rehearsals():
        for values in views.of(program):
            try:
                program.run(values)
            except EvaluationError as error:
                raise EvaluationError(f"has no answer for an action of kind {kind}: {error}") from error


@cache
def _rehearsals() -> Sequence[tuple[str, Views]]:
    factor = risk.Factor("destruction.recursive-delete", "destruction", "", 50)
    made = []
    for action, effect in (
        (risk.Command(argv=("make", "test")), CODE_EXECUTION),
        (risk.Command(script="cd src && make test", cwd="lib", env={"CI": "1"}), CODE_EXECUTION),
        (risk.FileWrite("src/main.py", "x = 1"), FILE_WRITE),
        (risk.FileDelete("build", recursive=True), FILE_WRITE),
        (risk.CodeExecution("python", "print(1)"), CODE_EXECUTION),
        (risk.ApiCall("POST", "https://api.example.com/v1/things"), API_CALL),
        (risk.GitPush("origin", "main"), GIT_PUSH),
        (risk.WorkflowCreation("nightly", "on: schedule"), WORKFLOW_CREATION),
        (risk.StepStart("coder", "write the parser"), ""),
        (risk.StepResult("coder", ""), ""),
    ):
        for factors in ((), (factor,)):
            level = Level.HIGH if factors else Level.LOW
            question = Question(level, frozenset({effect} - {""}), factors=factors, actions=(action,))
            kind = str(_own(action, question.where)["action.kind"])
            made.append((kind, Views(question, frozenset(NAMES), "UTC")))
    return made
