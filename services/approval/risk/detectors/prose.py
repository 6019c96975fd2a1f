"""A step's description: what it says that it is about to do.

Prose is never read as a shell command, except where it is one: the whole text, a part in backquotes, or what follows
"run" or "execute" when that starts with the name of a program. Intent counts where a sentence gives an order
("Delete all temporary files"), not where it asks or tells ("how do I delete a column", "the executive summary").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.approval.risk import normalise
from services.approval.risk.detectors import paths, secrets
from services.approval.risk.model import Factor, Span
from services.approval.risk.rules import BUILTIN
from services.approval.risk.scoring import MEDIUM, MINOR, PRODUCTION
from services.approval.risk.shell import discovery
from services.approval.risk.shell.wrapper_table import WRAPPERS

MAX_DESCRIPTION = 1 << 14  # characters
_CLAUSE = re.compile(
    r"(?:^|[.;:,!\n(]|\b(?:and|then|to|please|will|must|should|also|now|finally|first|next|by|or|we|i|you|it|agent|need to)\b)\s*(?:\b(?:please|then|also|now|carefully|safely|automatically|immediately|permanently|quickly)\b\s*)*"
)
_ASKS = re.compile(
    r"(?i)^\s*(?:how|what|why|when|where|which|who|does|do|is|are|can|could|should|would|explain|describe|research|analy[sz]e|analy[sz]ing|investigate|summari[sz]e|compare|review|study|"
    r"explore|find out|look (?:up|into)|learn|evaluate|assess|document|discuss|outline|read|search|critique|brainstorm|survey|examine|inspect|identify|list|estimate|plan|propose|draft|translate|tell me|show me|check whether|verify)\b"
)


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that a sentence may give: `verbs` in the place of an order, then optionally `objects` later in the sentence."""

    id: str
    weight: int
    message: str
    verbs: re.Pattern[str]
    objects: re.Pattern[str] | None = None


def _intent(id: str, weight: int, message: str, verbs: str, objects: str = "") -> Intent:
    return Intent(
        f"intent.{id}",
        weight,
        message,
        re.compile(rf"(?i)(?:{verbs})\b"),
        re.compile(rf"(?i)\b(?:{objects})\b") if objects else None,
    )


_CHANGES = "update|write|rotate|create|change|set|add|print|export|share|send|reveal|generate|replace|store|save|edit|modify|put|insert|reset|revoke|copy|upload|expose|log|dump|move|configure|overwrite|append|publish|fix|extract|steal|collect|harvest|read|fetch|retrieve|get"
_INTENTS = (
    _intent("destructive", MEDIUM, "Says that it deletes or destroys something.", r"delete|remove|drop|wipe|erase|destroy|purge|truncate|terminate|uninstall|shred|nuke|decommission|tear down"),
    _intent("destructive", MEDIUM, "Says that it deletes or destroys something.", r"clear|clean up|format|kill|overwrite|reset|empty|flush", r"disks?|drives?|partitions?|tables?|database|data|caches?|logs?|folders?|director(?:y|ies)|files?|processes|servers?|volumes?|buckets?|history|queues?|everything"),
    _intent("deploy", MEDIUM, "Says that it puts something where others use it.", r"deploy|release|publish|roll out|ship|promote|launch|go live|rollback|roll back|restart|migrate|scale"),
    _intent("credentials", MEDIUM, "Says that it handles credentials.", _CHANGES, r"credentials?|passwords?|secrets?|api[ _-]?keys?|private keys?|(?:access|api|auth|bearer|oauth|refresh) tokens?|ssh keys?|certificates?"),
    _intent("payment", MEDIUM, "Says that it moves money.", r"pay|charge|refund|transfer|purchase|buy|invoice|wire|withdraw|process|issue|send", r"payments?|money|funds|refunds?|invoices?|billing|credit cards?|customers?|\$?\d+ ?(?:usd|eur|dollars|euros)|subscriptions?|payouts?"),
    _intent("rights", MEDIUM, "Says that it changes who may do what.", r"grant|give|elevate|escalate|make|add|change|disable|bypass|enable|turn off|open|set|assign", r"admin(?:istrator)?|root|sudo|permissions?|privileges?|firewall|authentication|two-factor|2fa|mfa|access control|world-writable|security (?:checks?|group|controls?)|antivirus|logging|audit"),
    _intent("outward", MEDIUM, "Says that it sends something to people outside.", r"send|e-?mail|post|tweet|publish|upload|share|notify|message|forward|exfiltrate|leak", r"e-?mails?|customers?|users|everyone|subscribers|twitter|slack|public(?:ly)?|external|pastebin|third[- ]part(?:y|ies)|newsletter|data to|database"),
    _intent("push", MINOR, "Says that it publishes commits.", r"push|force[- ]push|merge", r"main|master|remote|origin|branch|commits?|repository|repo|upstream|github|gitlab|changes|code"),
    _intent("database", MINOR, "Says that it changes a database.", r"update|alter|migrate|run|execute|change|modify|insert|import|restore", r"database|tables?|schema|migrations?|records?|rows|sql"),
    _intent("system", MEDIUM, "Says that it changes the machine.", r"install|shut ?down|reboot|format|mount|disable|stop|kill|configure|enable|start", r"servers?|system|services?|kernel|disks?|drives?|packages?|cron|daemon|machine|hosts?|production|processes|firewall|network|dns"),
    _intent("configuration", MINOR, "Says that it changes settings.", _CHANGES, r"config(?:uration)?s?|settings|environment variables?|env vars?"),
)  # fmt: skip
_TYPES = (
    ("workflow_creation", re.compile(r"(?i)(?:create|add|set up|schedule|build|define|write|generate|configure)\b[^.\n]{0,80}\b(?:workflows?|pipelines?|cron ?jobs?|automations?|schedules?|github actions?)\b")),
    ("git_push", re.compile(r"(?i)(?:force[- ]?push|push)\b[^.\n]{0,80}\b(?:main|master|remote|origin|branch|commits?|repo(?:sitory)?|upstream|github|gitlab|changes|code|git|tags?)\b|git push|open (?:a )?pull request")),
    ("code_execution", re.compile(r"(?i)(?:run|execute|install|compile|deploy|invoke|launch|eval(?:uate)?)\b(?! (?:a |the )?(?:analysis|comparison|survey|search))|(?:write|implement|develop|generate|create|refactor|build|fix|code)\b[^.\n]{0,60}\b(?:code|scripts?|programs?|functions?|modules?|features?|app(?:lication)?s?|class(?:es)?|endpoints?|bugs?|tests?|component|service|library|tool)\b")),
    ("file_write", re.compile(r"(?i)(?:write|save|create|update|edit|modify|overwrite|append|generate|delete|remove|rename|move)\b[^.\n]{0,60}(?:\bfiles?\b|\bfolders?\b|\bdirector(?:y|ies)\b|\bconfig(?:uration)?\b|\breadme\b|[\w-]*\.\w{1,5}\b)")),
    ("api_call", re.compile(r"(?i)(?:call|post|send|invoke|query|request|hit|fetch|trigger|submit)\b[^.\n]{0,60}\b(?:apis?|endpoints?|webhooks?|requests?|https?://\S+)")),
)  # fmt: skip
_PRODUCTION = re.compile(r"(?i)(?<![\w-])(?:production|prod|live (?:system|environment|site|database))(?![\w-])(?! lines?| rates?| costs?)")
_BACKQUOTED = re.compile(r"```(?:\w+\n)?([^`]{1,20000})```|`([^`\n]{1,2000})`")
_ORDERED = re.compile(
    r"(?i)\b(?:run|execute|exec|running|executing|command|invoke)\b:?\s+(?:the (?:command|following)(?: command)?:?\s+)?[\"']?([a-z_./~\\$][^\n]{0,2000})"
)
_VERBS = frozenset(
    "find make test sort cut write run open install watch read look split join head tail file update time set wait kill less more convert import identify select fold look last date "
    "info help start stop service link mount restore dump move copy type command source history script search get format clear paste login at see compare exit format go start sum shift users yes factor expand use screen print touch stat env host mail pr id w top ar as cc cat who return next case process act sh patch stack function local logger let pass batch".split()
)
_PATHS = re.compile(
    r"(?<![\w/.])((?:~|\.{1,2})?/[\w.@~*-]+(?:/[\w.@*-]+)*/?|\.[a-z][\w-]*(?:\.[\w-]+)*|[\w-]+(?:/[\w.-]+)+|[\w-]+\.(?:pem|key|env|ya?ml|json|conf|cfg|ini|toml|sh|py|js|ts|sql|txt|md))(?![\w/])"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a description holds: factors, the shell commands that it names, and the type of approval that it implies."""

    factors: tuple[Factor, ...]
    commands: tuple[str, ...]
    approval_type: str


def read(text: str) -> Reading:
    """Reads a description."""
    if len(text) > MAX_DESCRIPTION:
        return Reading((normalise.unreadable("too-large", f"A description of {len(text)} characters; at most {MAX_DESCRIPTION} are read."),), (), "")
    factors = secrets.detect(text)
    commands = commands_in(text)
    asks = bool(_ASKS.match(text))
    ordered: set[str] = set()
    if not asks:
        for factor in _intents(text):
            factors.append(factor)
            ordered.add(factor.id)
    factors += _named_paths(text, changes=not asks and _changes(text))
    if ordered and (found := _PRODUCTION.search(text)):
        factors.append(
            Factor(
                "environment.production",
                "environment",
                "Says that it acts on production.",
                PRODUCTION,
                excerpt=found.group(),
                span=Span(found.start(), found.end()),
                safer_alternative="Do it in staging first.",
            )
        )
    return Reading(tuple(factors), tuple(commands), "" if asks and not commands else infer_type(text, bool(commands)))


def _intents(text: str) -> list[Factor]:
    found: dict[str, Factor] = {}
    for clause in _CLAUSE.finditer(text):
        start = clause.end()
        sentence_end = min((i for i in (text.find(c, start) for c in ".;\n") if i >= 0), default=len(text))
        for intent in _INTENTS:
            verb = intent.verbs.match(text, start)
            if verb is None or intent.id in found:
                continue
            rest = text[verb.end() : min(sentence_end, verb.end() + 200)]
            if intent.objects is not None and not intent.objects.search(rest):
                continue
            if intent.objects is None and not rest.strip(" .!") and len(text.split()) > 1 and clause.start() > 0:
                continue
            found[intent.id] = Factor(
                intent.id,
                "intent",
                intent.message,
                intent.weight,
                excerpt=secrets.redact(text[verb.start() : verb.end() + 80])[:120],
                span=Span(verb.start(), verb.end()),
            )
    return list(found.values())


def _changes(text: str) -> bool:
    return bool(re.search(rf"(?i)\b(?:{_CHANGES}|delete|remove)\b", text)) and not re.match(r"(?i)\s*(?:read|get|fetch|show|print|cat|view)\b", text)


def _named_paths(text: str, *, changes: bool) -> list[Factor]:
    factors = []
    for match in _PATHS.finditer(text):
        path = match.group(1).rstrip(".,")
        found = paths.classify(path)
        if found is None or (found.id in ("system", "vcs-internals") and not changes):
            continue
        factor = (paths.write_factor(path) if changes else None) or paths.read_factor(path)
        if factor is not None and factor.id != "sensitive-path.outside":
            factors.append(factor)
    return factors


def infer_type(text: str, has_command: bool = False) -> str:
    """The type of approval that a description implies, empty for none."""
    if has_command:
        return "code_execution"
    for clause in _CLAUSE.finditer(text):
        for name, pattern in _TYPES:
            if pattern.match(text, clause.end()):
                return name
    return ""


def commands_in(text: str) -> list[str]:
    """The shell commands that a description is, or names."""
    stripped = text.strip()
    if _is_command(stripped):
        return [stripped]
    found = [a or b for a, b in _BACKQUOTED.findall(text)]
    commands = [c.strip() for c in found if _starts_with_program(c.strip())]
    for match in _ORDERED.finditer(text):
        candidate = re.split(r"\s+(?:in order to|so that|because|before|after|on the|for the|to (?!/))", match.group(1))[0].strip().rstrip(".\"'")
        first = candidate.split(None, 1)[0] if candidate else ""
        if candidate and _starts_with_program(candidate) and (first not in _VERBS or _shell_like(candidate)):
            commands.append(candidate)
    return commands


def _is_command(text: str) -> bool:
    first = text.split(None, 1)[0] if text else ""
    if not _starts_with_program(text):
        return False
    if first in _VERBS or " " not in text:
        return _shell_like(text) and not text.endswith((".", "?"))
    return _shell_like(text) or not re.search(r"\b(?:the|a|an|with|into|from|our|all|my|your|is|are|how|of)\b", text)


def _shell_like(text: str) -> bool:
    return bool(re.search(r"(?:^|\s)--?\w|[|<>]|&&|;\s*\w|\$\(|\$\w|(?:^|\s)(?:/|~/|\./)\w|=\S", text))


def _starts_with_program(text: str) -> bool:
    first = text.split(None, 1)[0] if text else ""
    if not first or (first != first.lower() and not first.startswith(("/", "./", "~"))):
        return False
    if re.match(r"^[A-Za-z_]\w*=\S", first):
        return True
    name = first.rpartition("/")[2]
    return bool(name) and (
        name in WRAPPERS or BUILTIN.knows(name) or discovery.known(name) or first.startswith(("./", "/usr/", "/bin/")) or name == "rm"
    )
