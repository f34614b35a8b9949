"""What libraries say is passed on, and not said a thousand times."""

import logging
from collections.abc import Mapping

from structlog.testing import capture_logs

from services.observe.logging import _Forward


def said(message: str, *, at: float, error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    record = logging.LogRecord("aiokafka", logging.ERROR, "file", 1, message, (), exc_info)
    record.created = at
    return record


def passed_on(*records: logging.LogRecord) -> list[Mapping[str, object]]:
    forward = _Forward()
    with capture_logs() as lines:
        for record in records:
            forward.handle(record)
    return lines


def test_a_sentence_said_again_and_again_is_passed_on_once_in_ten_seconds_with_its_count() -> None:
    gone = [said("Kafka is gone", at=n / 10) for n in range(205)]
    lines = passed_on(*gone)
    assert [line.get("repeated", 0) for line in lines] == [0, 99, 99]
    assert {line["message"] for line in lines} == {"Kafka is gone"}


def test_other_sentences_and_whatever_has_a_traceback_are_passed_on_each_time() -> None:
    error = RuntimeError("lost")
    records = [
        said("one", at=1.0),
        said("another", at=1.0),
        said("raised", at=1.0, error=error),
        said("raised", at=1.0, error=error),
    ]
    messages = [line["message"] for line in passed_on(*records)]
    assert messages == ["one", "another", "raised", "raised"]


def test_sentences_that_never_come_again_are_not_remembered_for_ever() -> None:
    lines = passed_on(*(said(f"sentence {n}", at=1.0) for n in range(2_500)))
    assert len(lines) == 2_500
