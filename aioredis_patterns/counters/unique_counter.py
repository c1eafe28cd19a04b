"""How many different things there were, nearly: 12 kB for any number of them.

A HyperLogLog remembers for each of 16,384 groups of hashes how long a run of zeros was. Source: P. Flajolet and others,
"HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", 2007; with the corrections of Redis.

Promise: an item that is added twice counts once, in each window and over all of them; a count leaves no key behind.
Limit of the promise: the count is an estimate whose standard error is 0.81 %: two of three are nearer than that. No
item can be removed, nor asked for.

Cost: one round trip, 12 kB for a window with many items, less with few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

__all__ = ("Estimate", "UniqueCounter")

_ADD: Final = Script(__package__, "unique_counter_add", repeatable=True)
_COUNT: Final = Script(__package__, "unique_counter_count", repeatable=True)

_ERROR: Final = 1.04 / 16_384**0.5
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count that may be wrong.

    Args:
        estimate: How many there were, most likely.
        error: One standard error, in items: two of three estimates are nearer to the truth than that.

    >>> Estimate(10_000, 81.25).error
    81.25
    """

    estimate: int
    error: float


@final
class UniqueCounter:
    """Different items, in one window or in several.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is counted.
        ttl: Seconds that a window is kept from its first item; for ever when None.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> visits = UniqueCounter(redis, "visits")
        >>> await visits.add("ada", "bob", window="monday")
        True
        >>> await visits.add("ada", window="tuesday")
        True
        >>> (await visits.count("monday", "tuesday")).estimate
        2
        >>> (await visits.intersection("monday", "tuesday")).estimate
        1
    """

    __slots__ = ("_keys", "_redis", "_ttl_ms", "name")

    def __init__(self, redis: AnyRedis, name: str, *, ttl: Seconds | None = None, prefix: str = PREFIX) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)

    def __repr__(self) -> str:
        return f"<UniqueCounter {self.name!r}>"

    async def add(self, *items: KeyPart, window: KeyPart = "all") -> bool:
        """Add items to a window; whether the estimate has changed.

        A call whose reply is lost is repeated, which counts nothing twice, and then says that nothing has changed.

        Args:
            items: 1 to 1,000.
            window: Which one, such as a day.
        """
        if not 1 <= len(items) <= _MOST:
            raise ValueError(f"1 to {_MOST} items may be added at once, not {len(items)}")
        texts = [check_part(item, "item") for item in items]
        return bool(await _ADD(self._redis, self._window(window), self._ttl_ms, *texts))

    async def count(self, *windows: KeyPart) -> Estimate:
        """How many different items there are in some windows together; in the one window of `add` by default."""
        return _of(await self._union(windows or ("all",)))

    async def intersection(self, one: KeyPart, other: KeyPart) -> Estimate:
        """How many items there are in both of two windows.

        Reckoned from three counts, so its error is that of all of them: useless where few of many are in both. What is
        added between the three is in some of them only.
        """
        first, second, both = await asyncio.gather(*map(self._union, ((one,), (other,), (one, other))))
        return Estimate(max(first + second - both, 0), _ERROR * (first**2 + second**2 + both**2) ** 0.5)

    async def _union(self, windows: Iterable[KeyPart]) -> int:
        keys = [self._window(window) for window in windows]
        if len(keys) > _MOST:
            raise ValueError(f"up to {_MOST} windows may be counted together, not {len(keys)}")
        estimate: int = await _COUNT.taking(len(keys))(self._redis, *keys)
        return estimate

    def _window(self, window: KeyPart) -> str:
        return self._keys.key(f"window:{check_part(window, 'window')}")


def _of(estimate: int) -> Estimate:
    return Estimate(estimate, estimate * _ERROR)
