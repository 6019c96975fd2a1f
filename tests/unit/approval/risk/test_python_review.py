"""Python programs that reach what they run in roundabout ways, and the ordinary ones that look like them."""

# ruff: noqa: E501  a program is a line
from __future__ import annotations

import pytest

from services.approval.risk import CodeExecution, Level, assess

_LINE = "import os; os.system('rm -rf /')"


def level(code: str) -> Level:
    return assess(CodeExecution("python", code)).level


@pytest.mark.parametrize(
    "code",
    [
        "import random\nrandom._os.system('rm -rf /')",
        "import tempfile\ntempfile._os.system('rm -rf /')",
        "import os\nos.path.os.system('rm -rf /')",
        "import os\nos.system.__call__('rm -rf /')",
        "import os\nos.system.__self__.system('rm -rf /')",
        "import inspect, os\ninspect.getattr_static(os, 'system')('rm -rf /')",
        "import inspect, os\ndict(inspect.getmembers(os))['system']('rm -rf /')",
        "from distutils.spawn import spawn\nspawn(['rm', '-rf', '/'])",
        "import platform\nplatform.popen('rm -rf /')",
        "import sh\nsh.rm('-rf', '/')",
        "from sh import rm\nrm('-r', '/', force=True)",
        "import sh\nsh.Command('rm')('-rf', '/')",
        "from plumbum import local\nlocal['rm']('-rf', '/')",
        "from plumbum.cmd import rm\nrm('-rf', '/')",
        "from plumbum.cmd import rm, sudo\nsudo[rm['-rf', '/']] & FG",
        f'import pdb\npdb.run("{_LINE}")',
        f'import pdb\npdb.Pdb().run("{_LINE}")',
        f'import bdb\nbdb.Bdb().runctx("{_LINE}", {{}}, {{}})',
        f'import trace\ntrace.Trace().run("{_LINE}")',
        f'import timeit\ntimeit.timeit("{_LINE}")',
        f'import timeit\ntimeit.repeat("pass", setup="{_LINE}")',
        "import timeit, os\ntimeit.timeit(lambda: os.system('rm -rf /'))",
        "import sympy\nsympy.sympify(\"__import__('os').system('rm -rf /')\")",
        "import operator, os\noperator.methodcaller('system', 'rm -rf /')(os)",
        "import operator, os\nlist(map(operator.methodcaller('system', 'rm -rf /'), [os]))",
        "import operator, os\noperator.attrgetter('system')(os)('rm -rf /')",
        "import operator, shutil\noperator.attrgetter('os.system')(shutil)('rm -rf /')",
        "import operator, os\noperator.itemgetter('x')({'x': os.system})('rm -rf /')",
        "import functools, os\nfunctools.reduce(getattr, ['system'], os)('rm -rf /')",
        "import os\nsorted(['rm -rf /'], key=os.system)",
        "import os\nmin('rm -rf /', 'x', key=os.system)",
        "import os\nx = ['rm -rf /']\nx.sort(key=os.system)",
        "import os, itertools\nlist(itertools.takewhile(os.system, ['rm -rf /']))",
        "import os\nglobals()['q'] = os.system\nq('rm -rf /')",
        "import os\nglobals().update(q=os.system)\nq('rm -rf /')",
        "import os\nvars().update({'q': os.system})\nq('rm -rf /')",
        "import os\nlocals().setdefault('q', os.system)\nq('rm -rf /')",
        "import os, builtins\nbuiltins.q = os.system\nq('rm -rf /')",
        "import os, sys\nsetattr(sys.modules[__name__], 'q', os.system)\nq('rm -rf /')",
        "x: __import__('os').system('rm -rf /') = 1",
        "import os\ndef f(a: os.system('rm -rf /')):\n    pass",
        "import os\nasync def f() -> os.system('rm -rf /'):\n    pass",
        "import os\nclass A:\n    x: os.system('rm -rf /')",
        "import os\ndef g():\n    yield os.system\nnext(g())('rm -rf /')",
        "import os\nnext(iter([os.system]))('rm -rf /')",
        "import os, contextlib\n@contextlib.contextmanager\ndef f():\n    yield os.system\nwith f() as g:\n    g('rm -rf /')",
        "import os\nx = [None]\nx[0] = os.system\nx[0]('rm -rf /')",
        "import os\nd = {} | {'x': os.system}\nd['x']('rm -rf /')",
        "import os\ndict(zip(['a'], [os.system]))['a']('rm -rf /')",
        "import os\n(lambda *a: a[0])(os.system)('rm -rf /')",
        "import os\ntype('A', (), {'x': os.system}).x('rm -rf /')",
        "import os\nclass A:\n    @property\n    def x(self):\n        return os.system\nA().x('rm -rf /')",
        "import os\nclass A:\n    def __call__(self, c):\n        os.system(c)\nA()('rm -rf /')",
        "import os\nmatch {'a': os}:\n    case {'a': y}:\n        y.system('rm -rf /')",
        "import os\nmatch [[os.system]]:\n    case [[y]]:\n        y('rm -rf /')",
        "import os\ntry:\n    os.foo\nexcept AttributeError as e:\n    e.obj.system('rm -rf /')",
        "import os\n@os.system\n@lambda c: 'rm -rf /'\nclass A:\n    pass",
        "import threading, os\nts = [threading.Thread(target=os.system, args=('rm -rf /',))]",
    ],
)
def test_what_is_reached_in_a_roundabout_way_is_followed(code: str) -> None:
    assert level(code) is Level.CRITICAL


@pytest.mark.parametrize(
    "code",
    [
        "import os\nclass A:\n    __getitem__ = os.system\nA()['rm -rf /']",
        "import os\nclass A:\n    __iter__ = lambda self: iter([os.system])\nfor f in A():\n    f('rm -rf /')",
        "import os\nclass A:\n    def __getattr__(self, k):\n        return os.system\nA().x('rm -rf /')",
        "import os\nclass A:\n    def __enter__(self):\n        return os.system\nwith A() as f:\n    f('rm -rf /')",
        "import os, queue\nq = queue.Queue()\nq.put([os.system])\nq.get()[0]('rm -rf /')",
        "import os, contextvars\ncontextvars.ContextVar('v', default=os.system).get()('rm -rf /')",
        "import os, collections\ncollections.defaultdict(lambda: os.system)['x']('rm -rf /')",
        "import os, types\ntypes.SimpleNamespace(f=os.system).f('rm -rf /')",
        "import os\ndef keep(box):\n    box.f = os.system",
        "import os\nd = {}\nd.setdefault('a', []).append(os.system)\nd['a'][0]('rm -rf /')",
        "import os\n[v for k, v in vars(os).items() if k == 'system'][0]('rm -rf /')",
        "import ctypes\nctypes.pythonapi.PyRun_SimpleString(b'import os')",
    ],
)
def test_a_launcher_that_goes_where_it_is_not_followed_asks(code: str) -> None:
    assert level(code) > Level.LOW


@pytest.mark.parametrize(
    "code",
    [
        "from sympy import sympify\nsympify(input())",
        "import sys, sympy\nprint(sympy.sympify(sys.argv[1]))",
        "from sympy.parsing.sympy_parser import parse_expr\nparse_expr(open('f').read())",
        "import sys, timeit\ntimeit.timeit(sys.argv[1])",
        "@exec\n@input\nclass X:\n    pass",
        "import sys, runpy\nrunpy.run_path(sys.argv[1])",
        "import imp\nimp.load_source('a', '/tmp/x')",
        "import importlib.util as u\ns = u.spec_from_file_location('a', '/tmp/x.py')\ns.loader.exec_module(u.module_from_spec(s))",
        "import http.client\nhttp.client.HTTPConnection('x').request('DELETE', '/users/1')",
        "import git\ngit.Repo('.').git.push('--force')",
        "import git\ngit.Repo('.').git.execute(['git', 'push', '--force'])",
        "from git import Repo\norigin = Repo('.').remote('origin')\norigin.push(force=True)",
        "from sh import git\ngit.push('--force')",
        "import mailbox\nmailbox.mbox('x').clear()",
        "import os\nos.symlink('/etc', 'x')",
        "import tarfile\ntarfile.open('x').extractall('/')",
        "import os\nfor folder, _, names in os.walk('/srv'):\n    for n in names:\n        open(os.path.join(folder, n), 'r+').truncate(0)",
        "import importlib.machinery as m\nm.SourceFileLoader('a', '/tmp/x.py').load_module()",
        "import netrc\nprint(netrc.netrc().hosts)",
        "import pandas as pd\npd.read_pickle('http://x/y.pkl')",
        "from threading import Thread\nts = [Thread(target=print) for _ in range(100000)]\nfor t in ts:\n    t.start()",
        "import asyncio\nasync def f():\n    pass\nwhile True:\n    asyncio.ensure_future(f())",
    ],
)
def test_what_is_not_the_programs_own_asks(code: str) -> None:
    assert level(code) > Level.LOW


@pytest.mark.parametrize(
    "code",
    [
        "import random\nprint(random.random())",
        "import os\nprint(os.path.join('a', 'b'))",
        "_io = 1\nprint(_io)",
        "import timeit\nprint(timeit.timeit('sum(range(100))', number=1000))",
        "import timeit\nprint(timeit.repeat('f(3)', setup='from __main__ import f', number=100))",
        "import timeit\ndef bench(f):\n    return timeit.timeit(f, number=9)\nprint(bench(lambda: sum(range(10))))",
        "from sympy import *\nx = Symbol('x')\nprint(sympify('2x'), sympify('x**2+1').diff(x), sympify(3), sympify(x))",
        "import pandas as pd\ndf = pd.read_csv('a.csv')\nprint(df.eval('a+b'), df.query('a>3'))",
        "import sh\nprint(sh.ls('-l'))",
        "from sh import git\nprint(git.status(_cwd='.'))",
        "from plumbum.cmd import ls\nprint(ls['-l']())",
        "import git\nr = git.Repo('.')\nr.git.add('.')\nr.index.commit('x')\nr.remotes.origin.fetch()\nprint(r.git.status())",
        "from operator import attrgetter, itemgetter, methodcaller\nprint(sorted([], key=itemgetter(1)), list(map(methodcaller('strip'), [' a'])), max([], key=attrgetter('x')))",
        "import subprocess\nfrom unittest import mock\nwith mock.patch('subprocess.run', wraps=subprocess.run), mock.patch.object(subprocess, 'Popen'):\n    pass\n",
        "import functools, subprocess\n@functools.wraps(subprocess.run)\ndef run(*a):\n    pass\nassert run is not subprocess.run\n",
        "import subprocess\nrunning: dict[str, subprocess.Popen] = {}\ndef stop(p: subprocess.Popen) -> 'subprocess.Popen | None':\n    p.wait()",
        "import subprocess\nclass Shell:\n    def __init__(self, run=subprocess.run):\n        self.run = run\n    def ls(self):\n        return self.run(['ls'])\nShell().ls()",
        "from __future__ import annotations\nx: __import__('os').system('rm -rf /') = 1",
        "import json, pickle\nload = {'json': json.load, 'pickle': pickle.load}\nprint(sorted(load))",
        "import runpy\nrunpy.run_path('scripts/build.py')",
        "import importlib.util as u\ns = u.spec_from_file_location('a', 'plugins/a.py')\ns.loader.exec_module(u.module_from_spec(s))",
        "import mailbox\nfor m in mailbox.mbox('x'):\n    print(m['subject'])",
        "import os\nos.symlink('data/a', 'data/latest')\nos.symlink('/usr/bin/python3', 'venv/bin/python')",
        "import tarfile\ntarfile.open('x').extractall('out')",
        "import threading\nts = [threading.Thread(target=print) for _ in range(8)]\nfor t in ts:\n    t.start()",
        "import asyncio\nasync def main():\n    await asyncio.gather(*[asyncio.create_task(asyncio.sleep(i)) for i in range(1000)])\nasyncio.run(main())",
        "import subprocess, functools\nrun = functools.partial(subprocess.run, check=True)\nrun(['git', 'status'])",
        "import shutil, tempfile, unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.d = tempfile.mkdtemp()\n        self.addCleanup(shutil.rmtree, self.d)",
        "import shutil, tempfile\nd = tempfile.mkdtemp()\nshutil.rmtree(d)",
        "import os, shutil\nos.makedirs('out/x')\nshutil.rmtree('out/x')",
        "import joblib, torch\njoblib.load('model.pkl')\ntorch.load('model.pt')",
        "import torch\ndef f(p):\n    return torch.load(p, weights_only=True)",
    ],
)
def test_ordinary_programs_stay_low(code: str) -> None:
    assert level(code) is Level.LOW
