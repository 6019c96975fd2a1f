"""`harness webhooks`: who is told what happens to approvals, and what could not be told."""

from typing import Annotated

import typer

from harness.approval.v1 import webhook_pb2
from motherharness.cli.options import name_of, names_of, number_of, numbers_of
from motherharness.cli.output import FAILED, as_dict, emit, note, say, show, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

webhooks = typer.Typer(no_args_is_help=True, help="Webhooks: other systems are told what happens. For admins.")

Events = Annotated[
    list[str] | None,
    typer.Option("--event", help=f"Only this, may be repeated: {', '.join(names_of(webhook_pb2.WebhookEvent))}."),
]
Projects = Annotated[list[str] | None, typer.Option("--project", help="Only of this project, may be repeated.")]
FORMATS = "plain (JSON) or slack"


@webhooks.command("create")
def create(
    url: Annotated[str, typer.Argument(help="https, or http to the service's own host.")],
    name: Annotated[str, typer.Option(help="For people.")] = "",
    format_name: Annotated[str, typer.Option("--format", help=FORMATS)] = "plain",
    events: Events = None,
    projects: Projects = None,
    secret: Annotated[
        str,
        typer.Option(
            envvar="HARNESS_WEBHOOK_SECRET",
            help="What deliveries are signed with; made and printed if it is empty.",
            show_envvar=True,
        ),
    ] = "",
    request_id: Annotated[str, typer.Option(help="Repeat a creation with the same id to get the first result.")] = "",
    json_output: Json = False,
) -> None:
    """Have a place told what happens from now on. The secret is printed once, and never again."""
    format_number = number_of(webhook_pb2.WebhookFormat, format_name, "--format")
    wanted = numbers_of(webhook_pb2.WebhookEvent, events or [], "--event")

    async def send(client: Client) -> webhook_pb2.CreateWebhookResponse:
        return await client.create_webhook(
            url,
            name=name,
            format=webhook_pb2.WebhookFormat.ValueType(format_number),
            events=[webhook_pb2.WebhookEvent.ValueType(each) for each in wanted],
            project_ids=projects or [],
            secret=secret,
            request_id=request_id,
        )

    made = call(send, as_json=json_output)
    if json_output:
        show(made, as_json=True)
        return
    say(made.webhook.id)
    if made.secret:
        say("secret", made.secret)


@webhooks.command("list")
def list_webhooks(json_output: Json = False) -> None:
    """List all webhooks, oldest first; the path and the query of their addresses are masked."""

    async def collect(client: Client) -> list[webhook_pb2.Webhook]:
        return [each async for each in client.list_webhooks()]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"webhooks": [as_dict(each) for each in found]})
        return
    rows = [
        (
            each.id,
            each.name,
            name_of(webhook_pb2.WebhookFormat, each.format),
            "enabled" if each.enabled else "disabled",
            ", ".join(name_of(webhook_pb2.WebhookEvent, event) for event in each.events) or "all",
            ", ".join(each.project_ids) or "all",
            each.url,
        )
        for each in found
    ]
    table(("WEBHOOK", "NAME", "FORMAT", "STATE", "EVENTS", "PROJECTS", "ADDRESS"), rows)


@webhooks.command("update")
def update(
    webhook_id: str,
    url: Annotated[str, typer.Option(help="Where deliveries are posted.")] = "",
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    format_name: Annotated[str, typer.Option("--format", help=FORMATS)] = "",
    events: Events = None,
    all_events: Annotated[bool, typer.Option("--all-events", help="Of everything again.")] = False,
    projects: Projects = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Of every project again.")] = False,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="What is disabled is told nothing.")
    ] = None,
    etag: Annotated[str, typer.Option(help="Only if it has not changed since it had this etag.")] = "",
    json_output: Json = False,
) -> None:
    """Change what is given, and nothing else."""
    if (events and all_events) or (projects and all_projects):
        raise typer.BadParameter("give either some or all", param_hint="--all-events, --all-projects")
    changed = webhook_pb2.Webhook(
        id=webhook_id,
        etag=etag,
        url=url,
        name=name or "",
        format=webhook_pb2.WebhookFormat.ValueType(number_of(webhook_pb2.WebhookFormat, format_name, "--format")),
        events=[
            webhook_pb2.WebhookEvent.ValueType(each)
            for each in numbers_of(webhook_pb2.WebhookEvent, events or [], "--event")
        ],
        project_ids=projects or [],
        enabled=bool(enabled),
    )
    given = {
        "url": bool(url),
        "name": name is not None,
        "format": bool(format_name),
        "events": bool(events) or all_events,
        "project_ids": bool(projects) or all_projects,
        "enabled": enabled is not None,
    }
    fields = [field for field, is_given in given.items() if is_given]
    if not fields:
        raise typer.BadParameter("say what to change: --url, --name, --format, --event, --project, --enable, --disable")

    async def send(client: Client) -> webhook_pb2.Webhook:
        return await client.update_webhook(changed, fields)

    saved = call(send, as_json=json_output)
    if json_output:
        show(saved, as_json=True)
    else:
        say(saved.id, "changed:", ", ".join(fields))


@webhooks.command("rotate-secret")
def rotate_secret(webhook_id: str, json_output: Json = False) -> None:
    """Make another secret and print it, once. For a day, deliveries are signed with both."""

    async def send(client: Client) -> str:
        return await client.rotate_webhook_secret(webhook_id)

    secret = call(send, as_json=json_output)
    if json_output:
        emit({"webhook_id": webhook_id, "secret": secret})
    else:
        say("secret", secret)


@webhooks.command("delete")
def delete(webhook_id: str, json_output: Json = False) -> None:
    """Remove a webhook, what it was not yet told, and its dead letters."""

    async def send(client: Client) -> None:
        await client.delete_webhook(webhook_id)

    call(send, as_json=json_output)
    if json_output:
        emit({"deleted": webhook_id})
    else:
        say(webhook_id, "deleted")


@webhooks.command("test")
def try_webhook(webhook_id: str, json_output: Json = False) -> None:
    """Send a test now, also to what is disabled. Exit code 1 if it was not taken."""

    async def send(client: Client) -> webhook_pb2.TestWebhookResponse:
        return await client.test_webhook(webhook_id)

    answer = call(send, as_json=json_output)
    if json_output:
        show(answer, as_json=True)
    elif answer.delivered:
        say(f"delivered: HTTP {answer.status}", style="green")
    else:
        status = f"HTTP {answer.status}" if answer.status else "no answer"
        note(f"not delivered: {status}: {answer.error}", style="bold red")
    if not answer.delivered:
        raise typer.Exit(FAILED)


@webhooks.command("dead-letters")
def dead_letters(webhook_id: str, json_output: Json = False) -> None:
    """List what could not be delivered to a webhook, newest first."""

    async def collect(client: Client) -> list[webhook_pb2.DeadLetter]:
        return [each async for each in client.list_dead_letters(webhook_id)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"dead_letters": [as_dict(each) for each in found]})
        return
    rows = [
        (
            each.delivery_id,
            name_of(webhook_pb2.WebhookEvent, each.event),
            when(each.event_time),
            each.attempts,
            each.last_status or "no answer",
            ", ".join(each.approval_ids),
            each.last_error,
        )
        for each in found
    ]
    table(("DELIVERY", "EVENT", "HAPPENED", "TRIED", "STATUS", "APPROVALS", "ERROR"), rows)


@webhooks.command("redeliver")
def redeliver(webhook_id: str, delivery_id: str, json_output: Json = False) -> None:
    """Try again to deliver a dead letter, from the first attempt on."""

    async def send(client: Client) -> None:
        await client.redeliver_dead_letter(webhook_id, delivery_id)

    call(send, as_json=json_output)
    if json_output:
        emit({"redelivering": delivery_id})
    else:
        say(delivery_id, "is tried again")
