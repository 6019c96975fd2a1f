"""docs/http.md names paths that there are."""

from __future__ import annotations

import re
from pathlib import Path

from services.gateway.bindings import bindings_of
from services.gateway.contracts import generated_services

PAGE = Path(__file__).resolve().parents[3] / "docs" / "http.md"


def test_every_path_of_the_table_is_bound() -> None:
    bound = {f"{binding.http_method} {binding.template.shape}" for binding in bindings_of(generated_services())}
    named = re.findall(r"`((?:GET|POST) /v1/[^`?]*)", PAGE.read_text().partition("## From the predecessor")[2])
    assert len(named) > 8
    assert {re.sub(r"\{\w+\}", "*", path) for path in named} - bound == set()
