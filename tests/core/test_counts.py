"""Counts: what is none is refused before any command is sent."""

from __future__ import annotations

from typing import Any

import pytest

from aioredis_patterns._core.counts import check_count


@pytest.mark.parametrize("value", [1.0, 1.5, True, "1", None, b"1"])
def test_what_is_no_int_is_refused(value: Any) -> None:
    """A count is an int, and neither a float that happens to be whole nor a bool."""
    with pytest.raises(TypeError, match="rows must be an int"):
        check_count(value, "rows")


def test_a_count_has_bounds() -> None:
    """The least and the most are allowed, and what is beyond them is refused with both named."""
    assert [check_count(1, "rows"), check_count(0, "rows", 0), check_count(9, "rows", most=9)] == [1, 0, 9]
    with pytest.raises(ValueError, match="rows must be at least 1, not 0"):
        check_count(0, "rows")
    for value in (0, 10):
        with pytest.raises(ValueError, match=f"rows must be from 1 to 9, not {value}"):
            check_count(value, "rows", most=9)
