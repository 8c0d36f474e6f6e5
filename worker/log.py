"""Structured logs. Keys are few and always the same; never an address, subject, body or token."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import orjson
import structlog

_LIBRARIES = ("aiormq", "aio_pika", "aiohttp", "asyncio", "alembic", "opentelemetry")


def configure(level: str, form: Literal["json", "console"], output: TextIO | None = None) -> None:
    """Set up logging for this process: to standard output unless told otherwise, one line an event."""
    number = logging.getLevelNamesMapping()[level.upper()]
    final: structlog.typing.Processor
    if form == "json":
        final = structlog.processors.JSONRenderer(
            serializer=lambda event, **_: orjson.dumps(event, default=str).decode()
        )
    else:
        final = structlog.dev.ConsoleRenderer(colors=(output or sys.stdout).isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _place_of_error,
            final,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    # What libraries log may quote URLs with tokens or addresses: only that something is wrong is let through.
    logging.basicConfig(level=logging.CRITICAL, format="%(name)s %(levelname)s", force=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _place_of_error(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace a traceback by the places it passed: its last line would quote the values at fault."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        places, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        event["error_type"] = type(error).__name__
        event["traceback"] = places[-12:]
    return event
