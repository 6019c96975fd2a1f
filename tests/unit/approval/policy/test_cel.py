"""Rules: what is read, what is refused and why, and that what is read is bounded."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.policy.cel import (
    MAX_COMPREHENSIONS,
    MAX_DEPTH,
    MAX_OPERATORS,
    MAX_SOURCE,
    CelError,
    EvaluationError,
    Program,
    Values,
    compile,
)
from services.approval.policy.context import Views, rehearse
from services.approval.policy.model import Question
from services.approval.policy.names import CONSTANTS, MAX_ITEMS, MAX_TEXT, NAMES, RECORDS, Kind
from services.approval.risk import CodeExecution, Command, Level
from tests.support.patience import ends


def run(source: str, question: Question) -> bool:
    program = compile(source)
    (values,) = Views(question, program.names, "UTC").of(program)
    return program.run(values)


PUSH = Question(Level.LOW, actions=(Command(argv=("git", "push", "--force", 'it\'s "x"\\n')),))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("true", True),
        ("// why\n  !false // because", True),
        ("action.kind == 'command' && !(agent == \"x\")", True),
        ("action.programs.all(p, p in ['git', 'ls'])", True),
        ("action.words.exists(each, each == '--force') && action.words.exists(each, each == 'push')", True),
        ("action.words.exists_one(w, w.startsWith('pu') || w.endsWith('sh'))", True),
        (r"""action.words.exists(w, w == 'it\'s "x"\\n')""", True),
        (r"""action.words.exists(w, w == "it's \"x\"\\n")""", True),
        ('action.words.exists(w, w == "it\'s \\u0022x\\u0022\\\\n")', True),
        ("action.words[1] == 'push' && size(action.words) == 4", True),
        ("action.words.size() > 3 ? true : false", True),
        (r"action.words.exists(w, w.matches(r'^--f\w+$'))", True),
        ('action.words.exists(w, w.matches("^--f[a-z]+$"))', True),
        ("assessment.level in [LOW, MEDIUM]", True),
        ("assessment.level + 1 * 2 - 1 == MEDIUM && 1.5 > 1.0", True),
        ("action.path.startsWith('docs/') || false", False),
        ("false && action.words[9] == 'x'", False),
        ("action.words[9] == 'x' || true", True),
        ("int('1') == 1 && string(1) == '1' && double('1') == 1.0", True),
        ("MONDAY == 1 && SUNDAY == 7", True),
    ],
)
def test_what_is_read_means_what_cel_says(source: str, expected: bool) -> None:
    assert run(source, PUSH) is expected


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "is empty"),
        ("  // nothing", "is empty"),
        ("nope == 1", "the name nope"),
        ("action.prog == 'x'", "action.prog, which is not known; action has kind, programs"),
        ("action == 'x'", "has action, which"),
        ("action['kind'] == 'x'", "has action, which"),
        ("action__kind == 'x'", "the name action__kind"),
        ("has(action.kind)", "always there"),
        ("environment.name == 'x'", ".name"),
        ("action.words.map(w, w)", ".map()"),
        ("action.words.filter(w, true).size() > 0", ".filter()"),
        ("action.words.exists(a, action.programs.exists(b, a == b))", "inside another"),
        ("action.words.exists(a, action.words.all(a, true))", "inside another"),
        ("[1, 2].exists(x, true)", "no documented list"),
        ("(action.words).exists(x, true)", "no documented list"),
        ("'abc'.exists(x, true)", "no documented list"),
        ("agent.exists(x, true)", "no documented list"),
        ("action.words.exists(agent, true)", "a word of its own"),
        ("action.words.exists(a.b, true)", "a word of its own"),
        ("action.words.exists(true, true)", "a word of its own"),
        ("action.words.exists()", "a word of its own"),
        ("action.words.exists(x, true) && x == 'y'", "the name x"),
        ("type(1) == int", "type()"),
        ("timestamp('2024-01-01T00:00:00Z') == time.date", "timestamp()"),
        ("matches__('a', 'b')", "matches__()"),
        ("agent.matches__('a')", ".matches__()"),
        ("agent.matches(environment)", "one pattern written out"),
        ("agent.matches('a' + 'b')", "one pattern written out"),
        ("matches(agent, 'a')", "matches()"),
        ("agent.matches('(')", "cannot be used"),
        ("agent.matches('(a{1000}){1000}')", "cannot be used"),
        (r"agent.matches(r'((\w{100}){10}){100}')", "cannot be used"),
        (f"agent.matches('{'a' * 513}')", "a pattern of 513 characters"),
        ("agent == '''x'''", "three quotes"),
        ("agent == 'x", "does not end"),
        ("agent == 'x\n'", "does not end"),
        (r"agent == '\q'", "escape"),
        (r"agent == '\u000'", "escape"),
        (r"agent == '\u0000'", "escape"),
        (r"agent == r'\''", "use the other quote"),
        ("agent == b'x'", "the name b"),
        ("{'a': 1}.a == 1", "'{'"),
        ("Thing{} == 1", "'{'"),
        ("agent == `x`", "'`'"),
        ("agent = 'x'", "'='"),
        ("agent & 'x'", "'&'"),
        ("1 +", "no CEL expression"),
        ("true true", "no CEL expression"),
        ("12345678901234567890 > 1", "no CEL expression"),
        ("(true", "not closed"),
        ("true)", "closes nothing"),
        ("(true]", "closes nothing"),
        ("request.actions in [" + "1," * 600 + "]", "words and signs"),
        ("true" + " || true" * (MAX_OPERATORS + 1), "operators"),
        ("!" * (MAX_OPERATORS + 1) + "true", "operators"),
        ("size(" * 13 + "agent" + ")" * 13 + " == 1", "brackets"),
        ("(" * (MAX_DEPTH + 1) + "true" + ")" * (MAX_DEPTH + 1), "brackets"),
        ("[" * 5000 + "]" * 5000, "10000 characters"),
        ("'" + "x" * MAX_SOURCE + "' == agent", "characters long"),
        (" || ".join(["action.words.exists(w, true)"] * (MAX_COMPREHENSIONS + 1)), "several rules"),
    ],
)
def test_what_is_not_known_or_could_take_long_is_refused_and_said(source: str, why: str) -> None:
    with pytest.raises(CelError) as refused:
        compile(source)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("action.path", "neither true nor false"),
        ("null", "neither true nor false"),
        ("action.path > 3", "TypeError"),
        ("action.words[0] == 'git'", "file_write"),
        ("1 / request.actions == 1 && 1 / assessment.score > 0", "ZeroDivisionError"),
        ("assessment.score.matches('1')", "neither true nor false"),
        ("agent.size(1) == 1", "command"),
    ],
)
def test_a_rehearsal_finds_rules_without_an_answer(source: str, why: str) -> None:
    program = compile(source)
    with pytest.raises(EvaluationError) as refused:
        rehearse(program)
    assert why in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_name_can_be_used(name: str) -> None:
    ways = {
        Kind.TEXT: "{0} == 'x' || {0}.contains('x') || {0}.matches('x') || size({0}) > 0",
        Kind.NUMBER: "{0} > 1",
        Kind.FLAG: "{0} || !{0}",
        Kind.TEXTS: "{0}.exists(each, each == 'x') || 'x' in {0} || size({0}) > 0",
    }
    program = compile(ways[NAMES[name]].format(name))
    assert program.names == {name}
    rehearse(program)


def test_constants_and_names_do_not_meet() -> None:
    assert not CONSTANTS.keys() & (NAMES.keys() | RECORDS.keys())


def test_what_is_too_large_is_not_cut_but_has_no_answer() -> None:
    long = Question(Level.LOW, actions=(CodeExecution("python", "x" * (MAX_TEXT + 1)),))
    for source in ("action.script.contains('y')", "size(action.script) > 1", "!action.script.contains('y')"):
        with pytest.raises(EvaluationError, match=r"action\.script has more than"):
            run(source, long)
    assert run("action.language == 'python'", long)
    many = Question(Level.LOW, actions=(Command(argv=("ls",) * (MAX_ITEMS + 1)),))
    with pytest.raises(EvaluationError, match=r"action\.words has more than"):
        run("'ls' in action.words", many)
    wide = Question(Level.LOW, actions=(Command(argv=("ls", "x" * MAX_TEXT)),))
    with pytest.raises(EvaluationError, match=r"action\.words has more than"):
        run("action.words.all(each, each != '')", wide)


def test_the_largest_inputs_and_the_slowest_rules_end() -> None:
    slow = [
        compile(
            " || ".join(["action.words.exists(w, w.matches(r'(x+x+)+y') && w.contains('y'))"] * MAX_COMPREHENSIONS)
        ),
        compile(r"action.script.matches(r'(\w+\s?)*(a|aa)+$') || action.script.matches('(x?){100}x{100}y')"),
        compile("size(" + " + ".join(["action.script"] * 20) + ") < 0"),
        compile(f"agent in [{', '.join(['1'] * 400)}] || false"),
    ]
    actions = (
        Command(argv=tuple("x" * (MAX_TEXT // MAX_ITEMS) for _ in range(MAX_ITEMS))),
        CodeExecution("python", "x" * MAX_TEXT),
    )
    for program in slow:
        for values in Views(Question(Level.LOW, actions=actions), program.names, "UTC").of(program):
            with ends():
                program.run(values)


def test_the_deepest_rules_fit_on_a_small_stack() -> None:
    """Each of the shapes that nest, as deep as is allowed, on a thread with a stack of 256 KB."""
    script = f"""
import threading
from services.approval.policy.cel import compile, Values
shapes = [
    "!" * {MAX_OPERATORS} + "true",
    "1" + " + 1" * {MAX_OPERATORS - 1} + " > 0",
    "true" + " || false" * {MAX_OPERATORS},
    "true" + " ? true : false" * {MAX_OPERATORS},
    "(" * {MAX_DEPTH} + "true" + ")" * {MAX_DEPTH},
    "agent" + ".size()" * {MAX_OPERATORS - 1} + " > 0",
    "agent == [" + "'x'," * 450 + "]",
]
done = []
def run():
    for shape in shapes:
        program = compile(shape)
        try:
            program.run(Values({{"agent": "x"}}, {{}}))
        except Exception as error:
            pass
        done.append(shape)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
assert len(done) == len(shapes), done
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 0, (finished.returncode, finished.stderr[-500:])


WORDS = st.sampled_from(
    [
        *NAMES,
        *CONSTANTS,
        *"x action true null in size has exists matches 'a' r'\\w' 1 1.5".split(),
        *"( ) [ ] . , && || ! == + ? : //".split(),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=60), st.lists(WORDS, max_size=14).map(" ".join), st.lists(WORDS, max_size=14).map("".join)
    )
)
def test_any_text_is_a_program_or_a_refusal(source: str) -> None:
    try:
        program = compile(source)
    except CelError:
        return
    assert isinstance(program, Program)
    for values in Views(PUSH, program.names, "UTC").of(program):
        with contextlib.suppress(EvaluationError):
            assert program.run(values) in (True, False)


@settings(deadline=None)
@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_a_text_in_a_rule_means_itself(text: str) -> None:
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert compile(f"agent == {quoted}").run(Values({"agent": text}, {}))
