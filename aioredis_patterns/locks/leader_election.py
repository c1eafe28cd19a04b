"""Leader election: of any number of candidates, in any number of processes, one leads at a time.

Promise: while a candidate believes that it leads nobody else does. It steps down a tenth of the lease before the server
would give its office away, so there is time to stop. Each term's number is greater than those before, and is the
fence for what a leader writes (see `FenceGuard`). A leader that is killed or stopped is replaced within its lease.

Limit of the promise: that of a `Lock`. A process that is stopped while it leads believes so until it goes on; then
`is_leader` is false before anything else runs.

Cost: that of one held `Lock`: one small script a third of a lease, no round trip to ask whether one leads.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from types import TracebackType
from typing import Final, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import lease_ms, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, check_name
from aioredis_patterns._core.tasks import BackgroundTasks, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.errors import LockError, LockTimeoutError, PatternError
from aioredis_patterns.locks.lease import Lease, is_plain_function, quietly
from aioredis_patterns.locks.lock import Lock
from aioredis_patterns.locks.owner import LockOwner
from aioredis_patterns.types import AnyRedis, Seconds

__all__ = ("LeaderElection",)

_MARGIN: Final = 0.1
"""Share of the lease by which a leader steps down early."""

_LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to stand while Redis fails."""


_logger = logging.getLogger("aioredis_patterns")


@final
class LeaderElection:
    """One candidate for an office that one holds at a time.

    It stands from the moment the `async with` is entered until it is left; then it resigns. When it is elected
    `on_elected` is called with the number of the term, and `on_deposed` with the same number when the term ends, for
    whatever reason: one call for each change, in turn, in the event loop. While Redis fails it goes on standing.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: Of the office.
        lease: Seconds after which a leader that is gone is replaced.
        on_elected: Called with the term when this candidate begins to lead. It must not block, and is not awaited;
            what it raises is logged.
        on_deposed: Called with the term when it leads no more: it resigns, or could not renew in
            time. The office is free only after that.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     async with LeaderElection(redis, "scheduler", lease=10) as election:
        ...         term = await election.elected()
        ...         while election.is_leader:
        ...             ...  # one step of what only the leader does, with the term as its fence
        ...             break
    """

    __slots__ = (
        "_bell",
        "_changed",
        "_lease",
        "_lock",
        "_margin",
        "_on_deposed",
        "_on_elected",
        "_redis",
        "_resigning",
        "_tasks",
        "name",
    )

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        lease: Seconds = 10,
        on_elected: Callable[[int], object] | None = None,
        on_deposed: Callable[[int], object] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        for option, callback in (("on_elected", on_elected), ("on_deposed", on_deposed)):
            if callback is not None and not is_plain_function(callback):
                raise TypeError(f"{option} must be a plain function, not {callback!r:.80}")
        self.name = name
        self._redis = redis
        check_name(prefix, "prefix")
        # A prefix of its own: a lock may have the same name as an office.
        self._lock = Lock(redis, name, lease=lease, on_lost=self._look, prefix=f"{prefix}:office")
        self._margin = lease_ms(lease) / 1000 * _MARGIN
        self._on_elected, self._on_deposed = on_elected, on_deposed
        self._tasks = BackgroundTasks()
        self._lease: Lease | None = None
        self._resigning = False
        self._bell = Bell()  # whoever leads looks whether it still does
        self._changed = asyncio.Event()  # another one after each change

    def __repr__(self) -> str:
        state = f"leads, term {self.term}" if self.is_leader else "stands" if self._tasks else "does not stand"
        return f"<LeaderElection {self.name!r}, {state}>"

    # What is asked ---------------------------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether this candidate leads at this moment: the clock is asked, not Redis."""
        return self._lease is not None and self._left(self._lease) > 0

    @property
    def term(self) -> int | None:
        """The number of the term while this candidate leads, else None; the fence of what it writes."""
        return self._lease.fence if self._lease is not None and self.is_leader else None

    async def elected(self, timeout: Seconds | None = None) -> int:
        """Wait until this candidate leads; the term.

        Args:
            timeout: Seconds to wait; None for ever.

        Raises:
            LockTimeoutError: Another led all the time.
            LockError: It does not stand: the `async with` was not entered, or was left.
        """
        limit = None if timeout is None else timeout_seconds(timeout)
        try:
            async with asyncio.timeout(limit):
                while (term := self.term) is None:
                    await self._next_change()
        except TimeoutError:
            raise LockTimeoutError(self.name, limit or 0.0) from None
        return term

    async def leader(self) -> LockOwner | None:
        """Who leads at this moment, of all candidates; None when the office is vacant.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        return await self._lock.owner()

    # Standing --------------------------------------------------------------------------------------------------------

    async def resign(self) -> bool:
        """Step down, and let others lead for at least a third of a lease; whether this candidate led.

        It hands over: who has stood longest leads a moment later. Then this candidate stands again.
        """
        led = self.is_leader
        if self._lease is not None:
            self._resigning = True
            self._bell.ring()
            while self._resigning:
                await self._next_change()
        return led

    async def __aenter__(self) -> LeaderElection:
        if self._tasks:
            raise LockError(self.name, f"this candidate stands for {self.name!r} already")
        link_of(self._redis)  # which refuses what is no client
        self._tasks.start(self._stand(), name="redis leader election")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await quietly(shielded(self._tasks.cancel(), 2 * link_of(self._redis).deadline))
        self._change()

    async def _stand(self) -> None:
        pause = 0.01
        while True:
            try:
                lease = await self._lock.acquire()
            except (RedisError, PatternError, OSError, TimeoutError):
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = 0.01
            await self._lead(lease)

    async def _lead(self, lease: Lease) -> None:
        """Be the leader until the lease nears its end, is lost, or this candidate resigns."""
        self._lease = lease
        self._tell(self._on_elected, lease.fence)
        self._change()
        try:
            while (left := self._left(lease)) > 0 and not self._resigning:
                await self._bell.wait(left)
        finally:
            self._lease = None
            self._tell(self._on_deposed, lease.fence)
            try:
                await quietly(lease.release())
            finally:
                resigned, self._resigning = self._resigning, False
                self._change()
        if resigned:
            await asyncio.sleep(lease.lease_ms / 3000)

    def _left(self, lease: Lease) -> float:
        """Seconds until it steps down, unless the lease is renewed."""
        return lease.valid_for - self._margin

    def _look(self, lease: Lease) -> None:
        if lease is self._lease:
            self._bell.ring()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _next_change(self) -> None:
        if not self._tasks:
            raise LockError(self.name, f"this candidate does not stand for {self.name!r}")
        await self._changed.wait()

    def _tell(self, callback: Callable[[int], object] | None, term: int) -> None:
        """Call back; what that raises is logged, and changes nothing."""
        try:
            if callback is not None:
                callback(term)
        except Exception:
            _logger.exception("a callback of leader election %r failed", self.name)
