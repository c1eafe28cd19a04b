"""A rate as people write it: `100/minute; burst=20`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Final

__all__ = ("ParsedLimit", "parse_limit")

_UNITS: Final = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}
_RATE: Final = re.compile(r"(\d+)\s*(?:/|\bper\b)\s*(\d+(?:\.\d+)?)?\s*([a-z]+)")
_BURST: Final = re.compile(r"burst\s*=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class ParsedLimit:
    """What a text says of a limit.

    >>> parse_limit("100/minute; burst=20")
    ParsedLimit(limit=100, period=60.0, burst=20)
    """

    limit: int
    #: Seconds.
    period: float
    #: None where the text says nothing of it.
    burst: int | None = None


def parse_limit(text: str) -> ParsedLimit:
    """Read a rate: so many, `/` or `per`, a length of time, and after a semicolon the burst if there is one.

    Months and years are not read, as they have no one length.

    Args:
        text: Such as "100/minute", "5/s", "10 per 5 seconds", "1000/hour; burst=50".

    Raises:
        TypeError: No str.
        ValueError: It is not written like that, or says 0.

    Example:
        >>> rate = parse_limit("10 per 5 seconds")
        >>> rate.limit, rate.period, rate.burst
        (10, 5.0, None)
    """
    if not isinstance(text, str):
        raise TypeError(f"a limit must be a str such as '100/minute', not {text!r:.80}")
    rate, *options = (part.strip() for part in text.lower().split(";"))
    found = _RATE.fullmatch(rate)
    bursts = [_BURST.fullmatch(option) for option in options]
    if found is None or found[3] not in _UNITS or len(bursts) > 1 or None in bursts:
        raise ValueError(f"a limit must be written like '100/minute; burst=20', not {text!r:.80}")
    limit, period = int(found[1]), float(found[2] or 1) * _UNITS[found[3]]
    burst = int(bursts[0][1]) if bursts and bursts[0] else None
    if not (limit and 0 < period < inf) or burst == 0:
        raise ValueError(f"a limit must be more than nothing in a time that ends, not {text!r:.80}")
    return ParsedLimit(limit, period, burst)
