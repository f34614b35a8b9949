"""structlog, filtered at set-up, to JSON bytes through orjson: one line an event."""

import logging
import math
import sys

import orjson
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
QUOTES_REQUESTS = "aiohttp.http_exceptions"
"""Errors of this module quote what could not be parsed, with the API keys that it holds."""
REPEAT_SECONDS = 10.0
MAX_SAID = 1_000


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
    """Libraries that log by the standard library speak through ours, in the same form.

    While Kafka is gone its client says so 75 times a second: the same sentence is passed on once in
    ten seconds, with how often it was said meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        exc_info = record.exc_info
        repeated = 0 if exc_info else self._repeated(record)
        if repeated is None:
            return
        if exc_info and exc_info[0] is not None and exc_info[0].__module__ == QUOTES_REQUESTS:
            record.msg, exc_info = f"{record.msg}: {exc_info[0].__name__}", None
        structlog.get_logger(record.name).log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=exc_info,
            **({"repeated": repeated} if repeated else {}),
        )

    def _repeated(self, record: logging.LogRecord) -> int | None:
        """Return how often this was kept back since it was passed on; None: keep it back now."""
        sentence = record.name, record.getMessage()
        at, kept_back = self._said.get(sentence, (-math.inf, 0))
        if record.created - at < REPEAT_SECONDS:
            self._said[sentence] = at, kept_back + 1
            return None
        if len(self._said) >= MAX_SAID:
            self._said.clear()
        self._said[sentence] = record.created, 0
        return kept_back
