"""What all rate limits share: how a hit is asked for, checked and answered."""

from __future__ import annotations

import asyncio
import math
from operator import index
from typing import Any, ClassVar, Final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import period_us, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.link import DEADLINE
from aioredis_patterns.errors import PatternError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .decision import Decision

__all__ = ("EXACT", "Limiter", "check_count")

EXACT: Final = 2**53
"""Whole numbers below it are exact in a Lua script."""

_RESET: Final = Script(__package__, "limiter_reset", repeatable=True)
_MICROSECONDS: Final = 1_000_000
_BACKLOG: Final = 10_000


class Limiter:
    """What can be asked of every rate limit; choose one of its kinds.

    A definition: it does no I/O when it is made, and may be shared by all tasks. Limits of the same kind and name on
    one server share their state, also while they differ in the limit.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; also the policy's name in its decisions.
        limit: How much is admitted per period.
        period: Seconds.
        capacity: The most that is admitted at once.
        backlog: How much may wait at a time in `acquire`; None for 10,000, or what the numbers allow.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every decision.
        prefix: First part of every key.
    """

    __slots__ = (
        "_arguments",
        "_deadline",
        "_keys",
        "_on_event",
        "_redis",
        "backlog",
        "capacity",
        "limit",
        "name",
        "period",
    )

    _part: ClassVar[str]
    _hit: ClassVar[Script]
    _peek: ClassVar[Script]
    _refund: ClassVar[Script]
    _reserve: ClassVar[Script]
    _cancel: ClassVar[Script]

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        period: Seconds,
        capacity: int | None = None,
        backlog: int | None = None,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self._redis = redis
        self._keys = Keys(name, prefix)
        self.name = name
        self.limit = check_count(limit, "limit")
        self.period = period_us(period) / _MICROSECONDS
        self.capacity = self.limit if capacity is None else check_count(capacity, "burst")
        self._arguments = self._measured(self.limit, period_us(period), self.capacity)
        self.backlog = self._most_waiting() if backlog is None else check_count(backlog, "backlog", least=0)
        self._deadline = None if deadline is None else timeout_seconds(deadline, "deadline")
        self._on_event = on_event

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.limit} per {self.period:g} s>"
