"""Steps' inputs and results: JSON objects on our side, google.protobuf.Struct on the wire."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.struct_pb2 import Struct

from motherharness.errors import TerminalError

# The limits of harness/orchestrator/v1/agent.proto.
MAX_RECORD_BYTES = 64 * 1024
MAX_RESULT_BYTES = 256 * 1024
# Beyond this a double no longer holds every whole number, so that what was sent is not known.
MAX_WHOLE = 2.0**53


def to_struct(value: Mapping[str, Any], limit: int, what: str) -> Struct:
    """Return a mapping as a Struct.

    Raises:
        TerminalError: INVALID_RESULT if it is not JSON, RESULT_TOO_LARGE if its JSON is longer than limit bytes.
    """
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
        if len(encoded) > limit:
            message = f"{what} is {len(encoded)} bytes as JSON, more than {limit}; store it and return where it is"
            raise TerminalError(message, "RESULT_TOO_LARGE")
        return ParseDict(json.loads(encoded), Struct())
    except (TypeError, ValueError, RecursionError, ParseError) as error:
        raise TerminalError(f"{what} is not a JSON object: {error}", "INVALID_RESULT") from error


def from_struct(struct: Struct) -> dict[str, Any]:
    """Return a Struct as a dict. A Struct knows only doubles; whole numbers come back as int, as they were written."""
    return {key: _whole(value) for key, value in MessageToDict(struct).items()}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_WHOLE:
        return int(value)
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    return value
