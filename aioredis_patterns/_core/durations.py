"""Durations: what a caller writes in seconds, checked and turned into the integers that scripts take.

Every duration is checked before any command is sent. NaN, infinities, negative numbers, bools, strings and None are
refused with a sentence that names the argument, the value and the range. "For ever" is never a number: where a
pattern allows it, it is `None`, and the pattern handles it before it calls these functions.
"""

from __future__ import annotations

from datetime import timedelta

from aioredis_patterns.types import Seconds

__all__ = ("deadline_seconds", "delay_ms", "lease_ms", "period_us", "timeout_seconds", "ttl_ms")

_TEN_YEARS = 3650 * 86_400
_MILLISECOND = 0.001
_MICROSECOND = 0.000_001


def lease_ms(value: Seconds, name: str = "lease") -> int:
    """The milliseconds of a lease: 1 ms to 10 years, rounded to the nearest millisecond."""
    seconds = value if type(value) is float or type(value) is int else _seconds(value, name)
    if _MILLISECOND <= seconds <= _TEN_YEARS:
        return round(seconds * 1000)
    raise _out_of_range(value, name, "between 0.001 s and 10 years")


def ttl_ms(value: Seconds, name: str = "ttl") -> int:
    """The milliseconds that data lives: the same range as a lease."""
    return lease_ms(value, name)


def delay_ms(value: Seconds, name: str = "delay") -> int:
    """The milliseconds of a delay: 0 to 10 years, rounded to the nearest millisecond."""
    return round(timeout_seconds(value, name) * 1000)


def timeout_seconds(value: Seconds, name: str = "timeout") -> float:
    """The seconds a caller is ready to wait: 0 to 10 years, where 0 means one try."""
    seconds = value if type(value) is float or type(value) is int else _seconds(value, name)
    if 0 <= seconds <= _TEN_YEARS:
        return float(seconds)
    raise _out_of_range(value, name, "between 0 s and 10 years")


def deadline_seconds(value: Seconds, name: str = "deadline") -> float:
    """The seconds that a call may take: a microsecond to 10 years."""
    seconds = value if type(value) is float or type(value) is int else _seconds(value, name)
    if _MICROSECOND <= seconds <= _TEN_YEARS:
        return seconds
    raise _out_of_range(value, name, "between 0.000001 s and 10 years")


def period_us(value: Seconds, name: str = "period") -> int:
    """The whole microseconds of a rate's period: 1 us to 10 years, rounded to the nearest microsecond."""
    seconds = value if type(value) is float or type(value) is int else _seconds(value, name)
    if _MICROSECOND <= seconds <= _TEN_YEARS:
        return round(seconds * 1_000_000)
    raise _out_of_range(value, name, "between 0.000001 s and 10 years")


def _seconds(value: Seconds, name: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds as a number or a timedelta, not {value!r}")
    return value


def _out_of_range(value: Seconds, name: str, allowed: str) -> ValueError:
    return ValueError(f"{name} must be {allowed}, not {value!r}")
