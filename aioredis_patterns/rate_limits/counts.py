"""The whole numbers that limits count with, and whether a script can count them exactly."""

from __future__ import annotations

from math import gcd
from operator import index
from typing import Final

from aioredis_patterns._core.counts import EXACT

__all__ = ("backlog_that_fits", "check_count", "periods_ahead", "rate_in_shares")

_BACKLOG: Final = 10_000


def check_count(value: int, name: str, least: int = 1, most: int | None = None) -> int:
    """The whole number that is counted with.

    Raises:
        TypeError: No int; a fraction would be rounded by guesswork.
        ValueError: Too small, or too large.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {value!r:.80}") from None
    if number < least:
        raise ValueError(f"{name} must be {least} or more, not {number}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be {most} or less, not {number}")
    return number


def backlog_that_fits(backlog: int | None, capacity: int, unit: int) -> int:
    """The backlog that was asked for, or one that fits, where a script counts `unit` shares for each of its units.

    Raises:
        ValueError: More than a script can count exactly.
    """
    room = (EXACT - 1) // unit - capacity - 1
    wanted = max(min(_BACKLOG, room), 0) if backlog is None else check_count(backlog, "backlog", least=0)
    if wanted > room:
        raise ValueError(f"a limit of {capacity}, a backlog of {wanted} and this period cannot be counted exactly")
    return wanted


def rate_in_shares(limit: int, period_us: int) -> tuple[int, int]:
    """A rate as two whole numbers without a common divisor: shares per microsecond, and shares per unit of cost."""
    divisor = gcd(limit, period_us)
    return limit // divisor, period_us // divisor


def periods_ahead(backlog: int | None, limit: int) -> int:
    """How many further periods so many units take."""
    return -(-(_BACKLOG if backlog is None else check_count(backlog, "backlog", least=0)) // limit)
