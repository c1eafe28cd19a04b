"""A semaphore over processes and machines: so many holders at a time, each for as long as its lease is renewed.

Promise: while leases are valid no more permits are out than there are. A permit comes back when it is released, once,
or when its holder died and its lease has run out. A waiter that gives up, or whose program dies, costs the others at
most three seconds, and no permit.

Limit of the promise: that of `Lock`. Redis replicates after it has answered, so a failover may forget a permit that
was just given, and an eviction policy other than `noeviction` may drop all of them.

Cost: one round trip to acquire and one to release, whatever the number of permits; three keys beside the fence counter,
which live as long as the leases and the waiting, and one for the size once it was changed.
"""

from __future__ import annotations

from functools import partial
from typing import Final, final

from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockError
from aioredis_patterns.locks._claim import Claim, give_back
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, OnLost, Terms
from aioredis_patterns.locks.owner import next_token
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("Semaphore",)

_PARTS: Final = ("clock", "permits", "permit_line")

_ACQUIRE: Final = Script(__package__, "semaphore_acquire", keys=5, fragments=(*_PARTS, "take"), lease=True)
_RELEASE: Final = Script(__package__, "semaphore_release", keys=4, fragments=_PARTS, lease=True)
_RENEW: Final = Script(__package__, "semaphore_renew", fragments=("clock", "permits"), repeatable=True, lease=True)
_RESIZE: Final = Script(__package__, "semaphore_resize", keys=4, fragments=_PARTS, repeatable=True)
_INSPECT: Final = Script(__package__, "semaphore_inspect", keys=2, fragments=("clock",), repeatable=True)

_MOST: Final = 10_000
"""Permits that a semaphore may have: each is a member of its own."""


@final
class Semaphore(Entering[Lease]):
    """A semaphore over processes and machines.

    The object is only a definition: it holds nothing, does no I/O when it is made, and any number of tasks may share
    it. What is held is the `Lease` that `acquire` gives, for one permit or for several, and that `async with` gives to
    the task that entered.

    Promise, limit and cost: see the module. Without `fifo` a newcomer may be faster than who was woken, and whoever
    wants many permits may wait while others take single ones. With it everybody is served in the order in which they
    began to wait, and a free permit is kept for who is first, even by `try_acquire`.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the permits are for.
        permits: How many there are, 1 to 10,000, until `resize` says otherwise. The same wherever it is defined.
        lease: Seconds that a permit lives without a renewal. It is renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        fifo: True to serve in order. The same wherever it is defined.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        on_lost: What happens when a lease is lost, as with `Lock`.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     gpus = Semaphore(redis, "gpus", permits=4, lease=30)
        ...     async with gpus:
        ...         print("one of four")
        ...     async with await gpus.acquire(count=3, timeout=5) as lease:
        ...         print(await gpus.available(), lease.valid_for)
    """

    __slots__ = ("_fifo", "_keys", "_permits", "_places", "_terms")

    def __init__(  # noqa: PLR0913
        self,
        redis: AnyRedis,
        name: str,
        *,
        permits: int = 5,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        fifo: bool = False,
        renew: bool = True,
        max_hold: Seconds | None = None,
        on_lost: OnLost = "cancel",
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        super().__init__(name, None if timeout is None else timeout_seconds(timeout))
        keys = Keys(name, prefix)
        self._keys = [keys.key(part) for part in ("permits", "fence", "line", "heard", "size")]
        self._permits = _checked(permits, "permits")
        self._places = self._permits
        self._fifo = 1 if fifo else 0
        self._terms = Terms.checked(
            redis, name, "Semaphore", self._keys[0], _RENEW,
            lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Semaphore {self.name!r}, {self._permits} permits>"

    async def acquire(self, timeout: Seconds | None = None, *, count: int = 1) -> Lease:
        """Wait until so many permits are free together, and take them.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the semaphore's own `timeout`.
            count: How many; all of them are held by the one lease that is given.

        Raises:
            LockTimeoutError: They were not free in that time.
            LockError: There are not so many permits at all.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        link = link_of(self._terms.redis)
        claim = self._claim(link, count)
        return self._new_lease(link, claim, await claim.take(limit))

    async def try_acquire(self, *, count: int = 1) -> Lease | None:
        """Take so many permits if they are free now; None when they are not.

        Raises:
            LockError: There are not so many permits at all.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        link = link_of(self._terms.redis)
        claim = self._claim(link, count)
        granted = await claim.once()
        return None if granted is None else self._new_lease(link, claim, granted)

    async def available(self) -> int:
        """How many permits are free at this moment; 0 when more are held than there are since a `resize`."""
        permits, _, _, _, size = self._keys
        free: int = await _INSPECT(self._terms.redis, permits, size, self._permits)
        return max(free, 0)

    async def resize(self, permits: int) -> None:
        """Change how many permits there are, for everybody and for good; the number is kept without an expiry.

        Those that are held stay so. Fewer are given out only when enough of them have come back, more at once.

        Args:
            permits: How many there are from now on, 1 to 10,000.
        """
        held, _, line, heard, size = self._keys
        await _RESIZE(self._terms.redis, held, line, heard, size, _checked(permits, "permits"), self._fifo)

    def _claim(self, link: Link, count: int) -> _SemaphoreClaim:
        return _SemaphoreClaim(link, self._terms, self._keys, _checked(count, "count"), self._permits, self._fifo)

    def _new_lease(self, link: Link, claim: Claim, granted: tuple[float, int]) -> Lease:
        claim.acquired()
        sent, fence = granted
        return Lease(self._terms, self._give_back, link, claim.token, fence, sent)

    async def _give_back(self, link: Link, lease: Lease) -> bool:
        permits, _, line, heard, size = self._keys
        free = partial(_RELEASE, link, permits, line, heard, size, lease.token, self._permits, self._fifo)
        return await give_back(link, lambda deadline: free(deadline=deadline))


class _SemaphoreClaim(Claim):
    """An acquisition of some permits."""

    __slots__ = ("_count", "_fifo", "_keys", "_permits")

    def __init__(self, link: Link, terms: Terms, keys: list[str], count: int, permits: int, fifo: int) -> None:
        # In a semaphore without order, whoever wants few does not stand behind whoever wants many.
        line = terms.key if fifo else f"{terms.key} {count}"
        super().__init__(link, terms, f"{count}-{next_token()}", line, link.subscriptions.inbox, terms.key)
        self._keys, self._count, self._permits, self._fifo = keys, count, permits, fifo

    async def _ask(self, deadline: float, *place: str | int) -> int:
        answer: int = await _ACQUIRE(
            self.link, *self._keys,
            self.token, self._terms.lease_ms, self._permits, self._fifo, *place, deadline=deadline,
        )  # fmt: skip
        if answer == 0:
            name = self._terms.name
            raise LockError(name, f"semaphore {name!r} has not as many as {self._count} permits")
        return answer

    async def _undo(self, inbox: str, deadline: float) -> object:
        permits, _, line, heard, size = self._keys
        return await _RELEASE(
            self.link, permits, line, heard, size,
            self.token, self._permits, self._fifo, *(inbox and [inbox]), deadline=deadline,
        )  # fmt: skip


def _checked(count: int, name: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{name} must be an int, not {count!r:.80}")
    if not 1 <= count <= _MOST:
        raise ValueError(f"{name} must be 1 to {_MOST:,}, not {count!r:.80}")
    return count
