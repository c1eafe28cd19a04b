"""A read-write lock: many read together, or one writes alone, and neither side is starved.

Promise: while a lease to write is valid nobody else holds anything; while a lease to read is valid nobody writes. The
sides take turns: when a writer leaves, all readers that wait go in together; when those have left, the writer that
waited longest goes in, before any reader that came after it. So a reader waits for one writer at most beside the one
that writes, and a writer for one round of readers between it and the writer before. Each reader has a lease of its
own: one that died keeps writers out for the rest of its own lease and no longer.

Limit of the promise: that of `Lock`. A waiter that was silent for three quarters of a heartbeat (a stopped process, a
lost network) has lost its place. After a writer that died readers and writers go on in the same turns.

Cost: one round trip to acquire what is free, three to wait, one to release, and while waiting one for each quarter of
a heartbeat. Five keys: the writer, the readers, the line and the waiters' signs of life live as long as a lease or a
wait, the fence counter for a day.
"""

from __future__ import annotations

from time import monotonic
from typing import Final, final

from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockError, LockLostError
from aioredis_patterns.locks.lease import Lease, OnLost, Terms
from aioredis_patterns.locks.lock import RENEW
from aioredis_patterns.locks.owner import LockOwner, read_owner
from aioredis_patterns.locks.queued_lock import ADMITTING, BREAK, READING, Line, QueuedLock, Turn
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("ReadWriteLock",)

_DOWNGRADE: Final = Script(
    __package__, "read_write_lock_downgrade", keys=5, fragments=ADMITTING, repeatable=True, lease=True
)
_INSPECT: Final = Script(
    __package__, "read_write_lock_inspect", keys=2, fragments=("clock",), repeatable=True, lease=True
)


class _Upgrade(Turn):
    """The acquisition of a reader that wants to write, and goes on to read when it is given up."""

    __slots__ = ("_lease",)

    def __init__(self, link: Link, line: Line, terms: Terms, lease: Lease) -> None:
        super().__init__(link, line, terms, "u", lease.token)
        self._lease = lease

    async def _ask(self, deadline: float, *place: str | int) -> int:
        answer = await super()._ask(deadline, *place)
        if answer:
            return answer
        await self._lease.extend()  # raises when it was lost
        name = self._terms.name
        raise LockError(name, f"another reader of lock {name!r} waits to write: neither could ever go first")


@final
class ReadWriteLock:
    """A lock that many hold together to read, or one alone to write.

    The object is only a definition, and so are its sides, `read()` and `write()`: any number of tasks may share them.
    Promise, limit and cost: see the module. A task that is inside and enters again would wait for itself, and is
    refused; `upgrade` and `downgrade` change sides.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is locked.
        lease: Seconds that a hold lives without a renewal. It is renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        heartbeat: Seconds within which waiters that died are passed over.
        renew: False to let a lease end after its time.
        max_hold: Seconds after which a hold is renewed no more, and so is lost.
        on_lost: What happens when a lease is lost, as in `Lock`: "cancel", "flag", or a function.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     prices = ReadWriteLock(redis, "prices", lease=10)
        ...     async with prices.read():
        ...         print("others may read too")
        ...     async with prices.write() as lease:
        ...         print("nobody else is here", lease.fence)
    """

    __slots__ = ("_line", "_read", "_write", "name")

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
        self.name = name
        self._line = line = Line(name, prefix, heartbeat)
        reading, writing = (
            Terms.checked(
                redis, name, pattern, key, renewal,
                lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
            )
            for pattern, key, renewal in (("ReadLock", line.readers, READING), ("WriteLock", line.lock, RENEW))
        )  # fmt: skip
        self._read, self._write = QueuedLock(line, reading, "r", timeout), QueuedLock(line, writing, "w", timeout)
        self._write.share_entries_of(self._read)

    def __repr__(self) -> str:
        return f"<ReadWriteLock {self.name!r}>"

    def read(self) -> QueuedLock:
        """The side that many hold together: to be entered, or acquired.

        Example:
            >>> async def main(redis):
            ...     prices = ReadWriteLock(redis, "prices")
            ...     async with prices.read(), await prices.read().acquire():
            ...         return await prices.write().try_acquire() is None
        """
        return self._read

    def write(self) -> QueuedLock:
        """The side that one holds alone: to be entered, or acquired.

        Example:
            >>> async def main(redis):
            ...     async with ReadWriteLock(redis, "prices").write() as lease:
            ...         return lease.fence
        """
        return self._write

    async def downgrade(self, lease: Lease) -> Lease:
        """Go on as a reader with what is held to write: nobody writes in between, and who waits to read comes in.

        Args:
            lease: To write. It is spent then: the new one has to be released in its place.

        Raises:
            ValueError: It is no lease to write of this lock.
            LockLostError: It is not held any more.
            redis.exceptions.RedisError: Redis failed; the lease is what it was, or is told that it was lost.

        Example:
            >>> async def main(redis):
            ...     prices = ReadWriteLock(redis, "prices")
            ...     async with prices.write() as writing:
            ...         async with await prices.downgrade(writing):
            ...             return "reading what was written"
        """
        link, sent = self._check(lease, self._write), monotonic()
        terms = self._read.terms
        if not await _DOWNGRADE(link, *self._line.keys, lease.token, terms.lease_ms):
            lease.on_lost("expired")
            raise LockLostError(self.name, "expired")
        lease.hand_on()
        return Lease(terms, self._read.give_back, link, lease.token, lease.fence, sent)

    async def upgrade(self, lease: Lease, timeout: Seconds | None = None) -> Lease:
        """Go on as the writer with what is held to read, when the other readers have left: nobody writes in between.

        It goes before everybody who waits. While another reader waits for the same it is refused at once, since both
        would wait for the other to leave.

        Args:
            lease: To read. It is spent when the answer comes, and held as before when there is an error.
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            ValueError: It is no lease to read of this lock.
            LockError: Another reader waits to upgrade. Release, and acquire to write.
            LockTimeoutError: The others did not leave in that time.
            LockLostError: It is not held any more.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed.

        Example:
            >>> async def main(redis):
            ...     prices = ReadWriteLock(redis, "prices")
            ...     async with prices.read() as reading:
            ...         async with await prices.upgrade(reading, timeout=5) as writing:
            ...             return writing.fence > reading.fence
        """
        link = self._check(lease, self._read)
        written = await self._write.take(_Upgrade(link, self._line, self._write.terms, lease), timeout)
        lease.hand_on()
        return written

    async def locked(self) -> bool:
        """Whether anybody writes or reads at this moment."""
        value, _, reading = await _INSPECT(self._write.terms.redis, self._line.lock, self._line.readers)
        return bool(value or reading)

    async def owner(self) -> LockOwner | None:
        """Who writes at this moment; None when nobody does, though others may read."""
        value, left_ms, _ = await _INSPECT(self._write.terms.redis, self._line.lock, self._line.readers)
        return read_owner(value, left_ms) if value else None

    async def force_release(self) -> bool:
        """Take the lock from the writer or from all who read; whether it was held.

        Who waits comes in at once. The holders are told at their next renewal.

        Example:
            >>> async def main(redis):
            ...     prices = ReadWriteLock(redis, "prices", on_lost="flag")
            ...     async with prices.read():
            ...         return await prices.force_release(), await prices.locked()
        """
        return bool(await BREAK(self._write.terms.redis, *self._line.keys))

    def _check(self, lease: Lease, side: QueuedLock) -> Link:
        if getattr(lease, "key", None) != side.terms.key:
            raise ValueError(f"lease must be a {side.terms.pattern}'s of {self.name!r}, not {lease!r}")
        if not lease.valid_for:
            raise LockLostError(self.name, "expired" if lease.lost else "released")
        return link_of(side.terms.redis)
