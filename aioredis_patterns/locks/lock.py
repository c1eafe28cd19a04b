"""A lock over processes and machines: one holder at a time, for as long as its lease is renewed.

Promise: while a lease is valid nobody else holds the lock. A holder that dies frees it when its lease has run out; a
holder that lives renews it, and is told when it cannot. Whatever a caller does (cancel, time out, lose its connection
at any moment) leaves no lock behind that nobody holds.

Limit of the promise: Redis replicates after it has answered, so a failover may forget a lock that was just taken, and
an eviction policy other than `noeviction` may drop it. What must not happen twice even then is guarded by the fence.

Cost: one round trip to acquire and one to release, three keys: the lock and its line of waiting clients live as long
as the lease or the wait, the fence counter for a day.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Final, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import delay_ms, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockLostError, LockTimeoutError, OutcomeUnknownError
from aioredis_patterns.events import LockAcquired, LockTimedOut, emit
from aioredis_patterns.locks._claim import RECHECK, SOON, insist, patience, pause
from aioredis_patterns.locks._waiting import Waiter, Waiting
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, OnLost, Terms, quietly
from aioredis_patterns.locks.owner import LockOwner, describe_owner, next_token, read_owner
from aioredis_patterns.locks.replicas import OnMissing, Replicated, checked_replicas
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("INSPECT", "Lock", "RENEW")

_TAKING: Final = ("clock", "held", "take", "enroll")

_ACQUIRE: Final = Script(__package__, "lock_acquire", keys=3, fragments=_TAKING, lease=True)
_RELEASE: Final = Script(__package__, "lock_release", keys=2, fragments=("held", "wake"), lease=True)
_HAND_OVER: Final = Script(__package__, "lock_hand_over", keys=3, fragments=(*_TAKING, "wake"), lease=True)
_UNDO: Final = Script(__package__, "lock_undo", keys=2, fragments=("held", "wake"), repeatable=True, lease=True)
RENEW: Final = Script(__package__, "lock_renew", fragments=("held",), repeatable=True, lease=True)
_BREAK: Final = Script(__package__, "lock_break", keys=2, fragments=("wake",), lease=True)
INSPECT: Final = Script(__package__, "lock_inspect", repeatable=True, lease=True)

_UNKNOWN: Final = 0
"""The place of an answer that did not come; no answer is 0."""


@final
class Lock(Entering[Lease]):
    """A lock over processes and machines.

    The object is only a definition: it holds nothing, does no I/O when it is made, and any number of tasks may share
    it. What is held is the `Lease` that `acquire` gives and that `async with` gives to the task that entered.

    Promise, limit and cost: see the module. Waiting tasks of one client queue within it, in order; clients are woken
    in the order in which they began to wait, and a newcomer may be faster than who was woken. It is not reentrant.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is locked.
        lease: Seconds that the lock lives without a renewal. It is renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        min_hold: Seconds that the lock stays closed after it was acquired, even if it is released earlier: for what
            may happen once per period over the whole fleet.
        min_replicas: How many replicas have to have it before it counts as acquired; they get a tenth of the lease.
            It costs a connection of its own while they are waited for. Renewals and releases are not waited for.
        on_missing_replicas: What happens when fewer have it. "fail": it is given back, and `LockError` raised. "warn":
            a line in the log. "ignore": nothing.
        on_lost: What happens when a lease is lost. "cancel": the task that entered it is cancelled, and
            `LockLostError` raised at the exit. "flag": nothing but `lease.lost`. A plain function: it is called with
            the lease, and `LockLostError` raised at the exit.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     lock = Lock(redis, "resource:42", lease=10)
        ...     async with lock as lease:
        ...         print(lease.fence, lease.valid_for)
        ...     if lease := await lock.try_acquire():
        ...         await lease.release()
    """

    __slots__ = ("_acquire", "_fence", "_key", "_min_hold_ms", "_terms", "_waiters")

    def __init__(  # noqa: PLR0913
        self,
        redis: AnyRedis,
        name: str,
        *,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        renew: bool = True,
        max_hold: Seconds | None = None,
        min_hold: Seconds = 0,
        min_replicas: int = 0,
        on_missing_replicas: OnMissing = "fail",
        on_lost: OnLost = "cancel",
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        super().__init__(name, None if timeout is None else timeout_seconds(timeout))
        keys = Keys(name, prefix)
        self._key, self._fence, self._waiters = keys.key("lock"), keys.key("fence"), keys.key("waiters")
        self._min_hold_ms = delay_ms(min_hold, "min_hold")
        self._terms = Terms.checked(
            redis, name, "Lock", self._key, RENEW,
            lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
        )  # fmt: skip
        self._acquire: Script | Replicated = _ACQUIRE
        if checked_replicas(min_replicas, on_missing_replicas):
            self._acquire = Replicated(_ACQUIRE, name, min_replicas, self._terms.lease_ms, on_missing_replicas)

    def __repr__(self) -> str:
        return f"<Lock {self.name!r}>"

    # Acquiring -------------------------------------------------------------------------------------------------------

    async def acquire(self, timeout: Seconds | None = None) -> Lease:
        """Wait until the lock is free, and take it.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            LockTimeoutError: Another held it all the time.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        started = monotonic()
        link = link_of(self._terms.redis)
        lease = None
        if self._key not in link.companion(Waiting):
            lease = await self._try(link, patience(limit, link.deadline))
        if lease is None and limit != 0:
            lease = await self._wait(link, started, limit)
        if lease is None:
            raise self._timed_out(started, 0.0)
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern="Lock", waited=monotonic() - started))
        return lease

    async def try_acquire(self) -> Lease | None:
        """Take the lock if it is free now; None when another holds it.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        link = link_of(self._terms.redis)
        lease = await self._try(link, link.deadline)
        if lease is not None and (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern="Lock", waited=0.0))
        return lease

    async def adopt(self, token: str) -> Lease:
        """Go on with a lease that was acquired elsewhere: its `token` came here, and its handle there is dropped.

        Raises:
            LockLostError: The lock is not held by this token any more.
        """
        if not isinstance(token, str):
            raise TypeError(f"token must be a str, not {token!r:.80}")
        sent = monotonic()
        (fence,) = await RENEW(self._terms.redis, self._key, token, self._terms.lease_ms)
        if fence <= 0:
            raise LockLostError(self.name, "taken" if fence else "expired")
        return self._new_lease(link_of(self._terms.redis), token, fence, sent)

    async def _try(self, link: Link, deadline: float) -> Lease | None:
        token, owner = next_token(), describe_owner(link.loop)
        try:
            sent = monotonic()
            try:
                answer = await self._acquire(
                    link, self._key, self._fence, self._waiters,
                    token, self._terms.lease_ms, owner, deadline=deadline,
                )  # fmt: skip
            except OutcomeUnknownError:
                answer = _UNKNOWN
            if answer == _UNKNOWN or (answer > 0 and self._is_late(sent)):
                sent, answer = await self._ask(link, token, owner, sent + deadline)
        except BaseException:
            self._undo(link, token)
            raise
        return self._new_lease(link, token, answer, sent) if answer > 0 else None

    async def _ask(
        self, link: Link, token: str, owner: str | bytes, give_up: float, *place: str | int
    ) -> tuple[float, int]:
        """Ask for the lock: when it was asked, and the fence or minus the ms that another holds it.

        A lost reply is asked for again. The script answers a token that has the lock already with its fence, and with
        a new lease, so the validity counts from the request that was answered. With a `place` (inbox and microseconds
        waited) the client is woken when the lock becomes free.
        """
        while (left := round(give_up - monotonic(), 2)) >= SOON:
            sent = monotonic()
            try:
                answer: int = await self._acquire(
                    link, self._key, self._fence, self._waiters,
                    token, self._terms.lease_ms, owner, *place, deadline=left,
                )  # fmt: skip
            except OutcomeUnknownError:
                continue
            if answer <= 0 or not self._is_late(sent):
                return sent, answer
        raise OutcomeUnknownError(_ACQUIRE.name, "no answer came in time")

    def _is_late(self, sent: float) -> bool:
        return monotonic() >= sent + self._terms.lease_ms / 1000

    def _new_lease(self, link: Link, token: str, fence: int, sent: float) -> Lease:
        return Lease(self._terms, self._give_back, link, token, fence, sent)

    # Waiting ---------------------------------------------------------------------------------------------------------

    async def _wait(self, link: Link, started: float, limit: float | None) -> Lease:
        """Stand in the line of this client, and leave it with the lock or without anything."""
        waiting, key = link.companion(Waiting), self._key
        waiter = Waiter(next_token(), describe_owner(link.loop), self._terms.lease_ms, started)
        waiter.inherits = self._acquire is _ACQUIRE  # its replicas learn of it by its own question alone
        waiting.join(key, waiter)
        timer = asyncio.timeout(None if limit is None else started + limit - monotonic())
        try:
            async with timer:
                sent, fence = await self._take_turn(link, waiter)
        except BaseException as error:
            alone = not waiting.leave(key, waiter, holding=False)
            if waiter.first:
                self._undo(link, waiter.token, link.subscriptions.inbox if alone else "")
            if isinstance(error, TimeoutError) and timer.expired():
                raise self._timed_out(started, limit or 0.0) from None
            if isinstance(error, RedisError | OutcomeUnknownError):
                waiting.fail(key, error)
            raise
        waiting.leave(key, waiter, holding=True)
        return self._new_lease(link, waiter.token, fence, sent)

    async def _take_turn(self, link: Link, waiter: Waiter) -> tuple[float, int]:
        """Wait in the line, then ask whenever the lock may have become free."""
        while not waiter.first:
            await waiter.bell.wait()
            waiter.check()
        inbox = link.subscriptions.inbox
        async with link.subscriptions.listen(inbox, self._key, waiter.bell):
            waiter.listening = True
            while True:
                left_ms = RECHECK * 1000
                if (granted := waiter.take_granted()) is not None:
                    return granted
                if not waiter.served:
                    sent, answer = await self._ask(
                        link, waiter.token, waiter.owner, monotonic() + link.deadline, inbox, waiter.waited_us
                    )
                    if answer > 0:
                        return sent, answer
                    left_ms = -answer
                await waiter.bell.wait(pause(left_ms))
                waiter.check()
                waiter.served = False

    def _timed_out(self, started: float, limit: float) -> LockTimeoutError:
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockTimedOut(pattern="Lock", waited=monotonic() - started))
        return LockTimeoutError(self.name, limit)

    # Giving back -----------------------------------------------------------------------------------------------------

    async def _give_back(self, link: Link, lease: Lease) -> bool:
        """Free the lock, or give it to the next task of this client; whether it was still held."""
        cooldown = self._cooldown(lease) if self._min_hold_ms else ()
        give_up = monotonic() + link.deadline
        try:
            try:
                if self._key in link.companion(Waiting):
                    return await self._pass_on(link, lease.token, cooldown)
                return bool(await _RELEASE(link, self._key, self._waiters, lease.token, *cooldown))
            except OutcomeUnknownError:
                return await self._free_again(link, lease.token, cooldown, give_up - monotonic())
        except asyncio.CancelledError:
            # The request may not have left. Asking twice does no harm.
            freed = self._free_again(link, lease.token, cooldown, link.deadline)
            await quietly(shielded(freed, link.deadline + SOON))
            raise

    async def _pass_on(self, link: Link, token: str, cooldown: tuple[int, ...]) -> bool:
        """Free the lock while tasks of this client wait for it."""
        heir = link.companion(Waiting).first(self._key)
        if heir.inherits and not cooldown:
            return await self._hand_over(link, token, heir)
        heir.ask()
        return bool(await _RELEASE(link, self._key, self._waiters, token, *cooldown))

    def _cooldown(self, lease: Lease) -> tuple[int, ...]:
        """The ms that the lock has to stay closed, if any."""
        left_ms = self._min_hold_ms - int(lease.held_for * 1000)
        return (left_ms,) if left_ms > 0 else ()

    async def _free_again(self, link: Link, token: str, cooldown: tuple[int, ...], seconds: float) -> bool:
        """Free the lock when an answer to the same request did not come: if it is gone now, that one has freed it."""
        free = partial(_RELEASE, link, self._key, self._waiters, token, *cooldown)
        await insist(link, lambda deadline: free(deadline=deadline), seconds)
        return True

    async def _hand_over(self, link: Link, token: str, heir: Waiter) -> bool:
        sent, inbox = monotonic(), link.subscriptions.inbox if heir.listening else ""
        try:
            answer: int = await _HAND_OVER(
                link, self._key, self._fence, self._waiters,
                token, heir.token, heir.lease_ms, heir.owner, inbox, heir.waited_us,
            )  # fmt: skip
        except BaseException:
            self._let_ask(link, heir)
            raise
        if answer > 0 and not heir.gone:
            heir.granted = (sent, answer)
            heir.bell.ring()
        elif answer or not inbox:
            self._let_ask(link, heir)
        return answer >= 0

    def _let_ask(self, link: Link, heir: Waiter) -> None:
        """The heir may have the lock or not: it finds out itself, or, having given up, must not keep it."""
        heir.ask()
        if heir.gone:
            self._undo(link, heir.token)

    def _undo(self, link: Link, token: str, inbox: str = "") -> None:
        """Take back in the background what this token may have left on the server, for as long as that would live."""
        deadline = max(link.deadline, self._terms.lease_ms / 1000)
        undone = _UNDO(link, self._key, self._waiters, token, inbox, deadline=deadline)
        if isinstance(self._acquire, Replicated):
            undone = self._acquire.then(token, undone)
        link.finish(quietly(undone), "redis lock undone")

    # Whoever holds it ------------------------------------------------------------------------------------------------

    async def locked(self) -> bool:
        """Whether anybody holds the lock at this moment, or keeps it closed by `min_hold`."""
        value, _ = await INSPECT(self._terms.redis, self._key)
        return bool(value)

    async def owner(self) -> LockOwner | None:
        """Who holds the lock at this moment; None when it is free."""
        value, left_ms = await INSPECT(self._terms.redis, self._key)
        return read_owner(value, left_ms) if value else None

    async def force_release(self) -> bool:
        """Free the lock whoever holds it; whether it was held. Its holder is told at its next renewal."""
        return bool(await _BREAK(self._terms.redis, self._key, self._waiters))
