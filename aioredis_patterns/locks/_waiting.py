"""Tasks of one client that wait for the same lock: they queue here, and only the first of them asks the server.

So a lock that hundreds of tasks want costs one question per client and release, not hundreds; and a release can give
the lock to the next task of its own client in the same trip.
"""

from __future__ import annotations

import copy
from time import monotonic
from typing import final

from aioredis_patterns.client.subscriptions import Bell

__all__ = ("Waiter", "Waiting")


@final
class Waiter:
    """One task that waits for one lock.

    Args:
        token: Of its acquisition.
        owner: What the lock is to say about it.
        lease_ms: For how long it wants to hold.
        since: When it began to wait, as `time.monotonic` counts.
    """

    __slots__ = (
        "bell",
        "failure",
        "first",
        "gone",
        "granted",
        "inherits",
        "lease_ms",
        "listening",
        "owner",
        "served",
        "since",
        "token",
    )

    def __init__(self, token: str, owner: str | bytes, lease_ms: int, since: float) -> None:
        self.token, self.owner, self.lease_ms, self.since = token, owner, lease_ms, since
        self.bell = Bell()
        self.first = False  # it is its turn to ask the server
        self.listening = False  # the server can wake it
        self.inherits = True  # another task of this client may give it the lock
        self.served = False  # another task of this client holds the lock, and gives it to this one
        self.granted: tuple[float, int] | None = None  # when that was asked for, and the fence
        self.failure: Exception | None = None
        self.gone = False  # it gave up

    @property
    def waited_us(self) -> int:
        """For how long it has waited."""
        return int((monotonic() - self.since) * 1_000_000)

    def ask(self) -> None:
        """Nobody gives it the lock: it has to ask the server."""
        self.served = False
        self.bell.ring()

    def check(self) -> None:
        """Raise what the task before in the line was told by Redis."""
        if self.failure is not None:
            raise copy.copy(self.failure)

    def take_granted(self) -> tuple[float, int] | None:
        """What another task of this client has handed over, if it is still valid; it is asked for again if not."""
        granted, self.granted = self.granted, None
        return granted if granted is not None and granted[0] + self.lease_ms / 1000 > monotonic() else None


@final
class Waiting(dict[str, dict[Waiter, None]]):
    """The lines of one client on one event loop, by the lock's key."""

    __slots__ = ()

    def join(self, key: str, waiter: Waiter) -> None:
        """Stand at the end of the line."""
        line = self.setdefault(key, {})
        waiter.first = not line
        line[waiter] = None

    def leave(self, key: str, waiter: Waiter, *, holding: bool) -> bool:
        """Leave the line, with the lock or without it; whether others remain, the next of whom is the first now."""
        line = self[key]
        del line[waiter]
        waiter.gone = not holding
        if not line:
            del self[key]
            return False
        if waiter.first:
            heir = next(iter(line))
            heir.first, heir.served = True, holding
            heir.bell.ring()
        return True

    def first(self, key: str) -> Waiter:
        """Who is served next, in a line that there is."""
        return next(iter(self[key]))

    def fail(self, key: str, error: Exception) -> None:
        """Tell everybody in the line at once, so that none has to find out by a deadline of its own."""
        for waiter in self.get(key, ()):
            waiter.failure = error
            waiter.bell.ring()
