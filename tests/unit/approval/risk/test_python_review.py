"""Python programs that reach what they run in roundabout ways."""

from __future__ import annotations

import pytest

from services.approval.risk import CodeExecution, Level, assess


def level(code: str) -> Level:
    return assess(CodeExecution("python", code)).level


@pytest.mark.parametrize(
    "code",
    [
        "import random\nrandom._os.system('rm -rf /')",
        "import tempfile\ntempfile._os.system('rm -rf /')",
        "import os\nos.path.os.system('rm -rf /')",
        "from distutils.spawn import spawn\nspawn(['rm', '-rf', '/'])",
        "import platform\nplatform.popen('rm -rf /')",
        "import pdb\npdb.run('import os; os.system(\\'rm -rf /\\')')",
        "import trace\ntrace.Trace().run('import os; os.system(\\'rm -rf /\\')')",
    ],
)
def test_a_module_inside_another_and_other_names_of_a_launcher(code: str) -> None:
    assert level(code) is Level.CRITICAL


@pytest.mark.parametrize(
    "code", ["import random\nprint(random.random())", "import os\nprint(os.path.join('a', 'b'))", "_io = 1\nprint(_io)"]
)
def test_ordinary_members_stay_low(code: str) -> None:
    assert level(code) is Level.LOW
