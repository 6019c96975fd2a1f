"""Programs that run something later or elsewhere: crontab, at, terminal multiplexers, job runners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.shell import flows, options
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_TIMES = patterns.compile(r"^\s*(?:@\w+\s+|(?:[\d*/,a-zA-Z-]+\s+){5})")
_NO_ENTRY = patterns.compile(r"^\s*(?:#|\w+\s*=|$)")
MAX_ENTRIES = 500  # lines of one table of jobs


def _crontab(walker: Walker, call: Invocation) -> None:
    texts = [call.stdin.text] if call.stdin.text is not None else []
    if flows.FETCHED in call.stdin.taints:
        code.flag_fetched(walker, call.excerpt)
    for file in call.positionals:
        if flows.FETCHED in walker.file_taint(file):
            code.flag_fetched(walker, call.excerpt)
        if (text := walker.file_text(file)) is not None:
            texts.append(text)
    for text in texts:
        lines = text.splitlines()
        if len(lines) > MAX_ENTRIES:
            walker.unreadable("too-large", f"A table of {len(lines)} jobs; at most {MAX_ENTRIES} are analysed.")
            return
        for line in lines:
            if not _NO_ENTRY.match(line):
                walker.run_text(_TIMES.sub("", line, count=1))


def _at(walker: Walker, call: Invocation) -> None:
    if call.stdin.present and not call.flags & {"-l", "-r", "-d", "-c"}:
        code.fed(walker, call)
    for file in call.values("-f"):
        if flows.FETCHED in walker.file_taint(file):
            code.flag_fetched(walker, call.excerpt)
        if (text := walker.file_text(file)) is not None:
            walker.run_text(text)


_TMUX = options.syntax(values="-t -s -n -c -F -e -x -y -f -L -S -l -p -T -E -b", flags="-d -A -D -P -h -v -k -a -g -u -2 -C")
_TMUX_STARTS = frozenset(
    "new new-session neww new-window splitw split-window respawn-pane respawnp respawn-window run run-shell if if-shell pipe-pane pipep popup "
    "display-popup".split()
)


def _tmux(walker: Walker, call: Invocation) -> None:
    """`tmux new -d 'cmd'`, `tmux send-keys 'cmd' Enter`, several commands with `\\;` between them."""
    groups: list[list[Word]] = [[]]
    for word in call.words:
        if word.text == ";":
            groups.append([])
        else:
            groups[-1].append(word)
    for group in groups:
        _, operands = options.split(_TMUX, group)
        if not operands:
            continue
        verb, rest = operands[0].text, operands[1:]
        if verb in ("send-keys", "send"):
            typed = " ".join(w.text for w in rest if w.text not in ("Enter", "C-m", "KPEnter", "Space"))
            if typed.strip() and len(typed) > 2:
                code.shell_text(walker, Word(typed.replace("\\n", "\n"), code.joined(rest).taints))
        elif verb in _TMUX_STARTS:
            for script in rest if verb in ("if", "if-shell") else [code.joined(rest)] if rest else []:
                code.shell_text(walker, script)


_SCREEN = options.syntax(values="-S -t -s -c -e -h -T -p -Q", flags="-d -m -D -R -r -L -U -A -a -q -x -f -i -ls -list -dm -dmS")


def _screen(walker: Walker, call: Invocation) -> None:
    """`screen -dm cmd`, `screen -S x -X stuff 'cmd\\n'`."""
    if "-X" in call.args:
        rest = call.words[call.args.index("-X") + 1 :]
        if rest and rest[0].text in ("stuff", "exec", "screen", "eval") and len(rest) > 1:
            typed = code.joined(rest[1:])
            code.shell_text(walker, Word(typed.text.replace("\\n", "\n").replace("^M", "\n").replace("\\015", "\n"), typed.taints))
        return
    index = 0
    while index < len(call.words) and options.is_option(call.words[index].text):
        text = call.words[index].text
        index += 2 if text in _SCREEN.values or text in ("-dmS", "-mdS", "-dRS") else 1
    if index < len(call.words):
        walker.run_words(list(call.words[index:]), call.stdin)


def _service_manager(walker: Walker, call: Invocation) -> None:
    """`pm2 start 'cmd'`, `supervisorctl`, `launchctl submit -- cmd`, `schtasks /tr cmd`."""
    if "--" in call.args:
        walker.run_words(list(call.words[call.args.index("--") + 1 :]), call.stdin)
    if call.name == "pm2" and call.positionals[:1] == ("start",):
        for operand in call.positionals[1:2]:
            if " " in operand:
                walker.run_text(operand)
    for index, arg in enumerate(call.args):
        if arg.lower() == "/tr" and index + 1 < len(call.words):
            walker.run_text(call.args[index + 1])


HANDLERS = {
    "crontab": _crontab,
    "at": _at,
    **dict.fromkeys(("tmux", "byobu"), _tmux),
    "screen": _screen,
    "pm2": _service_manager,
    "launchctl": _service_manager,
    "schtasks": _service_manager,
}
