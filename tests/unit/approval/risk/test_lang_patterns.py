"""Languages that are read by what they name: the same answer before and behind the first character of a program."""

from __future__ import annotations

import pytest

from services.approval.risk.languages import named, reader, source
from tests.support.patience import ends

DANGEROUS = [
    ("javascript", "require('child_process').execSync('id')", "code.process"),
    ("javascript", "require(name)", "code.dynamic"),
    ("javascript", "import { $ } from 'zx'", "code.process"),
    ("javascript", "global.process.mainModule.require('child' + '_process')", "code.process"),
    ("javascript", "fs['unl' + 'inkSync']('a')", "code.delete"),
    ("lua", "os['exec' .. 'ute'](x)", "code.process"),
    ("ruby", "system('id')", "code.process"),
    ("ruby", "x = 1\neval(text)", "code.dynamic"),
    ("perl", "system 'id';", "code.process"),
    ("perl", "exec($command);", "code.process"),
    ("perl", "fork;", "code.process"),
    ("perl", "$pid = fork", "code.process"),
    ("php", "system($_GET['c']);", "code.process"),
    ("php", "<?php eval($x);", "code.dynamic"),
    ("lua", "load(text)()", "code.dynamic"),
    ("tcl", "exec id", "code.process"),
    ("groovy", "'id'.execute()", "code.process"),
]
HARMLESS = [
    ("javascript", "const fs = require('fs');\nconst m = await import('./a.js');"),
    ("ruby", "logger.system('x')\n@eval = 1"),
    ("perl", "my %h = (system => 1, exec   => 2);\nprint $system;"),
    ("php", "$db->exec('x'); Foo::system('x');"),
    ("lua", "upload(text)"),
    ("javascript", "const a = require('.'); const t = parts['name'] + ', ' + x.join('.'); f['map'](t);"),
]


@pytest.mark.parametrize(("language", "text", "expected"), DANGEROUS)
def test_names_that_act_are_found(language: str, text: str, expected: str) -> None:
    for program in (text, "\n" + text):
        assert expected in {factor.id for factor in source.assess(language, program, lambda script: None)}


@pytest.mark.parametrize(("language", "text"), HARMLESS)
def test_names_that_only_look_alike_are_not(language: str, text: str) -> None:
    assert source.assess(language, text, lambda script: None) == []


@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_the_command_that_is_started_is_assessed(quote: str) -> None:
    seen: list[str] = []
    source.assess("javascript", f"child_process.exec({quote}rm -rf \\{quote}/x{quote})", seen.append)
    assert seen == [f"rm -rf {quote}/x"]


def test_a_command_in_pieces_is_assessed_whole() -> None:
    seen: list[str] = []
    source.assess("lua", 'os.execute("rm -r" .. "f /")', seen.append)
    assert "rm -rf /" in seen


def test_an_unknown_language_is_unreadable() -> None:
    (factor,) = source.assess("brainfog", "x", lambda script: None)
    assert "brainfog" in factor.message


@pytest.mark.parametrize("part", ["socket", "exec(", "exec('", "fsockopen", "while(true)", "`a", "'/etc", "open '"])
@pytest.mark.parametrize("language", ["javascript", "php", "perl", "ruby", "java"])
def test_any_text_of_the_largest_size_is_read_in_time(language: str, part: str) -> None:
    size = named.MAX_SOURCE if language in ("perl", "java") else reader.MAX_SOURCE
    text = (part * size)[:size]
    with ends():
        source.assess(language, text, lambda script: None)
