"""The shapes of some 200 issuers' tokens, from gitleaks: `gitleaks.json`, written by `tools/secret_rules.py`.

Two kinds of rules: those of tokens that have a shape of their own (`ghp_` and 36 characters), and *named* ones, of values that
are only told by a name before them (`datadog ... = ` and 40 characters). A named value must look random besides, for words
and numbers come after names too; and a bare digest (of a commit, a file, an image) is no secret by its shape alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.runtime import patterns
from services.runtime.redaction.rule import PatternRule, Rule
from services.runtime.redaction.values import is_digest, looks_random

_DATA = Path(__file__).parent / "gitleaks.json"

# Values after names such as "key" and "auth": tried last, for any other rule says more about the same value.
GENERIC = "generic-api-key"


def load() -> tuple[Sequence[Rule], Rule]:
    """The rules, those of shapes before those that only know what stands around, and the one that fits most."""
    data: dict[str, Any] = json.loads(_DATA.read_text("utf-8"))
    everywhere = data["except"]
    ordered = sorted(data["rules"], key=lambda rule: bool(rule["named"] or rule["id"].startswith("curl-")))
    rules = {rule["id"]: _rule(rule, everywhere) for rule in ordered}
    generic = replace(rules.pop(GENERIC), accepts=_is_generic)
    return list(rules.values()), generic


def _rule(rule: dict[str, Any], everywhere: dict[str, list[str]]) -> PatternRule:
    named: bool = rule["named"]
    exceptions: dict[str, list[str]] = rule.get("except", {})
    # Placeholders are told from secrets where there is no more than a name; a token's own shape is proof enough.
    general = everywhere if named else {}
    return PatternRule(
        id=rule["id"],
        message=rule["message"],
        keywords=tuple(rule["keywords"]),
        pattern=rule["pattern"],
        group=rule.get("group", 0),
        min_entropy=rule.get("entropy", 0.0),
        accepts=looks_random if named else _no_digest,
        except_secret=(*exceptions.get("secret", ()), *general.get("secret", ())),
        except_match=tuple(exceptions.get("match", ())),
        except_line=tuple(exceptions.get("line", ())),
        words=(*exceptions.get("words", ()), *general.get("words", ())),
    )


def _no_digest(value: str) -> bool:
    return not is_digest(value)


def _is_generic(value: str) -> bool:
    return looks_random(value) and not is_digest(value) and not _NAME_OR_NUMBER.fullmatch(value)


# Of a variable, or a time: what code gives to parameters named "key".
_NAME_OR_NUMBER = patterns.compile(r"[0-9._:TZ+-]+|[a-z]+\d{0,2}(?:_[a-z]+\d{0,2})+")
