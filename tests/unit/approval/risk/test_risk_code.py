"""Source code in the languages that agents write."""

from __future__ import annotations

import pytest

from services.approval.risk import CodeExecution, Level, assess, redact


def level(language: str, code: str) -> Level:
    return assess(CodeExecution(language, code)).level


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "require('child_process').exec('rm -r build')"),
        ("typescript", "import { exec } from 'child_process'; exec(command)"),
        ("ruby", "system('rm -r build')"),
        ("perl", "unlink glob '*'"),
        ("php", "shell_exec($_GET['c']);"),
        ("go", 'exec.Command("sh", "-c", x).Run()'),
        ("java", "Runtime.getRuntime().exec(x)"),
        ("lua", "os.execute('ls')"),
        ("sql", "WITH gone AS (DELETE FROM t) SELECT 1"),
        ("sql", "GRANT ALL ON t TO x"),
        ("bash", "rm -rf build"),
        ("powershell", "Remove-Item -Recurse C:\\x"),
    ],
)
def test_other_languages(language: str, code: str) -> None:
    assert level(language, code) >= Level.MEDIUM


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "const m = /a/.exec('a'); console.log(m)"),
        ("sql", "SELECT 'drop table x' FROM t -- delete from t"),
        ("sql", "DELETE FROM t WHERE id = 1"),
        ("bash", "ls -la"),
    ],
)
def test_other_languages_in_everyday_use_are_low(language: str, code: str) -> None:
    assert level(language, code) is Level.LOW


def test_unknown_languages_and_broken_code_are_unknown() -> None:
    assert level("klingon", "x") is Level.UNKNOWN
    assert level("python", "def f(:") is Level.UNKNOWN


def test_secrets_are_masked_and_ordinary_words_are_not() -> None:
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    assert redact(f"key {key} end") == "key [secret] end"
    assert (
        redact("token: string, password = getpass(), tokenizer=bpe")
        == "token: string, password = getpass(), tokenizer=bpe"
    )
    assert "hunter2x9" not in redact("postgres://app:hunter2x9@db/x")
