"""Quota: so much per day, week or month of the calendar."""

from __future__ import annotations

from datetime import tzinfo
from functools import partial
from math import inf
from time import time
from typing import Any, Final, final

from aioredis_patterns._core.durations import deadline_seconds, lease_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.periods import Calendar, Per, Period
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .counts import backlog_that_fits, check_count
from .decision import Decision
from .reservation import Reservation, Terms

__all__ = ("Quota",)

_SHARED: Final = ("fragment_time", "fragment_quota")
_HIT: Final = Script(__package__, "quota_hit", keys=2, fragments=_SHARED)
_PEEK: Final = Script(__package__, "quota_peek", keys=2, fragments=_SHARED, repeatable=True)
_REFUND: Final = Script(__package__, "quota_refund", keys=2, fragments=_SHARED)
_RESERVE: Final = Script(__package__, "quota_reserve", keys=2, fragments=_SHARED, repeatable=True)
_RESET: Final = Script(__package__, "quota_reset", keys=2, repeatable=True)

_SECOND: Final = 1_000_000


@final
class Quota:
    """A count that starts anew with each day, week or month of a time zone: what a plan or a contract says.

    "100,000 tokens a month, and the month begins in Berlin." For a cost that is known only afterwards, `reserve` what
    it may be and `commit` what it was.

    The promise. No period of the calendar admits more than `limit`, but for what `commit` counts on top; a period is as
    long as it is in the time zone, 23 and 25 hours included. `retry_after` is the exact time to the period's end, as
    far as nothing is given back before. A denied hit is not counted. Time is the server's: a script compares it with
    the period it was called for, and where that is over says so before it writes. When its clock steps back, the later
    period goes on. When the limit changes, the period that runs keeps its count.

    The limit of the promise. What a commit counts above its reservation may exceed the limit. A server that fails over
    without its last writes forgets the hits among them.

    The cost. One round trip, and one more for the first call of a process in a period. A subject has one string, and
    while there are reservations a sorted set of about 90 bytes for each; both expire with the period.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Units that are admitted per period.
        per: "day", "week", which begins on Monday, or "month".
        tz: Where it begins at midnight: an IANA name such as "Europe/Berlin", or a tzinfo.
        lease: Seconds after which what was reserved is free again, when the process that did is gone.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every decision.
        prefix: First part of every key.

    Raises:
        TypeError: A limit that is no int, or a time zone that is neither a name nor a tzinfo.
        ValueError: One that is too small or too large; no such period, or no data of that time zone.

    Example:
        >>> quota = Quota(redis, "exports", limit=3, per="day", tz="UTC")
        >>> [bool(await quota.hit("user:42")) for _ in range(4)]
        [True, True, True, False]
    """

    __slots__ = (
        *("_calendar", "_deadline", "_keys", "_lease_ms", "_on_event", "_redis"),
        *("limit", "name", "per", "present"),
    )

    def __init__(  # noqa: PLR0913  # what the quota is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        per: Per,
        tz: str | tzinfo = "UTC",
        lease: Seconds = 30,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self.limit = check_count(limit, "limit")
        backlog_that_fits(0, limit, 1)
        self.per = per
        self._redis = redis
        self._keys = Keys(name, prefix)
        self._calendar = Calendar(per, tz)
        # A first guess, by this machine's clock; the server says what is right.
        self.present = self._calendar.containing(int(time() * _SECOND))
        self._lease_ms = lease_ms(lease)
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._on_event = on_event

    def __repr__(self) -> str:
        return f"<Quota {self.name!r}: {self.limit} per {self.per}>"

    async def hit(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Ask to be admitted, and be counted if so. One round trip.

        Args:
            subject: Who is limited; None where there is only one.
            cost: How much this hit weighs; 0 only peeks.

        Raises:
            TypeError: The cost is no int.
            ValueError: The cost is negative.
            OutcomeUnknownError: The reply was lost; the hit may have been counted.
            redis.exceptions.RedisError: Redis failed; the hit was not counted.
        """
        units = self._units(cost)
        if not units:
            return await self.peek(subject, 0)
        decision, _ = await self._ask(_HIT, self._keys_of(subject), units)
        self._tell(decision)
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
        return (await self._ask(_PEEK, self._keys_of(subject), self._units(cost)))[0]

    async def refund(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Give back what a hit consumed in this period, and say what the same hit would be answered now.

        Args:
            subject: Who is limited.
            cost: How much to give back; no more comes back than was used.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
        """
        return (await self._ask(_REFUND, self._keys_of(subject), self._units(cost)))[0]

    async def reset(self, subject: KeyPart | None = None) -> None:
        """Forget all that a subject has used and reserved in this period. One round trip.

        Args:
            subject: Who is limited.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        await _RESET(self._redis, *self._keys_of(subject), deadline=self._deadline)

    def reserve(self, subject: KeyPart | None = None, cost: int = 1) -> Reservation:
        """Hold room for a cost that is known only later; `async with`, or await, what this gives.

        Args:
            subject: Who is limited.
            cost: The most that it may be.

        Raises:
            TypeError: The cost is no int.
            ValueError: The cost is not positive.
            RateLimitExceededError: There is no room for it; raised when it is entered or awaited, as all that follows.
            redis.exceptions.RedisError: Redis failed; what may have been reserved is free when its lease is over.
        """
        check_count(cost, "cost")
        keys = self._keys_of(subject)
        terms = Terms(self._redis, self.name, keys, self._lease_ms, self._deadline)
        return Reservation(terms, partial(self._reserve, keys), self._units(cost))

    def follow(self, now_us: int) -> None:
        """Take the period of this moment for the present one; what asks the server calls it when it is told so."""
        self.present = self._calendar.containing(now_us)

    async def _reserve(self, keys: tuple[str, str], units: int, token: str, lease_ms: int) -> tuple[Decision, Period]:
        decision, period = await self._ask(_RESERVE, keys, units, token, lease_ms)
        self._tell(decision)
        return decision, period

    async def _ask(self, script: Script, keys: tuple[str, str], *arguments: str | int) -> tuple[Decision, Period]:
        while True:
            period = self.present
            reply = await script(self._redis, *keys, self.limit, *period, *arguments, deadline=self._deadline)
            if reply[0] >= 0:
                return self._decision(reply), period
            self.follow(reply[1])  # the server's time is in another period, and nothing was written

    def _keys_of(self, subject: KeyPart | None) -> tuple[str, str]:
        return self._keys.key("quota", subject), self._keys.key("reserved", subject)

    def _units(self, cost: int) -> int:
        return min(check_count(cost, "cost", least=0), self.limit + 1)

    def _decision(self, reply: Any) -> Decision:
        allowed, remaining, retry, reset = reply
        retry_after = retry / _SECOND if retry >= 0 else inf
        return Decision(allowed == 1, self.limit, remaining, retry_after, reset / _SECOND, self.name)

    def _tell(self, decision: Decision) -> None:
        if self._on_event is not None:
            outcome: Any = "allowed" if decision.allowed else "denied"
            emit(self._on_event, LimitDecided(pattern="Quota", name=self.name, outcome=outcome))
