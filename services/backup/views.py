"""Translating between what archives and jobs know and the contract's messages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from harness.backup.v1 import backup_pb2 as pb
from services.backup.archive import Level, Manifest, PrefixCounts
from services.backup.failure import JobFailed
from services.backup.rdb import type_name
from services.backup.retention import Verdict

_LAST_TIMESTAMP_MS: Final = 253_402_300_799_999


def timestamp(milliseconds: int) -> Timestamp:
    """Unix milliseconds as a message."""
    value = Timestamp()
    value.FromMilliseconds(milliseconds)
    return value


def verify_level(level: Level) -> pb.VerifyLevel.ValueType:
    """A level as the contract has it."""
    return pb.VerifyLevel.Value(f"VERIFY_LEVEL_{level.name}")


def requested_level(level: pb.VerifyLevel.ValueType) -> Level:
    """The level that a request asks for; CONTENT if it leaves it open."""
    if level == pb.VERIFY_LEVEL_UNSPECIFIED:
        return Level.CONTENT
    return Level[pb.VerifyLevel.Name(level).removeprefix("VERIFY_LEVEL_")]


def prefix_summary(counts: PrefixCounts) -> pb.PrefixSummary:
    """Counts by RDB type, summed up by the type that users know."""
    by_type: Counter[str] = Counter()
    for kind, number in counts.types.items():
        by_type[type_name(int(kind))] += number
    summary = pb.PrefixSummary(
        prefix=counts.prefix,
        keys=counts.keys,
        bytes=counts.bytes,
        expiring_keys=counts.expiring_keys,
        keys_by_type=by_type,
        digest=counts.digest or "",
    )
    if counts.first_expiry_ms is not None and counts.last_expiry_ms is not None:
        summary.first_expiry.CopyFrom(_expiry(counts.first_expiry_ms))
        summary.last_expiry.CopyFrom(_expiry(counts.last_expiry_ms))
    return summary


def _expiry(milliseconds: int) -> Timestamp:
    # A server takes expiries that a Timestamp cannot hold: it ends with the year 9999.
    return timestamp(min(max(milliseconds, 0), _LAST_TIMESTAMP_MS))


def completed_backup(manifest: Manifest, archive_bytes: int, digest: str) -> pb.Backup:
    """The catalog's record of an archive, all of it from the archive. `verify_time` is left to the caller."""
    snapshot, source = manifest.snapshot, manifest.snapshot.source
    return pb.Backup(
        backup_id=snapshot.backup_id,
        target=snapshot.target,
        state=pb.BACKUP_STATE_COMPLETED,
        progress=pb.Progress(phase=pb.PHASE_DONE, keys=manifest.keys, bytes=source.rdb_bytes, total_keys=manifest.keys),
        create_time=timestamp(snapshot.create_time_ms),
        end_time=timestamp(snapshot.end_time_ms),
        source=pb.Source(
            server_version=source.server_version,
            replication_id=source.replication_id,
            replication_offset=source.replication_offset,
            rdb_version=source.rdb_version,
            engine=source.engine,
        ),
        prefixes=[prefix_summary(counts) for counts in manifest.prefixes],
        keys=manifest.keys,
        archive_bytes=archive_bytes,
        digest=digest,
        created_by=snapshot.created_by,
        restore_id=snapshot.restore_id,
        consistency=(pb.CONSISTENCY_POINT_IN_TIME if snapshot.consistency == "point-in-time" else pb.CONSISTENCY_FUZZY),
        flags=manifest.flags,
        functions=manifest.functions,
    )


def copies(names: Iterable[str], failures: Mapping[str, str]) -> list[pb.Copy]:
    """Where a backup that was just made is; `failures` are why which repository does not have it."""
    return [
        pb.Copy(
            repository=name,
            state=pb.COPY_STATE_MISSING if name in failures else pb.COPY_STATE_STORED,
            problem=failures.get(name, ""),
        )
        for name in names
    ]


def retention_verdicts(verdicts: Iterable[Verdict], refused: Mapping[str, str]) -> list[pb.RetentionVerdict]:
    """What retention says; `refused` are backups that their repository did not let go, with the reason."""
    shown = []
    for verdict in verdicts:
        backup_id = verdict.backup.backup_id
        reasons = [*verdict.reasons, *([f"refused: {refused[backup_id]}"] if backup_id in refused else [])]
        shown.append(pb.RetentionVerdict(backup_id=backup_id, kept=verdict.kept, reasons=reasons))
    return shown


def job_error(failure: JobFailed) -> pb.JobError:
    return pb.JobError(reason=failure.reason, message=failure.message)


def aftermath(restore: pb.Restore) -> str:
    """What a restore that failed has left, and how to go on; the end of its error message."""
    if restore.outcome == pb.RESTORE_OUTCOME_UNTOUCHED:
        return (
            "No live key was changed. Remove the cause and restore again; "
            "what was written beside the live keys is removed by that."
        )
    switched = f"{restore.report.restored_keys} keys were switched and {restore.report.removed_keys} removed"
    if restore.outcome == pb.RESTORE_OUTCOME_RESTORED:
        return f"All {switched}, but they could not be counted."
    return (
        f"The switch had begun ({switched}): the others are as before. Restore {restore.backup_id} again to "
        f"complete it, or restore {restore.pre_restore_backup_id} to go back."
    )
