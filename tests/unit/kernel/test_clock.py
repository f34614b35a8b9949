"""Times as the API writes them."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.clock import rfc3339

MOMENTS = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31))  # noqa: DTZ001


@given(MOMENTS, st.timezones())
def test_whatever_the_year_and_zone_a_time_is_rfc_3339_in_utc_with_milliseconds(
    naive: datetime, zone: object
) -> None:
    moment = naive.replace(tzinfo=zone)  # type: ignore[arg-type]
    text = rfc3339(moment)
    assert len(text) == len("2026-03-17T09:00:00.000Z")
    assert text.endswith("Z")
    millisecond = moment.microsecond // 1000 * 1000
    assert datetime.fromisoformat(text) == moment.astimezone(UTC).replace(microsecond=millisecond)
