"""A latch over processes and machines: it opens when so many parties have said that they are ready, and stays open.

Promise: it opens when the last party has counted it down, and not before, and wakes everybody who waits. A party counts
once, however often it says so, so a count whose answer was lost may be repeated.

Limit of the promise: it is forgotten, and closed again, when its `ttl` has passed since it was counted down last. A
failover may forget a count that was just made, and an eviction all of them.

Cost: one round trip to count down, one to wait for a latch that is open, and one key.
"""

from __future__ import annotations

import asyncio
from typing import Final, final

from aioredis_patterns._core.durations import timeout_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import LockTimeoutError
from aioredis_patterns.locks._claim import RECHECK, patience, pause
from aioredis_patterns.locks.owner import next_token
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

__all__ = ("Latch",)

_COUNT_DOWN: Final = Script(__package__, "latch_count_down", repeatable=True)
_INSPECT: Final = Script(__package__, "latch_inspect", repeatable=True)

_MOST: Final = 10_000
"""Parties that a latch may wait for: each is remembered."""


@final
class Latch:
    """A latch over processes and machines: closed until so many parties have counted it down, open ever after.

    The object is only a definition: any number of tasks may share it.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is waited for; another name for every time that it is waited for.
        count: How many parties open it, 1 to 10,000. The same wherever it is defined.
        ttl: Seconds that it is remembered after it was counted down last.
        timeout: Seconds that waiting may take when `wait` does not say; None to wait for ever.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     started = Latch(redis, "deployment:81", count=2)
        ...     await started.count_down("web-1")
        ...     print(await started.count_down("web-1"), "is missing")
        ...     await started.count_down("web-2")
        ...     await started.wait(timeout=5)
    """

    __slots__ = ("_count", "_key", "_redis", "_timeout", "_ttl_ms", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        count: int,
        ttl: Seconds = 86_400,
        timeout: Seconds | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count must be an int, not {count!r:.80}")
        if not 1 <= count <= _MOST:
            raise ValueError(f"count must be 1 to {_MOST:,}, not {count!r:.80}")
        self.name = name
        self._redis, self._count, self._key = redis, count, Keys(name, prefix).key("latch")
        self._ttl_ms = ttl_ms(ttl)
        self._timeout = None if timeout is None else timeout_seconds(timeout)

    def __repr__(self) -> str:
        return f"<Latch {self.name!r}, {self._count} parties>"

    async def count_down(self, party: KeyPart | None = None) -> int:
        """Say that a party is ready; how many are missing then.

        Args:
            party: Who it is; it counts once. None for somebody who counts with every call.
        """
        token = next_token() if party is None else check_part(party, "party")
        missing: int = await _COUNT_DOWN(self._redis, self._key, token, self._count, self._ttl_ms)
        return missing

    async def missing(self) -> int:
        """How many parties have not counted it down yet; 0 when it is open."""
        missing: int = await _INSPECT(self._redis, self._key, self._count)
        return missing

    async def wait(self, timeout: Seconds | None = None) -> None:
        """Wait until it is open; if it is, that takes one round trip.

        Args:
            timeout: Seconds to wait; 0 to look once, None for the latch's own `timeout`.

        Raises:
            LockTimeoutError: It did not open in that time.
            redis.exceptions.RedisError: Redis failed.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        link = link_of(self._redis)
        timer = asyncio.timeout_at(None if limit is None else link.loop.time() + limit)
        if not await _INSPECT(link, self._key, self._count, deadline=patience(limit, link.deadline)):
            return
        try:
            async with timer, link.subscriptions.listen(self._key) as bell:
                while await self.missing():
                    await bell.wait(pause(RECHECK * 1000))
        except TimeoutError:
            if not timer.expired():
                raise
            raise LockTimeoutError(self.name, limit or 0.0, f"latch {self.name!r} did not open") from None
