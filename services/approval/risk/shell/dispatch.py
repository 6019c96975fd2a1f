"""What one command does: wrappers are taken off, programs that run other code are entered, rules say the rest."""

from __future__ import annotations

import shlex

from services.approval.risk import lookalikes, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.rules import BUILTIN, RuleBook, check
from services.approval.risk.shell import discovery, flows, options, output, statements, variables, writes
from services.approval.risk.shell.files import TOO_LONG
from services.approval.risk.shell.invocation import ALIASES, Flow, Invocation
from services.approval.risk.shell.programs import HANDLERS, cloned, code, named
from services.approval.risk.shell.programs.shells import SHELLS
from services.approval.risk.shell.walker import Walker, excerpt_of, invocation
from services.approval.risk.shell.words import Value, Word
from services.approval.risk.shell.wrapper_table import WRAPPERS
from services.approval.risk.shell.wrappers import Inside, Wrapper, unwrap

# Programs of which several versions are installed under names such as python3.11 and gcc-12.
_VERSIONED = frozenset("python pypy perl ruby node php lua luajit tclsh wish gcc g++ clang clang++ java pip irb psql emacs gdb bash".split())
_BY_NAME = frozenset({"busybox", "toybox", "coreutils"})  # programs that are whichever they are called
_PRODUCTION = frozenset({"prod", "production"})
# Options of a command line's own that say where it acts.
_PLACES = frozenset(
    "--env --environment -e --context --kube-context --profile --stage -n --namespace --workspace -s --cluster -env -environment -context -profile".split()
)
_NAMED_PLACES = frozenset("env environment context kube-context profile stage workspace cluster namespace project".split())
_ASKS_ONLY = frozenset({"-l", "-v", "-k", "-K", "-V", "-h", "--help", "--version"})
MAX_DOUBTS = 50  # arguments of one assessment that are read in two ways; each may double the work
MAX_ITEMS = 16  # arguments of `parallel` for which its command is read one by one; further ones are read as a hidden one


def canonical(text: str) -> str:
    """The name of a program: its base name, lower-cased, versions and spellings of one program merged."""
    name = text.rstrip("/").rpartition("/")[2].rpartition("\\")[2].lower() if "/" in text or "\\" in text else text.lower()
    name = name.removesuffix(".exe")
    if name[-1:].isdigit():
        bare = name.rstrip("0123456789.").rstrip("-")
        if bare in _VERSIONED:
            name = bare
    if name.startswith("ld-") and ".so" in name:
        return "ld.so"
    return ALIASES.get(name, name)


def _rules(walker: Walker) -> RuleBook:
    return walker.context.rules or BUILTIN


def _known(name: str) -> bool:
    return BUILTIN.knows(name) or discovery.known(name)


def dispatch(walker: Walker, words: list[Word], stdin: Flow) -> Flow:
    """Assesses one command into the walker's factors, and says what it prints."""
    typed = words[0].text
    name = canonical(typed)
    if (program := walker.state.files.program(typed)) and canonical(program) not in _BY_NAME:
        name = canonical(program)
    if not typed.isascii() and (lookalikes.look_alike(typed) or _known(canonical(lookalikes.skeleton(typed)))):
        walker.flag("deception.look-alike", scoring.HIGH, "A program's name is written in letters that look like others.", typed)
    if ("*" in name or "?" in name or "[" in name) and _is_glob(name):
        walker.unreadable("hidden-command", "Which program runs depends on which files match.", typed)
        return Flow(present=True)
    if (wrapper := WRAPPERS.get(name)) is not None:
        produced = _wrapped(walker, name, wrapper, words, stdin)
        if produced is not None:
            return produced
    call = invocation(walker, words, stdin, name)
    if statement := statements.as_statement(call):
        walker.add(*statement)
        return Flow(present=True)
    return _plain(walker, call)


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name or (name not in ("[", "[[") and "]" in name[name.index("[") + 2 :])


def _plain(walker: Walker, call: Invocation) -> Flow:
    _path_of_program(walker, call)
    handler = HANDLERS.get(call.name)
    inner = handler(walker, call) if handler is not None else None
    named.enter(walker, call)
    cloned.enter(walker, call)
    found = _rules(walker).apply(call)
    walker.add(*found)
    if found:
        _production(walker, call)
    read = flows.scan_reads(walker, call)
    writes.follow(walker, call, read)
    check(walker, call, read)
    if not found and (look := discovery.factor(call)):
        walker.add(look)
    elif not (handler or found or _known(call.name) or walker.resolve_defined(call.name)):
        walker.flag("unlisted.program", scoring.NOTE, "A program that no rule knows.", call.typed, span=call.span)
    printed = output.output_of(walker, call, read)
    return Flow(inner.text, inner.taints | printed.taints, present=True) if inner is not None else printed


def _path_of_program(walker: Walker, call: Invocation) -> None:
    """A program named by its path: one that was just fetched or decoded is the danger itself."""
    path = call.typed if "/" in call.typed else walker.state.files.installed(call.typed)
    if not path:
        return
    cloned.flag(walker, call, path)
    taints = walker.file_taint(path)
    fetched = walker.state.files.is_unpacked(path) or "://" in path  # npx, uvx and their like take an address
    text = walker.file_text(path)
    if fetched or flows.FETCHED in taints or flows.ENCODED in taints:
        walker.flag(
            "execution.fetched",
            scoring.HIGH,
            "Runs a file that was fetched or decoded by the same script.",
            call.excerpt,
            "Fetch it, read it, check its signature, then run it.",
            call.span,
        )
    elif text is None and flows.PRINTED in taints:
        code.flag_piped(walker, call)
    elif text is None and TOO_LONG in taints:
        walker.unreadable("too-large", "Runs a script that was put together and is longer than is analysed.", call.excerpt)
    elif text is None and paths.is_temporary(path) and flows.BUILT not in taints:
        walker.flag("execution.temporary", scoring.MEDIUM, "Runs a program from a folder for temporary files.", call.excerpt, span=call.span)
    if text is not None:
        code.run_language(walker, code.language_of(text), text)
    code.run_pieces(walker, path)


def _wrapped(walker: Walker, name: str, wrapper: Wrapper, words: list[Word], stdin: Flow) -> Flow | None:
    inside = unwrap(wrapper, words)
    if inside is None:
        return None
    outer = invocation(walker, [words[0], *inside.consumed], stdin, name)
    outer.excerpt = excerpt_of(words)
    if name == "command" and outer.flags & {"-v", "-V"}:
        return Flow(output.found(walker, inside.words[0].text) if inside.words else None, present=True)
    if wrapper.privilege and not (name == "sudo" and not inside.words and outer.flags & {"-k", "-K", "-V", "-v", "--version"}):
        walker.flag(
            f"privilege.{name}",
            wrapper.privilege,
            f"Runs with other rights, through {name}.",
            outer.excerpt,
            "Run it as the ordinary user.",
            outer.span,
        )
    if wrapper.place == "remote" and (inside.words or inside.scripts):
        walker.flag("network.remote-command", scoring.MINOR, "Runs a command on another machine.", outer.excerpt)
    for word in inside.assigned:
        key, _, value = word.text.partition("=")
        variables.check_assignment(walker, key, Value(value, word.taints))
    seen = invocation(walker, words, stdin, name) if wrapper.subs else outer
    walker.add(*_rules(walker).apply(seen))
    read = flows.scan_reads(walker, outer)
    check(walker, seen, read)
    before, walker.privileged = walker.privileged, walker.privileged or bool(wrapper.privilege)
    try:
        flow = _inner(walker, name, wrapper, inside, outer, output.output_of(walker, outer, read))
        if inside.doubtful:
            _doubt(walker, inside.doubtful, stdin)
        return flow
    finally:
        walker.privileged = before


def _doubt(walker: Walker, words: list[Word], stdin: Flow) -> None:
    """The other reading of a wrapper's arguments: only what it would do counts, not what is unknown about it."""
    walker.state.doubts += 1
    if walker.state.doubts > MAX_DOUBTS:
        walker.unreadable("too-many", f"More than {MAX_DOUBTS} options that may or may not take the next word.")
        return
    if words[0].known and not options.is_option(words[0].text):
        code.effects_only(walker, lambda: walker.run_words(words, stdin))


def _inner(walker: Walker, name: str, wrapper: Wrapper, inside: Inside, outer: Invocation, flow: Flow) -> Flow:
    """Assesses what a wrapper starts, and says what that prints: `flow` when it starts nothing."""
    words, stdin = inside.words, outer.stdin
    for script in inside.scripts:
        if name == "env":  # -S puts its words before the others
            script = Word(" ".join([script.text, *(shlex.quote(w.text) for w in words)]), code.joined([script, *words]).taints)
            words = []
        flow = code.shell_text(walker, script, stdin)
    if wrapper.shell_rest:
        arguments = words[1:] if wrapper.permutes and not options.given(inside.options, "-u", "--user") else words
        if arguments and not inside.scripts:
            shell = arguments if arguments is words and wrapper.permutes else [Word("sh"), *arguments]
            return walker.run_words(shell, stdin)
        words = []
    if wrapper.input:
        return _with_input(walker, name, words, inside, outer, stdin) if words or not inside.scripts else flow
    if not words:
        opens = wrapper.privilege >= scoring.MEDIUM and not wrapper.subs and not inside.scripts
        if opens and outer.flags.isdisjoint(_ASKS_ONLY):
            walker.flag("privilege.shell", scoring.SERIOUS, "Opens a shell with other rights.", outer.excerpt, span=outer.span)
        return flow
    if wrapper.text == "lone":
        return code.shell_text(walker, words[0], stdin) if len(words) == 1 else walker.run_words(words, stdin)
    if wrapper.text and not any(option.name in ("-x", "--exec") for option in inside.options):
        for script in words if wrapper.text == "each" else [code.joined(words)]:
            flow = code.shell_text(walker, script, stdin)
        return flow
    if wrapper.place == "container":
        if len(words) == 1 and canonical(words[0].text) in SHELLS and not stdin.present:
            walker.flag("execution.container-shell", scoring.NOTE, "Opens a shell inside a container.", outer.excerpt)
            return flow
        if options.is_option(words[0].text):  # arguments for the image's own program
            return flow
    return walker.run_words(words, stdin)


def _with_input(walker: Walker, name: str, words: list[Word], inside: Inside, outer: Invocation, stdin: Flow) -> Flow:
    """xargs, parallel and entr: a command that also gets what standard input holds."""
    if name == "parallel":
        return _parallel(walker, words, outer, stdin)
    if not words:
        return Flow(stdin.text, stdin.taints, present=True)
    known = stdin.text is not None and name == "xargs" and len(stdin.text) < 4096
    items = (stdin.text or "").replace("\0", "\n").split() if known else [HIDDEN]
    marks = [w.text for w in options.given(inside.options, "-I", "-J", "-i", "--replace")]
    if not marks and name == "xargs" and any(o.name in ("-i", "--replace") for o in inside.options):
        marks = ["{}"]
    mark = "/_" if name == "entr" else next(iter(marks), "")
    if mark and any(mark in w.text for w in words):
        words = [Word(code.filled(w.text, mark, " ".join(items)), w.taints | stdin.taints) for w in words]
    elif not mark:
        words = [*words, *(Word(text, stdin.taints) for text in items)]
    if canonical(words[0].text) in SHELLS and all(options.is_option(w.text) or w.text.lstrip().startswith(HIDDEN) for w in words[1:]):
        _flag_piped(walker, outer, stdin)
        return Flow(taints=stdin.taints, present=True)
    return walker.run_words(words, Flow())


def _flag_piped(walker: Walker, outer: Invocation, stdin: Flow) -> None:
    if flows.FETCHED in stdin.taints:
        code.flag_fetched(walker, outer.excerpt)
    else:
        code.flag_piped(walker, outer)


def _parallel(walker: Walker, words: list[Word], outer: Invocation, stdin: Flow) -> Flow:
    """GNU parallel: `cmd ::: a b`, `cmd :::: file`, a command a line on standard input."""
    texts = [w.text for w in words]
    at = next((i for i, text in enumerate(texts) if text.startswith(":::")), len(words))
    command, sources = words[:at], words[at:]
    items = [w for w in sources if not w.text.startswith(":::")] if sources and not texts[at].startswith("::::") else []
    if not sources and stdin.text is not None:
        items = [Word(line, stdin.taints) for line in stdin.text.splitlines() if line.strip()]
    elif not items:
        items = [Word(HIDDEN, stdin.taints)]
    if len(items) > MAX_ITEMS:
        items = [*items[:MAX_ITEMS], Word(HIDDEN)]
    flow = Flow(taints=stdin.taints, present=True)
    for item in items:
        if not command:
            if item.known:
                flow = code.shell_text(walker, item)
            else:
                _flag_piped(walker, outer, stdin)
            continue
        script = code.joined(command).text
        marked = "{}" in script or "{1}" in script
        script = code.filled(code.filled(script, "{}", item.text), "{1}", item.text) if marked else f"{script} {item.text}"
        for mark in ("{.}", "{/}", "{//}", "{/.}", "{2}"):
            script = script.replace(mark, HIDDEN)
        flow = code.shell_text(walker, Word(script, code.joined([*command, item]).taints))
    return flow


def _production(walker: Walker, call: Invocation) -> None:
    """Flags a command that has an effect and whose own options say that it acts on production."""
    for index, arg in enumerate(call.args):
        if "prod" not in arg.lower():
            continue
        name, equals, value = arg.lower().partition("=")
        named = equals and value in _PRODUCTION and name[:1] == "-" and name.lstrip("-") in _NAMED_PLACES
        if named or (index and name in _PRODUCTION and call.args[index - 1] in _PLACES):
            walker.flag("environment.production", scoring.PRODUCTION, "Acts on production.", call.excerpt, "Run it in staging first.")
            return
