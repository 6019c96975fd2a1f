"""awk, sed and other text tools that can start programs or write files from within their own little languages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import flows, options
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import Word, decoded

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_AWK_CALLS = 100  # commands of one awk program that are read; each may take a few thousand steps

# -- awk -----------------------------------------------------------------------------------------------------------

_AWK = options.syntax(values="-F -v -f -e -i -l -E -m --field-separator --assign --file --source --include --load --exec", optional="-d -o -p")
_AWK_TOKEN = patterns.compile(r'"((?:[^"\\\n]|\\.)*)"|#[^\n]*')
_AWK_NETWORK = patterns.compile(r"/inet[46]?/(?:tcp|udp)/")
_AWK_CALL = patterns.compile(r"\bsystem\s*\(")
_AWK_NAMED_PIPE = patterns.compile(r"\b([A-Za-z_]\w{0,40})\s*\|&?\s*getline\b|\bprintf?\b[^;}\n|]*[^|;}\n]\|&?\s*([A-Za-z_]\w{0,40})\b")
_AWK_HIDDEN_PIPE = patterns.compile(r"\bprintf?\b[^;}\n|]*[^|;}\n]\|&?\s*[A-Za-z_(]|[\w)]\s*\|&?\s*getline\b|\|&?\s*\"[^\"]*\"\s*[A-Za-z_$]")


def _awk(walker: Walker, call: Invocation) -> None:
    found, operands = options.split(_AWK, call.words)
    programs = [w.text for w in options.given(found, "-e", "--source")]
    files = options.given(found, "-f", "--file", "-E", "--exec", "-i", "--include")
    if not programs and not files and operands:
        programs.append(operands[0].text)
    for program in programs:
        _awk_program(walker, call, program)
    for file in files:
        text = walker.file_text(file.text)
        if text is not None:
            _awk_program(walker, call, text)
        elif walker.file_taint(file.text) & {flows.FETCHED, flows.ENCODED}:
            code.script_file(walker, call, file, "awk")
    for library in options.given(found, "-l", "--load"):
        if "/" in library.text:
            walker.flag("escape.library", scoring.HIGH, "Loads a library of machine code into awk.", call.excerpt)


def _awk_program(walker: Walker, call: Invocation, program: str) -> None:
    """What an awk program starts, reads and writes; its strings are commands and files only where awk takes them for such."""
    if _AWK_NETWORK.search(program):
        walker.flag("network.raw-socket", scoring.HIGH, "Opens a raw network connection from awk.", call.excerpt)
    if len(program) > 65536:
        walker.unreadable("too-large", f"An awk program of {len(program)} characters.", call.excerpt)
        return
    calls = list(itertools.islice(_AWK_CALL.finditer(program), MAX_AWK_CALLS + 1))
    if len(calls) > MAX_AWK_CALLS:
        walker.unreadable("too-many", f"An awk program with more than {MAX_AWK_CALLS} commands.", call.excerpt)
    for match in calls[:MAX_AWK_CALLS]:
        _awk_started(walker, call, _awk_argument(program, match.end()))
    strings = [m for m in _AWK_TOKEN.finditer(program) if m.group(0)[0] == '"']
    for match in strings:
        text = decoded(match.group(1), "printf") or ""
        before = program[max(0, match.start() - 80) : match.start()].rstrip()
        after = program[match.end() : match.end() + 20].lstrip()
        piped_from = after.startswith("|") and after.lstrip("|& ").startswith("getline")
        piped_to = before.endswith(("|", "|&")) and not before.endswith("||")
        if piped_from or (piped_to and not after[:1].isalpha() and after[:1] not in ("$", '"')):
            _awk_started(walker, call, text)
        elif before.endswith(">") and "print" in before:
            flows.writes(walker, text, Flow(taints=call.stdin.taints, present=True))
        elif before.endswith("<") and "getline" in before:
            flows.reads(walker, text)
    _awk_pipes(walker, call, program)


def _awk_pipes(walker: Walker, call: Invocation, program: str) -> None:
    """Pipes to and from a command that is no constant: one in a variable is what was assigned to it."""
    if "|" not in program:
        return
    bare = _AWK_TOKEN.sub(lambda m: '"x"' if m.group(0)[0] == '"' else "", program)
    names = {match.group(1) or match.group(2) for match in _AWK_NAMED_PIPE.finditer(bare)}
    unclear = len(names) > MAX_AWK_CALLS
    for name in sorted(names)[:MAX_AWK_CALLS]:
        assigned = list(itertools.islice(patterns.compile(rf"\b{name}\s*=([^=~])").finditer(program), MAX_AWK_CALLS + 1))
        unclear = unclear or not assigned or len(assigned) > MAX_AWK_CALLS
        for match in assigned[:MAX_AWK_CALLS]:
            _awk_started(walker, call, _awk_argument(program, match.start(1), ";\n}"))
    if unclear or _AWK_HIDDEN_PIPE.search(_AWK_NAMED_PIPE.sub("", bare)):
        walker.flag("code.process", scoring.SERIOUS, "Starts programs that are named while it runs.", call.excerpt)


def _awk_argument(program: str, start: int, ends: str = "") -> str:
    """The text that an expression gives: its constant strings, HIDDEN for everything between them. It ends with its bracket."""
    pieces: list[str] = []
    depth, position = 1, start
    end = min(len(program), start + 4096)
    plain = False
    while position < end and depth and program[position] not in ends:
        letter = program[position]
        if letter == '"':
            match = _AWK_TOKEN.match(program, position)
            if match is None:
                break
            pieces += [HIDDEN] if plain else []
            pieces.append(decoded(match.group(1), "printf") or "")
            plain = False
            position = match.end()
            continue
        depth += (letter == "(") - (letter == ")")
        plain = plain or not (letter.isspace() or letter in "()")
        position += 1
    return "".join([*pieces, HIDDEN] if plain else pieces)


def _awk_started(walker: Walker, call: Invocation, command: str) -> None:
    if not command or command.startswith(HIDDEN):
        if flows.FETCHED in call.stdin.taints:
            code.flag_fetched(walker, call.excerpt)
        walker.flag("code.process", scoring.SERIOUS, "Starts programs that are named while it runs.", call.excerpt)
        return
    name = command.split(None, 1)[0].rpartition("/")[2] if command.strip() else ""
    if name in ("sh", "bash", "dash", "zsh", "ksh") and len(command.split()) == 1:
        walker.flag("escape.awk", scoring.HIGH, "Starts a shell from within awk.", call.excerpt, "Name the commands that should run.")
        return
    walker.run_text(command)


# -- sed -----------------------------------------------------------------------------------------------------------

_SED = options.syntax(
    values="-e -f -l --expression --file --line-length",
    optional="-i",
    flags="-n -E -r -s -u -z -b --in-place --quiet --silent --regexp-extended --posix",
)
_SED_ESCAPE = patterns.compile(r"(?s)\\(.)|&")
_SED_ADDRESS = frozenset("0123456789,$~+! \t;\n{}")


def _sed(walker: Walker, call: Invocation) -> None:
    found, operands = options.split(_SED, call.words)
    scripts = [w.text for w in options.given(found, "-e", "--expression")]
    files = options.given(found, "-f", "--file")
    if not scripts and not files and operands:
        scripts.append(operands[0].text)
        operands = operands[1:]
    scripts += [text for file in files if (text := walker.file_text(file.text)) is not None]
    edited = operands if any(option.name in ("-i", "--in-place") for option in found) else ()
    for script in scripts:
        for kind, value in sed_effects(script):
            if kind == "execute":
                if value:
                    walker.flag("escape.sed", scoring.HIGH, "Runs a command from within sed.", call.excerpt)
                    walker.run_text(value)
                else:
                    walker.flag("escape.sed", scoring.HIGH, "Runs the lines of a text as commands.", call.excerpt)
            elif kind == "write":
                flows.writes(walker, value, call.stdin)
            elif kind == "text":
                for file in edited:
                    walker.state.files.insert(file.text, value)
            else:
                flows.reads(walker, value)


def sed_effects(script: str) -> Iterator[tuple[str, str]]:
    """What a sed script does: ("execute", command or ""), ("write", file), ("read", file), ("text", what it puts in)."""
    position, size = 0, len(script)
    while position < size:
        letter = script[position]
        if letter in _SED_ADDRESS:
            position += 1
        elif letter == "/" or (letter == "\\" and position + 1 < size):
            start = position + (letter == "\\")
            position = _sed_part(script, start + 1, script[start])
            while position < size and script[position] in "IM":
                position += 1
        elif letter in "sy":
            if position + 1 >= size:
                return
            mark = script[position + 1]
            middle = _sed_part(script, position + 2, mark)
            position = _sed_part(script, middle, mark)
            if letter == "s":
                yield "text", _SED_ESCAPE.sub(_sed_letter, script[middle : position - 1])
            while letter == "s" and position < size and script[position] in "gpiImMe0123456789":
                if script[position] == "e":
                    yield "execute", ""
                position += 1
            if letter == "s" and position < size and script[position] == "w":
                name, position = _sed_line(script, position + 1)
                yield "write", name
        elif letter in "eWwrR":
            value, position = _sed_line(script, position + 1)
            yield {"e": "execute", "w": "write", "W": "write"}.get(letter, "read"), value
        elif letter in "aic":
            start = position + 1
            _, position = _sed_line(script, start)
            while script[position - 1] == "\\" and position < size:
                _, position = _sed_line(script, position + 1)
            yield "text", script[start:position].replace("\\\n", "\n").strip().removeprefix("\\")
        elif letter in "#btT:":
            _, position = _sed_line(script, position + 1)
        else:
            position += 1


def _sed_letter(match: patterns.Match) -> str:
    """What stands for itself in a replacement; what was found there is not known."""
    letter = match.group(1)
    return HIDDEN if letter is None or letter.isdigit() else "\n" if letter == "n" else str(letter)


def _sed_part(script: str, start: int, mark: str) -> int:
    """The position behind the next unescaped `mark`."""
    position = start
    while position < len(script):
        if script[position] == "\\":
            position += 2
        elif script[position] == mark:
            return position + 1
        else:
            position += 1
    return position


def _sed_line(script: str, start: int) -> tuple[str, int]:
    end = script.find("\n", start)
    end = len(script) if end < 0 else end
    return script[start:end].strip(), end


# -- other tools with a command inside -------------------------------------------------------------------------------


def _option_command(walker: Walker, call: Invocation) -> None:
    """Tools of which one option is a command for each part of the work."""
    for value in call.values(*_COMMAND_OPTIONS[call.name]):
        walker.run_text(value)


def _filter_program(walker: Walker, call: Invocation) -> None:
    """`rg --pre PROGRAM`: a program that every file goes through."""
    for value in call.values("--pre", "--hostname-bin"):
        walker.flag("escape.options", scoring.MEDIUM, "Runs a program on every file that it searches.", call.excerpt)
        walker.run_words([Word(value), Word(HIDDEN)])


_COMMAND_OPTIONS = {"split": ("--filter",), "sort": ("--compress-program",), "tcpdump": ("-z",)}

HANDLERS = {
    "awk": _awk,
    "sed": _sed,
    "split": _option_command,
    "sort": _option_command,
    "tcpdump": _option_command,
    "rg": _filter_program,
}
