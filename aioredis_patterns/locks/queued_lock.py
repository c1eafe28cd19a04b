"""What locks have in common whose waiters stand in one line on the server, and are let in by whoever leaves.

The line knows every waiter of every client, in order. The script that frees the lock gives it to the next of them at
once, and nobody can slip in between. What was given has to be confirmed while the waiter's last sign of life counts;
the confirmation makes a lease of it. A waiter gives such signs as long as it waits; one that is gone is passed over
when its last sign has run out, and so are all that went with it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Final, Literal, TypeAlias

from aioredis_patterns._core.durations import lease_ms, timeout_seconds
from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.locks._claim import Claim, give_back
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, Terms
from aioredis_patterns.locks.owner import describe_owner, next_token
from aioredis_patterns.types import Seconds

__all__ = ("ADMITTING", "BREAK", "Line", "Mode", "QueuedLock", "READING", "Turn")

Mode: TypeAlias = Literal["w", "r", "u"]
"""To write alone, to read with others, or to write with a token that reads."""

ADMITTING: Final = ("clock", "held", "take", "admission")
"""The Lua that lets in who is next."""

_ACQUIRE: Final = Script(__package__, "queued_lock_acquire", keys=5, fragments=ADMITTING, lease=True)
_RELEASE: Final = Script(__package__, "queued_lock_release", keys=5, fragments=ADMITTING, lease=True)
_UNDO: Final = Script(__package__, "queued_lock_undo", keys=5, fragments=ADMITTING, repeatable=True, lease=True)
READING: Final = Script(__package__, "queued_lock_renew", fragments=ADMITTING, repeatable=True, lease=True)
"""Renews the leases of readers."""

BREAK: Final = Script(__package__, "queued_lock_break", keys=5, fragments=ADMITTING, lease=True)
"""Takes the lock from everybody who holds it."""


class Line:
    """Where a lock and its waiters are on the server.

    Args:
        name: Of the lock.
        prefix: First part of the keys.
        heartbeat: Seconds within which a waiter that is gone is passed over.
    """

    __slots__ = ("keys", "life_ms", "lock", "readers")

    def __init__(self, name: str, prefix: str, heartbeat: Seconds) -> None:
        keys = Keys(name, prefix)
        self.lock, self.readers = keys.key("lock"), keys.key("readers")
        self.keys = (self.lock, keys.key("fence"), self.readers, keys.key("queue"), keys.key("beats"))
        # A sign of life comes with every third of it, and who comes next looks as often: together a heartbeat.
        self.life_ms = max(lease_ms(heartbeat, "heartbeat") * 3 // 4, 1)


class Turn(Claim):
    """One acquisition.

    Args:
        link: The connection.
        line: Where to stand.
        terms: Of the lease that is wanted.
        mode: What for.
        token: Of the acquisition.
    """

    __slots__ = ("_keys", "_life_ms", "_mode", "_owner")

    def __init__(self, link: Link, line: Line, terms: Terms, mode: Mode, token: str) -> None:
        super().__init__(link, terms, token, token, link.subscriptions.inbox, token)
        self._keys, self._life_ms, self._mode, self._owner = line.keys, line.life_ms, mode, describe_owner(link.loop)

    def waiter(self) -> str:
        """What stands in the line for it."""
        owner = self._owner if isinstance(self._owner, str) else self._owner.decode()
        return f"{self._mode} {self.token} {self._inbox} {owner}"

    async def _ask(self, deadline: float, *place: str | int) -> int:
        where = (self._inbox, self._life_ms) if place else ()
        answer: int = await _ACQUIRE(
            self.link, *self._keys, self._mode, self.token, self._terms.lease_ms, self._owner, *where,
            deadline=deadline,
        )  # fmt: skip
        return answer

    async def _undo(self, inbox: str, deadline: float) -> object:
        return await _UNDO(self.link, *self._keys, self._mode, self.token, self._owner, inbox, deadline=deadline)


class QueuedLock(Entering[Lease]):
    """A lock that is acquired in the order of a line: `FairLock`, or one side of a `ReadWriteLock`.

    Args:
        line: Where it and its waiters are.
        terms: Of its leases.
        mode: "w" to hold it alone, "r" to share it.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
    """

    __slots__ = ("line", "mode", "terms")

    def __init__(self, line: Line, terms: Terms, mode: Mode, timeout: Seconds | None) -> None:
        super().__init__(terms.name, None if timeout is None else timeout_seconds(timeout))
        self.line, self.terms = line, terms
        self.mode: Mode = mode

    def __repr__(self) -> str:
        return f"<{self.terms.pattern} {self.name!r}>"

    async def acquire(self, timeout: Seconds | None = None) -> Lease:
        """Stand in line until it is this task's turn.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            LockTimeoutError: Its turn did not come in that time.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        return await self.take(self._turn(), timeout)

    async def try_acquire(self) -> Lease | None:
        """Take the lock if it is free now and nobody waits for it; None otherwise.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        turn = self._turn()
        granted = await turn.once()
        return None if granted is None else self._lease(turn, *granted)

    async def take(self, turn: Turn, timeout: Seconds | None) -> Lease:
        """Wait for a turn, and make a lease of it."""
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        return self._lease(turn, *await turn.take(limit))

    def _turn(self) -> Turn:
        return Turn(link_of(self.terms.redis), self.line, self.terms, self.mode, next_token())

    def _lease(self, turn: Turn, sent: float, fence: int) -> Lease:
        turn.acquired()
        return Lease(self.terms, self.give_back, turn.link, turn.token, fence, sent)

    async def give_back(self, link: Link, lease: Lease) -> bool:
        """Free it and let in who is next; whether it was still held."""
        return await give_back(link, partial(self._free, link, lease.token))

    def _free(self, link: Link, token: str, deadline: float | None) -> Awaitable[object]:
        return _RELEASE(link, *self.line.keys, self.mode, token, deadline=deadline)
