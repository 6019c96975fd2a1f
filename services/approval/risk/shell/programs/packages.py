"""Package managers given a file: one that the same script fetched runs its set-up code unseen."""

from __future__ import annotations

import json
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


def _node(walker: Walker, call: Invocation) -> None:
    """npm and its like run the scripts of a package.json; one that the same script wrote is known."""
    _package(walker, call)
    if call.positionals[:2] == ("pkg", "set"):
        for setting in call.positionals[2:]:
            key, _, script = setting.partition("=")
            if key.startswith("scripts.") and script:
                walker.run_text(script)
    folder = "".join(f"{value.rstrip('/')}/" for value in call.values("--prefix", "--cwd", "-C")[:1])
    if _RUNNING.intersection(call.positionals[:1]):
        for text in walker.state.files.texts(f"{folder}package.json"):
            _scripts(walker, call, text)


def _scripts(walker: Walker, call: Invocation, text: str) -> None:
    try:
        scripts = json.loads(text).get("scripts", {})
    except (ValueError, AttributeError, RecursionError):
        walker.unreadable("package", "A package.json that cannot be read.", call.excerpt)
        return
    for script in list(scripts.values())[:MAX_SCRIPTS] if isinstance(scripts, dict) else []:
        if isinstance(script, str):
            walker.run_text(script)


_RUNNING = frozenset("test t tst run run-script start stop restart install i ci add publish pack build rebuild exec version".split())
MAX_SCRIPTS = 100  # of one package.json

HANDLERS = dict.fromkeys(_MANAGERS, _package) | dict.fromkeys(("npm", "yarn", "pnpm", "bun"), _node)
