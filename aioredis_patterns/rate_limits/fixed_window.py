"""FixedWindow: so many per window, counted in a single integer."""

from __future__ import annotations

from typing import Final, final

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .counts import backlog_that_fits, check_count, periods_ahead
from .guard import OnError
from .limiter import Limiter

__all__ = ("FixedWindow",)

_SHARED: Final = ("fragment_time", "fragment_window")
_HIT: Final = Script(__package__, "fixed_window_hit", fragments=_SHARED)
_PEEK: Final = Script(__package__, "fixed_window_peek", fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "fixed_window_refund", fragments=_SHARED)
_RESERVE: Final = Script(__package__, "fixed_window_reserve", fragments=_SHARED)
_CANCEL: Final = Script(__package__, "fixed_window_cancel", fragments=_SHARED)


@final
class FixedWindow(Limiter):
    """A count that starts anew with each window. A subject's window begins with its first hit.

    The least memory and the simplest to explain: "100 per hour, and the hour begins when you do".

    The promise. No window admits more than `limit`. `retry_after` is exact for the cost that was asked. A window is up
    to a millisecond longer than its period, never shorter. A denied hit is not counted. When the limit changes, the
    window that runs keeps its count and its end, unless the new period is over before; what is reserved stays reserved.
    Time is the server's; when its clock steps back the window ends later, by a period at most.

    `acquire` reserves in the next window that has room; until that one begins every hit is denied.

    The limit of the promise. Around the end of a window up to twice the limit passes within one period. A server that
    fails over without its last writes forgets the hits among them.

    The cost. One round trip. A subject has one string, an integer, which expires when its window ends.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that are admitted per window.
        period: Seconds of a window, rounded up to milliseconds.
        backlog: Units that may be reserved in advance, in whole windows; 10,000 when None.
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
        ValueError: One that is too small, or so large that it cannot be counted exactly.

    Example:
        >>> async def main(url):
        ...     async with connect(url) as redis:
        ...         limiter = FixedWindow(redis, "signup", limit=5, period=3600)
        ...         return (await limiter.hit("user:42")).remaining
    """

    __slots__ = ()

    _part = "window"
    _hit, _peek, _refund, _reserve, _cancel = _HIT, _PEEK, _REFUND, _RESERVE, _CANCEL

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
        period_ms, ahead = -(-length // 1000), periods_ahead(backlog, limit)
        backlog_that_fits(0, limit, 1)
        super().__init__(
            *(redis, name, limit, length),
            capacity=limit,
            arguments=(limit, period_ms, (ahead + 1) * period_ms),
            count_denied=count_denied,
            deadline=deadline,
            outage=(on_error, budget, share),
            on_event=on_event,
            prefix=prefix,
        )
