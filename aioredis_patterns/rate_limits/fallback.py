"""Fallback: what a limit answers when Redis does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.breaker import breaker_of
from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import EventHook, Seconds

from .bans import Bans
from .composite import CompositeLimit
from .decision import Decision
from .limiter import Limiter, check_count
from .local_share import LocalShare
from .quota import Quota

__all__ = ("Fallback", "OnError")

OnError: TypeAlias = Literal["raise", "open", "closed", "local"]
"""What to do when Redis fails: raise, admit everything, admit nothing, or admit this process's share."""

_SILENCE: Final = (RedisConnectionError, RedisTimeoutError, OutcomeUnknownError)


@final
class Fallback:
    """A limit that answers within a time budget, whatever becomes of Redis.

    - `open`: everything passes. For a limit that is there for fairness.
    - `closed`: nothing passes. For a limit that guards something: logins, codes, payments.
    - `local`: this process admits its `share` of the limit by itself, going on from what Redis said last.
    - `raise`: the exception, as without it, but within the budget.

    The promise. A check costs the caller the budget at most, also when Redis hangs. After five checks in a row without
    an answer it costs nothing: a breaker, shared by all limits on this client and event loop, asks Redis once a second
    until it answers. `decision.source` says who decided. With `local`, n processes with a share of 1/n each admit no
    more than the limit's rate, and its burst.

    The limit of the promise. With `open` and `closed` nobody knows what is left; `limit` and `remaining` are 0. A check
    that ran out of its budget may have been counted by Redis nevertheless. `local` knows no windows: whatever the
    limit's kind, this process admits its share of a burst and then of the rate. A hit that costs more than the share
    passes when the share is whole, and is paid back before the next one.

    The cost. About 5 us of this process, and 10,000 subjects in its memory with `local`. Nothing on the server.

    Only `hit` and `peek` are guarded; whatever else the limit can do is asked of `.limiter`.

    Args:
        limiter: The limit.
        on_error: What to do when Redis fails.
        budget: Seconds that one check may take.
        share: For `local`, this process's part of the limit: 1 divided by the number of processes.
        on_event: Told of what was decided without Redis.

    Raises:
        TypeError: `local` around something that is no limit of one rate.
        ValueError: No such way, a share out of range, or none for `local`.

    Example:
        >>> logins = TokenBucket(redis, "logins", limit=5, period=60)
        >>> guarded = Fallback(logins, on_error="local", share=0.25, budget=0.05)
        >>> decision = await guarded.hit("user:42")
        >>> decision.allowed, decision.source in ("redis", "local")
        (True, True)
    """

    __slots__ = ("_budget", "_local", "_on_error", "_on_event", "_redis", "limiter", "name")

    def __init__(
        self,
        limiter: Limiter | CompositeLimit | Quota | Bans,
        *,
        on_error: OnError,
        budget: Seconds = 0.05,
        share: float | None = None,
        on_event: EventHook | None = None,
    ) -> None:
        if on_error not in ("raise", "open", "closed", "local"):
            raise ValueError(f"on_error must be 'raise', 'open', 'closed' or 'local', not {on_error!r}")
        self.limiter = limiter
        self.name = limiter.name
        self._redis = limiter._redis  # noqa: SLF001
        self._on_error = on_error
        self._budget = timeout_seconds(budget, "budget")
        self._local = _local_share(limiter, share) if on_error == "local" else None
        self._on_event = on_event

    def __repr__(self) -> str:
        return f"<Fallback {self._on_error!r} of {self.limiter!r}>"

    async def hit(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Ask to be admitted, of Redis or of what stands in for it.

        Args:
            subject, cost: As of the limit itself.

        Raises:
            TypeError, ValueError: As of the limit itself.
            OutcomeUnknownError: With `raise`, the budget or the reply was lost; the hit may have been counted.
            redis.exceptions.RedisError: With `raise`, Redis failed.
        """
        try:
            decision = await self._within_budget(self.limiter.hit, subject, cost)
        except (RedisError, OutcomeUnknownError):
            if self._on_error == "raise":
                raise
            return self._instead(subject, cost, takes=True)
        if self._local is not None:
            self._local.learn(subject, decision)
        return decision

    async def peek(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Say what a hit would be answered.

        Args:
            subject, cost: As in `hit`.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
        """
        try:
            return await self._within_budget(self.limiter.peek, subject, cost)
        except (RedisError, OutcomeUnknownError):
            if self._on_error == "raise":
                raise
            return self._instead(subject, cost, takes=False)

    async def _within_budget(self, ask: Any, subject: Any, cost: Any) -> Decision:
        breaker = breaker_of(self._redis)
        if not breaker.admits():
            raise RedisConnectionError(f"Redis did not answer of late, so {self.name!r} did not ask it")
        try:
            async with asyncio.timeout(self._budget):
                decision: Decision = await ask(subject, cost)
        except TimeoutError:
            breaker.failed()
            raise OutcomeUnknownError(ask.__name__, f"no reply within {self._budget:g} s") from None
        except _SILENCE:
            breaker.failed()
            raise
        breaker.succeeded()
        return decision

    def _instead(self, subject: Any, cost: Any, *, takes: bool) -> Decision:
        _check_costs(cost)
        if self._local is not None:
            decision = self._local.decide(subject, cost, takes=takes)
            outcome: Any = "allowed" if decision.allowed else "denied"
        elif self._on_error == "open":
            decision, outcome = Decision(True, 0, 0, 0.0, 0.0, self.name, "open"), "error_open"
        else:
            rest = breaker_of(self._redis).rest
            decision, outcome = Decision(False, 0, 0, rest, rest, self.name, "closed"), "error_closed"
        if takes and self._on_event is not None:
            emit(self._on_event, LimitDecided(pattern=type(self.limiter).__name__, name=self.name, outcome=outcome))
        return decision


def _local_share(limiter: object, share: float | None) -> LocalShare:
    if not isinstance(limiter, Limiter):
        raise TypeError(f"on_error='local' needs a limit of one rate, not {limiter!r:.80}")
    if share is None:
        raise ValueError("on_error='local' needs a share: 1 divided by the number of processes")
    return LocalShare(limiter, share)


def _check_costs(cost: Any) -> None:
    for part in cost.values() if isinstance(cost, Mapping) else (cost,):
        check_count(part, "cost", least=0)
