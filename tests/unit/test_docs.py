"""What the documentation says of this repository is there: tests that it names as proofs, pages that it links to."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
THREATS = (
    *("Self-approval", "Replay", "TOCTOU", "Forged grant", "Stolen token"),
    *("Policy bypass by a compound command", "Approval fatigue"),
)


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    found = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def proofs(text: str) -> list[str]:
    """What a text names as tests: files or folders, with the name of a test where it has one."""
    return re.findall(r"`(tests/[\w./:]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    for proof in proofs(page.read_text()):
        path, _, name = proof.partition("::")
        assert (ROOT / path).exists(), proof
        assert not name or name in names_in(ROOT / path), proof


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_that_a_page_links_to_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_each_threat_to_approvals_has_a_proof_by_name() -> None:
    text = (ROOT / "docs" / "approvals.md").read_text()
    table = text.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "| met by |" not in line]
    assert len(rows) >= 15
    for row in rows:
        assert len(row) == 3, row
        named = proofs(row[2])
        assert named, row[0]
        assert all("::" in proof for proof in named), row[0]
    for threat in THREATS:
        assert any(f"**{threat}**" in row[0] for row in rows), threat
