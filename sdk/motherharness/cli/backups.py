"""`harness backup`: snapshots of the services' state, and restoring them."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from harness.backup.v1 import backup_pb2
from motherharness.cli.output import FAILED, as_dict, emit, note, say, short, show, stderr, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

backups = typer.Typer(
    no_args_is_help=True, help="Snapshots: create, list, verify, restore, pin, delete, prune, and where they go."
)


class Level(StrEnum):
    """How far to verify."""

    FOOTER = "footer"
    FRAMES = "frames"
    CONTENT = "content"
    SERVER = "server"


NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it has started.")]
DAY = 86400.0


@backups.command("targets")
def targets(json_output: Json = False) -> None:
    """List what can be backed up."""

    async def get(client: Client) -> list[backup_pb2.Target]:
        return await client.list_targets()

    found = call(get, as_json=json_output)
    if json_output:
        emit({"targets": [as_dict(target) for target in found]})
        return
    rows = [(t.name, ", ".join(t.prefixes), "yes" if t.restorable else "no") for t in found]
    table(("TARGET", "PREFIXES", "RESTORABLE"), rows)


@backups.command("create")
def create(target: str, no_wait: NoWait = False, json_output: Json = False) -> None:
    """Take a snapshot. Exit code 1 means that it failed."""

    async def run(client: Client) -> backup_pb2.Backup:
        backup = await client.create_backup(target)
        if no_wait:
            return backup
        with progress_bar(hidden=json_output) as bar:
            job = bar.add_task("backup", total=None)
            async for latest in client.watch_backup(backup.backup_id):
                advance(bar, job, latest.progress)
                backup = latest
        return backup

    backup = call(run, as_json=json_output)
    if json_output:
        show(backup, as_json=True)
    else:
        say(backup.backup_id, summary(backup))
    if backup.state not in (backup_pb2.BACKUP_STATE_COMPLETED, backup_pb2.BACKUP_STATE_RUNNING):
        note(f"{backup.error.reason}: {backup.error.message}", style="red")
        raise typer.Exit(FAILED)


@backups.command("list")
def list_backups(target: str = "", json_output: Json = False) -> None:
    """List backups, newest first."""

    async def collect(client: Client) -> list[backup_pb2.Backup]:
        return [backup async for backup in client.list_backups(target=target)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"backups": [as_dict(backup) for backup in found]})
        return
    state = backup_pb2.BackupState
    rows = [
        (b.backup_id, b.target, short(state.Name(b.state)), when(b.create_time), b.keys, b.archive_bytes, b.created_by)
        for b in found
    ]
    table(("BACKUP", "TARGET", "STATE", "CREATED", "KEYS", "BYTES", "BY"), rows)


@backups.command("verify")
def verify(
    backup_id: str,
    level: Annotated[Level, typer.Option(help="How far; each includes those before it.")] = Level.CONTENT,
    json_output: Json = False,
) -> None:
    """Verify an archive again. Exit code 1 means that it is damaged."""
    wanted = backup_pb2.VerifyLevel.Value(f"VERIFY_LEVEL_{level.name}")

    async def run(client: Client) -> backup_pb2.VerifyBackupResponse:
        with progress_bar(hidden=json_output) as bar:
            bar.add_task("verifying", total=None)
            return await client.verify_backup(backup_id, level=wanted)

    answer = call(run, as_json=json_output)
    if json_output:
        show(answer, as_json=True)
    else:
        say("whole" if answer.whole else f"damaged: {answer.problem}", style="green" if answer.whole else "bold red")
    if not answer.whole:
        raise typer.Exit(FAILED)


@backups.command("export")
def export(
    backup_id: str,
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    rdb: Annotated[bool, typer.Option("--rdb", help="As a plain RDB file; there is no other format yet.")] = True,
    json_output: Json = False,
) -> None:
    """Write a backup to a file that a plain Redis loads. The file appears only when it is complete."""
    if file.exists():
        raise typer.BadParameter(f"{file} exists already")
    unfinished = file.with_name(f".{file.name}.part")

    async def run(client: Client) -> int:
        size = 0
        with progress_bar(hidden=json_output) as bar, unfinished.open("xb") as out:
            job = bar.add_task("export", total=None)
            async for chunk in client.export_backup(backup_id):
                out.write(chunk)
                size += len(chunk)
                bar.update(job, description=f"export: {size} bytes")
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(file)
        return size

    try:
        size = call(run, as_json=json_output)
    finally:
        unfinished.unlink(missing_ok=True)
    if json_output:
        emit({"backup_id": backup_id, "file": str(file), "bytes": size})
    else:
        say(f"{file}: {size} bytes")


@backups.command("restore")
def restore(
    backup_id: str,
    confirm: Annotated[str, typer.Option(help="The name of the target: its present keys are replaced.")],
    target: Annotated[str, typer.Option(help="Where to; default the target that was backed up.")] = "",
    no_wait: NoWait = False,
    json_output: Json = False,
) -> None:
    """Make a target's keys what a backup holds. Stop the service that owns them first. Exit code 1: it failed."""

    async def run(client: Client) -> backup_pb2.Restore:
        restored = await client.restore_backup(backup_id, confirm_target=confirm, target=target)
        if no_wait:
            return restored
        with progress_bar(hidden=json_output) as bar:
            job = bar.add_task("restore", total=None)
            async for latest in client.watch_restore(restored.restore_id):
                advance(bar, job, latest.progress)
                restored = latest
        return restored

    restored = call(run, as_json=json_output)
    if json_output:
        show(restored, as_json=True)
    else:
        report = restored.report
        say(restored.restore_id, short(backup_pb2.RestoreState.Name(restored.state)))
        say(f"restored {report.restored_keys} keys, removed {report.removed_keys}, counted {report.counted_keys} after")
        say(f"what was there before is in {restored.pre_restore_backup_id}")
    if restored.state == backup_pb2.RESTORE_STATE_FAILED:
        note(f"{restored.error.reason}: {restored.error.message}", style="red")
        raise typer.Exit(FAILED)


@backups.command("delete")
def delete(
    backup_id: str,
    force: Annotated[bool, typer.Option("--force", help="Even the last good one of its target.")] = False,
    json_output: Json = False,
) -> None:
    """Delete a backup."""

    async def run(client: Client) -> None:
        await client.delete_backup(backup_id, force=force)

    call(run, as_json=json_output)
    if json_output:
        emit({"deleted": backup_id})
    else:
        say("deleted", backup_id)


Periods = Annotated[int, typer.Option(min=0, help="Keep the newest of each of so many.")]


@backups.command("prune")
def prune(
    target: str,
    max_age_days: Annotated[
        float | None, typer.Option(help="Keep younger ones. Default: what the service keeps.")
    ] = None,
    hourly: Periods = 0,
    daily: Periods = 0,
    weekly: Periods = 0,
    monthly: Periods = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted, and why.")] = False,
    json_output: Json = False,
) -> None:
    """Delete what retention does not keep, after the newest one was verified. Exit code 1: some were not let go."""

    async def run(client: Client) -> backup_pb2.PruneBackupsResponse:
        if hourly or daily or weekly or monthly:
            days = int(max_age_days or 0)
            keep = backup_pb2.Retention(days=days, hourly=hourly, daily=daily, weekly=weekly, monthly=monthly)
            return await client.prune_backups(target, retention=keep, dry_run=dry_run)
        age = None if max_age_days is None else max_age_days * DAY
        return await client.prune_backups(target, max_age=age, dry_run=dry_run)

    answer = call(run, as_json=json_output)
    gone = {backup.backup_id for backup in answer.deleted}
    refused = [verdict for verdict in answer.verdicts if not verdict.kept and verdict.backup_id not in gone]
    if json_output:
        show(answer, as_json=True)
    else:
        told = {True: "kept", False: "would delete" if dry_run else "deleted"}
        rows = [
            (v.backup_id, "refused" if v in refused else told[v.kept], ", ".join(v.reasons)) for v in answer.verdicts
        ]
        table(("BACKUP", "VERDICT", "WHY"), rows)
        verb = "would delete" if dry_run else "deleted"
        say(f"{verb} {len(gone)} backups, {answer.freed_bytes} bytes; {answer.verified_backup_id} is whole")
    if refused:
        note(f"{len(refused)} backups were not let go; they are tried again after the next backup", style="red")
        raise typer.Exit(FAILED)


@backups.command("pin")
def pin(
    backup_id: str,
    reason: Annotated[str, typer.Option("--note", help="What it is kept for.")] = "",
    json_output: Json = False,
) -> None:
    """Keep a backup from retention and deletion."""

    async def run(client: Client) -> backup_pb2.Backup:
        return await client.pin_backup(backup_id, note=reason)

    backup = call(run, as_json=json_output)
    if json_output:
        show(backup, as_json=True)
    else:
        say(backup_id, "is pinned")


@backups.command("unpin")
def unpin(backup_id: str, json_output: Json = False) -> None:
    """Let retention have a backup again."""

    async def run(client: Client) -> backup_pb2.Backup:
        return await client.unpin_backup(backup_id)

    backup = call(run, as_json=json_output)
    if json_output:
        show(backup, as_json=True)
    else:
        say(backup_id, "is not pinned")


@backups.command("repositories")
def repositories(json_output: Json = False) -> None:
    """List where backups go. Exit code 1 means that one of them does not answer."""

    async def get(client: Client) -> list[backup_pb2.Repository]:
        return await client.list_repositories()

    found = call(get, as_json=json_output)
    if json_output:
        emit({"repositories": [as_dict(repository) for repository in found]})
    else:
        rows = [(r.name, "yes" if r.required else "no", r.archives, r.location, r.problem) for r in found]
        table(("REPOSITORY", "REQUIRED", "ARCHIVES", "LOCATION", "PROBLEM"), rows)
    if any(repository.problem for repository in found):
        raise typer.Exit(FAILED)


@backups.command("rebuild-catalog")
def rebuild_catalog(json_output: Json = False) -> None:
    """Make the catalog agree with the archives in the repositories."""

    async def run(client: Client) -> list[backup_pb2.Backup]:
        return await client.rebuild_catalog()

    changed = call(run, as_json=json_output)
    if json_output:
        emit({"changed": [as_dict(backup) for backup in changed]})
        return
    state = backup_pb2.BackupState
    table(("BACKUP", "TARGET", "STATE"), [(b.backup_id, b.target, short(state.Name(b.state))) for b in changed])
    say(f"{len(changed)} entries were added or corrected")


def progress_bar(*, hidden: bool) -> Progress:
    """Return a progress display on stderr; none unless that is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=stderr, transient=True, disable=hidden or not stderr.is_terminal)


def advance(bar: Progress, job: TaskID, progress: backup_pb2.Progress) -> None:
    """Show how far a job is."""
    phase = short(backup_pb2.Phase.Name(progress.phase)).replace("_", " ")
    total = progress.total_keys or None
    bar.update(job, description=f"{phase}: {progress.keys} keys", total=total, completed=progress.keys)


def summary(backup: backup_pb2.Backup) -> str:
    """Return a backup in a few words."""
    state = short(backup_pb2.BackupState.Name(backup.state))
    seconds = max(0.0, (backup.end_time.ToNanoseconds() or time.time_ns()) - backup.create_time.ToNanoseconds()) / 1e9
    return f"{state}: {backup.keys} keys, {backup.archive_bytes} bytes, {seconds:.2f} s"
