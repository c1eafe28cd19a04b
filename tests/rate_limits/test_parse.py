"""Reading a rate as people write it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioredis_patterns.rate_limits import ParsedLimit, parse_limit


@pytest.mark.parametrize(
    ("text", "limit", "period", "burst"),
    [
        ("100/minute; burst=20", 100, 60, 20),
        ("10 per 5 seconds", 10, 5, None),
        ("5/s", 5, 1, None),
        ("7 / min", 7, 60, None),
        ("3/10s", 3, 10, None),
        ("1 per day;burst = 2", 1, 86_400, 2),
        ("  2 PER 1.5 Hours  ", 2, 5400, None),
        ("50/100ms", 50, 0.1, None),
    ],
)
def test_what_people_write_is_understood(text: str, limit: int, period: float, burst: int | None) -> None:
    """Units in each of their forms, lengths other than one, spaces and capitals are read."""
    assert parse_limit(text) == ParsedLimit(limit, pytest.approx(period), burst)


@pytest.mark.parametrize(
    "text",
    ["", "100", "/minute", "100/", "100/fortnight", "100/month", "-1/s", "1.5/s", "0/s", "1/0s", "1/s; burst=0",
     "1/s; burst=2; burst=3", "1/s; bust=2", "1/s;", "1 s", "10per5seconds5", "1/s per minute", "1/s/s",
     f"1/{'9' * 400}s"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Nothing is guessed: a text of another form, and one that allows nothing, is an error that shows the form."""
    with pytest.raises(ValueError, match="a limit must be"):
        parse_limit(text)


@pytest.mark.parametrize("text", [b"1/s", None, 5])
def test_what_is_no_text_is_refused(text: Any) -> None:
    """Bytes and numbers are not taken for a text."""
    with pytest.raises(TypeError, match="str"):
        parse_limit(text)


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.sampled_from(["s", "minutes", "h"]), st.integers(1, 10**9))
def test_numbers_are_kept(limit: int, count: int, unit: str, burst: int) -> None:
    """Whatever the numbers, what is read is what was written."""
    found = parse_limit(f"{limit} per {count} {unit}; burst={burst}")
    assert (found.limit, found.burst) == (limit, burst)
    assert found.period == count * {"s": 1, "minutes": 60, "h": 3600}[unit]
