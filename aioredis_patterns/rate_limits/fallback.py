"""Fallback: what a limit answers when Redis does not."""

from __future__ import annotations

from typing import Any, final

from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import EventHook, Seconds

from .bans import Bans
from .composite import CompositeLimit
from .decision import Decision, outcome_of
from .guard import BUDGET, Guard, OnError
from .limiter import Limiter
from .local_share import LocalShare
from .quota import Quota

__all__ = ("Fallback",)


@final
class Fallback:
    """A limit that answers within a time budget, whatever becomes of Redis.

    Limits of a rate need no wrapper: they take `on_error`, `budget` and `share` themselves. This is for the others,
    `Bans`, `Quota` and `CompositeLimit`, and for a limit that raises elsewhere.

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
        share: For `local`, this process's part of the limit: 1 divided by the number of processes; all of it when
            nothing else is said, so several processes together admit several times the limit.
        on_event: Told of what was decided without Redis.

    Raises:
        TypeError: `local` around something that is no limit of one rate.
        ValueError: No such way, or a share out of range.

    Example:
        >>> logins = Bans(TokenBucket(redis, "logins", limit=5, period=60), after=3, within=3600)
        >>> guarded = Fallback(logins, on_error="closed", budget=0.05)
        >>> decision = await guarded.hit("user:42")
        >>> decision.source in ("redis", "closed")
        True
    """

    __slots__ = ("_guard", "_on_error", "_on_event", "limiter", "name")

    def __init__(
        self,
        limiter: Limiter | CompositeLimit | Quota | Bans,
        *,
        on_error: OnError,
        budget: Seconds = BUDGET,
        share: float = 1.0,
        on_event: EventHook | None = None,
    ) -> None:
        self.limiter = limiter
        self.name = limiter.name
        self._on_error = on_error
        local = _local_share(limiter, share) if on_error == "local" else None
        self._guard = Guard(limiter._redis, self.name, on_error, budget, local)  # noqa: SLF001
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
        decision = await self._guard.decide(lambda: self._guard.bounded(self.limiter.hit(subject, cost)), subject, cost)
        if self._on_event is not None and decision.source in ("open", "closed", "local"):
            told = LimitDecided(pattern=type(self.limiter).__name__, name=self.name, outcome=outcome_of(decision))
            emit(self._on_event, told)
        return decision

    async def peek(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Say what a hit would be answered.

        Args:
            subject, cost: As in `hit`.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
        """
        return await self._guard.decide(
            lambda: self._guard.bounded(self.limiter.peek(subject, cost)), subject, cost, takes=False
        )


def _local_share(limiter: object, share: float) -> LocalShare:
    if not isinstance(limiter, Limiter):
        raise TypeError(f"on_error='local' needs a limit of one rate, not {limiter!r:.80}")
    return LocalShare(limiter.name, limiter._capacity, limiter.limit / limiter.period, share)  # noqa: SLF001
