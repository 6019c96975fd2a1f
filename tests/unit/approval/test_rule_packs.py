"""Where rule packs come from, and that a broken one refuses the start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from services.approval.assess import answers
from services.approval.risk.rules import BUILTIN
from services.approval.rule_packs import condensed, rule_book
from services.runtime.errors import ConfigurationError

DOCS = Path(__file__).parents[3] / "docs" / "risk-rules.md"
EXAMPLE = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shops.yaml").write_text(EXAMPLE)
    return tmp_path


def test_without_a_setting_the_built_in_rules_are_in_force() -> None:
    assert rule_book("") is BUILTIN


def test_a_folder_a_file_and_several_of_them(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "warehouse.yml"
    other.write_text(EXAMPLE.replace("acme/shops", "acme/warehouse"))
    for where in (f"{folder}", f"{folder / 'shops.yaml'}"):
        assert rule_book(where).versions().keys() - BUILTIN.versions().keys() == {"acme/shops"}
    book = rule_book(os.pathsep.join([str(folder), str(other), ""]))
    assert book.versions().keys() - BUILTIN.versions().keys() == {"acme/shops", "acme/warehouse"}


def test_the_packs_in_force_fit_into_one_line(folder: Path) -> None:
    (builtin,) = condensed(BUILTIN).split()
    assert re.fullmatch(r"builtin\+sha256\.[0-9a-f]{12}", builtin)
    version = re.escape(rule_book(str(folder)).versions()["acme/shops"])
    assert re.fullmatch(rf"{re.escape(builtin)} acme/shops {version}", condensed(rule_book(str(folder))))


def test_what_the_documentation_shows_is_what_happens(folder: Path) -> None:
    book = rule_book(str(folder))
    lines = [orjson.dumps({"command": command}) for command in ("shopctl price --all 0", "shopctl price --list")]
    changed, listed = answers(lines, book)
    assert changed["level"] in ("HIGH", "CRITICAL")
    assert "acme.prices" in {factor["id"] for factor in changed["factors"]}
    assert "acme.prices" not in {factor["id"] for factor in listed["factors"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.yaml", None, "cannot read"),
        ("empty", "folder", "there is no .yaml file in"),
        ("latin.yaml", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("wrong.yaml", EXAMPLE.replace("weight: high", "weight: hihg").encode(), "'hihg' is no weight"),
        ("false.yaml", EXAMPLE.replace("without: --list", "flags: --now").encode(), "does not match"),
        ("large.yaml", b"#" * (2 << 20), "split it into several packs"),
    ],
)
def test_a_pack_that_is_wrong_names_its_file(
    tmp_path: Path, name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigurationError) as refused:
        rule_book(str(path))
    assert str(refused.value).startswith("HARNESS_RISK_RULE_PACKS: ")
    assert message in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize("module", ["services.approval", "services.approval.assess"])
def test_a_process_does_not_start_with_a_broken_pack(folder: Path, module: str) -> None:
    (folder / "shops.yaml").write_text(EXAMPLE.replace("weight: high", "weight: none"))
    done = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, "HARNESS_RISK_RULE_PACKS": str(folder), "HARNESS_JWT_SECRET": "s" * 32},
        input=b'{"command": "ls"}\n',
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert b"shops.yaml: rule acme.prices: weight: 'none' is no weight" in done.stdout + done.stderr
