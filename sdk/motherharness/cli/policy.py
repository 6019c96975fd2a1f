"""`harness policy`: what passes, what asks and what is denied; saving it, and trying a draft first."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.approval.v1 import policy_pb2, risk_pb2
from harness.common.v1 import access_pb2, action_pb2
from motherharness import policies
from motherharness.cli.assess import ENVIRONMENTS
from motherharness.cli.output import FAILED, USAGE, as_dict, emit, note, say, short, show, table, when
from motherharness.cli.session import Json, call
from motherharness.client import Client

policy = typer.Typer(no_args_is_help=True, help="The policy of an environment: get, set, test, versions.")

Environment = Annotated[str, typer.Argument(help="development, staging or production")]
File = Annotated[Path, typer.Argument(help='YAML as `harness policy get` prints it; "-" is standard input.')]

OUTCOME_STYLES = {"auto": "green", "human": "yellow", "deny": "bold red"}


@policy.command("get")
def get_policy(
    environment: Environment = "development",
    version: Annotated[int, typer.Option(min=0, help="An earlier version; 0 is the one that holds.")] = 0,
    json_output: Json = False,
) -> None:
    """Print a policy as YAML that `harness policy set` takes."""
    wanted = environment_of(environment)

    async def get(client: Client) -> policy_pb2.Policy:
        return await client.get_policy(wanted, version=version)

    found = call(get, as_json=json_output)
    if json_output:
        show(found, as_json=True)
    else:
        # As it is: it goes into a file, and `dump` writes nothing that could drive a terminal.
        sys.stdout.write(policies.dump(found))


@policy.command("set")
def set_policy(file: File, json_output: Json = False) -> None:
    """Save a policy. With the etag that `get` printed, only if nobody else has saved one since."""
    draft = read(file)

    async def save(client: Client) -> policy_pb2.Policy:
        return await client.update_policy(draft)

    saved = call(save, as_json=json_output)
    if json_output:
        show(saved, as_json=True)
    else:
        say(f"saved version {saved.version} for", short(action_pb2.Environment.Name(saved.environment)))


@policy.command("versions")
def list_versions(environment: Environment = "development", json_output: Json = False) -> None:
    """List who saved the policy of an environment, and when, newest first."""
    wanted = environment_of(environment)

    async def collect(client: Client) -> list[policy_pb2.PolicyVersion]:
        return [version async for version in client.list_policy_versions(wanted)]

    found = call(collect, as_json=json_output)
    if json_output:
        emit({"versions": [as_dict(version) for version in found]})
    else:
        rows = [(each.version, when(each.update_time), each.updated_by) for each in found]
        table(("VERSION", "SAVED", "BY"), rows)


@policy.command("test")
def try_policy(
    file: File,
    command: Annotated[list[str] | None, typer.Option(help="A shell command to try it on; may be repeated.")] = None,
    agent: Annotated[str, typer.Option(help="The agent that the commands come from.")] = "",
    requester: Annotated[str, typer.Option(help="Who they are asked for.")] = "",
    last: Annotated[int, typer.Option(min=0, max=500, help="Try it on so many of the newest real requests.")] = 100,
    json_output: Json = False,
) -> None:
    """Check a draft and its examples, and say what it would decide otherwise. Saves nothing.

    Exit code 1 when it lets pass something that asked a human or was denied.
    """
    draft = read(file)
    commands = command or []
    examples = [policy_pb2.PolicyExample(command=each, agent=agent, requester=requester) for each in commands]

    async def try_out(client: Client) -> policy_pb2.TestPolicyResponse:
        return await client.test_policy(draft, examples=examples, last_requests=last)

    answer = call(try_out, as_json=json_output)
    if json_output:
        show(answer, as_json=True)
    else:
        for text, decision in zip(commands, answer.examples, strict=True):
            describe(text, decision)
        say(f"{len(answer.changed)} of {answer.requests_tested} real requests would be decided otherwise")
        rows = [
            (each.approval_id, outcome_of(each.then), outcome_of(each.now), each.now.rule, each.now.reason)
            for each in answer.changed
        ]
        if rows:
            table(("APPROVAL", "THEN", "NOW", "RULE", "WHY"), rows)
    if any(each.now.outcome == risk_pb2.POLICY_OUTCOME_AUTO for each in answer.changed):
        raise typer.Exit(FAILED)


def describe(command: str, decision: policy_pb2.PolicyDecision) -> None:
    """Print what a draft decides about a command."""
    outcome = outcome_of(decision)
    rule = f"[{decision.rule}]" if decision.rule else ""
    say(f"{outcome}: {command}", style=OUTCOME_STYLES.get(outcome, ""))
    say("  ", decision.reason, rule)
    if decision.quorum:
        seats = [
            f"{seat.count} of {seat.group or access_pb2.Role.Name(seat.role).removeprefix('ROLE_').lower()}"
            for seat in decision.quorum
        ]
        say("   must agree:", ", ".join(seats))


def outcome_of(decision: policy_pb2.PolicyDecision) -> str:
    """Return an outcome in lower case."""
    return short(risk_pb2.PolicyOutcome.Name(decision.outcome))


def environment_of(name: str) -> action_pb2.Environment.ValueType:
    """Return the environment of a name."""
    if name.lower() not in ENVIRONMENTS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(ENVIRONMENTS)}", param_hint="ENVIRONMENT")
    return action_pb2.Environment.Value(f"ENVIRONMENT_{name.upper()}")


def read(file: Path) -> policy_pb2.Policy:
    """Read a file of a policy; exit with the code for wrong input if it is none."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        return policies.parse(text)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint="FILE") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8 text", param_hint="FILE") from error
    except policies.PolicyFileError as error:
        note(f"{file}: {error}", style="bold red")
        raise typer.Exit(USAGE) from error
