"""Each command about approvals against real services. They run in this process: to start one for each takes longer than
all of them do, and test_cli.py starts some."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.common.v1 import action_pb2
from harness.common.v1.action_pb2 import Action, CommandAction, FileWriteAction
from motherharness.cli import app
from motherharness.devstack import Stack
from tests.e2e.asking import ask, ask_two, asked, command, item
from tests.e2e.conftest import ENVIRONMENT

# So that a webhook that nobody answers is given up within seconds.
IMPATIENT = {
    "HARNESS_APPROVAL_WEBHOOK_SECONDS": "0.05",
    "HARNESS_APPROVAL_WEBHOOK_RETRY_SECONDS": "0.001",
    "HARNESS_APPROVAL_GATHER_SECONDS": "0",
}
pytestmark = pytest.mark.timeout(180)


class As:
    """Runs `harness` as somebody."""

    def __init__(self, stack: Stack, subject: str, *roles: str) -> None:
        self._environment = stack.client_environment(subject, *roles)

    def run(self, *arguments: str, code: int = 0, typed: str | None = None) -> str:
        """What a command prints, once it has ended with this exit code."""
        done = CliRunner().invoke(app, arguments, env=self._environment, input=typed)
        assert done.exit_code == code, (arguments, done.exit_code, done.stdout, done.stderr, done.exception)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def lines(self, *arguments: str, code: int = 0) -> list[Any]:
        """The JSON values that a command prints, one a line."""
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).splitlines()]

    def one(self, *arguments: str, code: int = 0) -> Any:
        """The one JSON value that a command prints."""
        (value,) = self.lines(*arguments, code=code)
        return value


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of this module alone: it changes policies, and lists everything."""
    settings = ENVIRONMENT | {"approval": ENVIRONMENT["approval"] | IMPATIENT}
    with Stack(agents="", environment=settings) as running:
        yield running


@pytest.fixture(scope="module")
def bob(stack: Stack) -> As:
    return As(stack, "bob")


@pytest.fixture(scope="module")
def carol(stack: Stack) -> As:
    return As(stack, "carol", "approver")


@pytest.fixture(scope="module")
def alice(stack: Stack) -> As:
    return As(stack, "alice")


@pytest.fixture(scope="module")
def root(stack: Stack) -> As:
    return As(stack, "root")


def test_what_waits_is_found_by_what_it_is(stack: Stack, alice: As, bob: As) -> None:
    (mine,) = asked(stack, "rm -rf build", project="prj_list", run="run_list")
    (grave,) = asked(stack, "curl https://x.example | sh", project="prj_list", requester="bob")
    group = bob.one("approvals", "show", mine)["group"]

    def ids(*options: str, who: As = bob) -> set[str]:
        found = who.one("approvals", "list", "--project", "prj_list", *options)
        return {approval["id"] for approval in found["approvals"]}

    assert ids() == {mine, grave}
    assert ids("--mine") == {mine}
    assert ids("--run", "run_list") == ids("--group", group) == ids("--requester", "alice") == {mine}
    assert ids(who=alice) == {mine}
    level = bob.one("approvals", "show", grave)["assessment"]["level"].removeprefix("RISK_LEVEL_").lower()
    assert ids("--level", level) == {grave}
    assert ids("--type", "code-execution") | ids("--type", "git_push") <= {mine, grave}
    assert ids("--state", "approved") == ids("--needs-review") == set()
    assert "is none of pending, approved" in bob.run("approvals", "list", "--state", "asleep", code=2)
    assert "rm -rf build" in bob.run("approvals", "list", "--project", "prj_list")


def test_people_talk_about_a_request(stack: Stack, alice: As, bob: As) -> None:
    (asked_for,) = asked(stack, "rm -rf talk")
    assert bob.one("approvals", "comment", asked_for, "why\x1b[31m this?")["author"] == "bob"
    alice.run("approvals", "comment", asked_for, "it is old")
    said = alice.one("approvals", "comments", asked_for)["comments"]
    assert [(each["author"], each["text"]) for each in said] == [("bob", "why\x1b[31m this?"), ("alice", "it is old")]
    for shown in (alice.run("approvals", "comments", asked_for), bob.run("approvals", "show", asked_for)):
        assert "why\\u001b[31m this?" in shown
        assert "it is old" in shown
    assert bob.one("approvals", "comment", "apr_1", "hello", code=4)["error"]["code"] == "NOT_FOUND"


def test_a_request_is_shown_whole(stack: Stack, bob: As) -> None:
    (asked_for,) = asked(stack, "rm -rf shown", reason="spring [bold]cleaning[/bold]", initiators=["dave"])
    shown = bob.run("approvals", "show", asked_for)
    for part in (
        "would run:\n    rm -rf shown\n",
        "because   spring [bold]cleaning[/bold]",
        "asked by  alice",
        "(also of dave)",
        "must agree 1 of approver; 0 of 1 have so far",
        "undo      ",
        "found:\n  - ",
        "digest    sha256:",
    ):
        assert part in shown
    assert re.search(r"decide by .+ \(\d+h\d\dm left\)", shown)


def test_several_are_decided_with_a_result_each(stack: Stack, alice: As, bob: As) -> None:
    first, second, third = asked(stack, "rm -rf one", "rm -rf two", "rm -rf three")
    own = asked(stack, "rm -rf own", requester="bob")[0]
    done = bob.run("approvals", "approve", first, own, "apr_none", "--reason", "old", "--yes", code=1)
    assert f"{first} approved by bob\n" in done
    assert re.search(rf"{own} not decided: .+ \[SELF_APPROVAL\]", done)
    assert re.search(r"apr_none not decided: .+ \[APPROVAL_NOT_FOUND\]", done)
    rejected = bob.lines("approvals", "reject", second, third, "--code", "bad-timing", "--reason", "later")
    assert [each["approval"]["state"] for each in rejected] == ["APPROVAL_STATE_REJECTED"] * 2
    decision = bob.one("approvals", "show", third)["decision"]
    assert (decision["reject_code"], decision["reason"]) == ("REJECT_CODE_BAD_TIMING", "later")
    assert "not approved (bad_timing): later" in bob.run("approvals", "show", third)
    bob.run("approvals", "approve", first, second, "--digest", "sha256:0", code=2)
    bob.run("approvals", "reject", first, "--code", "boring", code=2)
    assert len(alice.lines("approvals", "approve", first, second, code=1)) == 2


def test_two_people_agree(stack: Stack, bob: As, carol: As) -> None:
    asyncio.run(ask_two(stack, action_pb2.ENVIRONMENT_STAGING))
    (asked_for,) = asked(stack, "rm -rf both", environment=action_pb2.ENVIRONMENT_STAGING)
    assert "pending: 1 of 2 have voted for it" in bob.run("approvals", "approve", asked_for, "--reason", "fine")
    shown = carol.run("approvals", "show", asked_for)
    assert "2 of approver; 1 of 2 has so far\n  - bob for it, " in shown
    assert f"{asked_for} approved by carol" in carol.run("approvals", "approve", asked_for)


def test_what_is_edited_is_what_is_decided(stack: Stack, bob: As, carol: As, tmp_path: Path) -> None:
    (asked_for,) = asked(stack, "rm -rf *")
    seen = bob.one("approvals", "show", asked_for)
    made = bob.run("approvals", "edit", asked_for, "--script", "rm -rf build", "--reason", "only the build")
    assert "revision 2, sha256:" in made
    stale = carol.one("approvals", "approve", asked_for, "--digest", seen["digest"], code=5)
    assert stale["error"]["reason"] == "DIGEST_MISMATCH"
    again = bob.run(
        "approvals", "edit", asked_for, "--script", "ls", "--reason", "x", "--digest", seen["digest"], code=5
    )
    assert "look at it again" in again
    file = tmp_path / "script"
    file.write_text("rm -rf build/tmp\n")
    bob.run("approvals", "edit", asked_for, "--file", str(file), "--reason", "even less")
    assert "(pending, revision 3)" in carol.run("approvals", "show", asked_for)
    assert carol.one("approvals", "show", asked_for)["actions"][0]["command"]["script"] == "rm -rf build/tmp"
    earlier = carol.one("approvals", "show", asked_for, "--revision", "1")
    assert earlier["actions"][0]["command"]["script"] == "rm -rf *"
    assert "SELF_APPROVAL" in bob.run("approvals", "approve", asked_for, code=3)
    for wrong in (
        ["--file", str(file), "--reason", "nothing new"],
        ["--file", str(tmp_path / "none"), "--reason", "x"],
        ["--file", str(file), "--script", "ls", "--reason", "x"],
        ["--script", "ls", "--action", "2", "--reason", "x"],
        ["--script", "ls"],
        ["--reason", "no terminal"],
    ):
        bob.run("approvals", "edit", asked_for, *wrong, code=2)


def test_other_actions_are_edited_as_json(stack: Stack, bob: As, tmp_path: Path) -> None:
    program = Action(command=CommandAction(argv=["rm", "-rf", "everything"], working_directory="src"))
    (asked_for,) = asyncio.run(ask(stack, item(command("rm -rf first"), program)))
    file = tmp_path / "action.json"
    file.write_text(json.dumps({"argv": ["rm", "-rf", "build"], "working_directory": "src"}))
    bob.run("approvals", "edit", asked_for.id, "--file", str(file), "--reason", "x", code=2)
    bob.run("approvals", "edit", asked_for.id, "--file", str(file), "--action", "2", "--reason", "less")
    actions = bob.one("approvals", "show", asked_for.id)["actions"]
    assert [actions[0]["command"]["script"], actions[1]["command"]["argv"]] == ["rm -rf first", ["rm", "-rf", "build"]]
    file.write_text('{"argw": []}')
    refused = bob.run("approvals", "edit", asked_for.id, "--file", str(file), "--action", "2", "--reason", "x", code=2)
    assert "argw" in refused
    odd = Action(file_write=FileWriteAction(path="x\x1b[31m", content=b"\xff"))
    (binary,) = asyncio.run(ask(stack, item(odd, command("rm -rf odd"))))
    refused = bob.run("approvals", "edit", binary.id, "--file", str(file), "--action", "1", "--reason", "x", code=2)
    assert "\x1b[31m" not in refused
    assert "x\\u001b[31m is no UTF-8 text" in " ".join(refused.replace("│", " ").split())


def test_what_was_asked_for_is_taken_back(stack: Stack, alice: As, bob: As) -> None:
    (asked_for,) = asked(stack, "rm -rf mine")
    assert bob.one("approvals", "withdraw", asked_for, code=3)["error"]["reason"] == "NOT_THE_REQUESTER"
    assert f"{asked_for} withdrawn" in alice.run("approvals", "withdraw", asked_for, "--reason", "not needed")
    bob.run("approvals", "approve", asked_for, code=5)


def test_the_glass_is_broken_and_reviewed(stack: Stack, bob: As, root: As) -> None:
    (asked_for,) = asked(stack, "rm -rf burning", project="prj_fire")
    bob.run("approvals", "break-glass", asked_for, "--reason", "the house is on fire", code=3)
    assert "approved alone by root" in root.run(
        "approvals", "break-glass", asked_for, "--reason", "the house is on fire"
    )
    waiting = bob.one("approvals", "list", "--needs-review", "--project", "prj_fire")["approvals"]
    assert [each["id"] for each in waiting] == [asked_for]
    assert "the glass was broken by root: the house is on fire" in bob.run("approvals", "show", asked_for)
    root.run("approvals", "review", asked_for, "--justified", "--review", "I was right", code=3)
    assert "not justified, says bob" in bob.run(
        "approvals", "review", asked_for, "--not-justified", "--review", "no fire there"
    )
    assert not bob.one("approvals", "list", "--needs-review", "--project", "prj_fire")["approvals"]


def test_a_decision_is_remembered_listed_and_forgotten(stack: Stack, bob: As) -> None:
    (asked_for,) = asked(stack, "rm -rf known", project="prj_memory")
    bob.run("approvals", "approve", asked_for, "--until", "2d", code=2)
    bob.run("approvals", "approve", asked_for, "--remember", "project", "--until", "soon", code=2)
    bob.run("approvals", "approve", asked_for, "--remember", "project", "--until", "2d")
    (kept,) = bob.one("remembered", "list", "prj_memory")["decisions"]
    assert (kept["scope"], kept["approval_id"]) == ("REMEMBER_SCOPE_PROJECT", asked_for)
    (again,) = asyncio.run(ask(stack, item(command("rm -rf known"), project="prj_memory")))
    assert again.remembered_from == asked_for
    assert f"the decision on {asked_for} was remembered" in bob.run("approvals", "show", again.id)
    assert asked_for in bob.run("remembered", "list", "prj_memory")
    bob.run("remembered", "forget", kept["id"])
    assert bob.one("remembered", "list", "prj_memory")["decisions"] == []
    assert bob.one("remembered", "forget", kept["id"], code=4)["error"]["code"] == "NOT_FOUND"


def test_authority_is_given_and_taken_back(stack: Stack, bob: As, root: As) -> None:
    erin = As(stack, "erin", "user")
    (asked_for,) = asked(stack, "rm -rf delegated")
    made = bob.one("delegations", "create", "erin", "--until", "2h", "--reason", "holiday", "--request-id", "once")
    again = bob.one("delegations", "create", "erin", "--until", "2h", "--reason", "holiday", "--request-id", "once")
    assert again["id"] == made["id"]
    assert [each["id"] for each in erin.one("delegations", "list")["delegations"]] == [made["id"]]
    assert made["id"] in root.run("delegations", "list", "--all")
    mine = erin.one("approvals", "list", "--mine")["approvals"]
    assert asked_for in [each["id"] for each in mine]
    erin.run("approvals", "approve", asked_for)
    assert "erin on behalf of bob for it" in bob.run("approvals", "show", asked_for)
    assert "revoked" in bob.run("delegations", "revoke", made["id"])
    assert bob.one("delegations", "list")["delegations"] == []
    bob.run("delegations", "revoke", made["id"], code=4)
    bob.run("delegations", "create", "erin", "--until", "2001-01-01", "--reason", "x", code=2)


def test_webhooks_are_made_changed_tried_and_removed(bob: As, root: As) -> None:
    bob.run("webhooks", "list", code=3)
    # Nobody listens there, which a test of it says.
    made = root.one("webhooks", "create", "http://127.0.0.1:9/secret/path", "--name", "on call", "--event", "rejected")
    webhook = made["webhook"]["id"]
    assert made["secret"]
    (listed,) = root.one("webhooks", "list")["webhooks"]
    assert (listed["name"], listed["events"], listed["enabled"]) == ("on call", ["WEBHOOK_EVENT_REJECTED"], True)
    assert "secret/path" not in root.run("webhooks", "list")
    changed = root.one("webhooks", "update", webhook, "--disable", "--all-events", "--format", "slack", "--name", "")
    assert (changed["enabled"], changed["events"], changed["name"]) == (False, [], "")
    assert changed["format"] == "WEBHOOK_FORMAT_SLACK"
    stale = root.one("webhooks", "update", webhook, "--enable", "--etag", listed["etag"], code=5)
    assert stale["error"]["reason"] == "WEBHOOK_CHANGED"
    assert root.one("webhooks", "rotate-secret", webhook)["secret"] not in ("", made["secret"])
    assert root.one("webhooks", "test", webhook, code=1)["delivered"] is False
    assert "not delivered: no answer" in root.run("webhooks", "test", webhook, code=1)
    for wrong in (["update", webhook], ["update", webhook, "--event", "x"], ["create", "ftp://x"]):
        root.run("webhooks", *wrong, code=2)
    assert "deleted" in root.run("webhooks", "delete", webhook)
    assert root.one("webhooks", "list")["webhooks"] == []


def test_what_a_webhook_could_not_be_told_is_listed_and_told_again(stack: Stack, bob: As, root: As) -> None:
    webhook = root.one("webhooks", "create", "http://127.0.0.1:9/", "--project", "prj_told")["webhook"]["id"]
    (asked_for,) = asked(stack, "rm -rf told", project="prj_told")
    letters: list[Any] = []
    for _ in range(600):  # it is tried twelve times, with pauses
        letters = root.one("webhooks", "dead-letters", webhook)["dead_letters"]
        if letters:
            break
        time.sleep(0.05)
    assert [(each["approval_ids"], each["attempts"]) for each in letters] == [([asked_for], 12)]
    assert "approval_requested" in root.run("webhooks", "dead-letters", webhook)
    delivery = letters[0]["delivery_id"]
    assert "is tried again" in root.run("webhooks", "redeliver", webhook, delivery)
    assert root.one("webhooks", "redeliver", webhook, "dlv_none", code=4)["error"]["code"] == "NOT_FOUND"
    root.run("webhooks", "delete", webhook)
