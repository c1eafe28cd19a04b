"""What all rate limits share: how a hit is asked for, checked and answered."""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf
from typing import Any, ClassVar, Final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import deadline_seconds, timeout_seconds
from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import OutcomeUnknownError, PatternError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .counts import check_count
from .decision import Decision, outcome_of
from .guard import BUDGET, Guard, OnError
from .local_share import LocalShare

__all__ = ("Limiter",)

_RESET: Final = Script(__package__, "limiter_reset", repeatable=True)
_CANCEL: Final = Script(__package__, "limiter_cancel")

_SECOND: Final = 1_000_000
_GIVING_BACK: Final = 5.0  # seconds that a cancelled caller waits for it at most


class Limiter:
    """What can be asked of every rate limit; its kinds are its subclasses.

    A definition: it does no I/O when it is made, and all tasks may share it. Limits of one kind and name on one server
    share their state, also while they disagree about the limit.

    A call whose reply was lost is not repeated, as it might count twice; it raises `OutcomeUnknownError`. `peek` and
    `reset` are repeated. With `on_error` other than "raise", `hit`, `peek` and `acquire` answer within `budget`
    instead, as `Fallback` describes it, and `decision.source` says so.

    Example:
        >>> async def admit(limiter: Limiter, user: str) -> bool:
        ...     return (await limiter.hit(user)).allowed
        >>> await admit(TokenBucket(redis, "api", limit=100, period=60), "user:42")
        True
    """

    __slots__ = (
        *("_arguments", "_capacity", "_charged", "_deadline", "_guard", "_keys", "_on_event", "_redis"),
        *("limit", "name", "period"),
    )

    # What a kind adds: the part of its key, its scripts, and what they are told before the cost.
    _part: ClassVar[str]
    _hit: ClassVar[Script]
    _peek: ClassVar[Script]
    _refund: ClassVar[Script]
    _reserve: ClassVar[Script]
    _cancel: ClassVar[Script] = _CANCEL
    _arguments: tuple[bytes, ...]

    def __init__(  # noqa: PLR0913  # what every kind hands on
        self,
        redis: AnyRedis,
        name: str,
        limit: int,
        period_us: int,
        *,
        capacity: int,
        arguments: tuple[int, ...],
        count_denied: bool,
        deadline: Seconds | None,
        outage: tuple[OnError, Seconds | None, float],
        on_event: EventHook | None,
        prefix: str,
    ) -> None:
        self._redis = redis
        self._keys = Keys(name, prefix)
        self.name = name
        self.limit = limit
        self.period = period_us / _SECOND
        self._capacity = capacity
        self._arguments = tuple(b"%d" % argument for argument in arguments)
        self._charged = (b"1",) if count_denied else ()
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._on_event = on_event
        self._guard = self._guarded(*outage)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.limit} per {self.period:g} s>"

    async def hit(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Ask to be admitted, and be counted if so. One round trip.

        A hit that is denied consumes nothing, unless `count_denied` says otherwise. A cost above what the limit can
        ever admit at once is denied with an infinite `retry_after`, and a cost of 0 only peeks.

        Args:
            subject: Who is limited; None where there is only one.
            cost: How much this hit weighs.

        Raises:
            TypeError: The cost is no int.
            ValueError: The cost is negative.
            OutcomeUnknownError: The reply was lost; the hit may have been counted.
            redis.exceptions.RedisError: Redis failed; the hit was not counted.
        """
        units = self._units(cost)
        if not units:
            return await self.peek(subject, 0)
        if self._guard is None:
            decision = await self._ask(self._hit, subject, units, *self._charged)
        else:
            ask = partial(self._ask, self._hit, subject, units, *self._charged)
            decision = await self._guard.decide(ask, subject, units)
        if self._on_event is not None:
            self._tell(self._on_event, decision)
        return decision

    async def peek(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Say what a hit would be answered; count nothing, write nothing. One round trip.

        Args:
            subject: Who is limited.
            cost: How much the hit would weigh; 0 to learn `remaining` and `reset_after` alone.

        Raises:
            TypeError, ValueError: As in `hit`.
            redis.exceptions.RedisError: Redis failed.
        """
        units = self._units(cost)
        if self._guard is None:
            return await self._ask(self._peek, subject, units)
        return await self._guard.decide(partial(self._ask, self._peek, subject, units), subject, units, takes=False)

    async def refund(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Give back what a hit consumed, and say what the same hit would be answered now. One round trip.

        No more comes back than was used, and nothing of what is forgotten by now.

        Args:
            subject: Who is limited.
            cost: How much to give back.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
        """
        return await self._ask(self._refund, subject, self._units(cost))

    async def reset(self, subject: KeyPart | None = None) -> None:
        """Forget all that a subject has used, and all that it has reserved. One round trip.

        Args:
            subject: Who is limited.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        await _RESET(self._redis, self._keys.key(self._part, subject), deadline=self._deadline)

    async def acquire(
        self, subject: KeyPart | None = None, cost: int = 1, *, timeout: Seconds | None = None
    ) -> Decision:
        """Wait to be admitted, in the order of the calls, and be counted.

        Each caller reserves its turn when it calls and then only sleeps, so waiting costs one round trip however long
        it takes, and nobody overtakes but by milliseconds. A caller that is cancelled gives its turn back if it is
        still the last in line, or equal to the last; an earlier turn goes unused. While Redis fails there is no line:
        with `on_error`, who is not admitted in its place asks again after `retry_after`.

        Args:
            subject: Who is limited.
            cost: How much it weighs.
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
            RateLimitExceededError: The wait would be longer, too much is waiting already, or the cost can never be
                admitted. It is raised at once.
        """
        units = self._units(cost)
        left = None if timeout is None else timeout_seconds(timeout)
        while not (decision := await self._turn(subject, units, left)).allowed:
            wait = decision.retry_after
            if decision.source == "redis" or wait == inf or (left is not None and wait > left):
                break
            await asyncio.sleep(wait)
            left = None if left is None else left - wait
        if self._on_event is not None:
            self._tell(self._on_event, decision)
        if not decision:
            raise RateLimitExceededError(self.name, decision.retry_after)
        return decision

    async def _turn(self, subject: KeyPart | None, units: int, left: float | None) -> Decision:
        """Stand in line and wait; or what stands in for Redis, at once."""
        patience = -1 if left is None else round(left * _SECOND)
        if self._guard is None:
            return await self._reserved(subject, units, patience)
        return await self._guard.decide(partial(self._reserved, subject, units, patience), subject, units)

    async def _reserved(self, subject: KeyPart | None, units: int, patience: int) -> Decision:
        key = self._keys.key(self._part, subject)
        call = self._reserve(self._redis, key, *self._arguments, units, patience, deadline=self._deadline)
        reservation = asyncio.ensure_future(call)
        try:
            reply = asyncio.shield(reservation)
            allowed, remaining, wait, reset, *_ = await (reply if self._guard is None else self._guard.bounded(reply))
            if allowed:
                await asyncio.sleep(wait / _SECOND)
        except asyncio.CancelledError:
            await shielded(self._give_back(reservation, key), _GIVING_BACK)
            raise
        except OutcomeUnknownError:
            link_of(self._redis).finish(self._give_back(reservation, key), "redis turn given back")
            raise
        retry, reset = (0, reset - wait) if allowed else (wait, reset)
        return self._decision((allowed, remaining, retry, reset))

    async def _give_back(self, reservation: asyncio.Future[Any], key: str) -> None:
        """Undo a reservation whose caller is gone; where Redis does not answer, its turn goes unused."""
        try:
            allowed, _, wait, _, *ticket = await reservation
            if allowed and wait:
                await self._cancel(self._redis, key, *ticket, deadline=self._deadline)
        except (RedisError, PatternError):
            pass

    async def _ask(self, script: Script, subject: KeyPart | None, *told: int | bytes) -> Decision:
        key = self._keys.key(self._part, subject)
        reply = script(self._redis, key, *self._arguments, *told, deadline=self._deadline)
        return self._decision(await (reply if self._guard is None else self._guard.bounded(reply)))

    def _units(self, cost: int) -> int:
        """The cost, checked; all that is above the capacity is as impossible as one above it."""
        if type(cost) is int and 0 <= cost <= self._capacity:
            return cost
        return min(check_count(cost, "cost", least=0), self._capacity + 1)

    def _decision(self, reply: Any) -> Decision:
        allowed, remaining, retry, reset = reply
        retry_after = retry / _SECOND if retry >= 0 else inf
        return Decision(allowed == 1, self._capacity, remaining, retry_after, reset / _SECOND, self.name)

    def _tell(self, hook: EventHook, decision: Decision) -> None:
        emit(hook, LimitDecided(pattern=type(self).__name__, name=self.name, outcome=outcome_of(decision)))

    def _guarded(self, on_error: OnError, budget: Seconds | None, share: float) -> Guard | None:
        local = LocalShare(self.name, self._capacity, self.limit / self.period, share)
        if on_error == "raise" and budget is None:
            return None
        within = BUDGET if budget is None else budget
        return Guard(self._redis, self.name, on_error, within, local if on_error == "local" else None)
