"""Source code: what it calls.

Python is read as a syntax tree (`python`), shell by its own walker, SQL by a parser. Every other language of `LANGUAGES`
(JavaScript, TypeScript, Ruby, PHP, Go, Perl, Java, C, Rust, Lua, PowerShell, awk, Tcl, R, Lisp, gdb, AppleScript) is read by
what its text names, with patterns of RE2: a name in a string or in a comment behind code counts as code. Constant strings that
are joined ('ex' + 'ec') and members by constant name (object['exec'](..)) are seen; what is put together in any other way is not.
"""

from __future__ import annotations

from collections.abc import Callable

from services.approval.risk import normalise, patterns
from services.approval.risk.detectors import paths
from services.approval.risk.languages import python, sql
from services.approval.risk.languages.go import Go
from services.approval.risk.languages.javascript import JavaScript, Tsx, TypeScript
from services.approval.risk.languages.php import Php
from services.approval.risk.languages.ruby import Ruby
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

MAX_SOURCE = 1 << 16  # characters of one program; some patterns look a bounded distance ahead from every position
RunShell = Callable[[str], object]

# language names as people write them: the language whose patterns apply
LANGUAGES = {
    "python": "python", "python3": "python", "py": "python", "python2": "python", "ipython": "python", "jupyter": "python",
    "bash": "bash", "sh": "bash", "shell": "bash", "zsh": "bash", "ksh": "bash", "dash": "bash", "console": "bash", "shellscript": "bash",
    "javascript": "javascript", "js": "javascript", "node": "javascript", "nodejs": "javascript", "typescript": "typescript", "ts": "typescript", "mts": "typescript", "cts": "typescript", "cjs": "javascript",
    "jsx": "javascript", "tsx": "tsx", "mjs": "javascript", "ruby": "ruby", "rb": "ruby", "perl": "perl", "pl": "perl", "php": "php",
    "sql": "sql", "mysql": "sql", "postgresql": "sql", "psql": "sql", "sqlite": "sql", "plsql": "sql", "tsql": "sql",
    "go": "go", "golang": "go", "java": "java", "kotlin": "java", "scala": "java", "groovy": "java", "lua": "lua", "r": "r", "awk": "awk",
    "powershell": "powershell", "ps1": "powershell", "pwsh": "powershell", "c": "c", "cpp": "c", "c++": "c", "rust": "rust", "csharp": "java", "c#": "java",
    "tcl": "tcl", "applescript": "applescript", "julia": "r", "elixir": "ruby", "erlang": "ruby", "scheme": "lisp", "lisp": "lisp", "gdb": "gdb", "octave": "r",
    "expect": "tcl", "batch": "powershell", "cmd": "powershell", "dockerfile": "text", "yaml": "text", "json": "text", "text": "text", "markdown": "text", "html": "text",
}  # fmt: skip

_READERS = {"javascript": JavaScript, "typescript": TypeScript, "tsx": Tsx, "ruby": Ruby, "php": Php, "go": Go}

_Row = tuple[str, int, str, str]
_COMMON: tuple[_Row, ...] = (
    (
        "code.reverse-shell",
        HIGH,
        r"/dev/tcp/|socket[\s\S]{0,400}(?:dup2|/bin/(?:ba)?sh)|fsockopen[\s\S]{0,200}(?:exec|/bin/)",
        "Gives a shell to another machine.",
    ),
    ("code.metadata", HIGH, r"169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200", "Reads the machine's cloud credentials."),
    ("code.miner", HIGH, r"(?i)stratum\+tcp|cryptonight|coinhive", "Mines cryptocurrency."),
)
_BY_LANGUAGE: dict[str, tuple[_Row, ...]] = {
    "javascript": (
        ("code.process", SERIOUS, r"\bchild_process\b|\bexecSync\b|\bspawnSync\b|\bexecFile(?:Sync)?\b|\bDeno\.(?:run|Command)\b|\bBun\.(?:spawn|\$)|\bprocess\.binding\b|\bshelljs\b|\bexeca\b|\bspawn\s*\(|\bzx['\"]", "Starts other programs."),
        ("code.dynamic", SERIOUS, r"\beval\s*\(|\bnew\s+Function\s*\(|(?:^|[^.\w])Function\s*\(\s*['\"`]|\bvm\.(?:runIn\w+|Script|compileFunction)|\b(?:setTimeout|setInterval)\s*\(\s*['\"`]|\brequire\s*\(\s*[^`'\"\s]|\bimport\s*\(\s*[^`'\"\s/]", "Runs code that is made while it runs."),
        ("code.delete", SERIOUS, r"\b(?:unlink|rmdir|rm)Sync\s*\(|\bfs(?:\.promises|p)?\.(?:unlink|rmdir|rm)\s*\(|\brimraf\s*[.(]|\bfs\.(?:truncate|ftruncate)\w*\s*\(|\bDeno\.remove|\bfse?\.(?:remove|emptyDir)(?:Sync)?\s*\(", "Deletes files."),
        ("code.write", MINOR, r"\b(?:writeFile|appendFile|createWriteStream|outputFile)(?:Sync)?\s*\(|\bDeno\.write\w*File|\bchmodSync\b", "Writes files."),
        ("code.environment", MEDIUM, r"(?:JSON\.stringify|Object\.(?:keys|entries|values|assign))\s*\(\s*process\.env\s*\)|=\s*process\.env\s*[;\n]|\.\.\.process\.env", "Reads every variable, secrets included."),
        ("code.listener", MINOR, r"\bnet\.createServer\b|\bdgram\.createSocket\b|\bnet\.(?:connect|createConnection|Socket)\b", "Opens network connections."),
        ("code.loop", MEDIUM, r"while\s*\(\s*(?:true|1)\s*\)\s*\{?\s*(?:\w+\.push|fork|cluster\.fork|new\s+(?:Worker|Array))", "Uses up the machine."),
        ("code.page", MEDIUM, r"\bdocument\.write\s*\(|\.innerHTML\s*=|document\.cookie", "Writes unchecked text into a page, or reads its cookies."),
    ),
    "ruby": (
        ("code.process", SERIOUS, r"(?:^|[^.\w])(?:system|exec|spawn|fork)\s*[( '\"%]|`[^`\n]+`|%x[\[({!]|\bIO\.popen\b|\bOpen3\b|\bKernel\.(?:exec|system|open|spawn)|\bPTY\.spawn\b|\bos:cmd\b|\bSystem\.cmd\b", "Starts other programs."),
        ("code.dynamic", SERIOUS, r"(?:^|[^.@$\w])(?:eval|instance_eval|class_eval|module_eval)\b|\bMarshal\.load\b|\bYAML\.(?:load|unsafe_load)\b|\bsend\s*\(\s*params|\bFiddle\b|\bCode\.eval_\w+", "Runs code that is made while it runs."),
        ("code.delete", SERIOUS, r"\bFileUtils\.(?:rm|remove)\w*|\bFile\.(?:delete|unlink|truncate)|\bDir\.(?:rmdir|delete|unlink)", "Deletes files."),
        ("code.network", MINOR, r"\bTCPSocket\b|\bTCPServer\b|\bNet::HTTP\.post|\bUDPSocket\b|\bSocket\.tcp", "Opens network connections."),
        ("code.environment", MEDIUM, r"\bENV\.(?:to_h|to_a|inspect|each)|\bputs\s+ENV\b", "Reads every variable, secrets included."),
    ),
    "perl": (
        ("code.process", SERIOUS, r"(?:^|[^$@%\w>-])(?:system|exec|fork)\s*(?:$|=[^>]|[^=\w\s]|\s[^=\s])|`[^`\n]+`|\bqx\s*[\W]|\bopen\s*\(?[^;]{0,200}['\"]\s*(?:-?\||[^'\"]*\|\s*['\"])|\bIPC::Open", "Starts other programs."),
        ("code.dynamic", SERIOUS, r"\beval\s*(?:\$|\(|['\"]|unpack|pack)|\bdo\s+['\"]/|/ee?[gimsx]*e\b\s*;", "Runs code that is made while it runs."),
        ("code.delete", SERIOUS, r"\b(?:unlink|rmtree|remove_tree|rmdir|truncate)\b", "Deletes files."),
        ("code.network", SERIOUS, r"\bIO::Socket\b|\buse\s+Socket\b|\bsocket\s*\(|\bLWP::", "Opens network connections."),
        ("code.privilege", HIGH, r"\bPOSIX::set[ug]id|\$[<>]\s*=\s*0|\bsetuid\s*\(", "Changes whose rights it runs with."),
        ("code.environment", MEDIUM, r"(?:keys|values|each|map)?\s*%ENV\b", "Reads every variable, secrets included."),
    ),
    "php": (
        ("code.process", HIGH, r"(?:^|[^>\w:])(?:shell_exec|exec|system|passthru|proc_open|popen|pcntl_exec|pcntl_fork)\s*\(|`[^`\n]+`", "Starts other programs."),
        ("code.dynamic", HIGH, r"(?:^|[^>\w])(?:eval|assert|create_function|unserialize|preg_replace_callback_eval)\s*\(|\$\w+\s*\(\s*\$_(?:GET|POST|REQUEST)|include(?:_once)?\s*\(?\s*\$|\bFFI::", "Runs code that is made while it runs."),
        ("code.delete", SERIOUS, r"\b(?:unlink|rmdir)\s*\(", "Deletes files."),
        ("code.network", SERIOUS, r"\b(?:fsockopen|pfsockopen|stream_socket_client|stream_socket_server|socket_create)\s*\(", "Opens network connections."),
        ("code.upload", MEDIUM, r"\bmove_uploaded_file\s*\(|\bmail\s*\(", "Takes uploads or sends mail."),
    ),
    "go": (
        ("code.process", SERIOUS, r"\bexec\.Command(?:Context)?\s*\(|\bsyscall\.(?:Exec|ForkExec)\b|\bos\.StartProcess\b", "Starts other programs."),
        ("code.delete", SERIOUS, r"\bos\.Remove(?:All)?\s*\(|\bos\.Truncate\s*\(", "Deletes files."),
        ("code.dynamic", MEDIUM, r"\bplugin\.Open\s*\(|\bunsafe\.Pointer\b|\bsyscall\.Syscall", "Works below the language."),
        ("code.environment", MEDIUM, r"\bos\.Environ\s*\(", "Reads every variable, secrets included."),
        ("code.network", MINOR, r"\bnet\.(?:Dial|Listen)\w*\s*\(", "Opens network connections."),
    ),
    "java": (
        ("code.process", SERIOUS, r"\bgetRuntime\s*\(\s*\)\s*\.\s*exec|\bProcessBuilder\b|\.execute\s*\(\s*\).*['\"]\w|\bProcess\.Start\b|['\"][^'\"\n]+['\"]\.execute\(\)|\bsys\.process\b|\bProcessStartInfo\b", "Starts other programs."),
        ("code.delete", SERIOUS, r"\bFiles\.(?:delete|deleteIfExists|walk[\s\S]{0,80}delete)|\.delete(?:Recursively|OnExit|Dir)?\s*\(\s*\)|\bFileUtils\.(?:delete|clean)\w*|\bFile\.Delete\b|\bDirectory\.Delete\b", "Deletes files."),
        ("code.dynamic", SERIOUS, r"\bScriptEngine\w*|\bObjectInputStream\b|\bClass\.forName\b|\bdefineClass\b|\bGroovyShell\b|\bEval\.me\b|\bBinaryFormatter\b|\bAssembly\.Load\b|\bInitialContext\b|\bSystem\.load(?:Library)?\b", "Runs code that is made while it runs."),
        ("code.network", MINOR, r"\bnew\s+(?:Server)?Socket\s*\(|\bTcpClient\b|\bTcpListener\b", "Opens network connections."),
    ),
    "lua": (
        ("code.process", SERIOUS, r"\bos\.execute\b|\bio\.popen\b|\bposix\.exec|\bvim\.fn\.system", "Starts other programs."),
        ("code.dynamic", SERIOUS, r"\bloadstring\b|(?:^|\W)load\s*\(|\bpackage\.loadlib\b|\bdofile\s*\(|\bffi\.", "Runs code that is made while it runs."),
        ("code.delete", SERIOUS, r"\bos\.(?:remove|rename)\s*\(", "Deletes files."),
        ("code.network", MEDIUM, r"\brequire\s*\(?['\"]socket", "Opens network connections."),
        ("code.read", MINOR, r"\bio\.open\s*\(", "Opens files."),
    ),
    "r": (
        ("code.process", SERIOUS, r"\bsystem2?\s*\(|\bshell\s*\(|\brun\s*\(\s*`|\bunix\s*\(", "Starts other programs."),
        ("code.delete", SERIOUS, r"\b(?:unlink|file\.remove|rm)\s*\(\s*['\"]", "Deletes files."),
        ("code.dynamic", MEDIUM, r"\beval\s*\(\s*parse|\bdyn\.load\b|\bccall\b", "Runs code that is made while it runs."),
    ),
    "awk": (
        ("code.process", SERIOUS, r"\bsystem\s*\(|\|\s*getline|\bprint[^;}\n]*\|\s*\"|\|&", "Starts other programs."),
        ("code.network", HIGH, r"/inet[46]?/(?:tcp|udp)/", "Opens network connections."),
    ),
    "powershell": (
        ("code.process", SERIOUS, r"(?i)\b(?:start-process|invoke-expression|iex|invoke-command|new-service|start-job|invoke-wmimethod|register-scheduledtask|new-scheduledtask)\b|\bcmd(?:\.exe)?\s+/c", "Starts other programs."),
        ("code.delete", SERIOUS, r"(?i)\b(?:remove-item|ri|rd|del|erase|rmdir|clear-content|clear-recyclebin|format-volume|clear-disk|remove-partition|stop-computer|restart-computer|stop-process|stop-service|remove-\w+)\b", "Deletes or stops something."),
        ("code.fetch", HIGH, r"(?i)downloadstring|downloadfile|\b(?:invoke-webrequest|iwr|invoke-restmethod|irm)\b[^|\n]*\|\s*(?:iex|invoke-expression)|frombase64string|-enc(?:odedcommand)?\b", "Fetches or decodes code, and runs it."),
        ("code.protection", HIGH, r"(?i)set-mppreference|add-mppreference|amsiutils|set-executionpolicy|-exec(?:utionpolicy)?\s+bypass|disable-\w+|clear-eventlog|vssadmin|bcdedit|wevtutil", "Turns protection off."),
        ("code.credential", HIGH, r"(?i)mimikatz|convertto-securestring|get-credential|lsass|sekurlsa|\bntds\b|reg\s+save", "Reads credentials."),
        ("code.accounts", HIGH, r"(?i)\bnet\s+(?:user|localgroup)\b|new-localuser|add-localgroupmember|\breg\s+add\b|set-itemproperty|new-itemproperty", "Changes accounts or the registry."),
    ),
    "c": (
        ("code.process", SERIOUS, r"\b(?:system|popen|exec[lv]p?e?|posix_spawnp?|fork|CreateProcess\w*|WinExec|ShellExecute\w*)\s*\(", "Starts other programs."),
        ("code.privilege", HIGH, r"\b(?:setuid|setgid|setreuid|setresuid|seteuid|ptrace|init_module|prctl|capset)\s*\(", "Changes rights, or looks into other programs."),
        ("code.delete", SERIOUS, r"\b(?:unlink|remove|rmdir|truncate|unlinkat)\s*\(", "Deletes files."),
        ("code.network", MEDIUM, r"\bsocket\s*\(\s*(?:AF|PF)_", "Opens network connections."),
        ("code.memory", MEDIUM, r"\bmprotect\s*\(|PROT_EXEC|\bVirtualAlloc\w*|\bdlopen\s*\(", "Runs code that is made while it runs."),
    ),
    "rust": (
        ("code.process", SERIOUS, r"\bCommand::new\b|\blibc::(?:exec|fork|system)", "Starts other programs."),
        ("code.delete", SERIOUS, r"\bfs::remove_(?:file|dir|dir_all)\b", "Deletes files."),
        ("code.network", MINOR, r"\bTcp(?:Stream|Listener)::", "Opens network connections."),
    ),
    "tcl": (
        ("code.process", SERIOUS, r"(?:^|\W)exec\s|\bspawn\s|\bopen\s+\"?\|", "Starts other programs."),
        ("code.delete", SERIOUS, r"\bfile\s+delete\b", "Deletes files."),
        ("code.network", MEDIUM, r"\bsocket\s", "Opens network connections."),
    ),
    "lisp": (("code.process", SERIOUS, r"\((?:term|shell|ansi-term|eshell|system|shell-command|call-process|start-process|async-shell-command|execlp?|open-pipe|delete-file|delete-directory)\b", "Starts other programs or deletes files."),),
    "applescript": (("code.process", SERIOUS, r"\bdo shell script\b|\bSystem Events\b|\bkeystroke\b", "Starts other programs or types for a person."),),
    "gdb": (("code.process", HIGH, r"^\s*!|\bshell\b|\bpython\b|\bcall\b|\bpipe\b", "Starts other programs."),),
    "text": (),
}  # fmt: skip
_COMPILED = {
    language: [(id, weight, patterns.compile(pattern), message) for id, weight, pattern, message in rows + _COMMON]
    for language, rows in _BY_LANGUAGE.items()
}
_CALL = r"(?:exec(?:Sync|File|FileSync|l|v|vp|lp)?|spawn(?:Sync)?|system|popen|shell_exec|passthru|proc_open|execute|Command|do shell script|qx)\s*[(\s{]\s*"
_STARTED = patterns.compile(_CALL + r"""(?:"((?:[^"\\\n]|\\.)+)"|'((?:[^'\\\n]|\\.)+)'|`((?:[^`\\\n]|\\.)+)`)""")
_BACKQUOTED = patterns.compile(r"`([^`\n]+)`")
_QUOTED = patterns.compile(r"""['"`]((?:/|~/|\.{0,2}/|\.)[\w./~*-]{2,200})['"`]""")
_JOINED = patterns.compile(r"""([\w/-] ?)(?:"\s*(?:\+|\.\.?)\s*"|'\s*(?:\+|\.\.?)\s*')""")  # 'ex' + 'ec', 'ex' . 'ec', 'ex' .. 'ec'
_MEMBER = patterns.compile(r"""([\w)\]])\[\s*(?:"(\w+)"|'(\w+)'|`(\w+)`)\s*\]\s*\(""")  # object['exec'](
_ESCAPED = patterns.compile(r"\\(.)")
_LINE_COMMENT = {
    "javascript": "//",
    "go": "//",
    "java": "//",
    "c": "//",
    "rust": "//",
    "php": "//",
    "ruby": "#",
    "perl": "#",
    "r": "#",
    "lua": "--",
    "powershell": "#",
}


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
    return scan(known, source, run_shell)


def scan(language: str, source: str, run_shell: RunShell) -> list[Factor]:
    """Factors by what the text of a program names, comments taken out."""
    if len(source) > MAX_SOURCE:
        return [normalise.unreadable("too-large", f"Source of {len(source)} characters; at most {MAX_SOURCE} are analysed.")]
    text = _without_comments(source, _LINE_COMMENT.get(language))
    factors = _scan(language, text, run_shell)
    joined = _JOINED.sub(lambda m: m.group(1), text)
    joined = _MEMBER.sub(lambda m: f"{m.group(1)}.{m.group(2) or m.group(3) or m.group(4)}(", joined)
    if joined != text:  # both are read: what joining takes away by mistake is still seen in the text itself
        factors = _scan(language, joined, run_shell) | factors
    return list(factors.values())


def _scan(language: str, text: str, run_shell: RunShell) -> dict[str, Factor]:
    factors: dict[str, Factor] = {}
    for id, weight, pattern, message in _COMPILED[language]:
        if match := pattern.search(text):
            excerpt = _excerpt(text, match)
            factors[id] = Factor(id, "code", message, weight, excerpt=excerpt, safer_alternative="Propose the effect itself as an action.")
    if "code.process" in factors:
        started = [next(filter(None, m.groups()), "") for m in _STARTED.finditer(text)]
        if language in ("ruby", "perl", "php"):
            started += _BACKQUOTED.findall(text)
        for script in started[:200]:
            run_shell(_ESCAPED.sub(lambda m: m.group(1), script))
    for match in _QUOTED.finditer(text):
        found = paths.read_factor(match.group(1))
        if found and found.weight >= MEDIUM:
            factors.setdefault(found.id, found)
    return factors


def _excerpt(text: str, match: patterns.Match) -> str:
    """The line of a match from where it starts, at most 120 characters: a pattern may begin with the character before a name."""
    return text[match.start() : match.start() + 120].strip().split("\n")[0]


def _without_comments(source: str, marker: str | None) -> str:
    if marker is None or marker not in source:
        return source
    return "\n".join(line for line in source.split("\n") if not line.lstrip().startswith(marker))


def mentions(text: str) -> list[Factor]:
    """Factors of text that may hold code of any language, such as a step's result: only what is telling by itself."""
    found: dict[str, Factor] = {}
    for id, weight, pattern, message in _TELLING:
        if match := pattern.search(text):
            found.setdefault(id, Factor(id, "code", message, weight, excerpt=_excerpt(text, match)))
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
