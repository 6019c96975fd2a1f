"""Shells, and the builtins that run text, load files or fill variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import languages, scoring
from services.approval.risk.shell import options, output
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

SHELLS = frozenset(
    "sh bash dash zsh ksh ksh93 ash fish csh tcsh rbash mksh pwsh powershell posh yash elvish rksh lksh sash scsh rzsh oksh loksh nu xonsh".split()
)
_WINDOWS = frozenset({"pwsh", "powershell"})
_SYNTAX = options.syntax(values="-o -O +o +O --rcfile --init-file -C --init-command -f --features --command", flags="-c -s -i -l -r -e -x -v -u -n")


def shell(walker: Walker, call: Invocation) -> Flow | None:
    """`sh -c TEXT`, `sh FILE`, `sh < FILE`, `sh`."""
    mark = walker.scope.mark()
    walker.scope.leave()
    try:
        return _shell(walker, call)
    finally:
        walker.scope.take_back(mark)


def _shell(walker: Walker, call: Invocation) -> Flow | None:
    if call.name in _WINDOWS:
        _powershell(walker, call)
        return None
    asked = unrun = False
    index = 0
    words = call.words
    while index < len(words):
        text = words[index].text
        if text in ("--", "-"):
            index += 1
            break
        if text[:1] == "+" and len(text) > 1:
            unrun = unrun and "n" not in text
            index += 2 if text in ("+o", "+O") else 1
            continue
        if not options.is_option(text):
            break
        found = options.read(_SYNTAX, words, index)
        for option in found:
            asked = asked or option.name == "-c"
            if option.name in ("--command", "-C", "--init-command") and option.value is not None:
                code.shell_text(walker, option.value, call.stdin)
        if text in ("--version", "--help"):
            return None
        unrun = unrun or any(option.name == "-n" for option in found)
        index += found[-1].taken if found else 1
    if unrun:  # the script is only checked
        return None
    operands = words[index:]
    if asked:  # the first operand is the script, whatever options stand between
        return _script(walker, operands, call.stdin) if operands else None
    if operands and "-s" not in call.flags:
        code.script_file(walker, call, operands[0])
    elif call.stdin.present:
        code.fed(walker, call)
    elif not any(option.startswith("--command") for option in call.flags):
        _flag_opened(walker, call)
    return None


def _flag_opened(walker: Walker, call: Invocation) -> None:
    walker.flag(
        "escape.shell", scoring.MEDIUM, "Opens a shell whose commands nobody sees.", call.excerpt, "Name the commands that should run.", call.span
    )


def _script(walker: Walker, operands: tuple[Word, ...], stdin: Flow) -> Flow:
    """A script with its arguments: `sh -c '$0 "$1"' rm x`."""
    mark = walker.scope.mark()
    walker.set_arguments(operands[2:])
    walker.scope.put("0", Value(operands[1].text, operands[1].taints) if len(operands) > 1 else Value())
    try:
        return code.shell_text(walker, operands[0], stdin)
    finally:
        walker.scope.take_back(mark)


def _powershell(walker: Walker, call: Invocation) -> None:
    for index, word in enumerate(call.words):
        option = word.text.lower()
        rest = call.words[index + 1 :]
        if option.startswith("-e") and "-encodedcommand".startswith(option):
            code.flag_decoded(walker, call.excerpt)
            return
        if option in ("-c", "-command", "/c", "-commandwithargs"):
            walker.add(*languages.assess("powershell", code.joined(rest).text, walker.run_text))
            return
        if option in ("-f", "-file") or not option.startswith("-"):
            file = (rest[0] if rest else word) if option.startswith("-") else word
            code.script_file(walker, call, file, "powershell")
            return
    if call.stdin.present:
        code.fed(walker, call, "powershell")
    elif not call.flags & {"-version", "-Version", "-help", "-Help", "-h", "--version"}:
        _flag_opened(walker, call)


def _eval(walker: Walker, call: Invocation) -> Flow | None:
    return code.shell_text(walker, Word(" ".join(call.args), call.taints), call.stdin) if call.args else None


def _source(walker: Walker, call: Invocation) -> None:
    words = call.words[1:] if call.args[:1] == ("--",) else call.words
    if words:
        code.script_file(walker, call, words[0])


# Traps that run again and again, between the other commands.
_OFTEN = frozenset({"DEBUG", "ERR", "RETURN"})


def _trap(walker: Walker, call: Invocation) -> None:
    """The end of the script walks a trap with all that its variables held since, but for what is taken back before."""
    words = call.words[1:] if call.args[:1] == ("--",) else call.words
    if not words or words[0].text.startswith("-") or not words[0].text:
        return
    state = walker.state
    often = any(word.text.upper() in _OFTEN for word in words[1:])
    if state.apart or state.nested > 1 or often or len(words) < 2 or not words[0].known:
        code.shell_text(walker, words[0])


def _alias(walker: Walker, call: Invocation) -> None:
    for word in call.words:
        _, _, value = word.text.partition("=")
        if value:
            code.shell_text(walker, Word(value, word.taints))


_READ = options.syntax(values="-a -d -i -n -N -p -t -u", flags="-r -e -s")
_MAPFILE = options.syntax(values="-d -n -O -s -u -C -c", flags="-t")


def _read(walker: Walker, call: Invocation) -> None:
    """`read A B`, `mapfile A`: the variables hold what came in."""
    found, operands = options.split(_READ if call.name == "read" else _MAPFILE, call.words)
    names = [*options.given(found, "-a"), *operands] if call.name == "read" else operands
    for script in options.given(found, "-C"):
        code.shell_text(walker, script)
    stdin = call.stdin
    text = stdin.text.rstrip("\n") if stdin.text is not None else None
    whole = len(names) == 1 and text is not None and "\n" not in text
    for name in names:
        if name.known and name.text:
            value = Value(text or "", stdin.taints) if whole else Value(taints=stdin.taints)
            walker.assign(name.text, value)


def _printf(walker: Walker, call: Invocation) -> None:
    """`printf -v NAME`: a variable by another way."""
    if call.args[:1] == ("-v",) and len(call.words) > 2:
        rest = call.words[2:]
        printed = output.spoken("printf", [w.text for w in rest])
        walker.assign(call.args[1], Value(printed, call.taints) if printed is not None else Value(taints=call.taints))


def _cd(walker: Walker, call: Invocation) -> None:
    """`cd DIR`, `pushd DIR`; where `cd -`, `popd` and a bare `pushd` go is not followed."""
    operand = next((w.text for w in call.words if w.text == "-" or not w.text.startswith("-")), "~" if call.name == "cd" else "")
    walker.move("" if operand == "-" or operand.startswith("+") else operand)


def _command_file(walker: Walker, call: Invocation) -> None:
    """cmd.exe: `cmd /c TEXT`."""
    for index, word in enumerate(call.words):
        if word.text.lower() in ("/c", "/k", "/r"):
            walker.add(*languages.assess("powershell", code.joined(call.words[index + 1 :]).text, walker.run_text))
            return


def _compgen(walker: Walker, call: Invocation) -> None:
    """`compgen -C COMMAND` runs a command, `compgen -W WORDS` expands words, and with them what is substituted."""
    for word in call.values("-C"):
        walker.run_text(word)
    for words in call.values("-W"):
        walker.run_text(f"echo {words}")


HANDLERS = {
    "compgen": _compgen,
    **dict.fromkeys(SHELLS, shell),
    "eval": _eval,
    "source": _source,
    ".": _source,
    "trap": _trap,
    "alias": _alias,
    "read": _read,
    "mapfile": _read,
    "readarray": _read,
    "printf": _printf,
    "cd": _cd,
    "chdir": _cd,
    "pushd": _cd,
    "popd": _cd,
    "cmd": _command_file,
}
