"""Version history and code hosting: what is lost, rewritten or published."""

from __future__ import annotations

import re

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.invocation import Invocation


def _all_files(call: Invocation) -> bool:
    return any(p in (".", "./", "*", ":/", "..") for p in call.positionals[1:])


def _remote_delete(call: Invocation) -> bool:
    return call.positionals[:1] == ("push",) and any(re.match(r"^:[^/]", p) for p in call.positionals[1:])


def _forced_refspec(call: Invocation) -> bool:
    return call.positionals[:1] == ("push",) and any(p.startswith("+") for p in call.positionals[1:])


RULES = (
    Rule("history.force-push", "git", HIGH, "Overwrites history that others have.", sub="push", flags="-f --force --mirror", safer="Use --force-with-lease on a branch of your own."),
    Rule("history.force-push", "git", HIGH, "Overwrites history that others have.", when=_forced_refspec),
    Rule("history.force-push", "git", SERIOUS, "May overwrite history that others have.", sub="push", flags="--prune"),
    Rule("history.remote-delete", "git", HIGH, "Removes branches or tags from the remote.", sub="push", flags="--delete -d"),
    Rule("history.remote-delete", "git", HIGH, "Removes branches or tags from the remote.", when=_remote_delete),
    Rule("history.push", "git", MINOR, "Publishes commits.", sub="push"),
    Rule("history.discard", "git", SERIOUS, "Throws uncommitted work away.", sub="reset", flags="--hard --merge --keep", safer="git stash first."),
    Rule("history.discard", "git", SERIOUS, "Throws files away that are not in the repository.", sub="clean", flags="-f --force -x -X -d",
         safer="git clean -n shows what would go."),
    Rule("history.discard", "git", SERIOUS, "Throws uncommitted work away.", sub="checkout|switch", flags="-f --force --discard-changes"),
    Rule("history.discard", "git", SERIOUS, "Throws uncommitted work away.", sub="checkout", when=lambda c: "--" in c.args and _all_files(c)),
    Rule("history.discard", "git", SERIOUS, "Throws uncommitted work away.", sub="checkout", when=lambda c: c.positionals[1:] in ((".",), ("*",), ("./",))),
    Rule("history.discard", "git", SERIOUS, "Throws uncommitted work away.", sub="restore", when=_all_files),
    Rule("history.discard", "git", SERIOUS, "Throws stashed work away.", sub="stash drop|stash clear"),
    Rule("history.delete-ref", "git", SERIOUS, "Removes a branch that may not be merged.", sub="branch", flags="-D"),
    Rule("history.delete-ref", "git", SERIOUS, "Removes a branch.", sub="branch", flags="-d --delete", when=lambda c: bool(c.flags & {"-f", "--force"})),
    Rule("history.delete-ref", "git", MEDIUM, "Removes a reference.", sub="tag", flags="-d --delete"),
    Rule("history.delete-ref", "git", SERIOUS, "Removes a reference.", sub="update-ref", flags="-d --delete --stdin"),
    Rule("history.delete-ref", "git", MEDIUM, "Removes a remote.", sub="remote remove|remote rm|remote set-url|remote prune"),
    Rule("history.rewrite", "git", MINOR, "Rewrites commits that were not published.", sub="rebase", without="--abort --continue --skip --quit --show-current-patch"),
    Rule("history.rewrite", "git", HIGH, "Rewrites the whole history.", sub="filter-branch|filter-repo|replace"),
    Rule("history.rewrite", "bfg git-filter-repo", HIGH, "Rewrites the whole history."),
    Rule("history.abort", "git", MEDIUM, "Throws a merge's resolutions away.", sub="merge|rebase|cherry-pick|am", flags="--abort --skip --quit"),
    Rule("history.purge", "git", HIGH, "Removes what makes lost commits recoverable.", sub="reflog expire|reflog delete", when=lambda c: any(a in ("--expire=now", "--expire=all", "--all", "delete") or a.startswith("--expire-unreachable") for a in c.args)),
    Rule("history.purge", "git", SERIOUS, "Removes what makes lost commits recoverable.", sub="gc|prune", when=lambda c: any(a.startswith("--prune=") or a in ("now", "--expire=now") for a in c.args)),
    Rule("history.remove-files", "git", MEDIUM, "Removes files.", sub="rm", without="--cached -n --dry-run",
         when=lambda c: bool(c.flags & {"-r", "-f", "--force"}) or _all_files(c)),
    Rule("history.worktree", "git", MEDIUM, "Removes a working tree.", sub="worktree remove|worktree prune|submodule deinit"),
    Rule("history.unverified", "git", MEDIUM, "Skips the checks that guard a commit or a push.", sub="commit|push|merge", flags="--no-verify"),
    Rule("evasion.tls-off", "git", SERIOUS, "Turns off the check of the server's identity.",
         when=lambda c: any(re.match(r"(?i)^http\.sslverify(?:=(?:false|0))?$", a) for a in c.args) and any("false" in a.lower() or a == "0" for a in c.args)),
    Rule("hosting.delete", "gh glab hub", HIGH, "Removes a repository, a release or a secret.", sub="* delete|* archive|repo rename|run delete|* remove",
         safer="Archive or unpublish instead."),
    Rule("hosting.visibility", "gh glab", HIGH, "Changes who can see a repository.", sub="repo edit", flags="--visibility --enable-* --default-branch"),
    Rule("hosting.api", "gh glab", SERIOUS, "Calls the hosting API to change something.", sub="api",
         when=lambda c: any(v.upper() in ("DELETE", "PUT", "POST", "PATCH") for v in c.values("-X", "--method")) or bool(c.flags & {"-f", "-F", "--field", "--raw-field", "--input"})),
    Rule("hosting.merge", "gh glab", MEDIUM, "Merges a change for everybody.", sub="pr merge|mr merge", flags="--admin -m --merge --squash --rebase --auto -s -r -d"),
    Rule("hosting.token", "gh glab", HIGH, "Prints an access token.", sub="auth token|auth status", when=lambda c: "token" in c.args or "--show-token" in c.flags or "-t" in c.flags),
    Rule("hosting.publish", "gh", MEDIUM, "Publishes files.", sub="gist create|secret set|ssh-key add|gpg-key add|deploy-key *|auth refresh", when=lambda c: c.positionals[:1] != ("secret",)),
    Rule("history.other", "hg svn", SERIOUS, "Throws work or history away.", sub="strip|purge|update -c|revert|rm|delete|histedit|rollback", when=lambda c: c.positionals[0] in ("strip", "purge", "rollback", "histedit") or bool(c.flags & {"--all", "-R", "--force"})),
)  # fmt: skip
