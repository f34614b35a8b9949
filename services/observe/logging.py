"""structlog, filtered at set-up, to JSON bytes through orjson: one line an event."""

import logging
import sys

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUOTES_REQUESTS = "aiohttp.http_exceptions"
"""Errors of this module quote what could not be parsed, with the API keys that it holds."""


def configure(*, level: str, form: str) -> None:
    """Set up logging of this process: *form* is `json` for machines or `console` for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *shared,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(),
                    # The default one shows local variables: API keys and signing secrets.
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(
        level=max(LEVELS[level], logging.WARNING),
        handlers=[_Forward()],
        force=True,
    )


def _dumps(event: object, **_: object) -> bytes:
    return orjson.dumps(event, default=repr)


class _Forward(logging.Handler):
    """Libraries that log by the standard library speak through ours, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info
        if exc_info and exc_info[0] is not None and exc_info[0].__module__ == QUOTES_REQUESTS:
            record.msg, exc_info = f"{record.msg}: {exc_info[0].__name__}", None
        structlog.get_logger(record.name).log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=exc_info,
        )
