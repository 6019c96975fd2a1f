"""Structured logs on stderr: one JSON object a line in production, readable in a terminal, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from services.runtime import redaction
from services.runtime.context import current_request_id

REDACTED = redaction.MASK
_SECRET_KEYS = re.compile(r"token|secret|password|passwd|authorization|credential|private_key|api_key", re.IGNORECASE)

_Event = MutableMapping[str, Any]


def redact(_logger: Any, _method: str, event: _Event) -> _Event:
    """Mask values under secret-looking keys, and secrets and personal numbers inside texts, at any depth."""
    for key, value in event.items():
        if _SECRET_KEYS.search(key) and value:
            event[key] = REDACTED
        else:
            event[key] = redaction.redact_value(value)
    return event


def _add_request_id(_logger: Any, _method: str, event: _Event) -> _Event:
    request_id = current_request_id()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


def configure_logging(
    service: str,
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["auto", "json", "console"] = "auto",
) -> None:
    """Set up structlog and the standard library's logging (gRPC, redis, asyncio) for this process, once, at start."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())

    def add_service(_logger: Any, _method: str, event: _Event) -> _Event:
        event.setdefault("service", service)
        return event

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_request_id,
        add_service,
    ]
    # Tracebacks become text first, so that redaction sees what they quote.
    final: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
    ]
    if console:
        final.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        final.append(structlog.processors.JSONRenderer())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
