"""Programs that run code they are given, or whose options start other programs; one module a family.

Each module has a table HANDLERS: canonical program name to the function that enters its commands. A handler adds factors to the
walker; it returns what its inner command prints when that is the program's own output, else None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import (
    archives,
    build_tools,
    contexts,
    databases,
    debuggers,
    editors,
    interpreters,
    packages,
    remote,
    schedulers,
    search,
    shells,
    text_tools,
    version_control,
)

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

Handler = Callable[["Walker", Invocation], Flow | None]

HANDLERS: dict[str, Handler] = {
    **packages.HANDLERS,
    **interpreters.HANDLERS,
    **shells.HANDLERS,
    **archives.HANDLERS,
    **build_tools.HANDLERS,
    **contexts.HANDLERS,
    **databases.HANDLERS,
    **debuggers.HANDLERS,
    **editors.HANDLERS,
    **remote.HANDLERS,
    **schedulers.HANDLERS,
    **search.HANDLERS,
    **text_tools.HANDLERS,
    **version_control.HANDLERS,
}
