"""Gcra: a steady rate with bursts, in the least memory."""

from __future__ import annotations

from typing import Final, final

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .counts import backlog_that_fits, check_count, rate_in_shares
from .guard import OnError
from .limiter import Limiter

__all__ = ("Gcra",)

_SHARED: Final = ("fragment_time", "fragment_debt")
_HIT: Final = Script(__package__, "gcra_hit", fragments=_SHARED)
_PEEK: Final = Script(__package__, "gcra_peek", fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "gcra_refund", fragments=_SHARED)
_RESERVE: Final = Script(__package__, "gcra_reserve", fragments=_SHARED)


@final
class Gcra(Limiter):
    """The generic cell rate algorithm: the time when all that was used is made good again, kept in one small string.

    It admits what a `TokenBucket` admits, in half the memory. They differ when the limit changes: a bucket keeps what
    is left in it, this keeps what was used, so a larger burst may be used at once.

    The promise. In any stretch of time no more is admitted than `burst` and what the rate gives in that time. The rate
    is exact: the time is kept in whole microseconds and a rest, so nothing is ever rounded. `retry_after` is exact for
    the cost that was asked. A denied hit takes nothing. Time is the server's; when its clock steps back, what was used
    is made good later by that much, or as if all of burst and backlog were used at most.

    `acquire` uses what is not made good yet, and waits for it; until then every hit is denied.

    The limit of the promise. A server that fails over without its last writes forgets the hits among them.

    The cost. One round trip. A subject has one string, which expires when nothing is used any more.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that are admitted per period.
        period: Seconds, of whole microseconds.
        burst: The most that passes at once; `limit` when None.
        backlog: Units that may be reserved in advance; 10,000 when None, or as many as can be counted.
        count_denied: Count denied hits too, as far as the limit goes: who never pauses stays denied.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_error: What a hit, peek or acquire does when Redis fails or is silent: "raise", admit everything ("open"),
            admit nothing ("closed"), or admit this process's share of the limit ("local"); see `Fallback`.
        budget: Seconds that such a check may take; 0.05 when None, and without end for "raise".
        share: For "local", this process's part of the limit: 1 divided by the number of processes.
        on_event: Told of every decision.
        prefix: First part of every key.

    Raises:
        TypeError: A limit, burst or backlog that is no int.
        ValueError: One that is too small, or so large that it cannot be counted exactly: units times the period in
            microseconds, divided by what limit and period have in common, must stay below 2^53.

    Example:
        >>> async def main(url):
        ...     async with connect(url) as redis:
        ...         limiter = Gcra(redis, "search", limit=5, period=1)
        ...         return [bool(await limiter.hit("user:42")) for _ in range(6)]
    """

    __slots__ = ("burst",)

    _part = "gcra"
    _hit, _peek, _refund, _reserve = _HIT, _PEEK, _REFUND, _RESERVE

    def __init__(  # noqa: PLR0913  # what the limit is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        period: Seconds,
        burst: int | None = None,
        backlog: int | None = None,
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
        super().__init__(
            *(redis, name, limit, length),
            capacity=self.burst,
            arguments=(gain, unit, self.burst, backlog_that_fits(backlog, self.burst, unit)),
            count_denied=count_denied,
            deadline=deadline,
            outage=(on_error, budget, share),
            on_event=on_event,
            prefix=prefix,
        )
