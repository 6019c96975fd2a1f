"""Programs that run code they are given: shells, language interpreters, and tools with a command of their own inside."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.approval.risk import languages, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.languages import sql
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.words import NONE, Value, Word
from services.approval.risk.shell.wrappers import SSH_VALUES

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

SHELLS = frozenset("sh bash dash zsh ksh ksh93 ash fish csh tcsh rbash mksh pwsh powershell posh yash elvish rksh lksh sash scsh".split())

# interpreter: (language, options whose value is code, options that take another value)
INTERPRETERS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "python": ("python", ("-c",), ("-W", "-X", "-m")),
    "pypy": ("python", ("-c",), ("-W", "-X", "-m")),
    "ipython": ("python", ("-c",), ()),
    "perl": ("perl", ("-e", "-E"), ("-I", "-M")),
    "ruby": ("ruby", ("-e",), ("-I", "-r")),
    "irb": ("ruby", ("-e",), ()),
    "node": ("javascript", ("-e", "-p", "--eval", "--print"), ("-r", "--require")),
    "bun": ("javascript", ("-e", "--eval"), ()),
    "deno": ("javascript", ("eval",), ()),
    "php": ("php", ("-r", "-B", "-R", "-E"), ("-d", "-c")),
    "lua": ("lua", ("-e",), ("-l",)),
    "luajit": ("lua", ("-e",), ("-l",)),
    "rscript": ("r", ("-e",), ()),
    "r": ("r", ("-e",), ()),
    "tclsh": ("tcl", (), ()),
    "osascript": ("applescript", ("-e",), ("-l",)),
    "julia": ("julia", ("-e", "-E"), ()),
    "groovy": ("groovy", ("-e",), ()),
    "scala": ("scala", ("-e",), ()),
    "elixir": ("elixir", ("-e",), ()),
    "erl": ("erlang", ("-eval",), ()),
    "guile": ("scheme", ("-c",), ()),
    "jshell": ("java", (), ()),
    "jrunscript": ("javascript", ("-e",), ()),
    "jjs": ("javascript", (), ()),
    "gdb": ("gdb", ("-ex", "-eval-command", "--eval-command"), ("-x", "-p")),
    "emacs": ("lisp", ("--eval", "-eval", "--execute"), ("-l",)),
    "octave": ("octave", ("--eval",), ()),
    "expect": ("expect", ("-c",), ()),
    "awk": ("awk", (), ()),
}
_HARMLESS_MODULES = frozenset(
    "json.tool pytest unittest pip venv http.server py_compile compileall timeit pdb cProfile mypy ruff black isort flake8 pylint build coverage "
    "tox doctest calendar this site sysconfig platform zipfile tarfile ensurepip pipx poetry django sphinx mkdocs twine tokenize ast".split()
)


def shell_text(walker: Walker, script: Word, stdin: Flow | None = None) -> Flow:
    """Assesses a script given as a word."""
    if flows.FETCHED in script.taints:
        _fetched(walker, script.text)
        if script.text == HIDDEN:
            return Flow(taints=script.taints, present=True)
    if flows.ENCODED in script.taints:
        walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", script.text, "Write the script plainly.")
    if not script.text.strip():
        return Flow()
    return walker.run_text(script.text, stdin)


def _fetched(walker: Walker, excerpt: str) -> None:
    walker.flag(
        "execution.fetched",
        scoring.HIGH,
        "Runs code fetched from the network, unseen.",
        excerpt,
        "Fetch it into a file, read it, check its signature, then run it.",
    )


def enter(walker: Walker, call: Invocation, words: Sequence[Word]) -> bool:
    """Assesses the code inside a command. Returns whether the program is one of these."""
    if call.name in SHELLS:
        _shell(walker, call)
    elif call.name in INTERPRETERS:
        _interpreter(walker, call)
    elif (handler := _HANDLERS.get(call.name)) is not None:
        handler(walker, call)
    else:
        return False
    return True


def _word(call: Invocation, text: str) -> Word:
    return next((w for w in call.words if w.text == text), Word(text, call.taints))


def _shell(walker: Walker, call: Invocation) -> None:
    if call.flags & {"--version", "--help", "-n"} and "-c" not in call.flags:
        return
    script: Word | None = None
    operands: list[Word] = []
    index = 0
    while index < len(call.words):
        text = call.words[index].text
        if text in ("-c", "--command", "-Command", "-command") or re.match(r"^-[a-zA-Z]*c$", text):
            script = call.words[index + 1] if index + 1 < len(call.words) else Word("")
            break
        if re.match(r"(?i)^-e(?:nc|ncodedcommand)?$", text) and call.name in ("powershell", "pwsh"):
            walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", call.excerpt)
            return
        if text in ("-o", "-O", "--rcfile", "--init-file"):
            index += 2
            continue
        if text.startswith(("-", "+")) and text not in ("-", "--"):
            index += 1
            continue
        if text not in ("-", "--"):
            operands = list(call.words[index:])
            break
        index += 1
    if script is not None:
        if call.name in ("powershell", "pwsh"):
            walker.add(*languages.assess("powershell", script.text, walker.run_text))
        else:
            shell_text(walker, script, call.stdin)
    elif operands and not call.flags & {"-s"}:
        _script_file(walker, call, operands[0])
    elif call.stdin.present:
        _fed(walker, call, "bash")
    else:
        walker.flag(
            "escape.shell", scoring.MEDIUM, "Opens a shell whose commands nobody sees.", call.excerpt, "Name the commands that should run.", call.span
        )


def _script_file(walker: Walker, call: Invocation, word: Word, language: str = "bash") -> None:
    """An interpreter given a file: one written or fetched by the same script is known, any other is only noted."""
    taints = word.taints | walker.file_taint(word.text)
    if flows.FETCHED in taints:
        _fetched(walker, call.excerpt)
    elif flows.ENCODED in taints:
        walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", call.excerpt)
    elif (text := walker.file_text(word.text)) is not None:
        run_language(walker, language, text)
    elif word.text in ("/dev/stdin", "/dev/fd/0", "-"):
        _fed(walker, call, language)
    elif not word.known and "substituted" not in word.taints:
        walker.flag("execution.hidden-script", scoring.MINOR, "Which script runs is not known before it runs.", call.excerpt)
    elif re.match(r"^(?:/tmp|/var/tmp|/dev/shm)/", word.text):
        walker.flag("execution.temporary", scoring.MEDIUM, "Runs a script from a folder for temporary files.", call.excerpt)
    elif re.match(r"^(?:https?|ftp)://", word.text):
        _fetched(walker, call.excerpt)
    else:
        walker.flag("execution.script-file", scoring.NOTE, "Runs a script whose content is not part of this action.", call.excerpt)


def _fed(walker: Walker, call: Invocation, language: str) -> None:
    """An interpreter that runs what comes in on standard input."""
    stdin = call.stdin
    if flows.FETCHED in stdin.taints:
        _fetched(walker, call.excerpt)
    elif flows.ENCODED in stdin.taints and stdin.text is None:
        walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", call.excerpt, "Write the script plainly.")
    elif stdin.text is None:
        walker.flag(
            "execution.piped",
            scoring.HIGH,
            "Runs whatever another program prints.",
            call.excerpt,
            "Save the output, read it, then run it.",
            call.span,
        )
    if stdin.text is not None:
        if flows.ENCODED in stdin.taints:
            walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", call.excerpt, "Write the script plainly.")
        run_language(walker, language, stdin.text)


def run_language(walker: Walker, language: str, text: str) -> None:
    """Assesses source code of a language found inside a shell command."""
    if language == "bash":
        walker.run_text(text)
    else:
        walker.add(*languages.assess(language, text, walker.run_text))


def _interpreter(walker: Walker, call: Invocation) -> None:
    language, code_options, value_options = INTERPRETERS[call.name]
    if call.name == "awk":
        _awk(walker, call)
        return
    found = False
    index = 0
    operand: Word | None = None
    while index < len(call.words):
        word = call.words[index]
        text = word.text
        cluster = len(text) > 2 and text[0] == "-" and text[1] != "-" and text[1:].isalpha() and f"-{text[-1]}" in code_options
        if text in code_options or cluster:
            body = call.words[index + 1] if index + 1 < len(call.words) else Word("")
            found = True
            if flows.FETCHED in body.taints:
                _fetched(walker, call.excerpt)
            elif not body.known and body.text.replace(HIDDEN, "").strip() == "":
                walker.unreadable("hidden-code", "The code that runs is not known before it runs.", call.excerpt)
            run_language(walker, language, body.text)
            index += 2
            continue
        if attached := next((o for o in code_options if text.startswith(o) and len(o) == 2 and len(text) > 2 and text[1] != "-"), None):
            if not text[2:].isalpha() or call.name in ("python", "ruby"):
                run_language(walker, language, text[len(attached) :])
                found = True
        elif text == "-m" and language == "python":
            module = call.words[index + 1].text if index + 1 < len(call.words) else ""
            if module in ("http.server", "SimpleHTTPServer", "pyftpdlib") and "--help" not in call.flags:
                walker.flag("network.listener", scoring.MEDIUM, "Serves the working directory to the network.", call.excerpt)
            elif module.split(".")[0] not in {m.split(".")[0] for m in _HARMLESS_MODULES}:
                walker.flag("execution.module", scoring.NOTE, "Runs a module.", call.excerpt)
            return
        elif text in value_options:
            index += 1
        elif not text.startswith("-") or text == "-":
            operand = word
            break
        index += 1
    if found:
        return
    if operand is not None and operand.text != "-":
        if call.name == "deno" and operand.text == "eval" and index + 1 < len(call.words):
            run_language(walker, language, call.words[index + 1].text)
        elif call.name not in ("gdb", "emacs", "r", "octave") and not (
            call.name in ("bun", "deno") and operand.text in ("run", "test", "install", "add")
        ):
            _script_file(walker, call, operand, language)
    elif call.stdin.present:
        _fed(walker, call, language)
    elif not call.flags & {"--version", "-V", "-v", "--help", "-h", "-i"}:
        walker.flag("execution.interactive", scoring.MINOR, "Opens an interpreter whose input nobody sees.", call.excerpt)


def _awk(walker: Walker, call: Invocation) -> None:
    program = next((p for p in call.positionals if "{" in p or "(" in p), "")
    for value in [program, *call.values("-e", "--source")]:
        walker.add(*languages.assess("awk", value, walker.run_text))


# -- tools with a command inside ---------------------------------------------------------------------------------


def _eval(walker: Walker, call: Invocation) -> None:
    text = " ".join(call.args)
    if text:
        shell_text(walker, Word(text, call.taints), call.stdin)


def _source(walker: Walker, call: Invocation) -> None:
    if call.words:
        _script_file(walker, call, call.words[0])


def _trap(walker: Walker, call: Invocation) -> None:
    if call.args and call.args[0] not in ("-", "-l", "-p", "") and not call.args[0].startswith("-"):
        shell_text(walker, call.words[0])


def _alias(walker: Walker, call: Invocation) -> None:
    for word in call.words:
        name, equals, value = word.text.partition("=")
        if equals and value:
            walker.state.functions.add(name)
            walker.assign("alias " + name, Value(value, word.taints))
            shell_text(walker, Word(value, word.taints))


def _find(walker: Walker, call: Invocation) -> None:
    words = list(call.words)
    start = [w.text for w in words[: next((i for i, w in enumerate(words) if w.text.startswith(("-", "(", "!"))), len(words))]]
    for index, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch"):
            end = next((i for i in range(index + 1, len(words)) if words[i].text in (";", "+")), len(words))
            inner = [Word(w.text.replace("{}", (start[0] if start else ".") + "/" + HIDDEN), w.taints) for w in words[index + 1 : end]]
            walker.run_words(inner)
    if "-delete" in call.args:
        root = any(paths.is_root(path) for path in start) and not {"-name", "-iname", "-path", "-regex", "-mtime"} & set(call.args)
        walker.flag(
            "destruction.find-delete",
            scoring.CRITICAL if root else scoring.SERIOUS,
            "Deletes every file that a search finds.",
            call.excerpt,
            "List them first, without -delete.",
            call.span,
        )
    for path in call.values("-fprint", "-fprintf", "-fls", "-fprint0"):
        flows.writes(walker, path, Flow())


def _ssh(walker: Walker, call: Invocation) -> None:
    index, rest = 0, list(call.words)
    for option in call.values("-o"):
        key, _, value = option.partition("=")
        if key.strip().lower() in ("proxycommand", "localcommand", "knownhostscommand") and value and value != "none":
            walker.flag("escape.ssh-option", scoring.HIGH, "An SSH option runs a local command.", call.excerpt)
            walker.run_text(value)
    while index < len(rest) and rest[index].text.startswith("-"):
        index += 2 if rest[index].text in SSH_VALUES else 1
    command = rest[index + 1 :]
    while command and command[0].text.startswith("-") and command[0].text in SSH_VALUES:
        command = command[2:]
    if command:
        walker.flag("network.remote-command", scoring.MINOR, "Runs a command on another machine.", call.excerpt)
        shell_text(walker, Word(" ".join(w.text for w in command), NONE.union(*(w.taints for w in command))), call.stdin)
    elif call.stdin.present:
        _fed(walker, call, "bash")


def _git(walker: Walker, call: Invocation) -> None:
    for setting in call.values("-c", "--config-env"):
        key, _, value = setting.partition("=")
        _git_setting(walker, call, key, value)
    sub = call.positionals[:1]
    if sub == ("config",):
        given = [p for p in call.positionals[1:] if p not in ("set", "get", "add")]
        if len(given) >= 2:
            _git_setting(walker, call, given[0], given[1])
    elif sub == ("bisect",) and call.positionals[1:2] == ("run",):
        walker.run_words(list(call.words[list(call.args).index("run") + 1 :]))
    elif sub == ("submodule",) and "foreach" in call.args:
        rest = call.words[list(call.args).index("foreach") + 1 :]
        shell_text(walker, Word(" ".join(w.text for w in rest if w.text != "--recursive")))
    elif sub == ("grep",):
        for value in [*call.values("-O"), *call.values("--open-files-in-pager")]:
            walker.run_text(value)
    for value in [*call.values("--exec", "-x"), *call.values("--upload-pack", "--receive-pack", "--exec-path", "--extcmd")]:
        if sub and sub[0] in ("rebase", "difftool", "fetch", "clone", "ls-remote", "pull", "push", "archive"):
            if sub[0] != "rebase":
                walker.flag("escape.git", scoring.MEDIUM, "A git option names a program to run.", call.excerpt)
            walker.run_text(value)
    for value in [*call.values("--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter")]:
        walker.run_text(value)


_GIT_RUNS = re.compile(
    r"(?i)^(?:alias\..+|core\.(?:pager|editor|sshcommand|fsmonitor|hookspath|gitproxy|askpass)|pager\..+|credential\.(?:.*\.)?helper|diff\.external"
    r"|diff\..+\.(?:command|textconv)|filter\..+\.(?:clean|smudge|process)|merge\..+\.driver|sequence\.editor|uploadpack\.packobjectshook"
    r"|protocol\.ext\.allow|(?:merge|diff)tool\..+\.cmd|gpg\..*program|browser\..+\.cmd|interactive\.difffilter)$"
)


def _git_setting(walker: Walker, call: Invocation, key: str, value: str) -> None:
    if not _GIT_RUNS.match(key) or not value:
        return
    if key.lower().startswith("alias."):
        if value.startswith("!"):
            walker.run_text(value[1:])
            walker.flag("escape.git-alias", scoring.MEDIUM, "A git alias runs a shell command.", call.excerpt)
        return
    if key.lower().endswith(("helper", "pager", "editor")) and re.fullmatch(r"[\w -]{1,40}", value) and value.split()[0] not in SHELLS:
        return
    walker.flag("escape.git-setting", scoring.MEDIUM, f"The git setting {key[:60]} runs a program.", call.excerpt)
    walker.run_text(value.removeprefix("!"))


def _tar(walker: Walker, call: Invocation) -> None:
    runs = [v.removeprefix("exec=") for v in call.values("--checkpoint-action") if v.startswith("exec=")]
    runs += call.values("--to-command", "--use-compress-program", "--info-script", "--new-volume-script", "--rsh-command", "-F")
    if call.name == "tar":
        runs += [v for v in call.values("-I") if v]
    for script in runs:
        if re.fullmatch(r"(?:pigz|zstd|zstdmt|xz|lz4|pbzip2|gzip|bzip2|brotli|pixz|lzip|plzip)(?:\s+-[\w=-]+)*", script):
            continue
        walker.flag(
            "escape.archive-command", scoring.HIGH, "An archive option runs a command.", call.excerpt, "Pack and unpack without it.", call.span
        )
        walker.run_text(script)


def _sql(walker: Walker, call: Invocation) -> None:
    options = {
        "sqlite3": ("-cmd",),
        "psql": ("-c", "--command"),
        "mysql": ("-e", "--execute"),
        "clickhouse-client": ("-q", "--query"),
        "cqlsh": ("-e",),
        "sqlcmd": ("-Q", "-q"),
        "mongosh": ("--eval",),
        "duckdb": ("-c",),
        "influx": ("-execute",),
    }
    values = call.values(*options.get(call.name, ("-c", "-e", "-q")))
    for index, arg in enumerate(call.args):  # "-e DROP DATABASE test", unquoted: the rest of the line is the statement
        if arg in options.get(call.name, ()) and index + 2 < len(call.args) and not call.args[index + 1].startswith("-"):
            values.append(" ".join(call.args[index + 1 :]))
    if call.name in ("sqlite3", "duckdb"):
        values += call.positionals[1:]
    if call.name == "mongosh":
        values += [p for p in call.positionals if "." in p and "(" in p]
    if call.stdin.present:
        if call.stdin.text is not None:
            values.append(call.stdin.text)
        elif flows.FETCHED in call.stdin.taints:
            _fetched(walker, call.excerpt)
        else:
            walker.flag("database.piped", scoring.MEDIUM, "Runs statements that another program or a file gives.", call.excerpt)
    for value in values:
        for factor in sql.assess(value):
            walker.add(factor)
        for script in re.findall(r"(?:^|\n)\s*(?:\\!|\.shell|\.system|!)\s*([^\n]{1,4000})", value):
            walker.flag("escape.sql-shell", scoring.HIGH, "Leaves the database client for a shell.", call.excerpt)
            walker.run_text(script)


def _editor(walker: Walker, call: Invocation) -> None:
    for value in [*call.values("-c", "--cmd", "-S"), *(a[1:] for a in call.args if a.startswith("+") and len(a) > 1)]:
        if match := re.search(r"(?:^|[|:\s])(?:r(?:ead)?\s*|w\s+)?!\s*(.+)", value):
            walker.flag("escape.editor", scoring.HIGH, "Leaves an editor for a shell.", call.excerpt, span=call.span)
            walker.run_text(match.group(1))
        elif re.search(r"\b(?:shell|terminal|system\(|py3?x?\b|python3?\b|lua\b|ruby\b|perl\b|set shell)|^:?term", value):
            walker.flag("escape.editor", scoring.HIGH, "Leaves an editor for a shell or runs code in it.", call.excerpt, span=call.span)


def _make(walker: Walker, call: Invocation) -> None:
    for value in call.values("--eval", "-E"):
        walker.flag("escape.make", scoring.HIGH, "Runs a makefile given on the command line.", call.excerpt)
        walker.run_text(re.sub(r"^[^\n]*:\s*[\n;]?\s*-?@?", "", value, count=1))
    for arg in call.args:
        key, equals, value = arg.partition("=")
        if equals and key.upper() == "SHELL":
            walker.flag("escape.make", scoring.HIGH, "Replaces the shell that a makefile uses.", call.excerpt)
            walker.run_text(value)
    if call.stdin.present and call.values("-f", "--file") == ["-"]:
        _fed(walker, call, "bash")


def _rsync(walker: Walker, call: Invocation) -> None:
    for value in call.values("-e", "--rsh", "--rsync-path"):
        if not re.match(r"^(?:/usr/bin/)?(?:ssh|rsh|rsync|sudo rsync)\b", value):
            walker.flag("escape.rsync", scoring.HIGH, "An rsync option runs a local command.", call.excerpt)
        if re.search(r"\bsh\b", value):
            walker.run_text(value)


def _scheduled(walker: Walker, call: Invocation) -> None:
    if call.stdin.present and call.stdin.text is not None:
        for line in call.stdin.text.splitlines():
            entry = re.sub(r"^\s*(?:@\w+|(?:[\d*/,a-zA-Z-]+\s+){5})", "", line) if call.name == "crontab" else line
            if entry.strip() and not re.match(r"^\s*(?:#|\w+=)", entry):
                walker.run_text(entry)


_HANDLERS: dict[str, Callable[[Walker, Invocation], None]] = {
    "eval": _eval, "source": _source, ".": _source, "trap": _trap, "alias": _alias, "find": _find, "fd": _find, "fdfind": _find, "ssh": _ssh,
    "mosh": _ssh, "git": _git, "tar": _tar, "zip": _tar, "cpio": _tar, "rsync": _rsync, "psql": _sql, "mysql": _sql, "sqlite3": _sql,
    "mongosh": _sql, "clickhouse-client": _sql, "cqlsh": _sql, "sqlcmd": _sql, "duckdb": _sql, "vim": _editor, "make": _make, "gmake": _make,
    "crontab": _scheduled, "at": _scheduled, "ex": _editor, "rvim": _editor,
}  # fmt: skip
