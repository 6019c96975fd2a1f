"""The audit trail of the approval service, verified offline: that no record was changed, removed or put elsewhere.

    report = verify_export(path.open("rb"), keys=read_keys(trusted), known=read_checkpoints(kept.open("rb")))

`docs/audit.md` has the format. Nothing here asks a service; what cannot be told from the file alone, such as that all
of it is forged with other keys, takes keys or checkpoints that were kept elsewhere.
"""

from motherharness.audit.chain import AuditBroken, Chain, ShardReport
from motherharness.audit.export import ExportReport, read_checkpoints, verify_export
from motherharness.audit.keys import read_keys

__all__ = ["AuditBroken", "Chain", "ExportReport", "ShardReport", "read_checkpoints", "read_keys", "verify_export"]
