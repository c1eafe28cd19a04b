"""Reservation: room in a quota that is held for a cost known only later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from secrets import token_hex
from time import monotonic
from types import TracebackType
from typing import Any, Final, TypeAlias, final

from redis.exceptions import RedisError

from aioredis_patterns._core.periods import Period
from aioredis_patterns._core.renewal import LossReason, Renewals
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import PatternError, RateLimitExceededError
from aioredis_patterns.types import AnyRedis

from .counts import check_count
from .decision import Decision

__all__ = ("Asking", "Reservation", "Terms")

_RENEW: Final = Script(__package__, "quota_renew", fragments=("fragment_time",), repeatable=True, lease=True)
_SETTLE: Final = Script(
    __package__, "quota_settle", keys=2, fragments=("fragment_time", "fragment_quota"), repeatable=True
)

_SETTLING: Final = 10.0  # seconds that a cancelled caller waits for it at most


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reservation is made on.

    Args:
        redis: The client.
        name: Of the quota.
        keys: Where the server keeps what is used, and what is reserved.
        lease_ms: How long it lives without a renewal.
        deadline: Seconds that one call to Redis may take.
    """

    redis: AnyRedis
    name: str
    keys: tuple[str, str]
    lease_ms: int
    deadline: float | None


Asking: TypeAlias = Callable[[int, str, int], Coroutine[Any, Any, tuple[Decision, Period]]]
"""Asks the quota to reserve: so many units, under this name, for so many milliseconds."""


@final
class Reservation:
    """Room in a quota, held until it is known what was used; made by `Quota.reserve`.

    `async with` reserves; at its end what was reserved counts as used, unless `commit` said what really was, or
    `cancel` that nothing was. After an exception nothing was. Without the block, `await` it to reserve.

    While this handle lives and its event loop runs, its lease is renewed. When the process is gone the room is free
    again as soon as the lease is over.

    The promise. `commit` counts what was used exactly once, also when it is more than was reserved or more than the
    quota has left, and when its reply is lost. It counts in the period in which the room was reserved.

    The limit of the promise. Where no renewal reached Redis in time the room is given to others; a commit counts all
    the same. After the end of its period nothing is left to count.

    Example:
        >>> quota = Quota(redis, "tokens", limit=100_000, per="month")
        >>> async with quota.reserve("user:42", 4_000) as reservation:
        ...     answer = "used up 1,234 of them"
        ...     await reservation.commit(1_234)
        True
        >>> (await quota.peek("user:42")).remaining
        98766
    """

    __slots__ = (
        *("__weakref__", "_asking", "_id", "_open", "_period", "_renewals", "_terms"),
        *("cost", "due", "lost", "patience", "token", "valid_until"),
    )

    def __init__(self, terms: Terms, asking: Asking, cost: int) -> None:
        self.cost = cost
        self.lost = False  #: whether its lease ended before it was settled
        self._id = token_hex(8)
        self.token = f"{cost} {self._id}"
        self._terms = terms
        self._asking = asking
        self._open = False
        self._period: Period | None = None
        self._renewals: Renewals | None = None
        self.patience = terms.lease_ms / 3000
        self.due = self.valid_until = 0.0

    def __await__(self) -> Generator[Any, None, Reservation]:
        return self._begin().__await__()

    async def __aenter__(self) -> Reservation:
        return await self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.commit(self.cost if error is None else 0)
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"what was reserved of {self._terms.name!r} could not be given back: {failure!r}")

    def __repr__(self) -> str:
        state = "reserved" if self._open else "settled" if self._period else "not reserved yet"
        return f"<Reservation of {self.cost} of {self._terms.name!r}, {state}>"

    async def commit(self, actual: int) -> bool:
        """Count what was really used instead of what was reserved. One round trip.

        It may be called again: only the first one counts.

        Args:
            actual: Units that were used, from none to more than was reserved.

        Returns:
            Whether they were still reserved. Where the lease was over they count all the same, where the period was
            over they do not; then, and when called again, it answers False.

        Raises:
            TypeError, ValueError: No count.
            redis.exceptions.RedisError: Redis failed; what was reserved is free when its lease is over.
        """
        actual = check_count(actual, "actual", least=0)
        if not self._open:
            return False
        self._end()
        # Whoever is cancelled here has used it all the same.
        return await shielded(self._settle(actual), _SETTLING)

    async def cancel(self) -> bool:
        """Give back what was reserved. One round trip.

        Returns:
            Whether it was still reserved.

        Raises:
            redis.exceptions.RedisError: Redis failed; what was reserved is free when its lease is over.
        """
        return await self.commit(0)

    async def _begin(self) -> Reservation:
        if self._period is not None:
            raise RuntimeError("a reservation is made once")
        sent = monotonic()
        asked = asyncio.ensure_future(self._asking(self.cost, self.token, self._terms.lease_ms))
        try:
            decision, self._period = await asyncio.shield(asked)
        except asyncio.CancelledError:
            await shielded(self._give_back(asked), _SETTLING)
            raise
        if not decision:
            raise RateLimitExceededError(decision.policy, decision.retry_after)
        self._open = True
        self._renewals = link_of(self._terms.redis).companion(Renewals)
        self.on_renewed(sent, self._terms.lease_ms)
        self._renewals.add(self)
        return self

    async def _give_back(self, asked: asyncio.Future[tuple[Decision, Period]]) -> None:
        """Undo what a caller who is gone has asked for; where Redis does not answer, its lease does it."""
        try:
            decision, self._period = await asked
            if decision:
                await self._settle(0)
        except (RedisError, PatternError):
            pass

    async def _settle(self, actual: int) -> bool:
        terms, period = self._terms, self._period or ()
        settled = f"0 {self._id}"
        arguments = (*period, self.cost, self.token, settled, actual, terms.lease_ms)
        held: int = await _SETTLE(terms.redis, *terms.keys, *arguments, deadline=terms.deadline)
        return held == 1

    def _end(self) -> None:
        self._open = False
        if self._renewals is not None:
            self._renewals.discard(self)

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def redis(self) -> AnyRedis:
        """The client that holds it."""
        return self._terms.redis

    @property
    def renewal(self) -> Script:
        """The script that renews it."""
        return _RENEW

    @property
    def key(self) -> str:
        """Where the server keeps it."""
        return self._terms.keys[1]

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed in the background."""
        return self._terms.lease_ms if self._open else 0

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed in the background; whether it is still wanted."""
        self.valid_until, self.due = sent + lease_ms / 1000, sent + self.patience
        return self._open

    def on_lost(self, reason: LossReason) -> None:
        """Its lease is over; what was used counts when it is committed."""
        self.lost = self.lost or self._open
        if self._renewals is not None:
            self._renewals.discard(self)
