"""What goes to other machines: API calls and pushed commits."""

from __future__ import annotations

from services.approval.risk import normalise, scoring
from services.approval.risk.actions import ApiCall, GitPush
from services.approval.risk.detectors import api, secrets
from services.approval.risk.kinds import texts
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MINOR

# Branches that others build on, by the names that hosts and teams give them.
SHARED_BRANCHES = frozenset({"main", "master", "production", "release", "prod", "trunk", "stable", "develop"})


def api_call(action: ApiCall) -> list[Factor]:
    """An HTTP request: its address, its effect, and what it carries."""
    body = texts.decoded(action.body)
    for text in (action.method, action.url, body, *action.headers, *action.headers.values()):
        if refusal := normalise.refusal(text):
            return [refusal]
    for what, text in (("address", action.url), ("method", action.method)):
        if not text.strip():
            return [normalise.unreadable("empty", f"There is no {what}.")]
    excerpt = secrets.redact(f"{action.method} {action.url}")[:200]
    base = Factor("change.api-call", "change", "Calls an API.", scoring.TYPE_BASE["api_call"], excerpt=excerpt)
    return [base, *api.assess_request(action.method, action.url, action.headers, body), *normalise.suspicious(action.url)]


def git_push(action: GitPush) -> list[Factor]:
    """Commits sent to a remote: each refspec, whether it overwrites, and whether the remote is what it seems."""
    shown = f"{secrets.redact(action.remote)} {action.refspec}"[:200]
    factors = [
        *texts.without_spans(texts.plain(f"{action.remote} {action.refspec}")),
        Factor("change.git-push", "change", "Publishes commits.", scoring.TYPE_BASE["git_push"], excerpt=shown),
    ]
    refspecs = action.refspec.split()
    if action.force or any(refspec.startswith("+") for refspec in refspecs):
        factors.append(_history("force-push", "Overwrites history that others have.", HIGH, shown, "Push to a new branch."))
    if any(refspec.startswith(":") for refspec in refspecs):
        factors.append(_history("remote-delete", "Removes a branch or tag from the remote.", HIGH, shown))
    for refspec in refspecs:
        target = refspec.rpartition(":")[2].removeprefix("+").removeprefix("refs/heads/")
        if target in SHARED_BRANCHES:
            factors.append(_history("shared-branch", f"Changes {target}, which others build on.", MINOR, shown, "Open a pull request."))
    if action.remote.startswith(("ext::", "-")) or any(refspec.startswith("-") for refspec in refspecs):
        factors.append(Factor("escape.git", "escape", "The remote is a command, or an option.", HIGH, excerpt=shown))
    return factors


def _history(id: str, message: str, weight: int, excerpt: str, safer: str = "") -> Factor:
    return Factor(f"history.{id}", "history", message, weight, excerpt=excerpt, safer_alternative=safer)
