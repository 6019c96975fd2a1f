"""What becomes of a file: from what the worker found to what would be there, as a unified diff and in numbers."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert
from services.approval.preview.budget import Budget
from services.approval.preview.consequences import Consequence, Undo
from services.approval.preview.diff import Diff, hunks, lines_of
from services.approval.preview.masking import Masked
from services.runtime.redaction import redact

EXCERPT_CHARS = 4000
DIFF_CHARS = 48_000
"""Of one file: several screens. The whole is in the action."""
MAX_COMPARED_CHARS = 1_000_000
"""Both texts together; more is not compared line by line."""
DEFAULT_MODE = 0o644
"""As the contract says of FileWriteAction.mode."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file of the preview, and what follows from what happens to it."""

    file: approval_pb2.FilePreview
    consequence: Consequence


def written(write: action_pb2.FileWriteAction, state: risk_pb2.FileState | None, budget: Budget) -> Shown:
    """A file that would be created or replaced; `state` is how the worker found it, None if it did not tell."""
    content = convert.text_or_bytes(write.content)
    text = Masked(content) if isinstance(content, str) else None
    file = approval_pb2.FilePreview(
        path=budget.line(redact(write.path), EXCERPT_CHARS),
        operation="write",
        size_bytes=len(write.content),
        new_mode=stat.S_IFREG | (write.mode or DEFAULT_MODE),
        binary=text is None,
    )
    file.excerpt = budget.line(text.text, EXCERPT_CHARS) if text is not None else "(not text)"
    if state is None:
        unknown = "the worker did not tell what is there now"
        return Shown(file, Consequence("a file that may be there already", Undo.UNKNOWN, unknown))
    _tell_state(file, state)
    if not state.exists:
        _add_diff(file, _NOTHING, text, budget)
        return Shown(file, Consequence("a new file", Undo.REVERSIBLE, "nothing is replaced: it can be deleted again"))
    same = state.sha256 == hashlib.sha256(write.content).hexdigest()
    file.unchanged = same and stat.S_IMODE(state.mode) == stat.S_IMODE(file.new_mode)
    if same:
        _add_diff(file, text or _NOTHING, text, budget)
        return Shown(file, Consequence("a file that keeps its content", Undo.REVERSIBLE, "it holds the same already"))
    if state.HasField("content") and _add_diff(file, Masked(state.content), text, budget):
        kept = "the diff holds what is replaced"
        return Shown(file, Consequence("the content of a file", Undo.RECOVERABLE, kept))
    return Shown(file, Consequence("the content of a file", Undo.IRREVERSIBLE, _ONLY_ELSEWHERE))


def deleted(delete: action_pb2.FileDeleteAction, state: risk_pb2.FileState | None, budget: Budget) -> Shown:
    """A file or folder that would be removed; `state` as for `written`."""
    file = approval_pb2.FilePreview(path=budget.line(redact(delete.path), EXCERPT_CHARS), operation="delete")
    what = "a folder with everything in it" if delete.recursive else "a file"
    if state is not None:
        _tell_state(file, state)
        if not state.exists:
            return Shown(file, Consequence("nothing", Undo.REVERSIBLE, "the worker found no such file"))
        if stat.S_ISREG(state.mode):
            what = "a file"
        if state.HasField("content"):
            _add_diff(file, Masked(state.content), None, budget)
    return Shown(file, Consequence(what, Undo.IRREVERSIBLE, _ONLY_ELSEWHERE))


_NOTHING = Masked("")
_ONLY_ELSEWHERE = "what is there now is gone, unless version control or a backup has it, which nobody told"


def state_after(action: action_pb2.Action) -> risk_pb2.FileState:
    """How the next action on the same path would find it."""
    if action.WhichOneof("kind") == "file_delete":
        return risk_pb2.FileState(path=action.file_delete.path)
    write = action.file_write
    after = risk_pb2.FileState(
        path=write.path,
        exists=True,
        size_bytes=len(write.content),
        sha256=hashlib.sha256(write.content).hexdigest(),
        mode=stat.S_IFREG | (write.mode or DEFAULT_MODE),
    )
    content = convert.text_or_bytes(write.content)
    if isinstance(content, str):
        after.content = content
    return after


def _tell_state(file: approval_pb2.FilePreview, state: risk_pb2.FileState) -> None:
    file.existed = state.exists
    file.old_size_bytes = state.size_bytes
    file.old_mode = state.mode


def _add_diff(file: approval_pb2.FilePreview, old: Masked, new: Masked | None, budget: Budget) -> bool:
    """Put the difference into a file: headers, and the hunks of what is text. `new` None: it is removed, or no text.

    Returns whether the diff holds all of what is replaced.
    """
    headers = _headers(file)
    gone = file.operation == "delete"
    if new is None and not gone:
        file.diff = f"{headers}Binary files differ\n"
        return False
    new = new or _NOTHING
    if len(old.original) + len(new.original) > MAX_COMPARED_CHARS:
        file.truncated = budget.truncated = True
        return False
    found = _compare(old, new)
    file.lines_added, file.lines_removed = found.added, found.removed
    text = headers + (_names(file) + found.text if found.text else "")
    shown = redact(text)
    file.diff, cut = budget.take(shown, DIFF_CHARS + len(headers) + 1000)
    file.truncated = found.truncated or cut
    budget.truncated = budget.truncated or found.truncated
    return not file.truncated and not old.is_changed and shown == text


def _compare(old: Masked, new: Masked) -> Diff:
    before, after = lines_of(old.original), lines_of(new.original)
    # What changed is found in the originals, so that the change of a secret is seen, and shown with its mask.
    return hunks(before, after, lines_of(old.line_by_line()), lines_of(new.line_by_line()), DIFF_CHARS)


def _headers(file: approval_pb2.FilePreview) -> str:
    """The extended headers of git: what becomes of the mode."""
    if file.operation == "delete":
        return f"deleted file mode {file.old_mode:06o}\n"
    if not file.existed:
        return f"new file mode {file.new_mode:06o}\n"
    if file.old_mode and file.old_mode != file.new_mode:
        return f"old mode {file.old_mode:06o}\nnew mode {file.new_mode:06o}\n"
    return ""


def _names(file: approval_pb2.FilePreview) -> str:
    path = "".join(c if c.isprintable() and c not in '"\\' else c.encode("unicode_escape").decode() for c in file.path)
    old = f"a/{path}" if file.existed else "/dev/null"
    new = "/dev/null" if file.operation == "delete" else f"b/{path}"
    return f"--- {old}\n+++ {new}\n"
