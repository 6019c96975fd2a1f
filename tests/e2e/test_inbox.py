"""The inbox against real services: driven by textual's pilot, and in a real terminal."""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from harness.approval.v1 import approval_pb2, audit_pb2, remembered_pb2
from harness.common.v1 import action_pb2
from motherharness import Client
from motherharness.cli.inbox.app import Inbox
from motherharness.cli.inbox.dialogs import Dialog
from motherharness.cli.inbox.feed import Feed
from motherharness.devstack import Stack
from tests.e2e.asking import ask, ask_two, command, item
from tests.e2e.commands import HARNESS, Cli
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of this module alone: what waits in it is known. Each test has a project of its own."""
    with Stack(agents="", environment=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
async def bob(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.connection("bob")) as client:
        yield client


@pytest.fixture(scope="module")
async def carol(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.connection("carol", "approver")) as client:
        yield client


class Seat:
    """Somebody in front of the inbox."""

    def __init__(self, app: Inbox, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys, and let what they do be done."""
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def type(self, text: str) -> None:
        """Type into what asks, once it does."""
        await self.until(lambda: isinstance(self.app.screen, Dialog) and self.app.focused is not None)
        await self.press(*(key if key.isalnum() else "space" for key in text))

    async def until(self, look: Callable[[], object]) -> None:
        """Wait until something is so."""
        for _ in range(2400):
            if look():
                return
            await self._pilot.pause(0.05)
        raise AssertionError("\n".join(["it does not come to that:", *self.rows, *self.detail, self.said]))

    @property
    def rows(self) -> list[str]:
        """The rows as they are drawn."""
        return [self.app.table.render_line(at).text.rstrip() for at in range(len(self.app.table.rows))]

    @property
    def detail(self) -> list[str]:
        """The lines below them that are seen."""
        height = self.app.detail.size.height
        return [self.app.detail.render_line(at).text.rstrip() for at in range(height)]

    @property
    def said(self) -> str:
        """The line that says what came of something."""
        return str(self.app.message.content)

    @property
    def state(self) -> str:
        """The first line."""
        return str(self.app.head.content)


@asynccontextmanager
async def sitting(client: Client, project: str, *, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seat]:
    feed = Feed(client, project=project)
    await feed.load()
    app = Inbox(client, feed)
    async with app.run_test(size=size) as pilot:
        seat = Seat(app, pilot)
        await seat.until(lambda: "live" in seat.state and "not live" not in seat.state)
        yield seat


async def waiting(stack: Stack, project: str, *scripts: str, **fields: Any) -> list[approval_pb2.Approval]:
    return await ask(stack, *(item(command(script), project=project, **fields) for script in scripts))


async def test_one_is_approved_and_one_rejected(stack: Stack, bob: Client) -> None:
    first, second = await waiting(stack, "prj_a", "rm -rf one", "kubectl delete deployment web")
    async with sitting(bob, "prj_a") as seat:
        assert "2 waiting for you" in seat.state
        # A medium one has less time than a high one.
        assert ["MEDIUM" in seat.rows[0], "HIGH" in seat.rows[1]] == [True, True]
        assert "    rm -rf one" in seat.detail
        await seat.press("a")
        await seat.type("old files")
        await seat.press("down", "enter")
        await seat.until(lambda: f"{first.id} approved by bob" in seat.said)
        await seat.until(lambda: "    kubectl delete deployment web" in seat.detail)
        await seat.press("r")
        await seat.until(lambda: isinstance(seat.app.screen, Dialog))
        await seat.press("enter")
        assert isinstance(seat.app.screen, Dialog), "a rejection needs a reason"
        await seat.type("wrong one")
        await seat.press("down", "down", "down", "enter")
        await seat.until(lambda: f"{second.id} rejected by bob" in seat.said)
        await seat.until(lambda: not seat.rows)
        assert "nothing waits" in seat.detail[0]
        await seat.press("q")
    approved, rejected = await bob.get_approval(first.id), await bob.get_approval(second.id)
    assert (approved.state, approved.decision.reason) == (approval_pb2.APPROVAL_STATE_APPROVED, "old files")
    kept = [each async for each in bob.list_remembered("prj_a")]
    assert [(each.approval_id, each.scope) for each in kept] == [(first.id, remembered_pb2.REMEMBER_SCOPE_RUN)]
    assert rejected.decision.reject_code == audit_pb2.REJECT_CODE_WRONG_TARGET
    assert rejected.decision.reason == "wrong one"


async def test_what_happens_elsewhere_is_seen_at_once(stack: Stack, bob: Client, carol: Client) -> None:
    async with sitting(bob, "prj_live") as seat:
        assert seat.rows == []
        first, _ = await waiting(stack, "prj_live", "rm -rf one", "kubectl delete deployment web")
        await seat.until(lambda: len(seat.rows) == 2)
        await carol.add_comment(first.id, "is it \x1b[31mold?")
        await seat.until(lambda: "“1”" in seat.rows[0])
        await seat.press("enter")
        await seat.until(lambda: any("carol: is it \\u001b[31mold?" in line for line in seat.detail))
        await seat.press("escape", "c")
        await seat.type("yes")
        await seat.press("enter")
        await seat.until(lambda: seat.said == "said")
        await carol.reject(first.id, reason="not now")
        await seat.until(lambda: len(seat.rows) == 1 and "kubectl" in seat.rows[0])
    assert [each.text async for each in bob.list_comments(first.id)][-1] == "yes"


async def test_nothing_but_what_was_shown_is_decided(stack: Stack, bob: Client, carol: Client) -> None:
    (asked_for,) = await waiting(stack, "prj_shown", "rm -rf build")
    async with sitting(bob, "prj_shown") as seat:
        # It is changed while the question is answered: the service refuses the vote, for it names what was shown.
        await seat.press("a")
        await seat.type("fine")
        other = command("rm -rf everything")
        await carol.revise_approval(asked_for.id, [other], digest=asked_for.digest, reason="more")
        await seat.press("enter")
        await seat.until(lambda: "not decided" in seat.said and "DIGEST_MISMATCH" in seat.said)
        await seat.until(lambda: "CHANGED WHILE YOU LOOKED" in seat.detail[0])
        assert any("rm -rf build" in line for line in seat.detail), "what is looked at is not replaced"
        assert "rev2" in seat.rows[0]
        # And now it is not even asked.
        await seat.press("a")
        assert "u shows it as it is now" in seat.said
        assert not isinstance(seat.app.screen, Dialog)
        await seat.press("u")
        await seat.until(lambda: any("rm -rf everything" in line for line in seat.detail))
        await seat.press("a")
        await seat.type("then so")
        await seat.press("enter")
        await seat.until(lambda: "approved by bob" in seat.said)
    decided = await bob.get_approval(asked_for.id)
    assert (decided.revision, decided.decision.reason) == (2, "then so")


async def test_similar_ones_are_decided_together_with_a_result_each(stack: Stack, bob: Client, carol: Client) -> None:
    scripts = [f"rm -rf cache/{number}" for number in range(3)]
    group = await waiting(stack, "prj_bulk", *scripts)
    (other,) = await waiting(stack, "prj_bulk", "kubectl delete deployment web")
    async with sitting(bob, "prj_bulk") as seat:
        assert ["3 of a kind" in seat.rows[0], len(seat.rows)] == [True, 2]
        assert all(any(script in line for line in seat.detail) for script in scripts)
        await seat.press("right")
        assert len(seat.rows) == 5
        await seat.press("left", "space", "space")
        assert "4 selected" in seat.state
        await seat.press("a")
        await seat.type("all")
        await carol.reject(group[1].id, reason="not this")
        await seat.press("enter")
        await seat.until(lambda: "3 decided, 1 not" in seat.said)
        await seat.press("escape")
        await seat.until(lambda: not seat.rows)
    states = [(await bob.get_approval(each.id)).state for each in (*group, other)]
    approved, rejected = approval_pb2.APPROVAL_STATE_APPROVED, approval_pb2.APPROVAL_STATE_REJECTED
    assert states == [approved, rejected, approved, approved]


async def test_rows_are_chosen_ordered_filtered_and_read(stack: Stack, bob: Client) -> None:
    await waiting(stack, "prj_keys", "rm -rf one", "kubectl delete deployment web", "git push --force origin main")
    (own,) = await waiting(stack, "prj_keys", "rm -rf own", requester="bob")
    async with sitting(bob, "prj_keys", size=(120, 40)) as seat:
        assert len(seat.rows) == 3
        await seat.press("o")
        assert ["by risk" in seat.state, "MEDIUM" in seat.rows[-1]] == [True, True]
        await seat.press("slash", *"kube")
        assert ["with “kube”" in seat.state, len(seat.rows)] == [True, 1]
        await seat.press("enter", "a")
        await seat.until(lambda: isinstance(seat.app.screen, Dialog))
        await seat.press("escape", "escape")
        assert len(seat.rows) == 3
        await seat.press("end")
        assert "    rm -rf one" in seat.detail
        await seat.press("m")
        await seat.until(lambda: len(seat.rows) == 3 and "4 waiting" in seat.state)
        assert "2 of a kind" in seat.rows[-1]
        await seat.press("f", "end")
        mine = next(at for at, row in enumerate(seat.app.table.rows) if row.key == own.id)
        seat.app.table.move(mine - seat.app.table.at)
        await seat.press("a")
        await seat.type("mine")
        await seat.press("enter")
        await seat.until(lambda: "SELF_APPROVAL" in seat.said)
        await seat.press("question_mark")
        await seat.until(lambda: isinstance(seat.app.screen, Dialog))
        await seat.press("escape", "q")


async def test_one_vote_of_two_leaves_the_rest_to_others(stack: Stack, bob: Client, carol: Client) -> None:
    await ask_two(stack, action_pb2.ENVIRONMENT_STAGING)
    (asked_for,) = await waiting(stack, "prj_two", "rm -rf both", environment=action_pb2.ENVIRONMENT_STAGING)
    async with sitting(bob, "prj_two") as seat, sitting(carol, "prj_two") as other:
        assert "0/2 rm -rf both" in seat.rows[0]
        await seat.press("a")
        await seat.type("one")
        await seat.press("enter")
        await seat.until(lambda: "pending: 1 of 2 have voted for it" in seat.said)
        await seat.until(lambda: not seat.rows)
        await other.until(lambda: "1/2 rm -rf both" in other.rows[0])
        await other.press("enter")
        await other.until(
            lambda: any("bob for it" in line for line in other.detail) or other.app.detail.is_vertical_scroll_end
        )
    assert (await bob.get_approval(asked_for.id)).state == approval_pb2.APPROVAL_STATE_PENDING


async def test_it_goes_on_after_the_service_was_away(stack: Stack, bob: Client) -> None:
    async with sitting(bob, "prj_away") as seat:
        await asyncio.to_thread(stack.kill, "approval")
        await seat.until(lambda: "not live" in seat.state)
        await asyncio.to_thread(stack.launch, "approval")
        await waiting(stack, "prj_away", "rm -rf later")
        await seat.until(lambda: len(seat.rows) == 1 and "not live" not in seat.state)
        await waiting(stack, "prj_away", "kubectl delete deployment web")
        await seat.until(lambda: len(seat.rows) == 2)


def test_a_person_in_a_terminal(stack: Stack, tmp_path: Path) -> None:
    """Opens it, reads, approves one, rejects one with a reason and a code, edits one in an editor, and leaves."""
    hostile = "rm -rf hostile\x1b[2J\x1b]0;title\x07 # [bold]x[/bold]"
    scripts = ["rm -rf first", "kubectl delete deployment web", "git push --force origin main", hostile]
    first, second, third, _ = asyncio.run(waiting(stack, "prj_tty", *scripts))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "git push origin topic" > "$1"\n')
    editor.chmod(0o700)
    cli = Cli(stack, "bob")
    environment = {**cli.variables, "EDITOR": str(editor), "VISUAL": "", "NO_COLOR": "1"}
    with Terminal([HARNESS, "approvals", "inbox", "--project", "prj_tty"], environment) as terminal:
        terminal.until("4 waiting for you")
        terminal.until("\\u001b[2J\\u001b]0;title")
        assert "\x1b]0;title" not in terminal.raw
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.raw), "no colours with NO_COLOR"
        terminal.type("/first\r")
        terminal.until("with “first”")
        terminal.type("a")
        terminal.until("Approve this?")
        terminal.type("just output\r")
        terminal.until(f"{first.id} approved by bob")
        terminal.type("\x1b")
        terminal.until("3 waiting for you · by")
        terminal.type("/kubectl\r")
        terminal.until("with “kubectl”")
        terminal.type("r")
        terminal.until("Reject this?")
        terminal.type("\x1b[B\x1b[Bsmaller steps\r")
        terminal.until(f"{second.id} rejected by bob")
        terminal.type("\x1b")
        terminal.until("2 waiting for you · by")
        terminal.type("/push\r")
        terminal.until("with “push”")
        terminal.type("e")
        terminal.until("+git push origin topic")
        terminal.type("no force\r")
        terminal.until("is revision 2 now")
        terminal.type("q")
        assert terminal.end() == 0
    approved, rejected, edited = asyncio.run(read(stack, first.id, second.id, third.id))
    assert approved.state == approval_pb2.APPROVAL_STATE_APPROVED
    assert approved.decision.reason == "just output"
    assert rejected.state == approval_pb2.APPROVAL_STATE_REJECTED
    assert rejected.decision.reject_code == audit_pb2.REJECT_CODE_NEEDS_CHANGES
    assert rejected.decision.reason == "smaller steps"
    assert edited.state == approval_pb2.APPROVAL_STATE_PENDING
    assert edited.actions[0].command.script == "git push origin topic"


async def read(stack: Stack, *ids: str) -> list[approval_pb2.Approval]:
    async with Client(stack.connection("bob")) as client:
        return [await client.get_approval(each) for each in ids]


def test_where_it_cannot_be_it_says_what_can(stack: Stack) -> None:
    cli = Cli(stack, "bob")
    done = subprocess.run(
        [HARNESS, "approvals", "inbox"],
        env=cli.variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "harness approvals list --mine" in " ".join(done.stderr.split())
    nobody = {**cli.variables, "HARNESS_TOKEN": "nonsense"}
    with Terminal([HARNESS, "approvals", "inbox"], nobody) as terminal:
        terminal.until("UNAUTHENTICATED")
        assert terminal.end() == 3


def test_it_ends_with_its_terminal(stack: Stack) -> None:
    with Terminal([HARNESS, "approvals", "inbox", "--project", "prj_gone"], Cli(stack, "bob").variables) as terminal:
        terminal.until("nothing waits")
        assert terminal.hang_up() == -signal.SIGHUP
