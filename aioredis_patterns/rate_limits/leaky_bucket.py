"""LeakyBucket: whoever waits leaves at an even pace, one after the other."""

from __future__ import annotations

from typing import Final, final

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .counts import backlog_that_fits, check_count, rate_in_shares
from .guard import OnError
from .limiter import Limiter

__all__ = ("LeakyBucket",)

_SHARED: Final = ("fragment_time", "fragment_debt")
_HIT: Final = Script(__package__, "leaky_bucket_hit", fragments=_SHARED)
_PEEK: Final = Script(__package__, "leaky_bucket_peek", fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "leaky_bucket_refund", fragments=_SHARED)
_RESERVE: Final = Script(__package__, "leaky_bucket_reserve", fragments=_SHARED)


@final
class LeakyBucket(Limiter):
    """A bucket with a hole: hits pour into it, it leaks at an even pace, and what would make it overflow is denied.

    It is the limit for something behind it that wants an even pace. `acquire` gives each caller the moment when all
    that was poured in before has leaked out, so callers leave one by one, `period / limit` apart, and never in a
    burst; no more can wait than the bucket holds. `hit` only measures: it is allowed at once while there is room.

    The promise. What waits in `acquire` is let go in the order of the calls, evenly. In any stretch of time no more is
    poured in than `burst` and what leaks out in that time. `retry_after` is exact for the cost that was asked. A
    denied hit pours nothing in. Time is the server's; when its clock steps back, the bucket leaks later by that much,
    or as if it were full at most.

    The limit of the promise. A server that fails over without its last writes forgets the hits among them.

    The cost. One round trip. A subject has one string, which expires when the bucket is empty.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that leak out per period.
        period: Seconds, of whole microseconds.
        burst: Units that the bucket holds, and so how many can wait; `limit` when None.
        count_denied: Count denied hits too, as far as the limit goes: who never pauses stays denied.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_error: What a hit, peek or acquire does when Redis fails or is silent: "raise", admit everything ("open"),
            admit nothing ("closed"), or admit this process's share of the limit ("local"); see `Fallback`.
        budget: Seconds that such a check may take; 0.05 when None, and without end for "raise".
        share: For "local", this process's part of the limit: 1 divided by the number of processes.
        on_event: Told of every decision.
        prefix: First part of every key.

    Raises:
        TypeError: A limit or burst that is no int.
        ValueError: One that is too small, or so large that it cannot be counted exactly: units times the period in
            microseconds, divided by what limit and period have in common, must stay below 2^53.

    Example:
        >>> async def main(url):
        ...     async with connect(url) as redis:
        ...         pace = LeakyBucket(redis, "printer", limit=100, period=1)
        ...         for page in range(3):
        ...             await pace.acquire()
    """

    __slots__ = ("burst",)

    _part = "leaky"
    _hit, _peek, _refund, _reserve = _HIT, _PEEK, _REFUND, _RESERVE

    def __init__(  # noqa: PLR0913  # what the limit is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        period: Seconds,
        burst: int | None = None,
        count_denied: bool = False,
        deadline: Seconds | None = None,
        on_error: OnError = "raise",
        budget: Seconds | None = None,
        share: float = 1.0,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        limit, length = check_count(limit, "limit"), period_us(period)
        self.burst = limit if burst is None else check_count(burst, "burst")
        gain, unit = rate_in_shares(limit, length)
        backlog_that_fits(0, self.burst, unit)
        super().__init__(
            *(redis, name, limit, length),
            capacity=self.burst,
            arguments=(gain, unit, self.burst),
            count_denied=count_denied,
            deadline=deadline,
            outage=(on_error, budget, share),
            on_event=on_event,
            prefix=prefix,
        )
