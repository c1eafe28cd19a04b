"""What all rate limits share: how a hit is asked for, checked and answered."""

from __future__ import annotations

import asyncio
from math import gcd, inf
from operator import index
from typing import Any, ClassVar, Final, Literal

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import deadline_seconds, timeout_seconds
from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.errors import PatternError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .decision import Decision

__all__ = ("Limiter", "backlog_that_fits", "check_count", "periods_ahead", "rate_in_shares")

_RESET: Final = Script(__package__, "limiter_reset", repeatable=True)
_CANCEL: Final = Script(__package__, "limiter_cancel")

_EXACT: Final = 2**53  # whole numbers below it are exact in a script
_SECOND: Final = 1_000_000
_BACKLOG: Final = 10_000
_GIVING_BACK: Final = 5.0  # seconds that a cancelled caller waits for it at most


class Limiter:
    """What can be asked of every rate limit; its kinds are its subclasses.

    A definition: it does no I/O when it is made, and all tasks may share it. Limits of one kind and name on one server
    share their state, also while they disagree about the limit.

    A call whose reply was lost is not repeated, as it might count twice; it raises `OutcomeUnknownError`. `peek` and
    `reset` are repeated.

    Example:
        >>> async def admit(limiter: Limiter, user: str) -> bool:
        ...     return (await limiter.hit(user)).allowed
        >>> await admit(TokenBucket(redis, "api", limit=100, period=60), "user:42")
        True
    """

    __slots__ = (
        *("_arguments", "_capacity", "_charged", "_deadline", "_keys", "_on_event", "_redis"),
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
        decision = await self._ask(self._hit, subject, units, *self._charged)
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
        return await self._ask(self._peek, subject, self._units(cost))

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
        still the last in line, or equal to the last; an earlier turn goes unused.

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
        patience = -1 if timeout is None else round(timeout_seconds(timeout) * _SECOND)
        key = self._keys.key(self._part, subject)
        call = self._reserve(self._redis, key, *self._arguments, units, patience, deadline=self._deadline)
        reservation = asyncio.ensure_future(call)
        try:
            allowed, remaining, wait, reset, *_ = await asyncio.shield(reservation)
            if allowed:
                await asyncio.sleep(wait / _SECOND)
        except asyncio.CancelledError:
            await shielded(self._give_back(reservation, key), _GIVING_BACK)
            raise
        retry, reset = (0, reset - wait) if allowed else (wait, reset)
        decision = self._decision((allowed, remaining, retry, reset))
        if self._on_event is not None:
            self._tell(self._on_event, decision)
        if not decision:
            raise RateLimitExceededError(self.name, decision.retry_after)
        return decision

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
        return self._decision(await script(self._redis, key, *self._arguments, *told, deadline=self._deadline))

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
        outcome: Literal["allowed", "denied"] = "allowed" if decision.allowed else "denied"
        emit(hook, LimitDecided(pattern=type(self).__name__, name=self.name, outcome=outcome))


def check_count(value: int, name: str, least: int = 1) -> int:
    """The whole number that is counted with.

    Raises:
        TypeError: No int; a fraction would be rounded by guesswork.
        ValueError: Too small.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {value!r:.80}") from None
    if number < least:
        raise ValueError(f"{name} must be {least} or more, not {number}")
    return number


def backlog_that_fits(backlog: int | None, capacity: int, unit: int) -> int:
    """The backlog that was asked for, or one that fits, where a script counts `unit` shares for each of its units.

    Raises:
        ValueError: More than a script can count exactly.
    """
    room = (_EXACT - 1) // unit - capacity - 1
    wanted = max(min(_BACKLOG, room), 0) if backlog is None else check_count(backlog, "backlog", least=0)
    if wanted > room:
        raise ValueError(f"a limit of {capacity}, a backlog of {wanted} and this period cannot be counted exactly")
    return wanted


def rate_in_shares(limit: int, period_us: int) -> tuple[int, int]:
    """A rate as two whole numbers without a common divisor: shares per microsecond, and shares per unit of cost."""
    divisor = gcd(limit, period_us)
    return limit // divisor, period_us // divisor


def periods_ahead(backlog: int | None, limit: int) -> int:
    """How many further periods so many units take."""
    return -(-(_BACKLOG if backlog is None else check_count(backlog, "backlog", least=0)) // limit)
