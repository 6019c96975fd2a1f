"""Every key of the approval service.

All of one run's approvals are in one shard, so that whatever changes together has one hash tag. `{aNN}` is the shard,
in hex; `M` is an approval id without its prefix and shard: time-ordered, so that indexes sort by age.

| key                                  | type   | content                             | written by     | ends          |
|--------------------------------------|--------|-------------------------------------|----------------|---------------|
| approval:{aNN}:apr:<id>              | hash   | one approval, see `records.py`      | create, commit | forget        |
| approval:{aNN}:revisions:<id>        | hash   | earlier bodies by revision          | commit         | forget        |
| approval:{aNN}:comments:<id>         | list   | comments, JSON, oldest first        | comment        | forget        |
| approval:{aNN}:request:<sha256>      | string | id of the approval it made          | create         | forget        |
| approval:{aNN}:due                   | zset   | M by when something is due, ms      | create, commit | commit        |
| approval:{aNN}:closed                | zset   | M by when it was closed, ms         | create, commit | forget        |
| approval:{aNN}:all                   | zset   | M, all scores 0                     | create         | forget        |
| approval:{aNN}:state:<n>             | zset   | M in that state                     | create, commit | as written    |
| approval:{aNN}:requester:<r>         | zset   | M asked for by r                    | create         | forget        |
| approval:{aNN}:requester:<r>:<n>     | zset   | M asked for by r and in that state  | create, commit | as written    |
| approval:{aNN}:project:<p>:<n>       | zset   | M of that project and in that state | create, commit | as written    |
| approval:{aNN}:run:<run id>          | zset   | M of that run                       | create         | forget        |
| approval:{aNN}:run:<run id>:pending  | zset   | M of that run that are pending      | create, commit | as written    |
| approval:{aNN}:pending:<what>:<x>    | zset   | pending M by level, type and group  | create, commit | as written    |
| approval:{aNN}:decided:<x>           | zset   | M of a group, decided by a person   | commit         | forget        |
| approval:{aNN}:review                | zset   | M with broken glass, not reviewed   | commit         | as written    |
| approval:{aNN}:remembered:<name>     | string | a remembered decision, JSON; empty  | remember,      | its own time  |
|                                      |        | when it was forgotten               | forget_decision|               |
| approval:{aNN}:remembered-in:<x>     | zset   | names by when they end, ms, of a    | remember,      | the last time |
|                                      |        | project or run                      | forget_decision|               |
| approval:{a00}:delegation:<id>       | string | a delegation, JSON                  | delegate       | its own time  |
| approval:{a00}:delegated:<x>         | zset   | ids by when they end, ms: given to, | delegate,      | the last time |
|                                      |        | given or held by somebody, or all   | revoke         |               |
| approval:{a00}:delegation-request:<x>| string | id of the delegation it made        | delegate       | its own time  |
| approval:{aNN}:journal               | stream | what happened: e entry, p "1" if    | every script   | trim, when    |
|                                      |        | watchers are told                   |                | all have read |
| approval:{aNN}:notified              | string | last journal id made deliveries     | fan_out        | never         |
| approval:{aNN}:deliveries:<webhook>  | zset   | delivery ids by when to send, ms    | fan_out, claim | finish        |
| approval:{aNN}:deliveries:gathering  | hash   | what is gathered -> delivery id     | fan_out        | claim         |
| approval:{aNN}:delivery:<id>         | hash   | one delivery, see `deliveries.py`   | fan_out, claim | finish, drop  |
| approval:{aNN}:dead:<webhook>        | zset   | ids of dead letters, all scores 0   | finish         | drop          |
| approval:{aNN}:dead                  | zset   | "webhook id" of dead letters by ms  | finish         | drop          |
| approval:{a00}:webhooks              | hash   | id -> one webhook, JSON             | save_webhook   | save_webhook  |
| approval:{a00}:webhooks:requests     | hash   | sha256 of request_id -> id, sha256  | save_webhook   | save_webhook  |
| approval:{a00}:webhooks:removed      | zset   | ids by when they were removed, ms   | save_webhook   | an hour later |
| approval:{<sha256>}:asks             | string | rate of a requester, see rate.lua   | rate           | by itself     |
| approval:{<webhook>}:sends           | string | rate of a webhook, see rate.lua     | rate           | by itself     |
| approval:{aNN}:audit                | stream | the chain; id <sequence>-0 a record,| seal          | forget_sealed |
|                                      |        | -1 a checkpoint: l the line         |               |               |
| approval:{aNN}:audit-head            | hash   | sequence, hash, time_ms, journal    | seal,         | never         |
|                                      |        | (last id sealed), checkpoint and    | forget_sealed |               |
|                                      |        | checkpoint_ms, root (line) and      |               |               |
|                                      |        | root_sequence                       |               |               |
| approval:{aNN}:audit-of:<id>         | zset   | sequences of an approval's records  | seal          | forget_sealed |
| approval:{events}:stream             | stream | events, id <sequence>-0: e, t (ms)  | publish        | trim, length  |
| approval:{events}:sequence           | string | the last sequence given             | publish        | never         |
| approval:{events}:published          | hash   | shard -> last journal id published  | publish        | never         |
| approval:{a00}:policy:<environment>  | hash   | body, version, updated_by, _ms      | save_policy    | never         |
| approval:{a00}:policy:<env>:versions | stream | saves, id <version>-0, fields by, ms | save_policy   | trim, length  |
| approval:{a00}:policy:<env>:bodies   | hash   | version -> body                     | save_policy    | with versions |

`<r>`, `<p>` and `<x>` are hex SHA-256: a subject can be anything, a key should not. What ends at a
time of its own has a TTL; everything else goes by a rule (`HARNESS_APPROVAL_RETENTION_DAYS`,
`HARNESS_APPROVAL_EVENTS_KEPT`, `HARNESS_APPROVAL_AUDIT_RETENTION_DAYS`, `HARNESS_APPROVAL_DEAD_LETTER_DAYS`).
"""

from __future__ import annotations

import hashlib
import zlib

from services.runtime import ids

EVENTS_STREAM = "approval:{events}:stream"
EVENTS_SEQUENCE = "approval:{events}:sequence"
EVENTS_PUBLISHED = "approval:{events}:published"

# With the first shard, whose journal their changes are written to.
WEBHOOKS = "approval:{a00}:webhooks"
WEBHOOK_REQUESTS = "approval:{a00}:webhooks:requests"
WEBHOOKS_REMOVED = "approval:{a00}:webhooks:removed"

# Never written: where what is no id of ours is looked up.
NOTHING = "approval:{a00}:nothing"

# "apr_" and two hex digits of shard.
_ID_HEAD = 6
# And 32 of the rest.
_ID_CHARS = 38


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shard_for(run_id: str, request_id: str, shards: int) -> int:
    """The shard of a new approval: its run's, or, without a run, that of its request_id."""
    return zlib.crc32((run_id or request_id).encode()) % shards


def shard_named(approval_id: str) -> int | None:
    """The shard that an approval's id names; None for what is no id of an approval."""
    is_ours = ids.is_id(approval_id, "apr") and len(approval_id) == _ID_CHARS
    return ids.shard_of(approval_id) if is_ours else None


def member(approval_id: str) -> str:
    """An approval as the indexes of its shard name it."""
    return approval_id[_ID_HEAD:]


def approval_id(shard: int, name: str) -> str:
    """The id of an index's member."""
    return f"apr_{shard:02x}{name}"


def _in(shard: int, rest: str) -> str:
    return f"approval:{{a{shard:02x}}}:{rest}"


def approval(shard: int, approval_id: str) -> str:
    """The approval itself."""
    return _in(shard, f"apr:{approval_id}")


def request(shard: int, request_id: str) -> str:
    """Which approval a request_id made."""
    return _in(shard, f"request:{_digest(request_id)}")


def due(shard: int) -> str:
    """What expires by itself, and when."""
    return _in(shard, "due")


def closed(shard: int) -> str:
    """What is over, since when."""
    return _in(shard, "closed")


def everything(shard: int) -> str:
    """All approvals."""
    return _in(shard, "all")


def in_state(shard: int, state: int) -> str:
    """Approvals in a state."""
    return _in(shard, f"state:{state}")


def by_requester(shard: int, requester: str, state: int | None = None) -> str:
    """Approvals somebody asked for, of all states or of one."""
    suffix = "" if state is None else f":{state}"
    return _in(shard, f"requester:{_digest(requester)}{suffix}")


def in_project(shard: int, project_id: str, state: int) -> str:
    """Approvals of a project in a state."""
    return _in(shard, f"project:{_digest(project_id)}:{state}")


def pending_by(shard: int, what: str, value: str) -> str:
    """Pending approvals by `what` ("level", "type", "group")."""
    return _in(shard, f"pending:{what}:{_digest(value)}")


def decided(shard: int, group: str) -> str:
    """Approvals of a group that people have decided."""
    return _in(shard, f"decided:{_digest(group)}")


def of_run(shard: int, run_id: str) -> str:
    """Approvals of a run."""
    return _in(shard, f"run:{run_id}")


def pending_of_run(shard: int, run_id: str) -> str:
    """Approvals of a run that are pending."""
    return _in(shard, f"run:{run_id}:pending")


def review(shard: int) -> str:
    """Approvals whose glass was broken and whose review is owed."""
    return _in(shard, "review")


def revisions(shard: int, approval_id: str) -> str:
    """Earlier bodies of an approval."""
    return _in(shard, f"revisions:{approval_id}")


def comments(shard: int, approval_id: str) -> str:
    """The thread of an approval."""
    return _in(shard, f"comments:{approval_id}")


def nothing(shard: int) -> str:
    """Never written: where there is nothing to look up."""
    return _in(shard, "nothing")


def remembered(shard: int, name: str) -> str:
    """A remembered decision."""
    return _in(shard, f"remembered:{name}")


def remembered_in(shard: int, within: str) -> str:
    """What is remembered of a project or run."""
    return _in(shard, f"remembered-in:{_digest(within)}")


# All delegations are together, with a journal beside them: they are few, and a voter needs all of theirs.
DELEGATIONS_SHARD = 0


def delegation(delegation_id: str) -> str:
    """A delegation."""
    return _in(DELEGATIONS_SHARD, f"delegation:{delegation_id}")


def delegated(side: str, subject: str) -> str:
    """Delegations given "to" somebody, "of" somebody (given or held), or "all" (of nobody in particular)."""
    return _in(DELEGATIONS_SHARD, f"delegated:{side}:{_digest(subject)}")


def delegation_request(delegator: str, request_id: str) -> str:
    """Which delegation a request_id made."""
    return _in(DELEGATIONS_SHARD, f"delegation-request:{_digest(delegator + chr(0) + request_id)}")


def journal(shard: int) -> str:
    """What happened in a shard, in order."""
    return _in(shard, "journal")


def audit(shard: int) -> str:
    """The chain of a shard."""
    return _in(shard, "audit")


def audit_head(shard: int) -> str:
    """Where the chain of a shard ends, and begins."""
    return _in(shard, "audit-head")


def audit_of(shard: int, approval_id: str) -> str:
    """The records of an approval."""
    return _in(shard, f"audit-of:{approval_id}")


# Where a journal is beside them: who changed a policy is written down in the step that changes it.
POLICIES_SHARD = 0


def policy(environment: str) -> str:
    """The saved policy of an environment."""
    return _in(POLICIES_SHARD, f"policy:{environment}")


def policy_versions(environment: str) -> str:
    """Who saved which version of an environment's policy, and when."""
    return _in(POLICIES_SHARD, f"policy:{environment}:versions")


def policy_bodies(environment: str) -> str:
    """What the versions of an environment's policy said."""
    return _in(POLICIES_SHARD, f"policy:{environment}:bodies")


def prefix(shard: int) -> str:
    """What all keys of a shard begin with."""
    return _in(shard, "")


def notified(shard: int) -> str:
    """How far a shard's journal was made deliveries."""
    return _in(shard, "notified")


def deliveries(shard: int, webhook_id: str) -> str:
    """What a webhook is to be told, and when."""
    return _in(shard, f"deliveries:{webhook_id}")


def gathering(shard: int) -> str:
    """Deliveries that similar requests still join."""
    return _in(shard, "deliveries:gathering")


def delivery(shard: int, delivery_id: str) -> str:
    """One delivery."""
    return _in(shard, f"delivery:{delivery_id}")


def dead(shard: int, webhook_id: str) -> str:
    """What a webhook could not be told."""
    return _in(shard, f"dead:{webhook_id}")


def dead_by_time(shard: int) -> str:
    """All dead letters, by when they were given up."""
    return _in(shard, "dead")


def asks(requester: str) -> str:
    """The rate at which somebody asks humans."""
    return f"approval:{{{_digest(requester)}}}:asks"


def sends(webhook_id: str) -> str:
    """The rate at which a webhook is told things."""
    return f"approval:{{{webhook_id}}}:sends"
