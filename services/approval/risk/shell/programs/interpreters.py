"""Language interpreters: code given as an option, on standard input, as a file, or as a module that acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.approval.risk import scoring
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code
from services.approval.risk.shell.words import Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How an interpreter takes code.

    `code`: options whose value is code. `values`: options that take another value. `loads`: options whose value is a library
    that is loaded first. `verbs`: first operands that are commands of the tool and no script. `runs_files`: an operand is a script.
    """

    language: str
    code: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()
    runs_files: bool = True


_PYTHON = Interpreter("python", ("-c",), ("-W", "-X", "--check-hash-based-pycs"))
_BUN = frozenset("run test install add remove update build init create x pm upgrade link outdated publish i exec".split())
_DENO = frozenset("run test install add task fmt lint check cache compile bench doc info serve jupyter repl init upgrade types".split())
INTERPRETERS: dict[str, Interpreter] = {
    "python": _PYTHON,
    "pypy": _PYTHON,
    "ipython": _PYTHON,
    "bpython": _PYTHON,
    "jython": _PYTHON,
    "perl": Interpreter("perl", ("-e", "-E"), loads=("-M", "-m")),
    "ruby": Interpreter("ruby", ("-e",), ("-I", "-C", "-E"), loads=("-r",)),
    "jruby": Interpreter("ruby", ("-e",), ("-I", "-C"), loads=("-r",)),
    "irb": Interpreter("ruby", ("-e",), ("-I",), loads=("-r",)),
    "node": Interpreter("javascript", ("-e", "-p", "--eval", "--print"), ("-C", "--conditions", "--env-file"), ("-r", "--require", "--import", "--loader")),
    "tsx": Interpreter("javascript", ("-e", "-p", "--eval", "--print"), loads=("-r", "--require", "--import")),
    "ts-node": Interpreter("javascript", ("-e", "-p", "--eval", "--print"), ("-P", "-O"), ("-r", "--require")),
    "bun": Interpreter("javascript", ("-e", "-p", "--eval", "--print"), ("--cwd",), ("-r", "--preload"), _BUN),
    "deno": Interpreter("javascript", ("eval",), ("--config", "-c"), ("--preload",), _DENO),
    "php": Interpreter("php", ("-r", "-B", "-R", "-E", "--run", "--process-code"), ("-d", "-c", "-S", "-t", "-z")),
    "lua": Interpreter("lua", ("-e",), loads=("-l",)),
    "luajit": Interpreter("lua", ("-e",), ("-O", "-j"), loads=("-l",)),
    "rscript": Interpreter("r", ("-e",)),
    "r": Interpreter("r", ("-e",), ("-f", "-g"), runs_files=False),
    "tclsh": Interpreter("tcl"),
    "wish": Interpreter("tcl"),
    "osascript": Interpreter("applescript", ("-e",), ("-l",)),
    "julia": Interpreter("julia", ("-e", "-E", "--eval", "--print"), ("-p", "-t", "-J"), ("-L", "--load")),
    "groovy": Interpreter("groovy", ("-e",), ("-cp", "--classpath")),
    "scala": Interpreter("scala", ("-e",), ("-cp", "-classpath")),
    "elixir": Interpreter("elixir", ("-e", "--eval", "--rpc-eval"), loads=("-r", "-pr")),
    "erl": Interpreter("erlang", ("-eval",), ("-pa", "-name", "-sname", "-setcookie"), runs_files=False),
    "guile": Interpreter("scheme", ("-c",), ("-L", "-x"), ("-l",)),
    "sbcl": Interpreter("lisp", ("--eval",), loads=("--load", "--script")),
    "clisp": Interpreter("lisp", ("-x",), loads=("-i",)),
    "clojure": Interpreter("lisp", ("-e", "--eval"), ("-M",), ("-i", "--init")),
    "bb": Interpreter("lisp", ("-e",), loads=("-i",)),
    "ghc": Interpreter("haskell", (), runs_files=False),
    "jshell": Interpreter("java", (), ("--class-path",)),
    "jrunscript": Interpreter("javascript", ("-e",), ("-l", "-cp")),
    "jjs": Interpreter("javascript"),
    "emacs": Interpreter("lisp", ("--eval", "-eval", "--execute", "-execute"), ("-f", "--funcall"), ("-l", "--load", "--script", "-script"), runs_files=False),
    "emacsclient": Interpreter("lisp", ("-e", "--eval"), ("-s", "-a"), runs_files=False),
    "octave": Interpreter("octave", ("--eval",), ("--path",), runs_files=False),
    "expect": Interpreter("expect", ("-c",)),
    "gnuplot": Interpreter("text", ("-e",)),
}  # fmt: skip

_ASKED = frozenset("--version -V -v --help -h -VV -version --v8-options -i".split())
# Python modules that are programs of their own: `python -m NAME ARGS` does what `NAME ARGS` does.
_MODULE_PROGRAMS = frozenset("pip pipx twine poetry pipenv conda build ansible awscli httpie uv".split())
_LISTENERS = frozenset(
    "http.server simplehttpserver pyftpdlib smtpd aiosmtpd http.server3 wsgiref.simple_server xmlrpc.server updog uploadserver".split()
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# Modules that run the script or the statements given to them.
_MODULE_RUNNERS = frozenset("cprofile profile pdb trace coverage runpy timeit bdb viztracer scalene memory_profiler kernprof debugpy".split())
_HARMLESS_MODULES = frozenset(
    "json pytest unittest pip venv py_compile compileall timeit pdb cprofile mypy ruff black isort flake8 pylint build coverage tox doctest calendar "
    "this site sysconfig platform zipfile tarfile gzip ensurepip pipx poetry django sphinx mkdocs twine tokenize ast dis inspect pydoc pyflakes "
    "bandit virtualenv nox jupyter notebook ipykernel grpc_tools flask uvicorn gunicorn streamlit alembic celery towncrier pre_commit pipdeptree "
    "setuptools wheel installer hatch pdm cookiecutter yapf autopep8 base64 quopri uuid webbrowser antigravity turtle tkinter idlelib".split()
)


def _interpreter(walker: Walker, call: Invocation) -> None:
    how = INTERPRETERS[call.name]
    found = loaded = False
    index = 0
    operand: Word | None = None
    words = call.words
    while index < len(words):
        word = words[index]
        text = word.text
        following = words[index + 1] if index + 1 < len(words) else Word("")
        if (body := _code_in(how, call.name, word, following)) is not None:
            _given(walker, call, how.language, body[0])
            found = True
            index += body[1]
            continue
        if text == "-m" and how.language == "python":
            _module(walker, call, words[index + 1 :])
            return
        if text.startswith("-m") and how.language == "python" and len(text) > 2 and text[2] != "-":
            _module(walker, call, (Word(text[2:], word.taints), *words[index + 1 :]))
            return
        if library := _library(how, word, following):
            loaded = True
            _load(walker, call, library[0])
            index += library[1]
            continue
        if text in how.values:
            index += 2
            continue
        if text == "--" or not text.startswith("-") or text == "-":
            operand = following if text == "--" else word
            break
        index += 1
    if found or (operand is not None and operand.text in how.verbs):
        if operand is not None and operand.text == "run" and index + 1 < len(words) and how.language == "javascript":
            script = next((w for w in words[index + 1 :] if not w.text.startswith("-")), None)
            if script is not None and ("." in script.text or "/" in script.text):
                code.script_file(walker, call, script, how.language)
        return
    if operand is not None and operand.text and operand.text != "-":
        if how.runs_files:
            code.script_file(walker, call, operand, how.language)
    elif call.stdin.present:
        code.fed(walker, call, how.language)
    elif not (loaded or call.flags & _ASKED):
        walker.flag("execution.interactive", scoring.MINOR, "Opens an interpreter whose input nobody sees.", call.excerpt)


def _code_in(how: Interpreter, name: str, word: Word, following: Word) -> tuple[Word, int] | None:
    """The code that an option holds, and how many arguments it takes: `-c CODE`, `-cCODE`, `-lane CODE`, `--eval=CODE`."""
    text = word.text
    if text in how.code:
        return following, 2
    if len(text) < 3 or text[0] != "-":
        return None
    if text[1] == "-":
        option, equals, value = text.partition("=")
        return (Word(value, word.taints), 1) if equals and option in how.code else None
    for option in how.code:
        if len(option) == 2 and text.startswith(option) and not (text[2:].isalpha() and name not in ("python", "pypy", "ruby", "lua", "luajit")):
            return Word(text[2:], word.taints), 1
    # letters joined before the one that takes code: -lane, -0777pe, -pi.bakE is not one of them
    if f"-{text[-1]}" in how.code and text[1:].isalnum() and text[1] not in "MIFmCr":
        return following, 2
    return None


def _given(walker: Walker, call: Invocation, language: str, body: Word) -> None:
    if flows.FETCHED in body.taints:
        code.flag_fetched(walker, call.excerpt)
    elif flows.ENCODED in body.taints:
        code.flag_decoded(walker, call.excerpt)
    elif not body.known and body.text.replace(HIDDEN, "").strip() == "":
        walker.unreadable("hidden-code", "The code that runs is not known before it runs.", call.excerpt)
    code.run_language(walker, language, body.text)


def _library(how: Interpreter, word: Word, following: Word) -> tuple[Word, int] | None:
    text = word.text
    for option in how.loads:
        if text == option:
            return following, 2
        if option.startswith("--"):
            if text.startswith(option + "="):
                return Word(text[len(option) + 1 :], word.taints), 1
        elif len(option) == 2 and text.startswith(option):
            return Word(text[2:], word.taints), 1
    return None


def _load(walker: Walker, call: Invocation, library: Word) -> None:
    """A library that runs when it is loaded: a module by name says what the code can do, a file is a script."""
    name = library.text
    if INTERPRETERS[call.name].language in ("perl", "ruby", "lua") and not name.startswith((".", "/")):
        statement = {"perl": f"use {name.partition('=')[0]};", "ruby": f"require '{name}'", "lua": f"require('{name}')"}
        code.run_language(walker, INTERPRETERS[call.name].language, statement[INTERPRETERS[call.name].language])
    elif "/" in name or not library.known or name.startswith("data:"):
        if name.startswith("data:"):
            walker.flag("execution.decoded", scoring.HIGH, "Loads code that is part of the command line.", call.excerpt)
        else:
            code.script_file(walker, call, library, INTERPRETERS[call.name].language)


def _module(walker: Walker, call: Invocation, rest: tuple[Word, ...]) -> None:
    module = rest[0].text if rest else ""
    name = module.lower()
    if name in _LISTENERS:
        if "--help" not in call.flags and not _LOOPBACK.issuperset(call.values("-b", "--bind") or ("",)):
            walker.flag("network.listener", scoring.MEDIUM, "Serves the working directory to the network.", call.excerpt)
    elif name in _MODULE_PROGRAMS:
        walker.run_words([Word(name, rest[0].taints), *rest[1:]], call.stdin)
    elif name in _MODULE_RUNNERS:
        _module_script(walker, call, name, rest[1:])
    elif name.partition(".")[0] not in _HARMLESS_MODULES:
        walker.flag("execution.module", scoring.NOTE, "Runs a module.", call.excerpt)


def _module_script(walker: Walker, call: Invocation, module: str, rest: tuple[Word, ...]) -> None:
    operands = [w for w in rest if not w.text.startswith("-")]
    if module == "timeit":
        for word in operands:
            code.run_language(walker, "python", word.text)
        return
    script = next((w for w in operands if w.text.endswith(".py") or "/" in w.text), None)
    if script is not None:
        code.script_file(walker, call, script, "python")


HANDLERS = dict.fromkeys(INTERPRETERS, _interpreter)
