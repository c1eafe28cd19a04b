"""The handle of a lock that is held: how long it is certain, how to prolong it, how to give it back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import lease_ms as checked_lease_ms
from aioredis_patterns._core.renewal import LossReason, Renewal, Renewals
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockLostError, PatternError
from aioredis_patterns.events import LockLost, LockReleased, emit
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("GiveBack", "Lease", "OnLost", "Terms", "is_plain_function", "quietly")

OnLost: TypeAlias = "Literal['cancel', 'flag'] | Callable[[Lease], object]"
"""What the loss of a lease does: cancel the task that entered it, only set `lost`, or call something."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What the leases of one lock have in common.

    Args:
        redis: The client.
        name: Of the lock, as the user wrote it.
        pattern: The lock's class, for events.
        key: Where the server keeps it.
        lease_ms: How long it lives without a renewal.
        renew: Whether it is renewed while its handle lives.
        max_hold: Seconds after which it is renewed no more.
        on_lost: What its loss does.
        on_event: Told of its loss and its release.
        renewal: The script that renews it.
        drifts: Whether several clocks count it, so that 1 % of it and 2 ms are not certain.
    """

    redis: AnyRedis
    name: str
    pattern: str
    key: str
    lease_ms: int
    renew: bool
    max_hold: float | None
    on_lost: OnLost
    on_event: EventHook | None
    renewal: Renewal
    drifts: bool = False

    @classmethod
    def checked(  # noqa: PLR0913
        cls,
        redis: AnyRedis,
        name: str,
        pattern: str,
        key: str,
        renewal: Renewal,
        *,
        lease: Seconds,
        renew: bool,
        max_hold: Seconds | None,
        on_lost: OnLost,
        on_event: EventHook | None,
    ) -> Terms:
        """The terms as a user writes them, refused when they make no sense."""
        limit_ms = None if max_hold is None else checked_lease_ms(max_hold, "max_hold")
        if on_lost not in ("cancel", "flag") and not is_plain_function(on_lost):
            raise ValueError(f"on_lost must be 'cancel', 'flag' or a plain function, not {on_lost!r}")
        lease_ms = min(checked_lease_ms(lease), limit_ms or checked_lease_ms(lease))
        seconds = None if limit_ms is None else limit_ms / 1000
        return cls(redis, name, pattern, key, lease_ms, renew, seconds, on_lost, on_event, renewal)

    def certain(self, lease_ms: int) -> float:
        """The seconds of a lease that are certain, whatever clock they are counted by."""
        lease = lease_ms / 1000
        return lease * 0.99 - 0.002 if self.drifts else lease


GiveBack: TypeAlias = "Callable[[Link, Lease], Coroutine[Any, Any, bool]]"
"""Gives a lease back to the server; whether it was still held."""

_NEVER: Final = float("inf")
_MILLISECOND: Final = 0.001


@final
class Lease:
    """A lock that is held, for one acquisition.

    It is renewed in the background as long as this handle lives and its event loop runs. A handle that is dropped
    without `release` is not renewed any more: the lock is free when its lease has run out.

    Promise: while `lost` is false nobody else holds the lock. The time is counted on the monotonic clock from before
    the last successful request was sent, so the holder knows of the loss before the server gives the lock away.

    Limit of the promise: a program that is stopped, or that blocks its event loop, notices late. What must not happen
    twice even then is guarded by `fence`, a number that grows with every acquisition of the lock.

    `async with lease:` releases it at the exit. If the lease is lost meanwhile, the task inside is cancelled and
    `LockLostError` raised at the exit; an exception of the body's own goes first.

    Example:
        >>> async def main(redis):
        ...     lease = await Lock(redis, "resource:42").acquire(timeout=5)
        ...     async with lease:
        ...         return lease.fence, lease.valid_for
    """

    __slots__ = (
        "__weakref__",
        "_cancelled",
        "_cancelling",
        "_ends",
        "_give_back",
        "_link",
        "_loss",
        "_open",
        "_renewals",
        "_restarted",
        "_returned",
        "_since",
        "_task",
        "_terms",
        "due",
        "fence",
        "lease_ms",
        "patience",
        "token",
        "valid_until",
    )

    valid_until: float

    def __init__(self, terms: Terms, give_back: GiveBack, link: Link, token: str, fence: int, sent: float) -> None:
        self.token = token
        self.fence = fence
        self.lease_ms = terms.lease_ms
        self._terms = terms
        self._give_back = give_back
        self._link = link
        self._renewals = renewals = link.companion(Renewals)
        self._since = self._restarted = sent
        self._ends = _NEVER if terms.max_hold is None else sent + terms.max_hold
        self._open = True  # it counts as held; false as soon as its release begins
        self._returned = False
        self._loss: LossReason | None = None
        self._task: asyncio.Task[Any] | None = None  # who entered it, and is cancelled when it is lost
        self._cancelling = 0
        self._cancelled = False
        self._set_validity(sent, terms.lease_ms)
        renewals.add(self)

    # What the holder asks --------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._terms.name

    @property
    def valid_for(self) -> float:
        """Seconds for which the lock is certainly held without a further renewal; 0 when it is not held."""
        return max(0.0, self.valid_until - monotonic()) if self._open else 0.0

    @property
    def held_for(self) -> float:
        """Seconds since it was acquired."""
        return monotonic() - self._since

    @property
    def lost(self) -> bool:
        """Whether it ended before it was released."""
        return self._loss is not None or (self._open and self.valid_until <= monotonic())

    async def extend(self, lease: Seconds | None = None) -> None:
        """Renew the lease now, and with another length from now on if one is given.

        A lease that is lost is never taken again.

        Args:
            lease: Seconds that it lives from now without a further renewal.

        Raises:
            LockLostError: It is not held any more.
            redis.exceptions.RedisError: Redis failed; the lease runs on as before, a shorter one from now on.
        """
        wanted_ms = self.lease_ms if lease is None else checked_lease_ms(lease)
        self._check()
        self.lease_ms = wanted_ms
        sent = monotonic()
        length_ms = max(self._allowed_ms(sent), 1)
        if sent + self._terms.certain(length_ms) < self.valid_until:
            self._restart(sent, length_ms)  # a shorter one counts at once: its answer may be lost
        (answer,) = await self.renewal(self.redis, self.key, self.token, length_ms)
        if answer <= 0:
            self.on_lost("taken" if answer < 0 else "expired")
        elif not self._open:
            self._link.finish(self._give_back(self._link, self), "redis lock extended too late")
        self._check()
        self._restart(sent, length_ms)

    async def release(self) -> bool:
        """Give the lock back and wake who has waited longest; whether it was still held.

        It may be called again: it answers False then. A caller that is cancelled here ends when it is done.

        Raises:
            redis.exceptions.RedisError: Redis failed; the lock is free when its lease has run out.
        """
        if self._open and self.valid_until <= monotonic():
            self.on_lost("expired")
        if self._returned or self._loss is not None:
            return False
        self._open = False
        self._renewals.discard(self)
        held = await self._give_back(self._link, self)
        if self._returned:  # by another call meanwhile
            return False
        self._returned = True
        if not held:
            self._loss = "taken"
        self._tell()
        return held

    async def __aenter__(self) -> Lease:
        self._check()
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        # As in asyncio.timeout: the cancellation is ours if none came from elsewhere too.
        ours = self._cancelled and task is not None and task.uncancel() <= self._cancelling
        try:
            await self.release()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"lock {self.name!r} could not be released either: {failure!r}")
        if self._loss is None or self._terms.on_lost == "flag":
            return
        loss = LockLostError(self.name, self._loss)
        if error is None or (ours and kind is asyncio.CancelledError):
            raise loss from error
        error.add_note(str(loss))

    def __repr__(self) -> str:
        state = (
            f"valid for {self.valid_for:.3f} s" if self._open else f"lost: {self._loss}" if self._loss else "released"
        )
        return f"<Lease of {self._terms.pattern} {self.name!r}, fence {self.fence}, {state}>"

    def leave(self) -> None:
        """Nobody is inside any more who would have to be cancelled; it is held all the same."""
        self._task = None

    def hand_on(self) -> None:
        """What it holds goes on in another handle: this one counts as released, and is renewed no more."""
        self._open, self._returned = False, True
        self._renewals.discard(self)

    def _check(self) -> None:
        if self._open and self.valid_until <= monotonic():
            self.on_lost("expired")
        if not self._open:
            raise LockLostError(self.name, self._loss or "released")

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def redis(self) -> AnyRedis:
        """The client that holds it."""
        return self._terms.redis

    @property
    def renewal(self) -> Renewal:
        """The script that renews it."""
        return self._terms.renewal

    @property
    def key(self) -> str:
        """Where the server keeps it."""
        return self._terms.key

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed in the background."""
        return self._allowed_ms(monotonic()) if self._terms.renew else 0

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed in the background; whether it is still wanted."""
        if self._open and sent >= self._restarted:
            self._set_validity(sent, lease_ms)
        return self._open

    def on_lost(self, reason: LossReason) -> None:
        """It is lost: whoever has to know is told, once."""
        if not self._open:
            return
        self._open = False
        self._loss = reason
        self._renewals.discard(self)
        self._tell()
        on_lost, task = self._terms.on_lost, self._task
        if callable(on_lost):
            asyncio.get_running_loop().call_soon(on_lost, self)
        elif on_lost == "cancel" and task is not None and task is not asyncio.current_task():
            self._cancelled = True
            task.cancel(f"the lease on lock {self.name!r} was lost")

    def _allowed_ms(self, now: float) -> int:
        return self.lease_ms if self._ends is _NEVER else min(self.lease_ms, max(int((self._ends - now) * 1000), 0))

    def _restart(self, sent: float, lease_ms: int) -> None:
        """Count from a request of the holder's own; what was asked before it says nothing any more."""
        self._renewals.discard(self)
        self._restarted = sent
        self._set_validity(sent, lease_ms)
        self._renewals.add(self)

    def _set_validity(self, sent: float, lease_ms: int) -> None:
        lease = self._terms.certain(lease_ms)
        self.valid_until = valid_until = sent + lease
        last = not self._terms.renew or valid_until >= self._ends - _MILLISECOND
        self.patience = patience = lease if last else lease / 3
        self.due = sent + patience

    def _tell(self) -> None:
        terms = self._terms
        if terms.on_event is None:
            return
        if self._loss is None:
            emit(terms.on_event, LockReleased(pattern=terms.pattern, held=self.held_for))
        else:
            emit(terms.on_event, LockLost(pattern=terms.pattern, reason=self._loss, held=self.held_for))


def is_plain_function(callback: object) -> bool:
    """Whether it may be called back: nobody would await what a coroutine function gives."""
    return callable(callback) and not inspect.iscoroutinefunction(callback)


async def quietly(work: Awaitable[object]) -> None:
    """For what is given back: when Redis fails, the lease ends it."""
    try:
        await work
    except (RedisError, PatternError, OSError, TimeoutError):
        pass
