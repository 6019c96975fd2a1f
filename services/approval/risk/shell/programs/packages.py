"""Package managers given a file: one that the same script fetched runs its set-up code unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_MANAGERS = "apt apt-get dpkg rpm dnf yum zypper apk pacman snap flatpak installer msiexec pip npm gem cpanm luarocks".split()


def _package(walker: Walker, call: Invocation) -> None:
    for operand in [*call.positionals, *call.values("-i", "-U", "--install", "-r", "-pkg", "/i")]:
        if flows.FETCHED in walker.file_taint(operand):
            code.flag_fetched(walker, call.excerpt)
            return


HANDLERS = dict.fromkeys(_MANAGERS, _package)
