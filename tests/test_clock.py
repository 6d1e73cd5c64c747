from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from preview.core import clock

# 0001-01-02 to 9999-12-30
MOMENTS = st.integers(-62_135_510_400_000, 253_402_214_399_999)


def test_now_is_aware_and_whole_milliseconds() -> None:
    now = clock.utc_now()
    assert now.utcoffset() == timedelta(0)
    assert now.microsecond % 1000 == 0
    assert abs(clock.now_ms() - clock.to_ms(now)) < 60_000


@given(MOMENTS)
def test_milliseconds_survive_the_way_there_and_back(moment: int) -> None:
    assert clock.to_ms(clock.from_ms(moment)) == moment


def test_times_before_the_epoch_are_exact_too() -> None:
    assert clock.from_ms(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)
    assert clock.to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC)) == -1


def test_a_time_is_written_in_utc_with_three_digits() -> None:
    moment = datetime(2025, 10, 20, 14, 20, 5, 7_999, timezone(timedelta(hours=2)))
    assert clock.rfc3339(moment) == "2025-10-20T12:20:05.007Z"
    assert clock.rfc3339_ms(1_760_962_805_123) == "2025-10-20T12:20:05.123Z"


@given(st.integers(-2_208_988_800_000, 253_402_214_399_999))
def test_what_is_written_can_be_read_again(moment: int) -> None:
    written = clock.rfc3339_ms(moment)
    assert len(written) == 24
    assert clock.to_ms(datetime.fromisoformat(written)) == moment


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  made aware there
def test_a_time_in_milliseconds_is_the_one_that_is_written(moment: datetime) -> None:
    assert clock.rfc3339_ms(clock.to_ms(moment)) == clock.rfc3339(moment)
