"""What a caller writes in seconds becomes the right integer, or a clear refusal."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioredis_patterns._core.durations import deadline_seconds, delay_ms, lease_ms, period_us, timeout_seconds, ttl_ms

TEN_YEARS = 3650 * 86_400
EVERY = [lease_ms, ttl_ms, delay_ms, timeout_seconds, deadline_seconds, period_us]


@pytest.mark.parametrize("ms", [lease_ms, ttl_ms])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10, 10_000),
        (1.1, 1100),
        (0.001, 1),
        (0.0015, 2),
        (timedelta(minutes=1, milliseconds=7), 60_007),
        (TEN_YEARS, TEN_YEARS * 1000),
    ],
)
def test_leases_and_ttls_become_milliseconds(ms: Any, value: Any, expected: int) -> None:
    """A lease or TTL is its nearest number of milliseconds, as an int."""
    assert ms(value) == expected
    assert type(ms(value)) is int


@pytest.mark.parametrize("ms", [lease_ms, ttl_ms])
@pytest.mark.parametrize("value", [0, 0.0004, timedelta(microseconds=999), TEN_YEARS + 1, 10**12])
def test_leases_and_ttls_outside_their_range_are_refused(ms: Any, value: Any) -> None:
    """A lease or TTL below 1 ms or above 10 years never reaches the server."""
    with pytest.raises(ValueError, match=r"must be between 0.001 s and 10 years"):
        ms(value)


def test_delays_may_be_zero() -> None:
    """A delay of 0 is at once, and others are whole milliseconds."""
    assert [delay_ms(0), delay_ms(0.5), delay_ms(timedelta(seconds=2))] == [0, 500, 2000]
    assert type(delay_ms(1.0)) is int


def test_timeouts_stay_seconds() -> None:
    """A timeout is used by the client's clock, so it stays a float of seconds, 0 included."""
    assert [timeout_seconds(0), timeout_seconds(3), timeout_seconds(timedelta(milliseconds=1500))] == [0.0, 3.0, 1.5]
    assert type(timeout_seconds(3)) is float


def test_deadlines_stay_seconds_above_zero() -> None:
    """A deadline is the number that was given, so that calls of one deadline are kept together; it is never 0."""
    half, two = 0.5, 2
    assert deadline_seconds(half) is half
    assert deadline_seconds(two) is two
    assert deadline_seconds(timedelta(milliseconds=1500)) == 1.5
    with pytest.raises(ValueError, match=r"deadline must be between 0.000001 s and 10 years, not 0"):
        deadline_seconds(0)


def test_periods_become_microseconds() -> None:
    """A period is its nearest number of whole microseconds, as an int."""
    assert [period_us(60), period_us(0.25), period_us(0.000_001), period_us(1 / 3)] == [60_000_000, 250_000, 1, 333_333]
    assert type(period_us(0.25)) is int


@pytest.mark.parametrize("value", [0, 0.000_000_9, TEN_YEARS + 1])
def test_periods_outside_their_range_are_refused(value: float) -> None:
    """A period of no microseconds, or of more than 10 years, never reaches the server."""
    with pytest.raises(ValueError, match=r"period must be between 0.000001 s and 10 years"):
        period_us(value)


@pytest.mark.parametrize("convert", EVERY)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -0.001, timedelta(seconds=-1), 10**400])
def test_numbers_that_are_no_duration_are_refused(convert: Any, value: Any) -> None:
    """NaN, infinities, negative and absurd numbers are a ValueError that names the argument and the value."""
    with pytest.raises(ValueError, match=r"^patience must be between") as caught:
        convert(value, "patience")
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize("convert", EVERY)
@pytest.mark.parametrize("value", [True, False, "5", b"5", None, [5], 5 + 0j])
def test_things_that_are_no_number_are_refused(convert: Any, value: Any) -> None:
    """Bools, strings, bytes and None are a TypeError that names the argument and the value."""
    with pytest.raises(TypeError) as caught:
        convert(value, "patience")
    assert str(caught.value) == f"patience must be seconds as a number or a timedelta, not {value!r}"


def test_the_argument_has_a_name_of_its_own_by_default() -> None:
    """Without a name given, the refusal speaks of lease, ttl, delay, timeout, deadline or period."""
    names = []
    for convert in EVERY:
        with pytest.raises(ValueError, match="must be") as caught:
            convert(-1)
        names.append(str(caught.value).split()[0])
    assert names == ["lease", "ttl", "delay", "timeout", "deadline", "period"]


def test_subclasses_of_numbers_are_numbers() -> None:
    """A float of another library counts as the float that it is."""

    class Measured(float):
        pass

    assert lease_ms(Measured(1.5)) == 1500


@given(st.floats(min_value=0.001, max_value=TEN_YEARS))
@settings(deadline=None)
def test_rounding_loses_less_than_a_unit(seconds: float) -> None:
    """The integer is never further than half a unit from the seconds asked for."""
    assert abs(lease_ms(seconds) - seconds * 1000) <= 0.5
    assert abs(period_us(seconds) - seconds * 1_000_000) <= 0.5


@given(st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=3650)))
@settings(deadline=None)
def test_a_timedelta_and_its_seconds_agree(value: timedelta) -> None:
    """A timedelta gives the integer that its seconds give, exact to the microsecond in a period."""
    assert lease_ms(value) == lease_ms(value.total_seconds())
    assert period_us(value) == value // timedelta(microseconds=1)
