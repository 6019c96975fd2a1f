"""The inbox: what it shows, and the keys that act on it.

A decision names the digest of what is shown below the list, or in the question that was answered.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import work
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType

from harness.approval.v1 import approval_pb2
from harness.common.v1.action_pb2 import Action
from motherharness.approvals import MAX_DECISIONS
from motherharness.cli import editing
from motherharness.cli.inbox import words
from motherharness.cli.inbox.dialogs import Answer, Dialog
from motherharness.cli.inbox.rows import arrange
from motherharness.cli.inbox.view import CHANGED, View
from motherharness.cli.output import phrase
from motherharness.cli.preview import coloured, marked
from motherharness.errors import HarnessError

Decision = Callable[[approval_pb2.Approval, str, int], approval_pb2.DecideApprovalRequest]
CHOOSE_ONE = "choose one request; → shows what is folded"


class Inbox(View):
    """Shows what waits, and decides it."""

    # Before whatever has the focus: keys are done in the order in which they are typed, also when they are typed ahead.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, action, priority=True)
        for keys, action in (
            ("up,k", "up(-1)"),
            ("down,j", "up(1)"),
            ("home", "ends(-1)"),
            ("end", "ends(1)"),
            ("pageup,ctrl+b", "turn(-1)"),
            ("pagedown,ctrl+f", "turn(1)"),
            ("n", "move(1)"),
            ("p", "move(-1)"),
            ("enter", "whole"),
            ("escape", "leave"),
            ("space", "select"),
            ("x", "select_nothing"),
            ("right,l", "unfold(True)"),
            ("left,h", "unfold(False)"),
            ("f", "fold"),
            ("o", "order"),
            ("m", "mine"),
            ("u", "again"),
            ("slash", "filter"),
            ("a", "approve"),
            ("r", "reject"),
            ("c", "comment"),
            ("e", "edit"),
            ("question_mark", "help"),
            ("q", "quit"),
            ("ctrl+c", "stop"),
        )
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does what it does; while something is typed, it is a part of that."""
        asked = len(self.screen_stack) > 1
        if action == "leave":
            return not asked
        return action == "stop" or not (asked or self._typed.display)

    def action_stop(self) -> None:
        """Leave from wherever."""
        self.exit()

    def action_help(self) -> None:
        """Show what the keys do."""
        self.push_screen(Dialog("Keys", list(words.help_lines()), reading=True))

    def _targets(self) -> Sequence[approval_pb2.Approval]:
        """What a decision is about: what is selected, else the current row, as it is shown; empty if it must not be."""
        row = self.table.current
        if self.table.selected:
            chosen = arrange(self._feed.approvals.values(), order=self._order, fold=False)
            return [each.approvals[0] for each in chosen if each.key in self.table.selected]
        if row is None:
            self.say("nothing waits")
            return ()
        if row.one is None:
            return row.approvals
        if self._changed or self.shown is None:
            self.say(CHANGED, "bold red")
            return ()
        return [self.shown]

    def action_approve(self) -> None:
        """Ask for a reason, and vote for it."""
        self._ask("Approve", words.approval_of, [what for what, _, _ in words.REMEMBER], needed=False)

    def action_reject(self) -> None:
        """Ask for a reason, and vote against it."""
        self._ask("Reject", words.rejection_of, words.code_choices(), needed=True)

    def _ask(self, verb: str, decision: Decision, choices: Sequence[str], *, needed: bool) -> None:
        seen = self._targets()
        if not seen:
            return

        def answered(answer: Answer | None) -> None:
            if answer is not None:
                self._send([decision(each, answer.text, answer.choice) for each in seen], seen)

        title = f"{verb} {'this' if len(seen) == 1 else f'these {len(seen)}, each by itself'}?"
        ask = "Why" if needed else "Why (may be left out)"
        self.push_screen(Dialog(title, words.about(seen), ask=ask, needed=needed, choices=choices), answered)

    @work
    async def _send(
        self, decisions: Sequence[approval_pb2.DecideApprovalRequest], seen: Sequence[approval_pb2.Approval]
    ) -> None:
        """Send votes, and say what came of each."""
        self.say("sending")
        found: list[approval_pb2.DecidedApproval] = []
        failure = ""
        try:
            for start in range(0, len(decisions), MAX_DECISIONS):
                found += await self._client.decide_approvals(decisions[start : start + MAX_DECISIONS])
        except HarnessError as error:
            failure = error.message or error.code.name
        for result, approval in zip(found, seen, strict=False):
            decided = not result.error_reason and result.approval.state != approval_pb2.APPROVAL_STATE_PENDING
            if not result.error_reason:
                self._decided.add(result.approval_id)
            if decided:
                self._feed.drop(result.approval_id)
            else:
                self._feed.touch(approval.context.run_id)
        self.table.selected.clear()
        self._arrange()
        if failure:
            self.say(f"{len(found)} of {len(decisions)} were sent: {failure}", "bold red")
        elif len(found) == 1:
            self.say(words.result(found[0]))
        else:
            refused = sum(bool(result.error_reason) for result in found)
            self.say(f"{len(found) - refused} decided, {refused} not", "bold red" if refused else "green")
            self.push_screen(Dialog("What came of it", words.results(found), reading=True))

    def action_comment(self) -> None:
        """Ask for what to say, and say it."""
        seen = self.shown
        if seen is None:
            self.say(CHOOSE_ONE)
            return

        def answered(answer: Answer | None) -> None:
            if answer is not None:
                self._comment(seen, answer.text)

        self.push_screen(Dialog(f"Say something about {seen.id}", ask="What", needed=True), answered)

    @work
    async def _comment(self, seen: approval_pb2.Approval, text: str) -> None:
        try:
            await self._client.add_comment(seen.id, text)
        except HarnessError as error:
            self.say(f"not said: {error.message}", "bold red")
            return
        self.say("said", "green")
        self._read(seen.id)

    @work
    async def action_edit(self) -> None:
        """Edit an action of the request that is shown, and send it as its next revision."""
        seen = self.shown
        if seen is None or self._changed:
            self.say(CHANGED if self._changed else CHOOSE_ONE)
            return
        index = 0
        if len(seen.actions) > 1:
            texts = [phrase(marked(each).plain.strip()).plain[:70] for each in seen.preview.actions]
            choices = texts if len(texts) == len(seen.actions) else [str(at + 1) for at in range(len(seen.actions))]
            answer = await self.push_screen_wait(Dialog("Edit which action?", choices=choices))
            if answer is None:
                return
            index = answer.choice
        try:
            before = editing.editable(seen.actions[index])
            with self.suspend():
                text = editing.in_editor(before)
            actions = editing.revised(seen, index, text)
        except (editing.EditError, SuspendNotSupported) as error:
            self.say(f"not edited: {error}", "bold red")
            return
        finally:
            self.refresh(layout=True)
        changes = difflib.unified_diff(
            before.text.splitlines(),
            editing.editable(actions[index]).text.splitlines(),
            "as it was",
            "as edited",
            lineterm="",
        )
        dialog = Dialog(
            f"Put this in place of what {seen.requester} asked for? You may not vote on it then.",
            [coloured("\n".join(changes))],
            ask="Why",
            needed=True,
        )
        reason = await self.push_screen_wait(dialog)
        if reason is not None:
            await self._revise(seen, actions, reason.text)

    async def _revise(self, seen: approval_pb2.Approval, actions: Sequence[Action], reason: str) -> None:
        try:
            made = await self._client.revise_approval(seen.id, actions, digest=seen.digest, reason=reason)
        except HarnessError as error:
            self.say(f"not edited: {error.message} [{error.reason}]", "bold red")
        else:
            self.say(f"{made.id} is revision {made.revision} now; others decide on it", "green")
        self._feed.touch(seen.context.run_id)
