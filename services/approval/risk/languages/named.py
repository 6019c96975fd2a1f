"""Programs of languages without a parser here, read by what their text names, with patterns of RE2.

A name counts as code wherever it stands, but for whole lines of comment and for strings that are surely strings (`literals`).
Constant strings that are joined ('ex' + 'ec') and members by constant name (object['exec'](..)) are seen; what is put together in
any other way is not.
"""

from __future__ import annotations

from collections.abc import Callable

from services.approval.risk import normalise, patterns
from services.approval.risk.detectors import paths
from services.approval.risk.languages import literals, values
from services.approval.risk.model import Factor
from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

MAX_SOURCE = 1 << 16  # characters of one program; some patterns look a bounded distance ahead from every position
MAX_COMMANDS = 200  # commands in quotes of one program; more is UNKNOWN
_MAX_TRIED = 50  # matches in strings that are passed over
RunShell = Callable[[str], object]

_Row = tuple[str, int, str]  # factor id, weight, pattern
_MESSAGES = {
    "code.accounts": "Changes accounts or the registry.",
    "code.credential": "Reads credentials.",
    "code.delete": "Deletes files.",
    "code.disk": "Erases a disk, or everything on it.",
    "code.dynamic": "Runs code that is made while it runs.",
    "code.environment": "Reads every variable, secrets included.",
    "code.fetch": "Fetches or decodes code, and runs it.",
    "code.kill": "Ends processes.",
    "code.loop": "Starts copies of itself without end.",
    "code.memory": "Runs code that is made while it runs.",
    "code.metadata": "Reads the machine's cloud credentials.",
    "code.miner": "Mines cryptocurrency.",
    "code.native": "Works below the language.",
    "code.network": "Opens network connections.",
    "code.permissions": "Changes the rights of files.",
    "code.privilege": "Changes rights, or looks into other programs.",
    "code.process": "Starts other programs.",
    "code.protection": "Turns protection off.",
    "code.read": "Opens files.",
    "code.reverse-shell": "Gives a shell to another machine.",
}
_MESSAGES_OF = {("powershell", "code.delete"): "Deletes or stops something."}
_COMMON: tuple[_Row, ...] = (
    ("code.reverse-shell", HIGH, r"/dev/tcp/|socket[\s\S]{0,400}(?:dup2|/bin/(?:ba)?sh)|fsockopen[\s\S]{0,200}(?:exec|/bin/)"),
    ("code.metadata", HIGH, r"169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200"),
    ("code.miner", HIGH, r"(?i)stratum\+tcp|cryptonight|coinhive"),
)
_BY_LANGUAGE: dict[str, tuple[_Row, ...]] = {
    "elixir": (
        ("code.process", SERIOUS, r"\bSystem\.(?:cmd|shell)\b|:?\bos:?\.?cmd\b|\bos:cmd\b|\bPort\.open\b|\bopen_port\b"),
        ("code.dynamic", SERIOUS, r"\bCode\.(?:eval|compile|require)_\w+|\bbinary_to_term\b|\berl_eval\b"),
        ("code.delete", SERIOUS, r"\bFile\.rm(?:dir|_rf)?!?\b|\bfile:(?:delete|del_dir)\w*"),
        ("code.network", MEDIUM, r"\b:?gen_(?:tcp|udp)\b"),
        ("code.environment", MEDIUM, r"\bSystem\.get_env\(\s*\)|\bos:getenv\(\s*\)"),
    ),
    "perl": (
        ("code.process", SERIOUS, r"(?:^|[^$@%\w>-])(?:system|exec|fork)\s*(?:$|=[^>]|[^=\w\s]|\s[^=\s])|`[^`\n]+`|\bqx\s*[\W]|\bopen\s*\(?[^;]{0,200}['\"]\s*(?:-?\||[^'\"]*\|\s*['\"])|\bIPC::Open"),
        ("code.dynamic", SERIOUS, r"\beval\s*(?:\$|\(|['\"]|[a-z]\w*\s*[(\s'\"$])|\bdo\s+['\"]/|/ee?[gimsx]*e\b\s*;|&\{\s*['\"$]|\b(?:require|use|do)\s+['\"]?https?:|\bStorable::(?:thaw|retrieve)"),
        ("code.kill", MEDIUM, r"\bkill\s*\(?\s*['\"]?(?:-?\d|[A-Z]{3,4}\b|-)"),
        ("code.native", SERIOUS, r"\bsyscall\b|\bInline::C\b|\bDynaLoader\b|\bXSLoader\b|\bFFI::\w+"),
        ("code.permissions", HIGH, r"\bchmod\s*\(?\s*0?[2467]\d{3}\b"),
        ("code.permissions", MEDIUM, r"\bchmod\s*\(?\s*0?\d?\d?[2367]\b"),
        ("code.loop", HIGH, r"\bfork\s+while\b|\bwhile\s*\(\s*1\s*\)\s*\{\s*fork|\bfork\s*(?:\(\s*\)\s*)?until\b"),
        ("code.delete", SERIOUS, r"\b(?:unlink|rmtree|remove_tree|rmdir|truncate)\b"),
        ("code.network", SERIOUS, r"\bIO::Socket\b|\buse\s+Socket\b|\bsocket\s*\(|\bLWP::"),
        ("code.privilege", HIGH, r"\bPOSIX::set[ug]id|\$[<>]\s*=\s*0|\bsetuid\s*\("),
        ("code.environment", MEDIUM, r"(?:keys|values|each|map)?\s*%ENV\b"),
    ),
    "java": (
        ("code.process", SERIOUS, r"\bgetRuntime\s*\(\s*\)\s*\.\s*exec|\bProcessBuilder\b|\.execute\s*\(\s*\).*['\"]\w|\bProcess\.Start\b|['\"][^'\"\n]+['\"]\.execute\(\)|\bsys\.process\b|\bProcessStartInfo\b"),
        ("code.delete", SERIOUS, r"\bFiles\.(?:delete|deleteIfExists|walk[\s\S]{0,80}delete)|\.delete(?:Recursively|OnExit|Dir)?\s*\(\s*\)|\bFileUtils\.(?:delete|clean)\w*|\bFile\.Delete\b|\bDirectory\.Delete\b"),
        ("code.dynamic", SERIOUS, r"\bScriptEngine\w*|\bObjectInputStream\b|\bClass\.forName\b|\bdefineClass\b|\bGroovyShell\b|\bEval\.me\b|\bBinaryFormatter\b|\bAssembly\.Load\b|\bInitialContext\b|\bSystem\.load(?:Library)?\b"),
        ("code.network", MINOR, r"\bnew\s+(?:Server)?Socket\s*\(|\bTcpClient\b|\bTcpListener\b"),
    ),
    "lua": (
        ("code.process", SERIOUS, r"\bos\.execute\b|\bio\.popen\b|\bposix\.exec|\bvim\.fn\.system"),
        ("code.dynamic", SERIOUS, r"\bloadstring\b|(?:^|\W)load\s*\(|\bpackage\.loadlib\b|\bdofile\s*\(|\bffi\."),
        ("code.delete", SERIOUS, r"\bos\.(?:remove|rename)\s*\("),
        ("code.network", MEDIUM, r"\brequire\s*\(?['\"]socket"),
        ("code.read", MINOR, r"\bio\.open\s*\("),
    ),
    "r": (
        ("code.process", SERIOUS, r"\bsystem2?\s*\(|\bshell\s*\(|\brun\s*\(\s*`|\bunix\s*\("),
        ("code.delete", SERIOUS, r"\b(?:unlink|file\.remove|rm)\s*\(\s*['\"]"),
        ("code.dynamic", MEDIUM, r"\beval\s*\(\s*parse|\bdyn\.load\b|\bccall\b"),
    ),
    "awk": (
        ("code.process", SERIOUS, r"\bsystem\s*\(|\|\s*getline|\bprint[^;}\n]*\|\s*\"|\|&"),
        ("code.network", HIGH, r"/inet[46]?/(?:tcp|udp)/"),
    ),
    "powershell": (
        ("code.process", SERIOUS, r"(?i)\b(?:start-process|invoke-expression|iex|invoke-command|new-service|start-job|invoke-wmimethod|register-scheduledtask|new-scheduledtask)\b|\bcmd(?:\.exe)?\s+/c"),
        ("code.delete", SERIOUS, r"(?i)\b(?:remove-item|ri|rd|del|erase|rmdir|clear-content|clear-recyclebin|format-volume|clear-disk|remove-partition|stop-computer|restart-computer|stop-process|stop-service|remove-\w+)\b"),
        ("code.disk", HIGH, r"(?im)^\W*format(?:\.com)?\s+[a-z]:|\b(?:format-volume|clear-disk|diskpart)\b|\b(?:remove-item|ri|rd|del|erase|rmdir)\b[^\n|]*\s[\"']?(?:[a-z]:|~|\$home|\$env:userprofile|%userprofile%)(?:\\\*?)?[\"']?(?:\s|$)"),
        ("code.fetch", HIGH, r"(?i)downloadstring|downloadfile|\b(?:iex|invoke-expression)\b[^\n]*\b(?:invoke-webrequest|iwr|invoke-restmethod|irm|curl|wget)\b|\b(?:invoke-webrequest|iwr|invoke-restmethod|irm)\b[^|\n]*\|\s*(?:iex|invoke-expression)|frombase64string|-enc(?:odedcommand)?\b"),
        ("code.protection", HIGH, r"(?i)set-mppreference|add-mppreference|amsiutils|set-executionpolicy|-exec(?:utionpolicy)?\s+bypass|disable-\w+|clear-eventlog|vssadmin|bcdedit|wevtutil"),
        ("code.credential", HIGH, r"(?i)mimikatz|convertto-securestring|get-credential|lsass|sekurlsa|\bntds\b|reg\s+save"),
        ("code.accounts", HIGH, r"(?i)\bnet\s+(?:user|localgroup)\b|new-localuser|add-localgroupmember|\breg\s+add\b|set-itemproperty|new-itemproperty"),
    ),
    "c": (
        ("code.process", SERIOUS, r"\b(?:system|popen|exec[lv]p?e?|posix_spawnp?|fork|CreateProcess\w*|WinExec|ShellExecute\w*)\s*\("),
        ("code.privilege", HIGH, r"\b(?:setuid|setgid|setreuid|setresuid|seteuid|ptrace|init_module|prctl|capset)\s*\("),
        ("code.delete", SERIOUS, r"\b(?:unlink|remove|rmdir|truncate|unlinkat)\s*\("),
        ("code.network", MEDIUM, r"\bsocket\s*\(\s*(?:AF|PF)_"),
        ("code.memory", MEDIUM, r"\bmprotect\s*\(|PROT_EXEC|\bVirtualAlloc\w*|\bdlopen\s*\("),
    ),
    "rust": (
        ("code.process", SERIOUS, r"\bCommand::new\b|\blibc::(?:exec|fork|system)"),
        ("code.delete", SERIOUS, r"\bfs::remove_(?:file|dir|dir_all)\b"),
        ("code.network", MINOR, r"\bTcp(?:Stream|Listener)::"),
    ),
    "tcl": (
        ("code.process", SERIOUS, r"(?:^|\W)exec\s|\bspawn\s|\bopen\s+\"?\|"),
        ("code.delete", SERIOUS, r"\bfile\s+delete\b"),
        ("code.network", MEDIUM, r"\bsocket\s"),
    ),
    "lisp": (("code.process", SERIOUS, r"\((?:term|shell|ansi-term|eshell|system|shell-command|call-process|start-process|async-shell-command|execlp?|open-pipe|delete-file|delete-directory)\b"),),
    "applescript": (("code.process", SERIOUS, r"\bdo shell script\b|\bSystem Events\b|\bkeystroke\b"),),
    "gdb": (("code.process", HIGH, r"^\s*!|\bshell\b|\bpython\b|\bcall\b|\bpipe\b"),),
    "text": (),
}  # fmt: skip
_COMPILED = {language: [(id, weight, patterns.compile(pattern)) for id, weight, pattern in rows + _COMMON] for language, rows in _BY_LANGUAGE.items()}
_CALL = r"(?:exec(?:Sync|File|FileSync|l|v|vp|lp)?|spawn(?:Sync)?|system|popen|shell_exec|passthru|proc_open|execute|Command|do shell script|qx)\s*[(\s{]\s*"
_STARTED = patterns.compile(_CALL + r"""(?:"((?:[^"\\\n]|\\.)+)"|'((?:[^'\\\n]|\\.)+)'|`((?:[^`\\\n]|\\.)+)`)""")
_BACKQUOTED = patterns.compile(r"`([^`\n]+)`")
_QUOTED = patterns.compile(r"""['"`](\s*[+]?[<>]{0,2}\s*)((?:/|~/|\.{0,2}/|\.)[\w./~*-]{2,200})['"`]""")
_JOINED = patterns.compile(r"""([\w/-] ?)(?:"\s*(?:\+|\.\.?)\s*"|'\s*(?:\+|\.\.?)\s*')""")  # 'ex' + 'ec', 'ex' . 'ec', 'ex' .. 'ec'
_MEMBER = patterns.compile(r"""([\w)\]])\[\s*(?:"(\w+)"|'(\w+)'|`(\w+)`)\s*\]\s*\(""")  # object['exec'](
_IN_STRINGS = frozenset({"code.metadata", "code.miner", "code.reverse-shell", "code.network"})  # what strings say, too
_WRITES = patterns.compile(
    r"(?i)write|append|\bcopy|\bcp\b|rename|symlink|\bput\b|create|['\"]\s*[+]?>|out-file|set-content|add-content|fopen|ofstream|spew|['\"][wa][+b]?['\"]"
)
_SENDS = patterns.compile(
    r"(?i)http(?:client|urlconnection|request|::tiny)|\bcurl_|reqwest|ureq|invoke-(?:webrequest|restmethod)|webclient|\bsend(?:to|mail)?\s*\(|smtp|luasocket|socket\.http|->post\b"
)
_FETCHES = patterns.compile(
    r"(?i)\b(?:lwp::|get\s*[(\s]\s*['\"]https?:|http::tiny|httpclient|openstream\s*\(|urlclassloader|new\s+url\s*\(|socket\.http|readlines?\s*\(\s*['\"]https?:|source\s*\(\s*['\"]https?:)"
)
_DECODES = patterns.compile(r"(?i)base64|\bunpack\b|frombase64|hex2bin|\bunhex")
_ESCAPED = patterns.compile(r"(?s)\\(x[0-9a-fA-F]{2}|.)")
_LINE_COMMENT = {"java": "//", "c": "//", "rust": "//", "perl": "#", "elixir": "#", "r": "#", "lua": "--", "powershell": "#", "tcl": "#", "awk": "#"}


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
    spans = literals.strings(text, language) if "'" in text or '"' in text else ([], [])
    for id, weight, pattern in _COMPILED[language]:
        match = pattern.search(text) if id in _IN_STRINGS else _first(pattern, text, spans)
        if match is not None and (id not in factors or factors[id].weight < weight):
            factors[id] = _factor(id, weight, _MESSAGES_OF.get((language, id), _MESSAGES[id]), excerpt(text, match))
    if "code.process" in factors:
        started = [_plain(match) for match in _STARTED.finditer(text)]
        if language == "perl":
            started += _BACKQUOTED.findall(text)
        if len(started) > MAX_COMMANDS:
            unread = normalise.unreadable("too-many", f"More than {MAX_COMMANDS} commands.")
            factors[unread.id] = unread
        for script in dict.fromkeys(started[:MAX_COMMANDS]):
            run_shell(script)
    _touched(text, factors)
    _combine(text, factors)
    return factors


def _plain(match: patterns.Match) -> str:
    """The text of a string that is started as a command: escapes stand for characters, but between single quotes for themselves."""
    double, single, back = match.groups()
    if single is not None:
        return _ESCAPED.sub(lambda m: m.group(1) if m.group(1) in "\\'" else m.group(), single)
    return _ESCAPED.sub(lambda m: values.unescaped(m.group()), double or back or "")


def _first(pattern: patterns.Pattern, text: str, spans: tuple[list[int], list[int]]) -> patterns.Match | None:
    """The first match that is not surely data."""
    for tried, match in enumerate(pattern.finditer(text)):
        if tried >= _MAX_TRIED or not literals.is_data(spans, match.start(), match.end()):
            return match
    return None


def _touched(text: str, factors: dict[str, Factor]) -> None:
    """The paths that a program names: reading them, and changing them when it writes anything."""
    writes = _WRITES.search(text) is not None
    for match in _QUOTED.finditer(text):
        path, mode = match.group(2), match.group(1)
        found = [paths.read_factor(path)]
        if writes or ">" in mode:
            found.append(paths.write_factor(path))
        for factor in found:
            if factor is not None and factor.weight >= MEDIUM:
                factors.setdefault(factor.id, factor)


def _combine(text: str, factors: dict[str, Factor]) -> None:
    """What follows from several factors together."""
    reads = "code.environment" in factors or any(id.startswith("sensitive-path.read") for id in factors)
    network = "code.network" in factors or _SENDS.search(text) is not None
    if reads and network:
        factors["exfiltration.sensitive"] = _factor("exfiltration.sensitive", HIGH, "Reads secrets and sends data to the network.", "")
    if "code.dynamic" in factors and _FETCHES.search(text) is not None:
        factors["execution.fetched"] = _factor("execution.fetched", HIGH, "Runs code fetched from the network.", factors["code.dynamic"].excerpt)
    if "code.dynamic" in factors and _DECODES.search(text) is not None:
        factors["execution.decoded"] = _factor("execution.decoded", HIGH, "Runs code that was encoded.", factors["code.dynamic"].excerpt)


def _factor(id: str, weight: int, message: str, excerpt: str) -> Factor:
    return Factor(id, id.partition(".")[0], message, weight, excerpt=excerpt, safer_alternative="Propose the effect itself as an action.")


def excerpt(text: str, match: patterns.Match) -> str:
    """The line of a match from where it starts, at most 120 characters: a pattern may begin with the character before a name."""
    return text[match.start() : match.start() + 120].strip().split("\n")[0]


def _without_comments(source: str, marker: str | None) -> str:
    if marker is None or marker not in source:
        return source
    return "\n".join(line for line in source.split("\n") if not line.lstrip().startswith(marker))
