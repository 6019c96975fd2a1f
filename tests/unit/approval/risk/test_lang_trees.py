"""Programs that are read as trees: no text raises, takes long or is half read in silence."""

from __future__ import annotations

# ruff: noqa: E501  a program is a line
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import CodeExecution, Level, assess
from services.approval.risk.languages import source
from services.approval.risk.languages.reader import MAX_SOURCE
from services.approval.risk.model import Factor
from tests.support.patience import ends

LANGUAGES = ["javascript", "typescript", "tsx", "ruby", "php", "go"]
PIECES = {
    "javascript": [
        "const {exec: e, ...r} = require('child_process');", "e(`rm ${x}`);", "a?.['b']?.(c);", "class A { #x = 1; static { y() } }",
        "(0, eval)(atob('eA=='));", "fetch(u).then(r => r.text()).then(eval);", "x += y; [a, b] = [b, a];", "for await (const z of q) {",
        "o = {...p, [k]: v, get g() { return 1 }};", "import('x').then(m => m.default());", "'\\x41' + \"\\u{1F600}\"", "f`a${b}c`;", "/re[/]/g", "<A b={c}>d</A>",
    ],
    "ruby": [
        "system('rm', *args)", "x = <<~A\n #{y}\nA\n", "send(:eval, z)", "%w[a b].each { |c| `#{c}` }", "def m(a, *b, c: 1, **d, &e)", "end", "loop do fork end",
        "open(params[:f])", "A::B.c = d", "case x when 1 then y else z end", "@a ||= {b: 1, 'c' => 2}", "[1].pack('c*')", "begin; x; rescue; y; end", "->(q) { q }",
    ],
    "php": [
        "<?php", "$f = 'sys' . 'tem'; $f($_GET['x']);", "?> text <?=", "function g(&$a, ...$b) { return $a; }", "`ls $x`;", "eval(base64_decode('eA=='));",
        "${'a' . $b} = [1, 'k' => 2];", "<<<EOT\n$x {$y[0]}\nEOT;", "foreach ($a as $k => [$b, $c]) {", "$o?->m(...)::K;", "include $x;", "array_map('unlink', $l);", "match(true) { default => 1 };",
    ],
    "go": [
        "package main", "import x \"os/exec\"", "x.Command(\"sh\", \"-c\", c).Run()", "func f(a, b string, c ...int) (d error) {", "}", "y := []string{\"a\", `b`}", "for {", "switch z := q.(type) {",
        "case int:", "defer func() { recover() }()", "m[\"k\"] += 1", "fmt.Sprintf(\"%s %d%%\", a, b)", "type T[K any] struct{ A int }", "<-ch", "p, err := os.ReadFile(\"/etc/shadow\")",
    ],
}  # fmt: skip
PIECES["typescript"] = [
    *PIECES["javascript"],
    "let a: Map<string, number> = b as any;",
    "enum E { A = 1 }",
    "x!.y satisfies Z;",
]
PIECES["tsx"] = PIECES["typescript"]


def ignored(script: str) -> None:
    """A shell that is not there."""


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_text_raises(language: str, data: st.DataObject) -> None:
    text = data.draw(
        st.lists(st.sampled_from([*PIECES[language], "\n", "é", "(", "}", "'", "\ufffc"]) | st.text(max_size=6)).map(
            " ".join
        )
    )
    cut = data.draw(st.integers(0, 300))
    for part in (text[cut:], text[:cut]):
        assert all(isinstance(factor, Factor) for factor in source.assess(language, part, ignored))


@pytest.mark.parametrize("language", ["javascript", "ruby", "php", "go"])
@pytest.mark.parametrize("pair", ["()", "[{", "a.b(", "'", "a+"])
def test_nesting_and_length_cost_no_more_than_time_allows(language: str, pair: str) -> None:
    half = len(pair) // 2
    for text in ((pair[:half] * 10_000 + pair[half:] * 10_000)[:MAX_SOURCE], pair * (1_000_000 // len(pair))):
        with ends():
            assess(CodeExecution(language, text))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("javascript", "const a = {; require('child_process').exec('rm -rf /')"),
        ("ruby", "def x(\nsystem('rm -rf /')"),
        ("php", "<?php if ( { system('rm -rf /');"),
        ("php", "if ( { system('rm -rf /');"),
        ("go", "package main\nfunc ( { exec.Command(\"rm\", \"-rf\", \"/\")"),
        ("javascript", "x()\n" * MAX_SOURCE),
        ("typescript", "{[k:a " * 3_900),
        ("go", "f(a " * 5_900),
    ],
)  # fmt: skip
def test_what_is_not_wholly_read_is_unknown_at_least(language: str, text: str) -> None:
    assert assess(CodeExecution(language, text)).level >= Level.UNKNOWN


@pytest.mark.parametrize(
    ("language", "rounds"),
    [
        ("javascript", "const a0 = 'rm -rf /';" + "".join(f"const a{i + 1} = a{i};" for i in range(50)) + "require('child_process').exec(a50)"),
        ("javascript", "function f(c) { g(c) } function g(c) { h(c) } function h(c) { require('child_process').exec(c) } f('rm -rf /')"),
        ("go", 'func a(c string) { b(c) }\nfunc b(c string) { exec.Command("sh", "-c", c).Run() }\nfunc main() { a("rm -rf /") }'),
        ("ruby", "def a(c) b(c) end\ndef b(c) system(c) end\na('rm -rf /')"),
        ("php", "<?php function a($c) { b($c); } function b($c) { system($c); } a('rm -rf /');"),
    ],
)  # fmt: skip
def test_values_are_followed_through_names_and_functions(language: str, rounds: str) -> None:
    assert assess(CodeExecution(language, rounds)).level is Level.CRITICAL


@pytest.mark.parametrize("language", ["", " ", "klingon", "x" * 500])
def test_no_language_and_unknown_ones_are_unknown(language: str) -> None:
    assert assess(CodeExecution(language, "print(1)")).level is Level.UNKNOWN
