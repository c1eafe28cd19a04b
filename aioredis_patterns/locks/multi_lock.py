"""Several locks at once, all of them or none: one lease over all, and the loss of one is the loss of all.

The names are those of `Lock`: who holds one of them as a `Lock` excludes who wants it among others, and the other way
round.

Promise: while the lease is valid nobody else holds any of the names. Nobody waits for one name while it keeps others
from being used, except in a cluster; and no order in which programs name them makes two wait for one another.

Limit of the promise: that of `Lock`. In a cluster, where the names live on several nodes, they are taken one after the
other in a fixed order, so a waiter holds those it has already.

Cost: one round trip to acquire and one to release, whatever the number of names, and three keys for each, as with
`Lock`. In a cluster one for each slot, and one more for their common fence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from time import monotonic
from typing import Any, Final, cast, final

from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys, check_name, slot
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.cluster import ClusterLink
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockLostError
from aioredis_patterns.events import LockAcquired, emit
from aioredis_patterns.locks._claim import SOON, Claim, give_back
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, OnLost, Terms, quietly
from aioredis_patterns.locks.lock import RENEW
from aioredis_patterns.locks.owner import describe_owner, next_token
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("MultiLock",)

_TAKING: Final = ("clock", "held", "take", "enroll", "wake")

_ACQUIRE: Final = Script(__package__, "multi_lock_acquire", fragments=_TAKING, lease=True)
_RELEASE: Final = Script(__package__, "multi_lock_release", fragments=("held", "wake"), lease=True)

_MOST: Final = 100
"""Names that one lock may have: they are asked for in one script call."""


@final
class MultiLock(Entering[Lease]):
    """Several locks at once, all of them or none.

    The object is only a definition: it holds nothing, does no I/O when it is made, and any number of tasks may share
    it. What is held is one `Lease` for all the names. Its `fence` is larger than every earlier one of each name.

    When one of the names is lost, the lease is; the others are free when it has run out.

    Promise, limit and cost: see the module. It is not reentrant.

    Args:
        redis: Any asyncio client of redis-py.
        names: What is locked, 1 to 100 different names, in any order.
        lease: Seconds that the locks live without a renewal. They are renewed when a third of them has passed.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        on_lost: What happens when the lease is lost, as with `Lock`.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys; that of the locks which it shall exclude.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     accounts = MultiLock(redis, ["account:7", "account:42"], lease=10)
        ...     async with accounts as lease:
        ...         print(lease.fence, await Lock(redis, "account:42").locked())
    """

    __slots__ = ("_groups", "_keys", "_terms", "names")

    def __init__(  # noqa: PLR0913
        self,
        redis: AnyRedis,
        names: Iterable[str],
        *,
        lease: Seconds = 10,
        timeout: Seconds | None = None,
        renew: bool = True,
        max_hold: Seconds | None = None,
        on_lost: OnLost = "cancel",
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.names = _checked(names)
        super().__init__(" + ".join(self.names), None if timeout is None else timeout_seconds(timeout))
        made = [Keys(name, prefix) for name in sorted(self.names)]
        made.sort(key=lambda keys: slot(keys.key("lock")))
        self._keys = [(keys.key("lock"), keys.key("fence"), keys.key("waiters")) for keys in made]
        self._groups: dict[bool, list[_Group]] = {}
        self._terms = Terms.checked(
            redis, self.name, "MultiLock", self._keys[0][0], RENEW,
            lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<MultiLock {self.name!r}>"

    async def acquire(self, timeout: Seconds | None = None) -> Lease:
        """Wait until all the names are free, and take them.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            LockTimeoutError: Others held some of them all the time.
            LockLostError: In a cluster, what was taken first was taken away while the rest was waited for.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        return cast(Lease, await self._take(limit, waits=True))

    async def try_acquire(self) -> Lease | None:
        """Take all the names if they are free now; None when another holds one of them.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; nothing is held.
        """
        return await self._take(None, waits=False)

    async def _take(self, limit: float | None, *, waits: bool) -> Lease | None:
        link, started, token = link_of(self._terms.redis), monotonic(), next_token()
        groups = self._groups_on(link)
        try:
            lease = await self._take_each(link, groups, token, limit, waits=waits)
        except BaseException:
            if len(groups) > 1:
                link.finish(quietly(groups[-1].free_all(link, token)), "redis locks given back")
            raise
        if lease is None and len(groups) > 1:
            await quietly(groups[-1].free_all(link, token))
        if lease is not None and (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern="MultiLock", waited=monotonic() - started))
        return lease

    async def _take_each(
        self, link: Link, groups: list[_Group], token: str, limit: float | None, *, waits: bool
    ) -> Lease | None:
        """Take one group after the other; what is taken is renewed meanwhile."""
        started, lease = monotonic(), None
        for group in groups:
            claim = _Claim(link, self._terms, group, token, lease.fence if lease else 0)
            left = limit if lease is None else limit and max(started + limit - monotonic(), SOON)
            granted = await (claim.take(left) if waits else claim.once())
            if granted is None:
                return None
            lease = self._held(lease, group, claim, granted)
        if lease is not None and len(groups) > 1:
            await _level(link, groups[:-1], lease)
        return lease

    def _groups_on(self, link: Link) -> list[_Group]:
        """The names that one script call can take together: all of them, in a cluster those of one slot."""
        scattered = isinstance(link, ClusterLink)
        if scattered not in self._groups:
            parts = [list(part) for _, part in groupby(self._keys, lambda keys: slot(keys[0]) if scattered else 0)]
            self._groups[scattered] = groups = list[_Group]()
            for number, part in enumerate(parts, 1):
                groups.append(_Group(part, list(groups), self._terms, last=number == len(parts)))
        return self._groups[scattered]

    def _held(self, before: Lease | None, group: _Group, claim: Claim, granted: tuple[float, int]) -> Lease:
        """One lease for this group and those before it, which is as certain as the oldest of them."""
        sent, fence = granted
        if before is not None:
            if before.lost:
                raise LockLostError(self.name, "expired")
            sent = min(sent, before.valid_until - before.lease_ms / 1000)
            before.hand_on()
        return Lease(group.terms, group.give_back, claim.link, claim.token, fence, sent)


class _Group:
    """Names that are taken together, after those of the groups before.

    Args:
        keys: Lock, fence and waiters of each name.
        before: The groups that are taken before this.
        terms: Of the lease over all groups.
        last: Whether this is the last.
    """

    __slots__ = ("_acquire", "_keys", "_locks", "_pairs", "_release", "_renew", "_so_far", "line", "terms")

    def __init__(self, keys: list[tuple[str, str, str]], before: list[_Group], terms: Terms, *, last: bool) -> None:
        self._keys = [key for three in keys for key in three]
        self._locks = [lock for lock, _, _ in keys]
        self._pairs = [key for lock, _, waiters in keys for key in (lock, waiters)]
        self._acquire = _ACQUIRE.taking(len(self._keys))
        self._release = _RELEASE.taking(len(self._pairs))
        self._renew = RENEW.taking(len(self._locks))
        self._so_far = [*before, self]
        self.line = f"all of {' '.join(self._locks)}"
        own = replace(terms, key=self._locks[0], renewal=_Renewal(self._so_far))
        self.terms = own if last else replace(own, on_lost="flag", on_event=None)

    async def ask(self, link: Link, token: str, fence: int, deadline: float, *place: str | int) -> int:
        """Ask for the names of this group, under this fence at least."""
        owner, lease_ms = describe_owner(link.loop), self.terms.lease_ms
        answer: int = await self._acquire(link, *self._keys, token, lease_ms, owner, fence, *place, deadline=deadline)
        return answer

    async def renew(self, redis: AnyRedis, token: str | bytes | int, lease_ms: str | bytes | int, deadline: Any) -> int:
        """Renew all of this group, or find one of them lost."""
        arguments = [token, lease_ms] * len(self._locks)
        answers: list[int] = await self._renew(redis, *self._locks, *arguments, deadline=deadline)
        return min(answers)

    async def free(self, link: Link, token: str, deadline: float | None, *inbox: str) -> int:
        """Free what the token holds of this group; 1 when that was all."""
        answer: int = await self._release(link, *self._pairs, token, *inbox, deadline=deadline)
        return answer

    async def give_back(self, link: Link, lease: Lease) -> bool:
        """Free what a lease over this group and those before it holds."""
        return await self.free_all(link, lease.token)

    async def free_all(self, link: Link, token: str) -> bool:
        """Free what a token holds of this group and those before it; whether it held all of it."""

        async def free(deadline: float | None) -> int:
            return min(await asyncio.gather(*[group.free(link, token, deadline) for group in self._so_far]))

        return await give_back(link, free)


class _Renewal:
    """Renews a hold of several groups: it is renewed when each of them is."""

    __slots__ = ("_groups",)

    def __init__(self, groups: list[_Group]) -> None:
        self._groups = groups

    def taking(self, keys: int) -> _Renewal:
        """Itself: the holds are counted when it is called."""
        return self

    async def __call__(
        self, redis: AnyRedis, *keys_and_args: str | bytes | int, deadline: Seconds | None = None
    ) -> list[int]:
        """Renew so many holds: their keys, then token and lease of each."""
        rest = keys_and_args[len(keys_and_args) // 3 :]
        holds = zip(rest[::2], rest[1::2], strict=True)
        asked = [group.renew(redis, *hold, deadline) for hold in holds for group in self._groups]
        answers, count = await asyncio.gather(*asked), len(self._groups)
        return [min(answers[at : at + count]) for at in range(0, len(answers), count)]


class _Claim(Claim):
    """An acquisition of one group."""

    __slots__ = ("_fence", "_group")

    def __init__(self, link: Link, terms: Terms, group: _Group, token: str, fence: int) -> None:
        # A channel of its own: as the client's inbox it would share its place with who waits for one of the names.
        inbox = f"{link.subscriptions.inbox}:{token}"
        super().__init__(link, terms, token, group.line, inbox, None)
        self._group, self._fence = group, fence

    async def _ask(self, deadline: float, *place: str | int) -> int:
        return await self._group.ask(self.link, self.token, self._fence, deadline, *place)

    async def _undo(self, inbox: str, deadline: float) -> object:
        return await self._group.free(self.link, self.token, deadline, *(inbox and [inbox]))


async def _level(link: Link, groups: list[_Group], lease: Lease) -> None:
    """Bring the names that were taken first under the fence of the last, which is the largest."""
    asked = [group.ask(link, lease.token, lease.fence, link.deadline) for group in groups]
    if set(await asyncio.gather(*asked)) != {lease.fence}:
        raise LockLostError(lease.name, "taken")


def _checked(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str | bytes):
        raise TypeError(f"names must be several names, not {names!r:.80}")
    checked = tuple(names)
    for name in checked:
        check_name(name)
    if not 1 <= len(checked) <= _MOST or len(set(checked)) < len(checked):
        raise ValueError(f"names must be 1 to {_MOST} different names, not {checked!r:.80}")
    return checked
