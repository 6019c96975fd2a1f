"""Cloud providers, platforms and infrastructure as code: what is removed, exposed, or opens rights."""

from __future__ import annotations

import re

from services.approval.risk.rules.rule import Predicate, Rule
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.invocation import Invocation

_REMOVES = re.compile(
    r"^(?:delete|terminate|destroy|remove|purge|deregister|detach|disable|revoke|cancel|stop|reboot|release|drop|uninstall|kill|deactivate|reset|schedule-key-deletion"
    r"|rb)(?:-.+)?$"
)
_CHANGES = re.compile(
    r"^(?:put|attach|authorize|modify|update|set|create|add|grant|enable|import|associate|replace|start|run|invoke|restore|rotate)(?:-.+)?$"
)
_RIGHTS = re.compile(
    r"^(?:(?:put|attach|create|update|add|set)-(?:.*(?:policy|access-key|login-profile|user|role|group|permission|trust|mfa|acl|iam).*)|create-access-key|assume-role.*"
    r"|authorize-security-group-ingress|get-session-token|get-federation-token|put-bucket-acl|delete-public-access-block|modify-snapshot-attribute|modify-image-attribute)$"
)
_SECRETS = re.compile(
    r"^(?:get-secret-value|get-parameters?|get-password-data|decrypt|get-login-password|get-authorization-token|batch-get-secret-value|export-.*key.*|get-credentials-for-identity)$"
)
_TRAIL = re.compile(
    r"^(?:stop-logging|delete-trail|delete-detector|delete-flow-logs|delete-config.*|disable-.*|stop-configuration-recorder|delete-log-.*|put-event-selectors|update-detector)$"
)


def _verb(pattern: re.Pattern[str], position: int) -> Predicate:
    def holds(call: Invocation) -> bool:
        return len(call.positionals) > position and bool(pattern.match(call.positionals[position].lower()))

    return holds


def _aws(pattern: re.Pattern[str]) -> Predicate:
    return _verb(pattern, 1)


def _any_verb(*verbs: str) -> Predicate:
    wanted = frozenset(verbs)
    return lambda call: any(p.lower() in wanted for p in call.positionals[:6])


RULES = (
    Rule("cloud.delete", "aws aliyun tccli", HIGH, "Removes or stops cloud resources.", when=_aws(_REMOVES), safer="Name exactly what should go; keep a snapshot."),
    Rule("cloud.delete", "aws", HIGH, "Removes objects from a bucket.", sub="s3 rm|s3 rb|s3 mv"),
    Rule("cloud.delete", "aws", SERIOUS, "Deletes what is not in the source.", sub="s3 sync", flags="--delete"),
    Rule("cloud.rights", "aws", HIGH, "Changes who may do what in the cloud account.", when=_aws(_RIGHTS)),
    Rule("cloud.secrets", "aws", SERIOUS, "Reads secrets from the cloud account.", when=_aws(_SECRETS)),
    Rule("evasion.cloud-trail", "aws", HIGH, "Turns off the record of what happens in the cloud account.", when=_aws(_TRAIL)),
    Rule("cloud.change", "aws", MEDIUM, "Changes cloud resources, which may cost money.", when=_aws(_CHANGES)),
    Rule("cloud.delete", "gcloud az oci ibmcloud doctl linode-cli scw hcloud openstack exo vultr-cli civo bx nova upctl", HIGH, "Removes or stops cloud resources.",
         when=_any_verb("delete", "destroy", "remove", "purge", "terminate", "rm", "remove-iam-policy-binding", "disable", "deallocate", "d", "reset", "delete-image", "delete-stack", "undelete", "empty")),
    Rule("cloud.change", "gcloud az doctl openstack hcloud oci ibmcloud", MEDIUM, "Changes cloud resources, which may cost money.",
         when=_any_verb("create", "update", "set", "add", "deploy", "stop", "start", "restart", "resize", "patch", "import", "scale", "ssh", "run-command", "invoke", "add-metadata", "enable")),
    Rule("cloud.rights", "gcloud az", HIGH, "Changes who may do what in the cloud account.",
         when=lambda c: any(re.match(r"^(?:add-iam-policy-binding|set-iam-policy|assignment|reset-credentials?|credential|keys)$", p) for p in c.positionals) and bool({"create", "add-iam-policy-binding", "set-iam-policy", "reset", "add"} & set(c.positionals))),
    Rule("cloud.secrets", "gcloud az", SERIOUS, "Reads secrets from the cloud account.",
         when=lambda c: {"print-access-token", "print-identity-token", "get-access-token", "list-keys"} & set(c.positionals) != set() or ("secret" in c.positionals and "show" in c.positionals) or ("secrets" in c.positionals and "access" in c.positionals) or c.positionals[-2:] == ("keys", "list")),
    Rule("cloud.delete", "gsutil", HIGH, "Removes objects or buckets.", sub="rm|rb|mv"),
    Rule("cloud.delete", "gsutil", SERIOUS, "Deletes what is not in the source.", sub="rsync", flags="-d"),
    Rule("cloud.rights", "gsutil", HIGH, "Changes who can see a bucket.", sub="iam|acl|defacl", when=lambda c: bool({"ch", "set"} & set(c.args))),
    Rule("cloud.delete", "s3cmd mc b2 azcopy s5cmd", HIGH, "Removes objects or buckets.", sub="del *|rm *|rb *|remove *|delete* *|delete-bucket *|rm|rb|del|remove"),
    Rule("infrastructure.destroy", "terraform pulumi cdk cdktf serverless sls sam copilot eb cloudformation waypoint nomad sst amplify ansible-playbook", HIGH, "Removes the infrastructure it manages.",
         when=lambda c: bool({"destroy", "remove", "terminate", "delete", "purge"} & set(c.positionals[:2])) and not (c.name == "terraform" and c.positionals[:1] != ("destroy",)), safer="Look at the plan first."),
    Rule("infrastructure.destroy", "terraform", HIGH, "Removes the infrastructure it manages.", sub="apply", flags="-destroy"),
    Rule("infrastructure.apply", "terraform pulumi cdk", SERIOUS, "Changes infrastructure without asking.", flags="-auto-approve --auto-approve --yes -y --require-approval=never --skip-preview",
         safer="Apply a saved plan that was looked at."),
    Rule("infrastructure.apply", "pulumi cdk serverless sls sam copilot eb amplify nomad sst", MEDIUM, "Changes infrastructure.", sub="up|deploy|update|run|promote|publish"),
    Rule("infrastructure.state", "terraform", SERIOUS, "Changes what the tool believes exists.", sub="state rm|state mv|state push|state replace-provider|taint|untaint|force-unlock|import|workspace delete",
         when=lambda c: c.positionals[0] not in ("force-unlock", "workspace") or len(c.positionals) > 2 or "-force" in c.flags),
    Rule("infrastructure.state", "pulumi", SERIOUS, "Changes what the tool believes exists.", sub="state *|stack rm|cancel|refresh|stack import"),
    Rule("infrastructure.ansible", "ansible ansible-playbook salt puppet chef-client chef knife fab", MEDIUM, "Changes machines.", without="--check --list-hosts --syntax-check --version --list-tasks -C --list",
         when=lambda c: "ping" not in c.values("-m", "--module-name")),
    Rule("platform.delete", "heroku", SERIOUS, "Removes, stops or changes an application.", when=lambda c: bool(c.positionals) and bool(re.match(
        r"^(?:[\w-]+:(?:destroy|delete|remove|rm|kill|stop|restart|reset|unset|detach|disable|leave|rename|rotate|update|on|revoke|transfer|rollback|clear|uninstall|promote|add|downgrade|failover|killall|repoint|unfollow)|rollback|destroy|drains:remove)$", c.positionals[0]))),
    Rule("platform.delete", "netlify", SERIOUS, "Removes or overwrites a site's settings.", when=lambda c: bool(c.positionals) and bool(re.match(r"^(?:sites:delete|env:unset|env:clone|functions:delete|blobs:delete|addons:delete|unlink)$", c.positionals[0])) and (c.positionals[0] == "sites:delete" or len(c.args) > 1)),
    Rule("platform.delete", "vercel now", SERIOUS, "Removes a deployment, a domain or a setting.", sub="remove|rm|project rm|project remove|env rm *|env remove *|domains rm|domain rm|domains remove|domain remove|alias rm|alias remove|secrets rm|certs rm|dns rm|teams *|rollback|promote"),
    Rule("platform.delete", "fly", SERIOUS, "Removes an application or its data.", sub="apps destroy|app destroy|volume destroy|volumes destroy|postgres destroy|machine destroy|machines destroy|redis destroy|certs *|ips release|destroy|secrets unset *|scale *|suspend *|* delete|* remove|* detach|* kill|* stop|volumes delete|machine *"),
    Rule("platform.delete", "wrangler railway render surge firebase supabase planetscale pscale turso neonctl cf dokku scalingo clever gigalixir porter flyio eb apphosting now appwrite nhost hasura",
         SERIOUS, "Removes an application, its data or its settings.", arg=r"(?i)^(?:[\w-]+:)?(?:delete|destroy|remove|rm|unset|teardown|down|purge|reset|disable|delete-(?:app|service|space|org|route)|push:force)$"),
    Rule("platform.delete", "wrangler firebase supabase", MEDIUM, "Publishes an application.", sub="deploy|publish|db push|db reset|pages deploy|secret put|functions deploy"),
    Rule("secret-store.read", "vault", SERIOUS, "Reads or changes secrets.", sub="read *|kv get|kv *|token *|write *|delete *|secrets disable|lease revoke|operator *|policy *|unwrap *|list *|login"),
    Rule("secret-store.read", "op pass bw lpass keepassxc-cli gopass chamber doppler sops aws-vault security secret-tool keyring", SERIOUS, "Reads secrets from a password store.",
         sub="read *|item get|show *|get *|get|list|ls|export*|-c *|secrets|secrets *|-d *|exec *|find-generic-password|find-internet-password|dump-keychain|lookup *|unlock|search *|* show|* get|document get|decrypt *", when=lambda c: c.name != "pass" or bool(c.args)),
    Rule("platform.scale", "heroku", MINOR, "Changes how an application runs.", sub="ps:scale|config:set|releases:*|run *|deploy*"),
)  # fmt: skip
