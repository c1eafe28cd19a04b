"""Bans: whoever runs into a limit again and again is locked out for a time, and each time for longer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, final

from redis.exceptions import RedisError

from aioredis_patterns._core.counts import EXACT
from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import stored_texts
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.types import KeyPart, Seconds

from .counts import check_count
from .decision import Decision
from .kinds import FRAGMENTS, HITS, PEEKS, told_of
from .limiter import Limiter

__all__ = ("Ban", "Bans")

_SHARED: Final = (*FRAGMENTS, "fragment_bans")
_HIT: Final = Script(__package__, "bans_hit", keys=2, fragments=_SHARED, calls=(*PEEKS, *HITS))
_PEEK: Final = Script(__package__, "bans_peek", keys=2, fragments=_SHARED, calls=PEEKS, repeatable=True)
_PARDON: Final = Script(__package__, "bans_pardon", repeatable=True)
_LIST: Final = Script(__package__, "bans_list", fragments=("fragment_time",), repeatable=True)
_BANNED: Final = Script(__package__, "bans_banned", fragments=("fragment_time",), repeatable=True)

_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban that lasts.

    >>> Ban(subject="user:42", ends_in=30.0).subject
    'user:42'
    """

    #: Who is banned; None where the limit was asked without a subject.
    subject: str | None
    #: Seconds until it is over.
    ends_in: float


@final
class Bans:
    """A limit that bans whoever it had to deny too often.

    The promise. A subject that is denied `after` times `within` a time is banned for `first` seconds, the next time for
    twice as long, and so on up to `longest`; when it has kept quiet for `longest` after a ban, it begins anew. While it
    is banned everything is denied and nothing is counted. The same script counts the hit, its denial and the ban, so
    no hit slips between them. A ban's decisions have the `source` "ban", and `retry_after` is exact: the time until
    neither the ban nor the limit denies the same hit.

    The limit of the promise. The list of `banned` is written in a second call, so it may lack a ban whose caller died
    between them; the ban holds. In the list a subject that is an int is its digits.

    The cost. One round trip; one more for the hit that brings a ban. A subject that was denied has one string more,
    until its denials and bans are forgotten.

    What is not here is asked of `.limiter`, the limit without its bans: `refund`, `reset`, `acquire`.

    Args:
        limiter: The limit.
        after: Denials that bring a ban.
        within: Seconds in which they are counted, from the first one on.
        first: Seconds of the first ban.
        longest: Seconds of the longest one.

    Raises:
        TypeError: The limit is no limit of one rate, or `after` no int.
        ValueError: A number out of range, or a longest ban that is shorter than the first.

    Example:
        >>> logins = Bans(FixedWindow(redis, "logins", limit=3, period=60), after=2, within=600, first=300)
        >>> [(await logins.hit("user:42")).source for _ in range(6)]
        ['redis', 'redis', 'redis', 'redis', 'ban', 'ban']
        >>> [ban.subject for ban in await logins.banned()]
        ['user:42']
        >>> await logins.pardon("user:42")
        True
    """

    __slots__ = ("_keys", "_longest_us", "_redis", "_terms", "_told", "limiter", "name")

    def __init__(
        self,
        limiter: Limiter,
        *,
        after: int,
        within: Seconds,
        first: Seconds = 60,
        longest: Seconds = 86_400,
    ) -> None:
        if not isinstance(limiter, Limiter):
            raise TypeError(f"bans need a limit of one rate, not {limiter!r:.80}")
        first_us, longest_us = period_us(first, "first"), period_us(longest, "longest")
        if first_us > longest_us:
            raise ValueError(f"longest must be as long as the first ban at least, not {longest!r}")
        self.limiter = limiter
        self.name = limiter.name
        self._redis, self._keys = limiter._redis, limiter._keys  # noqa: SLF001
        self._told = told_of(limiter)
        charged = 1 if limiter._charged else 0  # noqa: SLF001
        self._terms = (charged, check_count(after, "after"), period_us(within, "within"), first_us, longest_us)
        self._longest_us = longest_us

    def __repr__(self) -> str:
        return f"<Bans for {self.limiter!r}>"

    async def hit(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Ask to be admitted, and be counted if so; a denial may bring a ban.

        Args:
            subject: Who is limited, and banned.
            cost: How much this hit weighs; 0 only peeks.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As of the limit itself.
        """
        units = self.limiter._units(cost)  # noqa: SLF001
        if not units:
            return await self.peek(subject, 0)
        *answer, left, fresh = await self._call(_HIT, *self._both(subject), self._told, units, *self._terms)
        decision = self._decision(answer, left)
        if self.limiter._on_event is not None:  # noqa: SLF001
            self.limiter._tell(self.limiter._on_event, decision)  # noqa: SLF001
        if fresh:
            await self._list(subject, left)
        return decision

    async def peek(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Say what a hit would be answered; count nothing, write nothing. One round trip.

        Args:
            subject, cost: As in `hit`.

        Raises:
            TypeError, ValueError, redis.exceptions.RedisError: As of the limit itself.
        """
        units = self.limiter._units(cost)  # noqa: SLF001
        *answer, left, _ = await self._call(_PEEK, *self._both(subject), self._told, units, self._longest_us)
        return self._decision(answer, left)

    async def pardon(self, subject: KeyPart | None = None) -> bool:
        """End a ban, and forget the denials and bans before; whether there were any. Two round trips.

        Args:
            subject: Who is pardoned.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        forgotten = await self._call(_PARDON, self._keys.key("bans", subject))
        await self._list(subject, 0)
        return bool(forgotten)

    async def banned(self, most: int = 1000) -> list[Ban]:
        """Those who are banned now, the first to be free first. One round trip.

        Args:
            most: How many are listed.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        rows = await self._call(_BANNED, self._keys.key("banned"), check_count(most, "most", most=EXACT))
        pairs = zip(stored_texts(rows[::2], "a ban"), rows[1::2], strict=True)
        return [Ban(subject or None, left / _SECOND) for subject, left in pairs]

    async def _list(self, subject: KeyPart | None, left_us: int) -> None:
        try:
            await self._call(_LIST, self._keys.key("banned"), "" if subject is None else str(subject), left_us)
        except (RedisError, OutcomeUnknownError):
            pass  # the ban itself holds, or is gone

    async def _call(self, script: Script, *keys_and_args: str | bytes | int) -> Any:
        return await script(self._redis, *keys_and_args, deadline=self.limiter._deadline)  # noqa: SLF001

    def _both(self, subject: KeyPart | None) -> tuple[str, str]:
        return self._keys.key(self.limiter._part, subject), self._keys.key("bans", subject)  # noqa: SLF001

    def _decision(self, answer: list[int], left_us: int) -> Decision:
        decision = self.limiter._decision(answer)  # noqa: SLF001
        return replace(decision, source="ban") if left_us else decision
