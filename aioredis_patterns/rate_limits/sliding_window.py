"""SlidingWindow: so many in the period up to now, very nearly, in two counts."""

from __future__ import annotations

from typing import Final, final

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .counts import backlog_that_fits, check_count, periods_ahead
from .guard import OnError
from .limiter import Limiter

__all__ = ("SlidingWindow",)

_SHARED: Final = ("fragment_time", "fragment_sliding")
_HIT: Final = Script(__package__, "sliding_window_hit", fragments=_SHARED)
_PEEK: Final = Script(__package__, "sliding_window_peek", fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "sliding_window_refund", fragments=_SHARED)
_RESERVE: Final = Script(__package__, "sliding_window_reserve", fragments=_SHARED)


@final
class SlidingWindow(Limiter):
    """Two counts, of the window that runs and of the one before, as far as the period up to now covers it.

    Nearly what a `SlidingLog` does, in the memory of two numbers.

    The promise. Had the hits of the window before come evenly, no period would admit more than one above `limit`. In
    the long run the rate is the limit. `retry_after` is exact for the cost that was asked. A denied hit is not
    counted. When the limit changes, both counts stay; when the period does, what weighs then counts as if it had come
    then. Time is the server's; when its clock steps back the windows stand still until it is where it was, or for one
    period at most.

    `acquire` reserves the first moment that has room; until then every hit is denied.

    The limit of the promise. Hits do not come evenly: where all of a window's hits came at its end, a period around it
    admits up to twice the limit, less what was denied for them. A server that fails over without its last writes
    forgets the hits among them.

    The cost. One round trip. A subject has one string, which expires when neither count weighs any more.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that are admitted per window.
        period: Seconds of a window, of whole microseconds.
        backlog: Units that may be reserved in advance, rounded up to whole windows and one more; 10,000 when None.
        count_denied: Count denied hits too, as far as the limit goes, so that they use the window up.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_error: What a hit, peek or acquire does when Redis fails or is silent: "raise", admit everything ("open"),
            admit nothing ("closed"), or admit this process's share of the limit ("local"); see `Fallback`.
        budget: Seconds that such a check may take; 0.05 when None, and without end for "raise".
        share: For "local", this process's part of the limit: 1 divided by the number of processes.
        on_event: Told of every decision.
        prefix: First part of every key.

    Raises:
        TypeError: A limit or backlog that is no int.
        ValueError: One that is too small, or so large that it cannot be counted exactly: the limit times the period in
            microseconds must stay below 2^53.

    Example:
        >>> async def main(url):
        ...     async with connect(url) as redis:
        ...         limiter = SlidingWindow(redis, "api", limit=1000, period=60)
        ...         return (await limiter.hit("user:42")).remaining
    """

    __slots__ = ()

    _part = "sliding"
    _hit, _peek, _refund, _reserve = _HIT, _PEEK, _REFUND, _RESERVE

    def __init__(  # noqa: PLR0913  # what the limit is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        period: Seconds,
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
        backlog_that_fits(0, limit, length)
        ahead = periods_ahead(backlog, limit)
        super().__init__(
            *(redis, name, limit, length),
            capacity=limit,
            arguments=(limit, length, (ahead + 1) * length if ahead else 0),
            count_denied=count_denied,
            deadline=deadline,
            outage=(on_error, budget, share),
            on_event=on_event,
            prefix=prefix,
        )
