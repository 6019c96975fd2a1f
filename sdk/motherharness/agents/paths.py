"""Paths that cannot leave a root: every component is opened by itself, below the one before, never through a link."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from motherharness.errors import TerminalError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def relative(path: str, root: Path) -> tuple[str, ...]:
    """Return the components of a path below the root; none for the root itself.

    An absolute path must begin with the root. `..` is refused even where it would stay inside: with links about, what
    it means depends on the moment.

    Raises:
        TerminalError: PATH_ESCAPES or PATH_INVALID.
    """
    if not path or "\0" in path:
        raise TerminalError(f"{path!r} is not a path", "PATH_INVALID")
    pure = PurePosixPath(path)
    if pure.is_absolute():
        try:
            pure = pure.relative_to(root)
        except ValueError:
            raise TerminalError(f"{path!r} is outside the root {root}", "PATH_ESCAPES") from None
    if ".." in pure.parts:
        raise TerminalError(f"{path!r} contains '..'; name the path below the root directly", "PATH_ESCAPES")
    return pure.parts


@contextlib.contextmanager
def open_directory(root: Path, parts: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
    """Yield a descriptor of the directory at these components below the root.

    Args:
        create: make the directories that are missing, with mode 0755.

    Raises:
        TerminalError: PATH_ESCAPES if a component is a symbolic link, PATH_NOT_FOUND, NOT_A_DIRECTORY.
    """
    # The root itself is the operator's choice and may be reached through links.
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
            try:
                below = os.open(part, DIRECTORY, dir_fd=descriptor)
            except OSError as error:
                raise explained(error, "/".join(parts), part, descriptor) from error
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def explained(error: OSError, path: str, part: str, directory: int) -> TerminalError:
    """Return what a failed open of one component means."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR) and is_link(part, directory):
        return TerminalError(f"{part!r} in {path!r} is a symbolic link; links are not followed", "PATH_ESCAPES")
    if error.errno == errno.ENOTDIR:
        return TerminalError(f"{part!r} in {path!r} is not a directory", "NOT_A_DIRECTORY")
    if error.errno == errno.ENOENT:
        return TerminalError(f"{part!r} in {path!r} does not exist", "PATH_NOT_FOUND")
    return TerminalError(f"{path!r}: {error.strerror}", "PATH_INVALID")


def is_link(name: str, directory: int) -> bool:
    """Whether an entry of a directory is a symbolic link."""
    try:
        return os.readlink(name, dir_fd=directory) is not None
    except OSError:
        return False
