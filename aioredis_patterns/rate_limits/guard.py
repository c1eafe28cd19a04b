"""Guard: how long a limit waits for Redis, and what it answers when Redis does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar, final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.breaker import breaker_of
from aioredis_patterns._core.durations import deadline_seconds
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.types import AnyRedis, Seconds

from .counts import check_count
from .decision import Decision
from .local_share import LocalShare

__all__ = ("BUDGET", "Guard", "OnError", "check_way")

T = TypeVar("T")

OnError: TypeAlias = Literal["raise", "open", "closed", "local"]
"""What to do when Redis fails: raise, admit everything, admit nothing, or admit this process's share."""

BUDGET: Final = 0.05
"""Seconds that a check may take, where nothing else is said."""

_SILENCE: Final = (RedisConnectionError, RedisTimeoutError, OutcomeUnknownError)


@final
class Guard:
    """Asks Redis within a budget, unless it has been silent of late, and answers in its place.

    Args:
        redis: The client that is asked; its breaker is shared with all others that ask it.
        name: What is limited.
        on_error: What to do when Redis fails.
        budget: Seconds that one answer may take.
        local: What admits this process's share, for `local`.

    Raises:
        ValueError: No such way, or a budget that is no duration.
    """

    __slots__ = ("_budget", "_name", "_on_error", "_redis", "local")

    def __init__(
        self, redis: AnyRedis, name: str, on_error: OnError, budget: Seconds, local: LocalShare | None
    ) -> None:
        self._redis = redis
        self._name = name
        self._on_error = check_way(on_error)
        self._budget = deadline_seconds(budget, "budget")
        self.local = local

    async def decide(
        self, ask: Callable[[], Awaitable[Decision]], subject: Any, cost: Any, *, takes: bool = True
    ) -> Decision:
        """The decision of Redis, which `ask` asks for, or of what stands in for it.

        Args:
            ask: Asks, and waits for the reply by `bounded`.
            subject, cost: What it asks about.
            takes: Whether the hit counts; a peek does not.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: With `raise`, what Redis failed with.
        """
        try:
            self._check_breaker()
            decision = await ask()
        except (RedisError, OutcomeUnknownError):
            if self._on_error == "raise":
                raise
            return self._instead(subject, cost, takes=takes)
        if takes and self.local is not None:
            self.local.learn(subject, decision)
        return decision

    async def bounded(self, reply: Awaitable[T]) -> T:
        """What Redis replies within the budget; the breaker learns how it went.

        Raises:
            OutcomeUnknownError: There was no reply in time.
        """
        breaker = breaker_of(self._redis)
        try:
            async with asyncio.timeout(self._budget):
                answer = await reply
        except TimeoutError:
            breaker.failed()
            raise OutcomeUnknownError(self._name, f"no reply within {self._budget:g} s") from None
        except _SILENCE:
            breaker.failed()
            raise
        breaker.succeeded()
        return answer

    def _check_breaker(self) -> None:
        if not breaker_of(self._redis).admits():
            raise RedisConnectionError(f"Redis did not answer of late, so {self._name!r} did not ask it")

    def _instead(self, subject: Any, cost: Any, *, takes: bool) -> Decision:
        _check_costs(cost)
        if self.local is not None:
            return self.local.decide(subject, cost, takes=takes)
        if self._on_error == "open":
            return Decision(True, 0, 0, 0.0, 0.0, self._name, "open")
        rest = breaker_of(self._redis).rest
        return Decision(False, 0, 0, rest, rest, self._name, "closed")


def _check_costs(cost: Any) -> None:
    for part in cost.values() if isinstance(cost, Mapping) else (cost,):
        check_count(part, "cost", least=0)


def check_way(on_error: OnError) -> OnError:
    """The way that was asked for.

    Raises:
        ValueError: There is no such way.
    """
    if on_error not in ("raise", "open", "closed", "local"):
        raise ValueError(f"on_error must be 'raise', 'open', 'closed' or 'local', not {on_error!r}")
    return on_error
