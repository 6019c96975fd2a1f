"""The `files` agent: reads, lists, writes and deletes files below its root."""

import asyncio
import base64
import binascii
import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.common.v1.action_pb2 import Action, FileDeleteAction, FileWriteAction
from motherharness.agents.observing import of_file
from motherharness.agents.paths import explained, is_link, open_directory, relative
from motherharness.context import StepContext
from motherharness.errors import TerminalError

MAX_READ_BYTES = 128 * 1024
MAX_ENTRIES = 1000
DEFAULT_MODE = 0o644
INPUTS = {
    "read": frozenset({"operation", "path", "offset", "limit"}),
    "list": frozenset({"operation", "path"}),
    "write": frozenset({"operation", "path", "content", "content_base64", "mode", "reason"}),
    "delete": frozenset({"operation", "path", "recursive", "reason"}),
}


class FilesAgent:
    """Does one file operation per step. Reading and listing have no effect and need no clearance; the others do.

    Inputs, by "operation", with a "path" below the root; symbolic links and ".." are refused:
        read: "offset" and "limit" in bytes (at most 128 KiB).
            Result: {"path", "content" or "content_base64", "size", "truncated"}.
        list: Result: {"path", "entries": [{"name", "type", "size"}], "truncated"}; at most 1000 entries.
        write: "content" or "content_base64"; "mode" as octal string, default "0644". Directories are made, the
            file appears whole or not at all. Result: {"path", "size"}.
        delete: "recursive" for a directory with what is in it. Result: {"path", "deleted": true}.

    Args:
        root: the directory it works in.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def __call__(self, context: StepContext) -> dict[str, Any]:
        """Carry out a step.

        Raises:
            TerminalError: INVALID_INPUTS, PATH_ESCAPES, PATH_NOT_FOUND, NOT_A_DIRECTORY, IS_A_DIRECTORY, NOT_A_FILE.
        """
        inputs = context.inputs
        operation = _operation(inputs)
        parts = relative(_text(inputs, "path"), self._root)
        if operation == "read":
            return await asyncio.to_thread(self._read, parts, _number(inputs, "offset"), _number(inputs, "limit"))
        if operation == "list":
            return await asyncio.to_thread(self._list, parts)
        if not parts:
            raise TerminalError(f"the root itself cannot be target of {operation}", "PATH_ESCAPES")
        path = "/".join(parts)
        reason = str(inputs.get("reason") or context.description)
        if operation == "write":
            write = FileWriteAction(path=path, content=_content(inputs), mode=_mode(inputs))
            action = Action(file_write=write)
        else:
            action = Action(file_delete=FileDeleteAction(path=path, recursive=inputs.get("recursive") is True))
        found = await asyncio.to_thread(of_file, path, self._root)
        return await context.perform(action, self.run, reason, circumstances=found)

    async def run(self, actions: Sequence[Action]) -> dict[str, Any]:
        """Carry out one cleared write or delete."""
        action = actions[0]
        if action.WhichOneof("kind") == "file_write":
            return await asyncio.to_thread(self._write, action.file_write)
        return await asyncio.to_thread(self._delete, action.file_delete)

    def _read(self, parts: tuple[str, ...], offset: int, limit: int) -> dict[str, Any]:
        if not parts:
            raise TerminalError("the root is a directory; use list", "IS_A_DIRECTORY")
        limit = min(limit or MAX_READ_BYTES, MAX_READ_BYTES)
        with open_directory(self._root, parts[:-1]) as directory:
            try:
                # Not blocking: opening a pipe would wait for somebody to write to it.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(parts[-1], flags, dir_fd=directory)
            except OSError as error:
                raise explained(error, "/".join(parts), parts[-1], directory) from error
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise TerminalError(f"{'/'.join(parts)!r} is a directory; use list", "IS_A_DIRECTORY")
            if not stat.S_ISREG(status.st_mode):
                raise TerminalError(f"{'/'.join(parts)!r} is not a regular file", "NOT_A_FILE")
            file.seek(offset)
            data = file.read(limit)
        result: dict[str, Any] = {"path": "/".join(parts), "size": status.st_size}
        result["truncated"] = offset + len(data) < status.st_size
        try:
            result["content"] = data.decode("utf-8")
        except UnicodeDecodeError:
            result["content_base64"] = base64.b64encode(data).decode("ascii")
        return result

    def _list(self, parts: tuple[str, ...]) -> dict[str, Any]:
        with open_directory(self._root, parts) as directory:
            names = sorted(os.listdir(directory))
            entries = []
            for name in names[:MAX_ENTRIES]:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    # A name need not be UTF-8, a result must be.
                    shown = os.fsencode(name).decode("utf-8", "replace")
                    entries.append({"name": shown, "type": _type(status.st_mode), "size": status.st_size})
        return {"path": "/".join(parts) or ".", "entries": entries, "truncated": len(names) > MAX_ENTRIES}

    def _write(self, write: FileWriteAction) -> dict[str, Any]:
        parts = relative(write.path, self._root)
        name = parts[-1]
        with open_directory(self._root, parts[:-1], create=True) as directory:
            if is_link(name, directory):
                raise TerminalError(f"{write.path!r} is a symbolic link; links are not followed", "PATH_ESCAPES")
            temporary = f".{secrets.token_hex(8)}.tmp"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(write.content)
                    os.fchmod(descriptor, write.mode or DEFAULT_MODE)
                    file.flush()
                    os.fsync(descriptor)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError as error:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
                if error.errno in (errno.EISDIR, errno.ENOTEMPTY):
                    raise TerminalError(f"{write.path!r} is a directory", "IS_A_DIRECTORY") from error
                raise
            os.fsync(directory)
        return {"path": write.path, "size": len(write.content)}

    def _delete(self, delete: FileDeleteAction) -> dict[str, Any]:
        parts = relative(delete.path, self._root)
        name = parts[-1]
        with open_directory(self._root, parts[:-1]) as directory:
            try:
                mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            except OSError as error:
                raise explained(error, delete.path, name, directory) from error
            if not stat.S_ISDIR(mode):
                # Of a link, the link itself.
                os.unlink(name, dir_fd=directory)
            elif delete.recursive:
                shutil.rmtree(name, dir_fd=directory)
            else:
                raise TerminalError(f"{delete.path!r} is a directory; set recursive", "IS_A_DIRECTORY")
        return {"path": delete.path, "deleted": True}


def _operation(inputs: Mapping[str, Any]) -> str:
    operation = inputs.get("operation")
    if not isinstance(operation, str) or operation not in INPUTS:
        raise _invalid(f'"operation" must be one of {", ".join(INPUTS)}')
    unknown = sorted(set(inputs) - INPUTS[operation])
    if unknown:
        raise _invalid(f"unknown inputs {', '.join(unknown)}; {operation} takes {', '.join(sorted(INPUTS[operation]))}")
    return operation


def _text(inputs: Mapping[str, Any], name: str) -> str:
    value = inputs.get(name)
    if not isinstance(value, str):
        raise _invalid(f'"{name}" must be a string')
    return value


def _number(inputs: Mapping[str, Any], name: str) -> int:
    value = inputs.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid(f'"{name}" must be a number of bytes')
    return value


def _content(inputs: Mapping[str, Any]) -> bytes:
    if ("content" in inputs) == ("content_base64" in inputs):
        raise _invalid('give exactly one of "content" and "content_base64"')
    if "content" in inputs:
        return _text(inputs, "content").encode("utf-8")
    try:
        return base64.b64decode(_text(inputs, "content_base64"), validate=True)
    except binascii.Error as error:
        raise _invalid(f'"content_base64" is not base64: {error}') from error


def _mode(inputs: Mapping[str, Any]) -> int:
    if "mode" not in inputs:
        return 0
    try:
        mode = int(_text(inputs, "mode"), 8)
    except ValueError:
        mode = -1
    if not 0 < mode <= 0o777:
        raise _invalid('"mode" must be an octal string such as "0644", without setuid, setgid or sticky bits')
    return mode


def _type(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _invalid(message: str) -> TerminalError:
    return TerminalError(message, "INVALID_INPUTS")
