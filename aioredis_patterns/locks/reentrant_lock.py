"""A reentrant lock: a task that holds it may take it again, and it is free when everything taken was given back.

Promise: what `Lock` promises. The owner is the task: code that a task awaits may take the lock again, at no cost and
without waiting, through any `ReentrantLock` of the same name and client. A task that it starts (`create_task`,
`TaskGroup`, `gather`) is another owner and waits as everybody else does, although it inherits the context.

Limit of the promise: that of `Lock`. An owner that awaits a task of its own which needs the lock waits for ever.

Cost: that of `Lock` for the first, no command for the others. All of them share its one lease and its fence.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from types import TracebackType
from typing import Any, final
from weakref import WeakValueDictionary

from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import LockLostError
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, OnLost
from aioredis_patterns.locks.lock import Lock
from aioredis_patterns.locks.owner import LockOwner
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("ReentrantLease", "ReentrantLock")


class _Owned:
    """What one task holds of one lock."""

    __slots__ = ("__weakref__", "handles", "lease", "watched")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.handles = 0  # not given back yet
        self.watched = False  # its loss cancels the task


class _Owners:
    """What the tasks of one client hold, by lock and task; handles that are dropped are not kept alive here."""

    __slots__ = ("owned",)

    def __init__(self) -> None:
        self.owned: WeakValueDictionary[tuple[str, asyncio.Task[Any] | None], _Owned] = WeakValueDictionary()


@final
class ReentrantLease:
    """One of the times that a task took a lock; the last to be released frees it.

    All of them share one lease: it is renewed, and lost, for all.

    Example:
        >>> async def main(redis):
        ...     lock = ReentrantLock(redis, "account:7")
        ...     async with lock as outer, lock as inner:
        ...         return outer.fence == inner.fence
    """

    __slots__ = ("_open", "_owned", "_watching")

    def __init__(self, owned: _Owned) -> None:
        owned.handles += 1
        self._owned = owned
        self._open = True
        self._watching = False

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._owned.lease.name

    @property
    def fence(self) -> int:
        """A number that is greater than that of every holder before."""
        return self._owned.lease.fence

    @property
    def valid_until(self) -> float:
        """Until when the lock is certainly held, as `time.monotonic` counts."""
        return self._owned.lease.valid_until

    @property
    def valid_for(self) -> float:
        """Seconds for which the lock is certainly held without a further renewal; 0 when it is not held."""
        return self._owned.lease.valid_for if self._open else 0.0

    @property
    def held_for(self) -> float:
        """Seconds since the task took the lock for the first time."""
        return self._owned.lease.held_for

    @property
    def lost(self) -> bool:
        """Whether the lease ended before it was released."""
        return self._owned.lease.lost

    async def extend(self, lease: Seconds | None = None) -> None:
        """Renew the lease now, and with another length from now on if one is given, for all that share it.

        Raises:
            LockLostError: It is not held any more.
            redis.exceptions.RedisError: Redis failed; the lease runs on as before.
        """
        if not self._open:
            raise LockLostError(self.name, "released")
        await self._owned.lease.extend(lease)

    async def release(self) -> bool:
        """Give this back; whether it was still held. The lock is free when the task has given back everything.

        It may be called again: it answers False then.

        Raises:
            redis.exceptions.RedisError: Redis failed; the lock is free when its lease has run out.
        """
        if not self._open:
            return False
        return await self._owned.lease.release() if self._close() else not self.lost

    async def __aenter__(self) -> ReentrantLease:
        if not self._open:
            raise LockLostError(self.name, "released")
        if not self._owned.watched:
            await self._owned.lease.__aenter__()
            self._owned.watched = self._watching = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        owned, watching, self._watching = self._owned, self._watching, False
        if watching:
            owned.watched = False
        if (self._open and self._close()) or (watching and owned.lease.lost):
            await owned.lease.__aexit__(kind, error, traceback)
        elif watching:
            owned.lease.leave()

    def __repr__(self) -> str:
        return f"<ReentrantLease {self._owned.lease!r}>"

    def _close(self) -> bool:
        """Count it as given back; whether it was the last."""
        self._open = False
        self._owned.handles -= 1
        return not self._owned.handles


@final
class ReentrantLock(Entering[ReentrantLease]):
    """A lock over processes and machines that the task which holds it may take again.

    The object is only a definition, as `Lock` is: any number of tasks may share it, and each is an owner of its own.
    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is locked.
        lease: Seconds that the lock lives without a renewal. It is renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        on_lost: What happens when the lease is lost, as in `Lock`: "cancel", "flag", or a function.
        on_event: Told when a task takes the lock first, gives it back last, or loses it, see
            `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     lock = ReentrantLock(redis, "account:7", lease=10)
        ...     async def deposit():
        ...         async with lock as lease:
        ...             return lease.fence
        ...     async with lock as lease:
        ...         return lease.fence == await deposit()
    """

    __slots__ = ("_key", "_lock", "_redis")

    _places = sys.maxsize

    def __init__(  # noqa: PLR0913
        self,
        redis: AnyRedis,
        name: str,
        *,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        renew: bool = True,
        max_hold: Seconds | None = None,
        on_lost: OnLost = "cancel",
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        super().__init__(name, None if timeout is None else timeout_seconds(timeout))
        self._redis = redis
        self._key = Keys(name, prefix).key("lock")
        self._lock = Lock(
            redis, name, lease=lease, timeout=timeout, renew=renew, max_hold=max_hold,
            on_lost=on_lost, on_event=_as_own(on_event), prefix=prefix,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<ReentrantLock {self.name!r}>"

    async def acquire(self, timeout: Seconds | None = None) -> ReentrantLease:
        """Take the lock again if this task holds it, else wait until it is free.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            LockTimeoutError: Another held it all the time.
            LockLostError: This task held it, has not given it back, and has lost it.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        return self._again() or self._own(await self._lock.acquire(timeout))

    async def try_acquire(self) -> ReentrantLease | None:
        """Take the lock if this task holds it, or if it is free now; None when another holds it.

        Raises:
            LockLostError: This task held it, has not given it back, and has lost it.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        if (again := self._again()) is not None:
            return again
        lease = await self._lock.try_acquire()
        return None if lease is None else self._own(lease)

    async def locked(self) -> bool:
        """Whether anybody holds the lock at this moment."""
        return await self._lock.locked()

    async def owner(self) -> LockOwner | None:
        """Who holds the lock at this moment; None when it is free."""
        return await self._lock.owner()

    async def force_release(self) -> bool:
        """Free the lock however often its task took it; whether it was held. That is told at the next renewal."""
        return await self._lock.force_release()

    def _again(self) -> ReentrantLease | None:
        owned = link_of(self._redis).companion(_Owners).owned.get((self._key, asyncio.current_task()))
        if owned is None or not owned.handles:
            return None
        if not owned.lease.valid_for:
            raise LockLostError(self.name, "expired")
        return ReentrantLease(owned)

    def _own(self, lease: Lease) -> ReentrantLease:
        owned = _Owned(lease)
        link_of(self._redis).companion(_Owners).owned[self._key, asyncio.current_task()] = owned
        return ReentrantLease(owned)


def _as_own(hook: EventHook | None) -> EventHook | None:
    """A hook for the lock underneath, whose events are told as this class's."""
    return None if hook is None else lambda event: hook(replace(event, pattern="ReentrantLock"))
