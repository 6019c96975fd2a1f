"""`harness project|task|run`: what people ask for, and what becomes of it."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import ParseError

from harness.common.v1 import action_pb2
from harness.orchestrator.v1 import plan_pb2, project_pb2, run_pb2, task_pb2
from motherharness.cli.output import FAILED, as_dict, emit, note, say, short, show, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client, plan_from
from motherharness.structs import from_struct
from motherharness.text import line

projects = typer.Typer(no_args_is_help=True, help="Projects group tasks, and say where their effects land.")
tasks = typer.Typer(no_args_is_help=True, help="Tasks: what is wanted, and the plan for it.")
runs = typer.Typer(no_args_is_help=True, help="Runs carry out a task's plan.")

Environment = Annotated[str, typer.Option(help="development, staging or production")]
Plan = Annotated[Path | None, typer.Option(help='JSON file {"steps": [...]}; "-" reads standard input.')]
Watch = Annotated[bool, typer.Option("--watch", help="Follow the run to its end.")]
RequestId = Annotated[str, typer.Option(help="Repeat a creation with the same id to get the first result.")]
STYLES = {"completed": "green", "failed": "red", "rejected": "red", "terminated": "bold", "requested": "yellow"}


@projects.command("create")
def create_project(
    name: str, description: str = "", environment: Environment = "development", json_output: Json = False
) -> None:
    """Create a project of yours."""
    wanted = environment_of(environment)

    async def create(client: Client) -> project_pb2.Project:
        return await client.create_project(name, description=description, environment=wanted)

    project = call(create, as_json=json_output)
    if json_output:
        show(project, as_json=True)
    else:
        say(project.id)


@projects.command("list")
def list_projects(json_output: Json = False) -> None:
    """List your projects, newest first."""

    async def collect(client: Client) -> list[project_pb2.Project]:
        return [project async for project in client.list_projects()]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"projects": [as_dict(project) for project in found]})
        return
    names = action_pb2.Environment
    rows = [(p.id, p.display_name, short(names.Name(p.environment)), p.owner, when(p.create_time)) for p in found]
    table(("PROJECT", "NAME", "ENVIRONMENT", "OWNER", "CREATED"), rows)


@tasks.command("create")
def create_task(
    query: Annotated[str, typer.Argument(help="What is wanted, in words.")],
    project: Annotated[str, typer.Option(help="The project it belongs to.")],
    plan: Plan = None,
    request_id: RequestId = "",
    json_output: Json = False,
) -> None:
    """Create a task, with your own plan or one that is made from the query."""
    given = None if plan is None else read_plan(plan)

    async def create(client: Client) -> task_pb2.Task:
        return await client.create_task(project, query, plan=given, request_id=request_id)

    task = call(create, as_json=json_output)
    if json_output:
        show(task, as_json=True)
    else:
        describe_task(task)


@tasks.command("get")
def get_task(task_id: str, json_output: Json = False) -> None:
    """Show a task with its plan."""

    async def get(client: Client) -> task_pb2.Task:
        return await client.get_task(task_id)

    task = call(get, as_json=json_output)
    if json_output:
        show(task, as_json=True)
    else:
        describe_task(task)


@tasks.command("list")
def list_tasks(project: str = "", json_output: Json = False) -> None:
    """List your tasks, newest first."""

    async def collect(client: Client) -> list[task_pb2.Task]:
        return [task async for task in client.list_tasks(project_id=project)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"tasks": [as_dict(task) for task in found]})
        return
    names = task_pb2.TaskStatus
    rows = [(t.id, short(names.Name(t.status)), t.last_run_id, when(t.create_time), t.query[:60]) for t in found]
    table(("TASK", "STATUS", "LAST RUN", "CREATED", "QUERY"), rows)


@runs.command("start")
def start_run(task_id: str, watch: Watch = False, request_id: RequestId = "", json_output: Json = False) -> None:
    """Start a task's plan. With --watch, exit code 1 means that it did not complete."""

    async def start(client: Client) -> run_pb2.Run:
        return await client.start_run(task_id, request_id=request_id)

    run = call(start, as_json=json_output)
    if watch:
        follow(run.id, 0, json_output)
    elif json_output:
        show(run, as_json=True)
    else:
        say(run.id)


@runs.command("get")
def get_run(run_id: str, json_output: Json = False) -> None:
    """Show a run with its steps."""

    async def get(client: Client) -> run_pb2.Run:
        return await client.get_run(run_id)

    run = call(get, as_json=json_output)
    if json_output:
        show(run, as_json=True)
    else:
        describe_run(run)


@runs.command("list")
def list_runs(task: str = "", project: str = "", json_output: Json = False) -> None:
    """List your runs, newest first."""

    async def collect(client: Client) -> list[run_pb2.Run]:
        return [run async for run in client.list_runs(project_id=project, task_id=task)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"runs": [as_dict(run) for run in found]})
        return
    rows = [(run.id, status_of(run), run.task_id, when(run.create_time), when(run.end_time)) for run in found]
    table(("RUN", "STATUS", "TASK", "CREATED", "ENDED"), rows)


@runs.command("watch")
def watch_run(
    run_id: str,
    after: Annotated[int, typer.Option(help="The last event number you have.")] = 0,
    json_output: Json = False,
) -> None:
    """Follow a run to its end. Exit code 1 means that it did not complete."""
    follow(run_id, after, json_output)


@runs.command("cancel")
def cancel_run(run_id: str, reason: str = "", json_output: Json = False) -> None:
    """End a run: nothing more of it starts."""

    async def cancel(client: Client) -> run_pb2.Run:
        return await client.cancel_run(run_id, reason=reason)

    run = call(cancel, as_json=json_output)
    if json_output:
        show(run, as_json=True)
    else:
        say(run.id, status_of(run))


@runs.command("history")
def history(run_id: str, json_output: Json = False) -> None:
    """Print a run's events so far, oldest first."""

    async def tell(client: Client) -> None:
        await tell_events(client.list_events(run_id), json_output)

    call(tell, as_json=json_output)


def follow(run_id: str, after: int, json_output: bool) -> None:
    """Print events as they happen; exit with 1 if the run does not complete."""

    async def tell(client: Client) -> run_pb2.Run:
        await tell_events(client.watch_run(run_id, after_sequence=after), json_output)
        return await client.get_run(run_id)

    run = call(tell, as_json=json_output)
    if not json_output:
        describe_run(run)
    if run.termination_reason != run_pb2.TERMINATION_REASON_COMPLETED:
        raise typer.Exit(FAILED)


async def tell_events(events: AsyncIterator[run_pb2.Event], json_output: bool) -> None:
    """Print events, each when it comes."""
    async for event in events:
        if json_output:
            emit(as_dict(event))
            continue
        name = short(run_pb2.EventType.Name(event.type))
        say(event_line(event), style=STYLES.get(name.rpartition("_")[2], ""))
        if event.type == run_pb2.EVENT_TYPE_APPROVAL_REQUESTED:
            approval = from_struct(event.data).get("approval_id", "")
            note(f"  an approver decides: harness approvals show {approval}")


def event_line(event: run_pb2.Event) -> str:
    """Return one event as one line."""
    name = short(run_pb2.EventType.Name(event.type))
    where = f"{event.step_id}#{event.attempt}" if event.attempt else event.step_id
    data = json.dumps(from_struct(event.data), ensure_ascii=False) if event.data.fields else ""
    return line(f"{event.sequence:>4} {when(event.time)} {name:<22} {where:<20} {data[:200]}").rstrip()


def describe_task(task: task_pb2.Task) -> None:
    """Print a task for people."""
    say("task   ", task.id)
    say("project", task.project_id)
    say("status ", short(task_pb2.TaskStatus.Name(task.status)))
    if task.last_run_id:
        say("run    ", task.last_run_id)
    rows: list[tuple[object, ...]] = []
    for step in task.plan.steps:
        gate = "a human decides" if step.risk.gated or step.require_approval else ""
        rows.append((step.id, step.agent, ", ".join(step.depends_on), step.risk.level, gate, step.description[:60]))
    table(("STEP", "AGENT", "AFTER", "RISK", "GATE", "DESCRIPTION"), rows)


def describe_run(run: run_pb2.Run) -> None:
    """Print a run for people."""
    say("run   ", run.id)
    say("task  ", run.task_id)
    say("status", status_of(run), run.message)
    rows = []
    for step in run.steps:
        detail: Any = f"{step.error.code}: {step.error.message}" if step.HasField("error") else ""
        status = short(run_pb2.StepStatus.Name(step.status))
        rows.append((step.id, step.agent, status, step.attempt or "", step.approval_id, detail[:80]))
    table(("STEP", "AGENT", "STATUS", "ATTEMPT", "APPROVAL", "ERROR"), rows)


def status_of(run: run_pb2.Run) -> str:
    """Return a run's status, with the reason if it has ended."""
    status = short(run_pb2.RunStatus.Name(run.status))
    if run.status != run_pb2.RUN_STATUS_TERMINATED:
        return status
    return f"{status}: {short(run_pb2.TerminationReason.Name(run.termination_reason))}"


def read_plan(path: Path) -> plan_pb2.Plan:
    """Read a plan, or exit saying what is wrong with it."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return plan_from(json.loads(text))
    except (OSError, ValueError, TypeError, ParseError) as error:
        raise typer.BadParameter(f"{path} holds no plan: {error}", param_hint="--plan") from error


def environment_of(name: str) -> action_pb2.Environment.ValueType:
    """Return an environment by its name."""
    try:
        return action_pb2.Environment.Value(f"ENVIRONMENT_{name.upper()}")
    except ValueError:
        message = f"{name!r} is none of development, staging, production"
        raise typer.BadParameter(message, param_hint="--environment") from None
