"""A fair lock: one holder at a time, and those who wait get it in the order in which they came.

Promise: what `Lock` promises, and the order: over all tasks, processes and machines, whoever began to wait first is
served first. The lock goes from hand to hand, without a moment at which a newcomer could take it; `try_acquire` does
not jump the queue either. A waiter that died is passed over within one heartbeat, and so are all that died with it.

Limit of the promise: the order is that in which the server heard of them. A waiter that was silent for three quarters
of a heartbeat (a stopped process, a lost network) has lost its place, and stands at the end when it comes back.

Cost: one round trip to acquire a free lock, three to wait for one, one to release, and while waiting one for each
quarter of a heartbeat. Four keys: the lock, its line and the waiters' signs of life live as long as a lease or a wait,
the fence counter for a day.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, final

from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.locks.lease import Lease, OnLost, Terms
from aioredis_patterns.locks.lock import INSPECT, RENEW
from aioredis_patterns.locks.owner import LockOwner, read_owner
from aioredis_patterns.locks.queued_lock import BREAK, Line, QueuedLock, Turn
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("FairLock",)

_PLACE: Final = Script(__package__, "fair_lock_place", repeatable=True, lease=True)


@final
class FairLock(QueuedLock):
    """A lock over processes and machines whose waiters are served in the order in which they came.

    The object is only a definition, as `Lock` is: any number of tasks may share it. Promise, limit and cost: see the
    module. It is not reentrant.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is locked.
        lease: Seconds that the lock lives without a renewal. It is renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        heartbeat: Seconds within which waiters that died are passed over.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        on_lost: What happens when a lease is lost, as in `Lock`: "cancel", "flag", or a function.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     async with FairLock(redis, "printer", lease=10) as lease:
        ...         return lease.fence
    """

    __slots__ = ("_turns",)

    def __init__(  # noqa: PLR0913
        self,
        redis: AnyRedis,
        name: str,
        *,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        heartbeat: Seconds = 4,
        renew: bool = True,
        max_hold: Seconds | None = None,
        on_lost: OnLost = "cancel",
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        line = Line(name, prefix, heartbeat)
        terms = Terms.checked(
            redis, name, "FairLock", line.lock, RENEW,
            lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
        )  # fmt: skip
        super().__init__(line, terms, "w", timeout)
        self._turns: dict[asyncio.Task[Any] | None, Turn] = {}

    async def take(self, turn: Turn, timeout: Seconds | None) -> Lease:
        """Wait for a turn, and make a lease of it."""
        task = asyncio.current_task()
        self._turns[task] = turn
        try:
            return await super().take(turn, timeout)
        finally:
            del self._turns[task]

    async def place(self, task: asyncio.Task[Any]) -> int | None:
        """Which place a task has that waits in `acquire` of this object: 1 for the next to be served.

        None when it does not stand in the line: it does not wait, or has the lock by now.

        Example:
            >>> async def main(redis):
            ...     lock = FairLock(redis, "printer")
            ...     async with lock:
            ...         waiting = asyncio.create_task(lock.acquire(timeout=0.1))
            ...         await asyncio.sleep(0.05)
            ...         place = await lock.place(waiting)
            ...         await asyncio.wait([waiting])
            ...     return place
        """
        turn = self._turns.get(task)
        if turn is None:
            return None
        return await _PLACE(turn.link, self.line.keys[3], turn.waiter()) or None

    async def locked(self) -> bool:
        """Whether anybody holds the lock at this moment."""
        value, _ = await INSPECT(self.terms.redis, self.line.lock)
        return bool(value)

    async def owner(self) -> LockOwner | None:
        """Who holds the lock at this moment; None when it is free."""
        value, left_ms = await INSPECT(self.terms.redis, self.line.lock)
        return read_owner(value, left_ms) if value else None

    async def force_release(self) -> bool:
        """Take the lock from whoever holds it; whether it was held. Its holder is told at its next renewal."""
        return bool(await BREAK(self.terms.redis, *self.line.keys))
