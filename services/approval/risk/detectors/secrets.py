"""Finds secrets in text, and masks them. A keyword is looked for before a pattern runs, so that plain text costs little."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from services.approval.risk import scoring
from services.approval.risk.model import Factor, Span

MASK = "[secret]"


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One kind of secret: `hints` are lower-case words of which one must occur before `pattern` is tried."""

    id: str
    what: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(id: str, what: str, hints: str, pattern: str) -> SecretRule:
    return SecretRule(id, what, tuple(hints.split()), re.compile(pattern))


# Shapes published by the issuers of the tokens; every repetition is bounded, so a match costs linear time.
RULES = (
    _rule("private-key", "a private key", "private", r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----"),
    _rule("aws-key", "an AWS access key", "akia asia", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _rule("github", "a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[0-9A-Za-z]{36,255}\b"),
    _rule("github-pat", "a GitHub token", "github_pat_", r"\bgithub_pat_[0-9A-Za-z_]{22,255}\b"),
    _rule("gitlab", "a GitLab token", "glpat-", r"\bglpat-[0-9A-Za-z_-]{20,64}"),
    _rule("slack", "a Slack token", "xox", r"\bxox[abposr]-[0-9A-Za-z-]{10,250}"),
    _rule("slack-hook", "a Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}"),
    _rule("stripe", "a Stripe key", "sk_ rk_", r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{10,99}\b"),
    _rule("google", "a Google API key", "aiza", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    _rule("openai", "a model provider's key", "sk-", r"\bsk-(?:[a-z]{2,8}-)?[0-9A-Za-z_-]{20,200}\b"),
    _rule("npm", "an npm token", "npm_", r"\bnpm_[0-9A-Za-z]{36}\b"),
    _rule("pypi", "a PyPI token", "pypi-", r"\bpypi-[0-9A-Za-z_-]{50,250}"),
    _rule("jwt", "a signed token", "eyj", r"\beyJ[0-9A-Za-z_-]{8,2000}\.eyJ[0-9A-Za-z_-]{8,4000}\.[0-9A-Za-z_-]{8,1000}"),
    _rule("url-password", "a password in an address", "://", r"://[^\s/:@'\"]{1,100}:(?!\$|\*|<|\{)[^\s/@'\"]{3,200}@"),
    _rule("bearer", "a bearer token", "bearer", r"(?i)\bbearer\s{1,4}(?![a-z_]{0,30}token\b)[0-9a-z_.~+/-]{20,2000}={0,2}"),
)

# name = "value": only a value that looks random counts, so that `password = getpass()` and `token: string` do not.
_ASSIGNED = re.compile(
    r"(?i)(?<![a-z0-9])(?:[a-z0-9]{1,20}[_-]){0,4}(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
    r"[\"']?\s{0,4}(?:=|:|=>)\s{0,4}([\"']?)([^\s\"'`,;(){}<>$]{8,200})\1"
)
_ASSIGNED_HINTS = ("passw", "pwd", "secret", "token", "key")
_PLACEHOLDER = re.compile(r"(?i)^(?:x{3,}|\*+|\.+|your|my|the|change|example|dummy|fake|test|todo|none|null|true|false|string|redacted)")


def _random_looking(value: str) -> bool:
    if _PLACEHOLDER.match(value) or not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= 2.75  # bits a character: "password1" is 2.9, "aaaa1111" is 1.0; prose words have no digits


def find(text: str) -> Iterator[tuple[str, str, Span]]:
    """Every secret in `text`: (rule id, what it is, where)."""
    lowered = text.lower()
    for rule in RULES:
        if any(hint in lowered for hint in rule.hints):
            for match in rule.pattern.finditer(text):
                yield rule.id, rule.what, Span(match.start(), match.end())
    if any(hint in lowered for hint in _ASSIGNED_HINTS):
        for match in _ASSIGNED.finditer(text):
            if _random_looking(match.group(2)):
                yield "assigned", "a literal credential", Span(match.start(2), match.end(2))


def detect(text: str) -> list[Factor]:
    """One factor for every kind of secret in `text`."""
    found: dict[str, Factor] = {}
    for id, what, span in find(text):
        found.setdefault(
            id,
            Factor(
                f"secret.{id}",
                "secret",
                f"Contains {what}.",
                scoring.SERIOUS,
                excerpt=MASK,
                span=span,
                safer_alternative="Pass secrets by reference, from a secret store or the environment.",
            ),
        )
    return list(found.values())


def redact(text: str) -> str:
    """`text` with every secret replaced by `[secret]`."""
    spans = sorted((span.start, span.end) for _, _, span in find(text))
    if not spans:
        return text
    parts: list[str] = []
    position = 0
    for start, end in spans:
        if start >= position:
            parts += [text[position:start], MASK]
        position = max(position, end)
    parts.append(text[position:])
    return "".join(parts)
