"""Build tools: makefiles, recipes, scripts and sources that are given on the command line or were written before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import flows, options
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.variables import PROGRAM_VARIABLES
from services.approval.risk.shell.words import Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_MAKE = options.syntax(
    values="-C -f -I -o -W -E --directory --file --makefile --include-dir --old-file --what-if --eval",
    optional="-j -l -O",
    flags="-n -B -s -k -i -q -r -R -t -w -b -m -p -e -d -S -h -v",
)
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_RUN_BY_MAKE = patterns.compile(r"\$[({]shell\s+([^(){}]*(?:\([^()]*\)[^(){}]*)*)[)}]|^\s*\w+\s*!=\s*(.+)$")
MAX_MAKEFILE_LINES = 2000


def _make(walker: Walker, call: Invocation) -> None:
    found, operands = options.split(_MAKE, call.words)
    for word in options.given(found, "--eval", "-E"):
        walker.flag("escape.make", scoring.HIGH, "Runs a makefile given on the command line.", call.excerpt)
        _makefile(walker, word.text.replace("\\n", "\n").replace("\\t", "\t"))
    for word in operands:
        key, equals, value = word.text.partition("=")
        if equals and key.rstrip(":+?").upper() in ("SHELL", ".SHELLFLAGS", "MAKESHELL"):
            walker.flag("escape.make", scoring.HIGH, "Replaces the shell that a makefile uses.", call.excerpt)
            walker.run_text(value)
        elif equals and " " in value and key in PROGRAM_VARIABLES:
            walker.run_text(value)
        elif equals and "$(shell" in value:
            _makefile(walker, value)
    files = options.given(found, "-f", "--file", "--makefile")
    if not files and call.args[-1:] == ("-f",) and call.stdin.present:  # the grammar drops the dash of `make -f - <<END`
        files = [Word("-")]
    folder = "".join(f"{w.text.rstrip('/')}/" for w in options.given(found, "-C", "--directory")[:1])
    for word in files:
        if word.text in ("-", "/dev/stdin"):
            if call.stdin.text is not None:
                _makefile(walker, call.stdin.text)
            else:
                code.fed(walker, call)
    for name in [w.text for w in files] if files else [folder + name for name in _MAKEFILES]:
        text = walker.file_text(name)
        if flows.FETCHED in walker.file_taint(name) or walker.state.files.is_unpacked(name):
            code.flag_fetched(walker, call.excerpt)
        if text is not None:
            _makefile(walker, text)


def _makefile(walker: Walker, text: str) -> None:
    """Assesses every recipe of a makefile, and what it runs while it is read."""
    lines = text.split("\n")
    if len(lines) > MAX_MAKEFILE_LINES:
        walker.unreadable("too-large", f"A makefile of {len(lines)} lines; at most {MAX_MAKEFILE_LINES} are analysed.")
        return
    for line in lines:
        for match in _RUN_BY_MAKE.finditer(line):
            walker.run_text((match.group(1) or match.group(2)).replace("$$", "$"))
        target, colon, rest = line.partition(":")
        recipe = line if line.startswith("\t") else rest.partition(";")[2] if colon and "=" not in target else ""
        recipe = recipe.strip().lstrip("@-+").replace("$$", "$")
        if recipe:
            walker.run_text(recipe)


def _cmake(walker: Walker, call: Invocation) -> None:
    """`cmake -E env A=1 cmd`, `cmake -P script`."""
    args = call.args
    if args[:1] == ("-E",) and len(args) > 2:
        rest = list(call.words[2:])
        if args[1] in ("env", "time"):
            walker.run_words([Word("env"), *(w for w in rest if not w.text.startswith("--"))], call.stdin)
        elif args[1] in ("chdir",):
            walker.run_words(rest[1:], call.stdin)
        elif args[1] in ("rm", "remove", "remove_directory", "copy", "rename", "tar"):
            name = {"remove": "rm", "remove_directory": "rm", "copy": "cp", "rename": "mv"}.get(args[1], args[1])
            walker.run_words([Word(name), *([Word("-r")] if args[1] == "remove_directory" else []), *rest], call.stdin)
    for value in call.values("-P"):
        if flows.FETCHED in walker.file_taint(value):
            code.flag_fetched(walker, call.excerpt)
        elif HIDDEN in value or walker.state.files.is_pipe(value) or ((text := walker.file_text(value)) is not None and "execute_process" in text):
            walker.flag("escape.cmake", scoring.MEDIUM, "Runs a CMake script, which may start any program.", call.excerpt)


_COMPILED = {"c": "c", "cc": "c", "cpp": "c", "cxx": "c", "m": "c", "rs": "rust", "java": "java"}


def _compile(walker: Walker, call: Invocation) -> None:
    """A source that this script wrote does what it says once it is run, whatever the program is then called."""
    for path in call.positionals:
        language = _COMPILED.get(path.rpartition(".")[2])
        if language and (text := walker.file_text(path)) is not None:
            code.run_language(walker, language, text)


HANDLERS = dict.fromkeys("gcc g++ cc c++ clang clang++ tcc rustc javac".split(), _compile) | {"make": _make, "gmake": _make, "cmake": _cmake}
