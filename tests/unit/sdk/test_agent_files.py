"""The files agent on what a disk may hold."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from motherharness.agents.files import FilesAgent
from motherharness.structs import MAX_RESULT_BYTES, to_struct


async def test_names_that_are_not_text_are_listed(tmp_path: Path) -> None:
    (tmp_path / "good").touch()
    os.close(os.open(os.fsencode(tmp_path) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
    context: Any = SimpleNamespace(inputs={"operation": "list", "path": "."}, description="")
    result = await FilesAgent(tmp_path)(context)
    assert [entry["name"] for entry in result["entries"]] == ["bad\N{REPLACEMENT CHARACTER}", "good"]
    assert to_struct(result, MAX_RESULT_BYTES, "the result")
