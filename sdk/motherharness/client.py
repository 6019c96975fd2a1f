"""The async client: every public call of the three services, with deadlines, retries and typed errors."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import audit_pb2, policy_pb2, risk_pb2
from harness.backup.v1 import backup_pb2
from harness.common.v1 import action_pb2
from harness.orchestrator.v1 import plan_pb2, project_pb2, run_pb2, task_pb2
from motherharness.approvals import ApprovalCalls
from motherharness.errors import HarnessError
from motherharness.transport import (
    DEFAULT_TIMEOUT,
    Connection,
    Transport,
    backoff,
    is_transient,
    new_request_id,
)
from motherharness.webhook_calls import WebhookCalls

Environment = action_pb2.Environment
PAGE_SIZE = 200


def plan_from(plan: "plan_pb2.Plan | Mapping[str, Any]") -> plan_pb2.Plan:
    """Return a plan; a mapping is read as the proto3 JSON form, e.g. {"steps": [{"id": "a", "agent":
    "shell"}]}.

    Raises:
        google.protobuf.json_format.ParseError: the mapping has unknown fields or wrong types.
    """
    return plan if isinstance(plan, plan_pb2.Plan) else ParseDict(dict(plan), plan_pb2.Plan())


class Client(ApprovalCalls, WebhookCalls):
    """Calls the services on behalf of one caller. `async with Client() as client:` closes it.

    Every call has a deadline. Calls that are safe to repeat are repeated on UNAVAILABLE and ABORTED until it
    has passed; creations carry a request_id for that, made here unless given. All raise HarnessError.

    Args:
        connection: addresses, token and TLS; default from the environment (see Connection.from_env).
        timeout: seconds that each call may take with all its tries.
    """

    def __init__(self, connection: Connection | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.connection = connection or Connection.from_env()
        self._transport = Transport(self.connection, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # Projects

    async def create_project(
        self,
        display_name: str,
        *,
        description: str = "",
        environment: Environment.ValueType = action_pb2.ENVIRONMENT_DEVELOPMENT,
        request_id: str = "",
    ) -> project_pb2.Project:
        """Create a project owned by the caller."""
        request = project_pb2.CreateProjectRequest(
            display_name=display_name,
            description=description,
            environment=environment,
            request_id=request_id or new_request_id(),
        )
        call = self._transport.call(self._transport.projects.CreateProject, request, idempotent=True)
        return (await call).project

    async def get_project(self, project_id: str) -> project_pb2.Project:
        """Return one project."""
        request = project_pb2.GetProjectRequest(project_id=project_id)
        return (await self._transport.call(self._transport.projects.GetProject, request, idempotent=True)).project

    async def list_projects(self, *, show_archived: bool = False) -> AsyncIterator[project_pb2.Project]:
        """Yield the caller's projects, newest first."""
        request = project_pb2.ListProjectsRequest(page_size=PAGE_SIZE, show_archived=show_archived)
        while True:
            page = await self._transport.call(self._transport.projects.ListProjects, request, idempotent=True)
            for project in page.projects:
                yield project
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def update_project(self, project: project_pb2.Project, fields: Sequence[str]) -> project_pb2.Project:
        """Change the named fields; with an etag set, only if the project has not changed since it was
        read."""
        request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=fields))
        call = self._transport.call(self._transport.projects.UpdateProject, request, idempotent=False)
        return (await call).project

    async def archive_project(self, project_id: str) -> project_pb2.Project:
        """Archive a project: nothing new starts in it."""
        request = project_pb2.ArchiveProjectRequest(project_id=project_id)
        call = self._transport.call(self._transport.projects.ArchiveProject, request, idempotent=True)
        return (await call).project

    # Tasks

    async def create_task(
        self,
        project_id: str,
        query: str,
        *,
        plan: "plan_pb2.Plan | Mapping[str, Any] | None" = None,
        request_id: str = "",
    ) -> task_pb2.Task:
        """Create a task with the plan given, or have one planned from the query."""
        request = task_pb2.CreateTaskRequest(
            project_id=project_id,
            query=query,
            plan=None if plan is None else plan_from(plan),
            request_id=request_id or new_request_id(),
        )
        return (await self._transport.call(self._transport.tasks.CreateTask, request, idempotent=True)).task

    async def get_task(self, task_id: str) -> task_pb2.Task:
        """Return one task with its plan."""
        request = task_pb2.GetTaskRequest(task_id=task_id)
        return (await self._transport.call(self._transport.tasks.GetTask, request, idempotent=True)).task

    async def list_tasks(self, *, project_id: str = "") -> AsyncIterator[task_pb2.Task]:
        """Yield the caller's tasks without their plans, newest first."""
        request = task_pb2.ListTasksRequest(page_size=PAGE_SIZE, project_id=project_id)
        while True:
            page = await self._transport.call(self._transport.tasks.ListTasks, request, idempotent=True)
            for task in page.tasks:
                yield task
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # Runs

    async def start_run(self, task_id: str, *, request_id: str = "") -> run_pb2.Run:
        """Start the task's plan."""
        request = run_pb2.StartRunRequest(task_id=task_id, request_id=request_id or new_request_id())
        return (await self._transport.call(self._transport.runs.StartRun, request, idempotent=True)).run

    async def get_run(self, run_id: str) -> run_pb2.Run:
        """Return one run with its steps."""
        request = run_pb2.GetRunRequest(run_id=run_id)
        return (await self._transport.call(self._transport.runs.GetRun, request, idempotent=True)).run

    async def list_runs(self, *, project_id: str = "", task_id: str = "") -> AsyncIterator[run_pb2.Run]:
        """Yield the caller's runs without their steps, newest first."""
        request = run_pb2.ListRunsRequest(page_size=PAGE_SIZE, project_id=project_id, task_id=task_id)
        while True:
            page = await self._transport.call(self._transport.runs.ListRuns, request, idempotent=True)
            for run in page.runs:
                yield run
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel_run(self, run_id: str, *, reason: str = "") -> run_pb2.Run:
        """End a run; its leases are void."""
        request = run_pb2.CancelRunRequest(run_id=run_id, reason=reason)
        return (await self._transport.call(self._transport.runs.CancelRun, request, idempotent=True)).run

    async def list_events(self, run_id: str) -> AsyncIterator[run_pb2.Event]:
        """Yield a run's history so far, oldest first."""
        request = run_pb2.ListEventsRequest(run_id=run_id, page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.runs.ListEvents, request, idempotent=True)
            for event in page.events:
                yield event
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch_run(
        self, run_id: str, *, after_sequence: int = 0, patience: float = 300.0
    ) -> AsyncIterator[run_pb2.Event]:
        """Yield a run's events, live, each once and in order, until the run has ended.

        Resumes after the last event when the connection breaks or the server restarts.

        Args:
            after_sequence: the last sequence the caller has; 0 starts at the beginning.
            patience: seconds without a server before giving up.

        Raises:
            HarnessError: the run does not exist, or no server answered for that long.
        """
        loop = asyncio.get_running_loop()
        last_contact, failures = loop.time(), 0
        while True:
            request = run_pb2.WatchRunRequest(run_id=run_id, after_sequence=after_sequence)
            try:
                async for message in self._transport.stream(self._transport.runs.WatchRun, request):
                    last_contact, failures = loop.time(), 0
                    if message.event.sequence <= after_sequence:
                        continue
                    after_sequence = message.event.sequence
                    yield message.event
                    if message.event.type == run_pb2.EVENT_TYPE_RUN_TERMINATED:
                        return
                # A stream that ends without the last event was cut short; one of an ended run has no more
                # to say.
                run = await self.get_run(run_id)
                if run.status == run_pb2.RUN_STATUS_TERMINATED and failures:
                    return
                failures += 1
            except HarnessError as error:
                lost = error.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
                if not (is_transient(error) or lost) or loop.time() - last_contact > patience:
                    raise
                failures += 1
            await asyncio.sleep(backoff(failures))

    async def verify_run(self, run_id: str) -> run_pb2.VerifyRunResponse:
        """Have the server fold the run's events and compare the result with the stored state."""
        request = run_pb2.VerifyRunRequest(run_id=run_id)
        return await self._transport.call(self._transport.runs.VerifyRun, request, idempotent=True)

    # Approvals

    async def assess(
        self,
        items: Sequence[risk_pb2.AssessItem],
        *,
        policy_environment: Environment.ValueType = action_pb2.ENVIRONMENT_UNSPECIFIED,
    ) -> list[risk_pb2.AssessedItem]:
        """Assess up to 1000 items without storing anything; answers are in their order.

        Args:
            policy_environment: whose policy decides the outcomes; default that of each item's own environment.
        """
        request = risk_pb2.AssessActionsRequest(items=items, policy_environment=policy_environment)
        call = self._transport.call(self._transport.risk.AssessActions, request, idempotent=True)
        return list((await call).items)

    async def get_policy(self, environment: Environment.ValueType, *, version: int = 0) -> policy_pb2.Policy:
        """Return the policy of an environment; with a version, what it was then."""
        request = policy_pb2.GetPolicyRequest(environment=environment, version=version)
        return (await self._transport.call(self._transport.policies.GetPolicy, request, idempotent=True)).policy

    async def update_policy(self, policy: policy_pb2.Policy) -> policy_pb2.Policy:
        """Replace the policy of an environment; with an etag set, only if it has not changed since it was
        read."""
        request = policy_pb2.UpdatePolicyRequest(policy=policy)
        call = self._transport.call(self._transport.policies.UpdatePolicy, request, idempotent=False)
        return (await call).policy

    async def list_policy_versions(self, environment: Environment.ValueType) -> AsyncIterator[policy_pb2.PolicyVersion]:
        """Yield who saved the policy of an environment, and when, newest first."""
        request = policy_pb2.ListPolicyVersionsRequest(environment=environment, page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.policies.ListPolicyVersions, request, idempotent=True)
            for version in page.versions:
                yield version
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def test_policy(
        self,
        draft: policy_pb2.Policy,
        *,
        examples: Sequence[policy_pb2.PolicyExample] = (),
        last_requests: int = 0,
    ) -> policy_pb2.TestPolicyResponse:
        """Return what a draft would decide about examples, and about the newest real requests. Saves nothing."""
        request = policy_pb2.TestPolicyRequest(policy=draft, examples=examples, last_requests=last_requests)
        return await self._transport.call(self._transport.policies.TestPolicy, request, idempotent=True)

    # Audit

    async def list_audit_events(
        self,
        *,
        approval_id: str = "",
        actor: str = "",
        event_type: audit_pb2.AuditEventType.ValueType = audit_pb2.AUDIT_EVENT_TYPE_UNSPECIFIED,
        project_id: str = "",
        run_id: str = "",
        since: float = 0.0,
        until: float = 0.0,
    ) -> AsyncIterator[audit_pb2.AuditRecord]:
        """Yield what happened, newest first; times are seconds since the epoch, 0 for no bound."""
        request = audit_pb2.ListAuditEventsRequest(
            page_size=PAGE_SIZE,
            approval_id=approval_id,
            actor=actor,
            type=event_type,
            project_id=project_id,
            run_id=run_id,
        )
        for bound, time in ((request.start_time, since), (request.end_time, until)):
            if time:
                bound.FromNanoseconds(round(time * 1e9))
        while True:
            page = await self._transport.call(self._transport.audit.ListAuditEvents, request, idempotent=True)
            for record in page.records:
                yield record
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def verify_audit(self, known_checkpoints: Iterable[str] = ()) -> AsyncIterator[audit_pb2.VerifyAuditResponse]:
        """Yield how far the verification of the trail is, and for every shard what was found, with `done` set.

        Args:
            known_checkpoints: lines that were kept elsewhere.
        """
        request = audit_pb2.VerifyAuditRequest(known_checkpoints=known_checkpoints)
        async for message in self._transport.stream(self._transport.audit.VerifyAudit, request):
            yield message

    async def export_audit(self) -> AsyncIterator[bytes]:
        """Yield the whole trail as JSON lines, some at a time; `motherharness.audit` verifies them."""
        request = audit_pb2.ExportAuditRequest()
        async for message in self._transport.stream(self._transport.audit.ExportAudit, request):
            yield message.data

    # Backups

    async def list_targets(self) -> list[backup_pb2.Target]:
        """Return what can be backed up."""
        request = backup_pb2.ListTargetsRequest()
        return list((await self._transport.call(self._transport.backups.ListTargets, request, idempotent=True)).targets)

    async def create_backup(self, target: str, *, request_id: str = "") -> backup_pb2.Backup:
        """Start a backup; follow it with watch_backup."""
        request = backup_pb2.CreateBackupRequest(target=target, request_id=request_id or new_request_id())
        call = self._transport.call(self._transport.backups.CreateBackup, request, idempotent=True)
        return (await call).backup

    async def get_backup(self, backup_id: str) -> backup_pb2.Backup:
        """Return one backup."""
        request = backup_pb2.GetBackupRequest(backup_id=backup_id)
        return (await self._transport.call(self._transport.backups.GetBackup, request, idempotent=True)).backup

    async def list_backups(self, *, target: str = "") -> AsyncIterator[backup_pb2.Backup]:
        """Yield backups, newest first."""
        request = backup_pb2.ListBackupsRequest(page_size=PAGE_SIZE, target=target)
        while True:
            page = await self._transport.call(self._transport.backups.ListBackups, request, idempotent=True)
            for backup in page.backups:
                yield backup
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch_backup(self, backup_id: str) -> AsyncIterator[backup_pb2.Backup]:
        """Yield a backup as it changes, until it has ended."""
        request = backup_pb2.WatchBackupRequest(backup_id=backup_id)
        async for message in self._transport.stream(self._transport.backups.WatchBackup, request):
            yield message.backup

    async def verify_backup(
        self,
        backup_id: str,
        *,
        level: backup_pb2.VerifyLevel.ValueType = backup_pb2.VERIFY_LEVEL_UNSPECIFIED,
        timeout: float = 3600.0,
    ) -> backup_pb2.VerifyBackupResponse:
        """Verify an archive (default: to level CONTENT) and say whether it is whole."""
        request = backup_pb2.VerifyBackupRequest(backup_id=backup_id, level=level)
        verify = self._transport.backups.VerifyBackup
        return await self._transport.call(verify, request, idempotent=True, timeout=timeout)

    async def export_backup(self, backup_id: str) -> AsyncIterator[bytes]:
        """Yield the pieces of a backup as a plain RDB file; it is whole only if this ends without an error."""
        request = backup_pb2.ExportBackupRequest(backup_id=backup_id)
        async for message in self._transport.stream(self._transport.backups.ExportBackup, request):
            yield message.data

    async def delete_backup(self, backup_id: str, *, force: bool = False) -> None:
        """Delete a backup; the last verified one of its target only with force."""
        request = backup_pb2.DeleteBackupRequest(backup_id=backup_id, force=force)
        await self._transport.call(self._transport.backups.DeleteBackup, request, idempotent=False)

    async def prune_backups(
        self,
        target: str,
        *,
        max_age: float | None = None,
        retention: backup_pb2.Retention | None = None,
        dry_run: bool = False,
        timeout: float = 3600.0,
    ) -> backup_pb2.PruneBackupsResponse:
        """Delete what retention does not keep (default: the service's own), never the last good backup, never
        pinned ones.

        Args:
            target: whose backups.
            max_age: keep what is younger than so many seconds.
            retention: what to keep, instead of max_age.
            dry_run: only say what would be deleted, and why.
            timeout: in seconds; the newest backup is verified first.
        """
        age = None if max_age is None else Duration(seconds=int(max_age))
        request = backup_pb2.PruneBackupsRequest(target=target, max_age=age, retention=retention, dry_run=dry_run)
        prune = self._transport.backups.PruneBackups
        return await self._transport.call(prune, request, idempotent=False, timeout=timeout)

    async def pin_backup(self, backup_id: str, *, note: str = "") -> backup_pb2.Backup:
        """Keep a backup from retention and deletion."""
        request = backup_pb2.PinBackupRequest(backup_id=backup_id, note=note)
        return (await self._transport.call(self._transport.backups.PinBackup, request, idempotent=True)).backup

    async def unpin_backup(self, backup_id: str) -> backup_pb2.Backup:
        """Let retention have a backup again."""
        request = backup_pb2.UnpinBackupRequest(backup_id=backup_id)
        return (await self._transport.call(self._transport.backups.UnpinBackup, request, idempotent=True)).backup

    async def list_repositories(self) -> list[backup_pb2.Repository]:
        """Return the places that backups go to, and what they have."""
        request = backup_pb2.ListRepositoriesRequest()
        call = self._transport.call(self._transport.backups.ListRepositories, request, idempotent=True)
        return list((await call).repositories)

    async def rebuild_catalog(self, *, timeout: float = 600.0) -> list[backup_pb2.Backup]:
        """Make the catalog agree with the archives; returns the entries that were added or corrected."""
        request = backup_pb2.RebuildCatalogRequest()
        rebuild = self._transport.backups.RebuildCatalog
        return list((await self._transport.call(rebuild, request, idempotent=True, timeout=timeout)).changed)

    async def restore_backup(
        self, backup_id: str, *, confirm_target: str, target: str = "", request_id: str = ""
    ) -> backup_pb2.Restore:
        """Start to make a target's keys what the backup holds; confirm_target names the target whose keys
        go."""
        request = backup_pb2.RestoreBackupRequest(
            backup_id=backup_id,
            target=target,
            confirm_target=confirm_target,
            request_id=request_id or new_request_id(),
        )
        call = self._transport.call(self._transport.backups.RestoreBackup, request, idempotent=True)
        return (await call).restore

    async def get_restore(self, restore_id: str) -> backup_pb2.Restore:
        """Return one restore with its report."""
        request = backup_pb2.GetRestoreRequest(restore_id=restore_id)
        return (await self._transport.call(self._transport.backups.GetRestore, request, idempotent=True)).restore

    async def watch_restore(self, restore_id: str) -> AsyncIterator[backup_pb2.Restore]:
        """Yield a restore as it changes, until it has ended."""
        request = backup_pb2.WatchRestoreRequest(restore_id=restore_id)
        async for message in self._transport.stream(self._transport.backups.WatchRestore, request):
            yield message.restore
