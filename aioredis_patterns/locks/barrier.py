"""A barrier over processes and machines: so many parties wait for one another, then go on together, again and again.

It is as `asyncio.Barrier`: when the last party arrives, all of them pass, each with an index of its own, and the next
generation begins. When a party that waits runs out of time or dies, the barrier is broken: all who wait are told, and
so is whoever comes, until it is reset.

Promise: nobody passes before all parties of its generation have arrived, and all of them are told the same of it. A
party that died breaks the barrier within its lease, as soon as anybody waits there or comes. One that is cancelled
leaves as if it had not come.

Limit of the promise: a party that was away for longer than its lease, and than ten seconds, may be told that the
barrier is broken though the others passed. A failover or an eviction may forget who has arrived; those who wait are
told that the barrier was reset.

Cost: one round trip for the last party, two and one per second for those who wait, and four keys.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, final

from aioredis_patterns._core.durations import lease_ms, timeout_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import BarrierBrokenError, LockTimeoutError
from aioredis_patterns.locks._claim import SOON, pause
from aioredis_patterns.locks.lease import quietly
from aioredis_patterns.locks.owner import next_token
from aioredis_patterns.types import AnyRedis, Seconds

__all__ = ("Barrier", "BarrierState")

_WAIT: Final = Script(
    __package__, "barrier_wait", keys=4, fragments=("clock", "barrier_rounds"), repeatable=True, lease=True
)
_LEAVE: Final = Script(__package__, "barrier_leave", keys=4, fragments=("barrier_rounds",), repeatable=True, lease=True)
_RESET: Final = Script(__package__, "barrier_reset", keys=3, repeatable=True)
_INSPECT: Final = Script(__package__, "barrier_inspect", keys=2, repeatable=True)

_MOST: Final = 10_000
"""Parties that may wait for one another."""

_TIMED_OUT: Final = "a party timed out"


@dataclass(frozen=True, slots=True)
class BarrierState:
    """How a barrier stands.

    Example:
        >>> async def main(redis):
        ...     state = await Barrier(redis, "phase", parties=3).state()
        ...     print(state.passed, state.waiting, state.broken)
    """

    passed: int  #: how many generations have passed
    waiting: int
    broken: str | None  #: why it is broken; None when it is not


@final
class Barrier:
    """A barrier over processes and machines, as `asyncio.Barrier` is one over tasks.

    The object is only a definition: any number of tasks may share it.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: Of the barrier.
        parties: How many pass together, 1 to 10,000. The same wherever it is defined.
        lease: Seconds after which a party that gave no sign of life counts as dead, and the barrier as broken.
        timeout: Seconds that waiting may take when `wait` does not say; None to wait for ever.
        ttl: Seconds that it is remembered, broken or not, after it was used last.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     barrier = Barrier(redis, "phase", parties=3)
        ...     async def work(part):
        ...         if await barrier.wait(timeout=5) == 0:
        ...             print("all three are here")
        ...     await asyncio.gather(work(1), work(2), work(3))
    """

    __slots__ = ("_keys", "_lease_ms", "_parties", "_redis", "_timeout", "_ttl_ms", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        parties: int,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        ttl: Seconds = 86_400,
        prefix: str = PREFIX,
    ) -> None:
        if isinstance(parties, bool) or not isinstance(parties, int):
            raise TypeError(f"parties must be an int, not {parties!r:.80}")
        if not 1 <= parties <= _MOST:
            raise ValueError(f"parties must be 1 to {_MOST:,}, not {parties!r:.80}")
        keys = Keys(name, prefix)
        self.name = name
        self._redis, self._parties = redis, parties
        self._keys = [keys.key(part) for part in ("barrier", "here", "past", "alive")]
        self._lease_ms, self._ttl_ms = lease_ms(lease), max(ttl_ms(ttl), lease_ms(lease))
        self._timeout = None if timeout is None else timeout_seconds(timeout)

    def __repr__(self) -> str:
        return f"<Barrier {self.name!r}, {self._parties} parties>"

    async def wait(self, timeout: Seconds | None = None) -> int:
        """Wait until all parties are here; this party's index among them, by arrival: 0 is for one of them alone.

        Args:
            timeout: Seconds to wait, after which the barrier is broken; None for the barrier's own `timeout`.

        Raises:
            LockTimeoutError: They were not all here in that time, and the barrier is broken.
            BarrierBrokenError: Another party timed out or died, or somebody broke or reset the barrier.
            redis.exceptions.RedisError: Redis failed; this party leaves, or counts as dead when its lease has run out.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        link, token = link_of(self._redis), next_token()
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                return await self._wait(link, token)
        except BaseException as error:
            if isinstance(error, TimeoutError) and timer.expired():
                return await shielded(self._time_out(link, token, limit or 0.0), link.deadline + SOON)
            if not isinstance(error, BarrierBrokenError):
                deadline = max(link.deadline, self._lease_ms / 1000)
                leaving = _LEAVE(link, *self._keys, token, "", self._ttl_ms, deadline=deadline)
                link.finish(quietly(leaving), "redis barrier left")
            raise

    async def _wait(self, link: Link, token: str) -> int:
        terms = (token, self._parties, self._lease_ms, self._ttl_ms)
        outcome, number, reason = await _WAIT(link, *self._keys, *terms, 0)
        if outcome == 0:
            async with link.subscriptions.listen(self._keys[0]) as bell:
                while True:
                    outcome, number, reason = await _WAIT(link, *self._keys, *terms, 1)
                    if outcome != 0:
                        break
                    await bell.wait(pause(min(number, self._lease_ms / 3)))
        return self._index(outcome, number, reason)

    async def _time_out(self, link: Link, token: str, limit: float) -> int:
        """Break it, unless it was passed in the last moment."""
        outcome, number, reason = await _LEAVE(link, *self._keys, token, _TIMED_OUT, self._ttl_ms)
        if reason == _TIMED_OUT.encode():
            raise LockTimeoutError(self.name, limit, f"barrier {self.name!r} was not passed") from None
        return self._index(outcome, number, reason)

    def _index(self, outcome: int, number: int, reason: bytes) -> int:
        if outcome < 0:
            raise BarrierBrokenError(self.name, reason.decode(errors="replace"))
        return number

    async def abort(self) -> None:
        """Break the barrier: all who wait are told, and so is whoever comes, until it is reset."""
        await _LEAVE(self._redis, *self._keys, "", "it was aborted", self._ttl_ms)

    async def reset(self) -> None:
        """Mend the barrier; those who wait there now are told that it was broken."""
        state, here, _, alive = self._keys
        await _RESET(self._redis, state, here, alive)

    async def state(self) -> BarrierState:
        """How it stands at this moment."""
        reply = await _INSPECT(self._redis, *self._keys[:2])
        with Stored("a barrier"):
            passed, waiting, broken = reply
            return BarrierState(passed, waiting, broken.decode() if broken else None)
