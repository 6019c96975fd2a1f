"""Source code: what it calls, by the language that it is said to be in.

Python, JavaScript, TypeScript, Ruby, PHP and Go are read as syntax trees, shell by its own walker, SQL by a parser, and every other
language of `LANGUAGES` by what its text names (`named`).
"""

from __future__ import annotations

from collections.abc import Callable

from services.approval.risk import normalise, patterns
from services.approval.risk.languages import named, python, sql
from services.approval.risk.languages.go import Go
from services.approval.risk.languages.javascript import JavaScript, Tsx, TypeScript
from services.approval.risk.languages.php import Php
from services.approval.risk.languages.ruby import Ruby
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, SERIOUS

RunShell = Callable[[str], object]

# Language names as people write them, and the extensions of their files: the reader that applies.
LANGUAGES = {
    name: reader
    for reader, names in {
        "python": "python python3 py python2 ipython jupyter pyw pyi cpython",
        "bash": "bash sh shell zsh ksh dash console shellscript shell-script shell-session ash",
        "javascript": "javascript js node nodejs jsx mjs cjs ecmascript es6",
        "typescript": "typescript ts mts cts deno bun",
        "tsx": "tsx typescriptreact",
        "ruby": "ruby rb rake gemspec irb",
        "perl": "perl pl pm perl5",
        "php": "php php7 php8 phtml",
        "go": "go golang",
        "sql": "sql mysql postgresql postgres psql pgsql sqlite sqlite3 plsql plpgsql tsql mariadb mssql hql bigquery snowflake cql",
        "java": "java kotlin kt kts scala groovy gradle csharp c# cs fsharp f# dotnet jsh jshell",
        "lua": "lua",
        "r": "r julia jl octave matlab rscript",
        "awk": "awk gawk mawk",
        "powershell": "powershell ps1 psm1 pwsh posh batch bat cmd",
        "c": "c cpp c++ cc cxx h hpp objective-c objc",
        "rust": "rust rs",
        "tcl": "tcl expect exp",
        "applescript": "applescript osascript scpt",
        "elixir": "elixir ex exs erlang erl",
        "lisp": "scheme lisp elisp emacs-lisp scm clojure clj racket guile el",
        "gdb": "gdb",
        "text": "dockerfile yaml yml json text txt markdown md html xml toml ini css csv",
    }.items()
    for name in names.split()
}

_READERS = {"javascript": JavaScript, "typescript": TypeScript, "tsx": Tsx, "ruby": Ruby, "php": Php, "go": Go}


def assess(language: str, source: str, run_shell: RunShell) -> list[Factor]:
    """Factors of source code. `run_shell` assesses a shell script found inside and adds its own factors.

    A language that is not known makes the answer UNKNOWN.
    """
    known = LANGUAGES.get(language.strip().lower())
    if known is None:
        return [normalise.unreadable("language", f"The language {language[:40]!r} is not known.", language[:40])]
    if known == "bash":
        run_shell(source)
        return []
    if known == "sql":
        return sql.assess(source, certain=True)
    if known == "python":
        return python.assess(source, run_shell)
    if known in _READERS:
        return _READERS[known](source, run_shell, mentions).factors()
    return named.scan(known, source, run_shell)


def mentions(text: str) -> list[Factor]:
    """Factors of text that may hold code of any language, such as a step's result: only what is telling by itself."""
    found: dict[str, Factor] = {}
    for id, weight, pattern, message in _TELLING:
        if match := pattern.search(text):
            found.setdefault(id, Factor(id, "code", message, weight, excerpt=named.excerpt(text, match)))
    return list(found.values())


_TELLING = [
    (id, weight, patterns.compile(pattern), message)
    for id, weight, pattern, message in (
        (
            "code.process",
            SERIOUS,
            r"\bchild_process\b|\bos\.(?:system|popen|exec[lv]\w*)\s*\(|\bsubprocess\.(?:run|call|Popen|check_\w+|getoutput)|\bexecSync\s*\(|\bspawnSync\s*\(|\bshell_exec\s*\(|\bRuntime\.getRuntime\b|\bProcessBuilder\b|\bexec\.Command\s*\(|\bpty\.spawn\b",
            "Starts other programs.",
        ),
        (
            "code.dynamic",
            SERIOUS,
            r"(?:^|[^.\w])(?:eval|exec)\s*\(\s*[\w'\"(]|\bnew\s+Function\s*\(|\b__import__\s*\(|\bpickle\.loads?\s*\(|\bmarshal\.loads?\s*\(",
            "Runs code that is made while it runs.",
        ),
        (
            "code.delete",
            SERIOUS,
            r"\bshutil\.rmtree\s*\(|\bos\.(?:remove|unlink|rmdir|removedirs)\s*\(|\b(?:unlink|rm|rmdir)Sync\s*\(|\bfs\.(?:unlink|rm|rmdir)\s*\(|\brimraf\s*\(|\bFileUtils\.rm\w*|\bos\.RemoveAll\s*\(",
            "Deletes files.",
        ),
        ("code.reverse-shell", HIGH, r"/dev/tcp/\d|\bsocket\.socket\s*\([\s\S]{0,400}(?:dup2|/bin/(?:ba)?sh)", "Gives a shell to another machine."),
        ("code.metadata", HIGH, r"169\.254\.169\.254", "Reads the machine's cloud credentials."),
    )
]
