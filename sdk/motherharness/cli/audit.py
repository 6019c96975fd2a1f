"""`harness audit`: what happened, and whether the trail of it is whole."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.approval.v1 import audit_pb2
from motherharness.audit import AuditBroken, ExportReport, read_checkpoints, read_keys, verify_export
from motherharness.cli.output import FAILED, as_dict, emit, note, say, short, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

audit = typer.Typer(no_args_is_help=True, help="The audit trail: list, verify, export.")

Since = Annotated[datetime | None, typer.Option(help="From then on; UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Before then; UTC.")]
Checkpoint = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Checkpoints that were kept, or an earlier export.")
]
Keys = Annotated[
    Path | None,
    typer.Option(exists=True, help="Trusted public keys: PEM, a folder of it, or a JSON Web Key Set. With FILE only."),
]
Keep = Annotated[Path | None, typer.Option(help="Write the latest checkpoints here, to verify with next time.")]


@audit.command("list")
def list_events(
    approval: Annotated[str, typer.Option(help="About this approval.")] = "",
    actor: Annotated[str, typer.Option(help="Done by them.")] = "",
    type_name: Annotated[
        str, typer.Option("--type", help="approval_requested, voted, refused, policy_changed, ...")
    ] = "",
    project: Annotated[str, typer.Option(help="In this project.")] = "",
    run: Annotated[str, typer.Option(help="In this run.")] = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json_output: Json = False,
) -> None:
    """List what happened, newest first."""
    try:
        event_type = audit_pb2.AuditEventType.Value(f"AUDIT_EVENT_TYPE_{type_name.upper() or 'UNSPECIFIED'}")
    except ValueError:
        raise typer.BadParameter(f"{type_name!r} is not a type of event", param_hint="--type") from None

    async def collect(client: Client) -> list[audit_pb2.AuditRecord]:
        found: list[audit_pb2.AuditRecord] = []
        records = client.list_audit_events(
            approval_id=approval,
            actor=actor,
            event_type=event_type,
            project_id=project,
            run_id=run,
            since=_seconds(since),
            until=_seconds(until),
        )
        async for record in records:
            found.append(record)
            if len(found) == limit:
                break
        return found

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"records": [as_dict(record) for record in found]})
        return
    rows = [
        (when(record.time), short(audit_pb2.AuditEventType.Name(record.event.type)), *_who_and_what(record.event))
        for record in found
    ]
    table(("TIME", "EVENT", "BY", "ABOUT", "WHY"), rows)


@audit.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="An export; default the service's own trail.")
    ] = None,
    checkpoint: Checkpoint = None,
    keys: Keys = None,
    keep: Keep = None,
    json_output: Json = False,
) -> None:
    """Verify the trail: an export without asking anybody, or the service's own. Exit code 1: it is not whole."""
    if file is None:
        if keys is not None:
            raise typer.BadParameter(
                "the service verifies with its own keys; give the FILE of an export", param_hint="--keys"
            )
        _verify_service(checkpoint, keep, as_json=json_output)
    else:
        if keep is not None:
            raise typer.BadParameter("keep the export itself, its checkpoints are in it", param_hint="--keep")
        _verify_file(file, checkpoint, keys, as_json=json_output)


@audit.command("export")
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Written when it is complete, as JSON lines.")],
    json_output: Json = False,
) -> None:
    """Take the whole trail away, to keep and to verify elsewhere."""
    partial = file.with_name(f".{file.name}.partial")

    async def write(client: Client) -> int:
        size = 0
        with partial.open("wb") as target:
            async for data in client.export_audit():
                size += target.write(data)
            target.flush()
            os.fsync(target.fileno())
        return size

    try:
        size = call(write, as_json=json_output)
        partial.replace(file)
    except OSError as error:
        raise typer.BadParameter(f"cannot write {file}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    if json_output:
        emit({"file": str(file), "bytes": size})
    else:
        say(file, f"{size} bytes; verify it with `harness audit verify {file}`")


def _verify_file(file: Path, checkpoint: Path | None, keys: Path | None, *, as_json: bool) -> None:
    try:
        trusted = None if keys is None else read_keys(keys)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--keys") from error
    known = {}
    if checkpoint is not None:
        with checkpoint.open("rb") as lines:
            known = read_checkpoints(lines)
        if not known:
            raise typer.BadParameter(f"there is no checkpoint in {checkpoint}", param_hint="--checkpoint")
    try:
        with file.open("rb") as lines:
            report = verify_export(lines, keys=trusted, known=known)
    except AuditBroken as broken:
        if as_json:
            where = {"shard": broken.shard, "sequence": broken.sequence, "line": broken.line}
            emit({"whole": False, "problem": {"reason": broken.reason, "message": broken.message, **where}})
        else:
            shard = "" if broken.shard is None else f", shard {broken.shard}, record {broken.sequence}"
            line = f"line {broken.line}" if broken.line else "at the end"
            say(f"not whole: {broken.reason}, {line}{shard}: {broken.message}", style="bold red")
        raise typer.Exit(FAILED) from broken
    if as_json:
        emit(_as_json(report))
    else:
        _say_report(report)


def _as_json(report: ExportReport) -> dict[str, object]:
    return {
        "whole": True,
        "records": report.records,
        "shards": [vars(shard) for shard in report.shards],
        "kids": report.kids,
        "own_keys": report.own_keys,
        "time_ms": report.time_ms,
    }


def _say_report(report: ExportReport) -> None:
    made = datetime.fromtimestamp(report.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    say(f"whole: {report.records} records of {len(report.shards)} shards, exported {made}", style="green")
    for shard in report.shards:
        if shard.first > 1:
            removed = datetime.fromtimestamp(shard.root_time_ms / 1000, UTC).strftime("%Y-%m-%d")
            say(f"shard {shard.shard} starts at record {shard.first}: the retention removed what was before, {removed}")
    met = sum(shard.known_met for shard in report.shards)
    if met:
        say(f"goes through {met} checkpoints that were kept")
    say("signed with", ", ".join(report.kids))
    if report.own_keys:
        note(
            "These keys came with the file: whoever can forge it all can put theirs there. Give --keys or --checkpoint."
        )


def _verify_service(checkpoint: Path | None, keep: Path | None, *, as_json: bool) -> None:
    known = [] if checkpoint is None else _latest_lines(checkpoint)

    async def run(client: Client) -> list[audit_pb2.VerifyAuditResponse]:
        return [report async for report in client.verify_audit(known) if report.done]

    reports = call(run, as_json=as_json)
    broken = [report for report in reports if report.HasField("problem")]
    if as_json:
        emit({"whole": not broken, "shards": [as_dict(report) for report in reports]})
    else:
        for report in broken:
            problem = report.problem
            where = f"shard {report.shard}, record {problem.sequence}"
            say(f"not whole: {problem.reason}, {where}: {problem.message}", style="bold red")
        for report in reports:
            if report.first_sequence > 1:
                start = f"shard {report.shard} starts at record {report.first_sequence}"
                say(f"{start}: the retention removed what was before")
        counts = f"{sum(r.records_checked for r in reports)} records of {len(reports)} shards"
        unsealed = sum(report.unsealed for report in reports)
        say(f"{'checked' if broken else 'whole'}: {counts}; {unsealed} not sealed yet", style="" if broken else "green")
    if broken:
        raise typer.Exit(FAILED)
    if keep is not None:
        keep.write_text("".join(report.checkpoint + "\n" for report in reports if report.checkpoint))


def _latest_lines(path: Path) -> list[str]:
    """Return the latest checkpoint of each shard: with it the chain goes through those before it as well."""
    latest: dict[int, tuple[int, str]] = {}
    with path.open("rb") as lines:
        for line in lines:
            for shard, hashes in read_checkpoints([line]).items():
                latest[shard] = max(latest.get(shard, (0, "")), (max(hashes), line.decode().rstrip("\n")))
    if not latest:
        raise typer.BadParameter(f"there is no checkpoint in {path}", param_hint="--checkpoint")
    return [line for _, line in latest.values()]


def _who_and_what(event: audit_pb2.AuditEvent) -> tuple[str, str, str]:
    by = event.actor
    if event.on_behalf_of:
        by += f" for {event.on_behalf_of}"
    if event.acting:
        by += f" (through {event.acting})"
    why = event.reason or event.policy_rule
    return by, event.approval_id or event.subject_name, f"{event.error_reason}: {why}" if event.error_reason else why


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.replace(tzinfo=UTC).timestamp()
