"""SlidingLog: so many in the period up to now, exactly, at the price of remembering each hit."""

from __future__ import annotations

from typing import Final, final

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .counts import backlog_that_fits, check_count, periods_ahead
from .guard import OnError
from .limiter import Limiter

__all__ = ("SlidingLog",)

_SHARED: Final = ("fragment_time", "fragment_log")
_WRITING: Final = (*_SHARED, "fragment_log_writing")
_HIT: Final = Script(__package__, "sliding_log_hit", fragments=_WRITING)
_PEEK: Final = Script(__package__, "sliding_log_peek", fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "sliding_log_refund", fragments=_WRITING)
_RESERVE: Final = Script(__package__, "sliding_log_reserve", fragments=_WRITING)
_CANCEL: Final = Script(__package__, "sliding_log_cancel", fragments=_WRITING)


@final
class SlidingLog(Limiter):
    """The times of all hits that are not a period old yet.

    The only limit that is exact for every stretch of time; for where a limit must not be exceeded by one.

    The promise. No period, wherever it begins, admits more than `limit`. `retry_after` is exact for the cost that was
    asked. A denied hit is not noted. When the limit changes, the log stays, with all that has not passed under the old
    one. Time is the server's; when its clock steps back the log stands still until it is where it was, or for two
    periods at most.

    `acquire` reserves the first moment that has room; until then every hit is denied. A refund takes the oldest hits
    back, as it cannot be known which it is for, so that what is left is in force for longer rather than shorter.

    The limit of the promise. A server that fails over without its last writes forgets the hits among them.

    The cost. One round trip. A subject has one list of about 20 bytes per hit, whatever its cost, which expires with
    its last hit. A denial looks at one hit per unit that it lacks.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that are admitted per window.
        period: Seconds of a window, of whole microseconds.
        backlog: Units that may be reserved in advance, in whole windows; 10,000 when None.
        count_denied: Count denied hits too, as far as the limit goes: who never pauses stays denied.
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
        ...         limiter = SlidingLog(redis, "transfer", limit=10, period=60)
        ...         return (await limiter.hit("user:42")).remaining
    """

    __slots__ = ()

    _part = "log"
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
        backlog_that_fits(0, limit, 1)
        super().__init__(
            *(redis, name, limit, length),
            capacity=limit,
            arguments=(limit, length, periods_ahead(backlog, limit) * length),
            count_denied=count_denied,
            deadline=deadline,
            outage=(on_error, budget, share),
            on_event=on_event,
            prefix=prefix,
        )
