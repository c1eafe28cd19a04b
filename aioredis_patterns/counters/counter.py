"""A counter that many processes add to, within bounds and for as long as it was told to live.

Promise: an addition is one script, so the bounds hold however many add at once, and the expiry is set with the first
addition and by no later one: a counter lives as long as it was told to, not as long as it is used.

Limit of the promise: a call whose reply is lost raises `OutcomeUnknownError`; it has counted once or not at all.
Without `ttl` the key has no expiry. Integers are exact up to 2**53, and an addition beyond that is refused.

Cost: one round trip, one key.
"""

from __future__ import annotations

from typing import Any, Final, final

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

__all__ = ("Counter", "add", "read", "take", "whole")

_ADD: Final = Script(__package__, "counter_add")
_GET: Final = Script(__package__, "counter_get", repeatable=True)
_TAKE: Final = Script(__package__, "counter_take")

_EXACT: Final = 2**53


@final
class Counter:
    """A number, for the whole name or for each subject of it.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is counted.
        ttl: Seconds that a counter lives from its first addition; for ever when None.
        minimum: What nothing takes it below.
        maximum: What nothing lifts it above; one that is beyond a bound already can be moved back towards it.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> views = Counter(redis, "views", ttl=86_400)
        >>> await views.increment("page:1"), await views.increment("page:1", by=2)
        (1, 3)
        >>> stock = Counter(redis, "stock", minimum=0)
        >>> await stock.increment(by=1), await stock.decrement(), await stock.decrement()
        (1, 0, None)
    """

    __slots__ = ("_bounds", "_keys", "_redis", "_ttl_ms", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if minimum is not None and maximum is not None and whole(minimum, "minimum") > maximum:
            raise ValueError(f"minimum must not exceed maximum, but {minimum} > {maximum}")
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)
        self._bounds = _text(minimum, "minimum"), _text(maximum, "maximum")

    def __repr__(self) -> str:
        return f"<Counter {self.name!r}>"

    async def increment(self, subject: KeyPart | None = None, *, by: int = 1) -> int | None:
        """Add; what the counter has now, or None when a bound forbids it and nothing was added.

        Args:
            subject: Whose counter; the one of the name itself when None.
            by: How much; less than nothing takes away.

        Raises:
            OutcomeUnknownError: The reply was lost; it may have been added.
        """
        return await add(self._redis, self._keys.key("counter", subject), by, self._ttl_ms, self._bounds)

    async def decrement(self, subject: KeyPart | None = None, *, by: int = 1) -> int | None:
        """Take away; what the counter has now, or None when a bound forbids it and nothing was taken."""
        return await self.increment(subject, by=-whole(by, "by"))

    async def get(self, subject: KeyPart | None = None) -> int:
        """What the counter has; 0 for one that is not there."""
        return await read(self._redis, self._keys.key("counter", subject))

    async def reset(self, subject: KeyPart | None = None) -> int:
        """Begin anew, with a new life; what the counter had.

        Raises:
            OutcomeUnknownError: The reply was lost; what it had may be gone.
        """
        return await take(self._redis, self._keys.key("counter", subject))


async def add(redis: AnyRedis, key: str, by: int, life_ms: int, bounds: tuple[str, str] = ("", "")) -> int | None:
    """Add to the counter of a key; what it has now, or None when a bound forbids it."""
    done, count = await _ADD(redis, key, whole(by, "by"), life_ms, *bounds)
    return int(count) if done else None


async def read(redis: AnyRedis, key: str) -> int:
    """What the counter of a key has."""
    return _number(await _GET(redis, key))


async def take(redis: AnyRedis, key: str) -> int:
    """What the counter of a key had, which is ended."""
    return _number(await _TAKE(redis, key))


def _number(reply: int | bytes) -> int:
    with Stored("a counter"):
        return int(reply)


def whole(value: Any, what: str) -> int:
    """An integer that Redis' scripts count exactly.

    Raises:
        TypeError: It is none.
        ValueError: It is beyond 2**53.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {value!r:.80}")
    if abs(value) > _EXACT:
        raise ValueError(f"{what} must be within 2**53, not {value}")
    return int(value)


def _text(bound: int | None, what: str) -> str:
    return "" if bound is None else str(whole(bound, what))
