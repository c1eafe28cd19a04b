"""A lock on several servers that know nothing of one another: it holds while most of them work.

Promise: while a lease is valid nobody else holds the lock, and its fence is greater than that of every holder before,
though any minority of the servers is stopped, paused, cut off, or emptied by a restart. A server that was started less
than a lease ago may have forgotten who holds the lock: until the lock was held on it since, its vote counts only if all
servers vote alike.

Limit of the promise: the clocks of the servers run at the same speed within 1 %; all who lock a name use the same
servers and the same lease; no replica takes over for one of them; and none is emptied by FLUSHALL or an eviction policy
while it runs. A majority of the servers has to answer, else nobody gets the lock.

Cost: two round trips to acquire, one to release, each to all servers at once and as long as it takes the faster
majority; on each server two keys: the lock lives as long as the lease, the fence counter for a day.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, final

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockTimeoutError, OutcomeUnknownError
from aioredis_patterns.events import LockAcquired, LockTimedOut, emit
from aioredis_patterns.locks._claim import RECHECK, SOON
from aioredis_patterns.locks._waiting import Waiter, Waiting
from aioredis_patterns.locks.ballot import Ballot
from aioredis_patterns.locks.entering import Entering
from aioredis_patterns.locks.lease import Lease, OnLost, Terms
from aioredis_patterns.locks.owner import next_token
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

__all__ = ("Redlock",)

_ACQUIRE: Final = Script(__package__, "redlock_acquire", keys=2, fragments=("clock", "run"), lease=True)
_CONFIRM: Final = Script(__package__, "redlock_confirm", keys=2, fragments=("run",), repeatable=True, lease=True)
_RENEW: Final = Script(__package__, "redlock_renew", repeatable=True, lease=True)
_MEND: Final = Script(__package__, "redlock_mend", keys=2, fragments=("run",), lease=True)
_RELEASE: Final = Script(__package__, "redlock_release", lease=True)

_SHORTEST: Final = 10
"""Milliseconds; less than that is gone before a majority has answered."""

_PATIENCE: Final = 0.08
"""Share of the lease that one server has to answer."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1

_TURNS: Final = 16
"""How often tasks of one client may follow one another before those of others get a chance."""


@dataclass(frozen=True, slots=True)
class _Holding:
    """What was acquired last."""

    token: str
    fence: int
    ballot: Ballot[Any]


@final
class Redlock(Entering[Lease]):
    """A lock on several independent servers, held while most of them work.

    The object is only a definition, as a `Lock` is; what is held is a `Lease`. It is renewed on all servers, put back
    on one that has lost it while a majority has it, and lost when a majority is.

    Promise, limit and cost: see the module. Waiting tasks of one client queue within it, in order; clients ask again
    at random times, so none is sure to be next. It is not reentrant.

    Args:
        servers: Clients of masters that know nothing of one another; best an odd number, for two of four may fail no
            more than one of three.
        name: What is locked.
        lease: Seconds that the lock lives without a renewal, of which 1 % and 2 ms are not counted. A server has 8 %
            of it to answer.
        timeout: Seconds that acquiring may take when `acquire` does not say; None to wait for ever.
        renew: False to let the lease end after its time.
        max_hold: Seconds after which it is renewed no more, and so is lost.
        on_lost: What happens when a lease is lost, see `Lock`.
        on_event: Told of what happens, see `aioredis_patterns.events`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     async with Redlock([redis], "resource:42", lease=10) as lease:  # three or five servers rather than one
        ...         print(lease.fence, lease.valid_for)
    """

    __slots__ = ("_fence", "_held", "_key", "_patience", "_quorum", "_servers", "_terms", "_turns")

    def __init__(  # noqa: PLR0913
        self,
        servers: Sequence[AnyRedis],
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
        keys = Keys(name, prefix)
        self._key, self._fence = keys.key("redlock"), keys.key("redlock:fence")
        self._servers = _checked(servers)
        self._quorum = len(self._servers) // 2 + 1
        terms = Terms.checked(
            self._servers[0], name, "Redlock", self._key, _QuorumRenewal(self._renew),
            lease=lease, renew=renew, max_hold=max_hold, on_lost=on_lost, on_event=on_event,
        )  # fmt: skip
        if terms.lease_ms < _SHORTEST:
            raise ValueError(f"lease must be {_SHORTEST / 1000} s at least on several servers, not {lease!r}")
        self._terms = replace(terms, drifts=True)
        self._patience = max(terms.lease_ms / 1000 * _PATIENCE, SOON)
        self._held: _Holding | None = None
        self._turns = 0

    def __repr__(self) -> str:
        return f"<Redlock {self.name!r} on {len(self._servers)} servers>"

    # Acquiring -------------------------------------------------------------------------------------------------------

    async def acquire(self, timeout: Seconds | None = None) -> Lease:
        """Wait until a majority of the servers grants the lock.

        Args:
            timeout: Seconds to wait; 0 to try once, None for the lock's own `timeout`.

        Raises:
            LockTimeoutError: Another held it all the time.
            OutcomeUnknownError, redis.exceptions.ConnectionError: No majority answered, for the client's deadline or
                the timeout if that is shorter; nothing is held.
        """
        limit = self._timeout if timeout is None else timeout_seconds(timeout)
        started = monotonic()
        lease = await (self._wait(started, limit) if limit != 0 else self._try())
        if lease is None:
            raise self._timed_out(started, 0.0)
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern="Redlock", waited=monotonic() - started))
        return lease

    async def try_acquire(self) -> Lease | None:
        """Take the lock if it is free now; None when another holds it, or tries to at the same moment.

        Raises:
            OutcomeUnknownError, redis.exceptions.ConnectionError: No majority answered; nothing is held.
        """
        lease = await self._try()
        if lease is not None and (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern="Redlock", waited=0.0))
        return lease

    async def _try(self) -> Lease | None:
        """Ask every server once, and undo what that leaves unless it wins."""
        links, token, sent = self._links(), next_token(), monotonic()
        ballot: Ballot[list[int]] = Ballot(
            _ACQUIRE(link, self._key, self._fence, token, self._terms.lease_ms, deadline=self._deadline(link))
            for link in links
        )
        won = False
        try:
            await ballot.settle(self._is_decided)
            fence = self._elect(ballot)
            if not fence:
                return None
            await self._confirm(links, token, fence)
            self._check_time(sent, self._terms.lease_ms)
            won = True
        finally:
            if not won:
                self._free(token, {n: link for n, link in enumerate(links) if not _refused(ballot, n)}, ballot)
        self._held = _Holding(token, fence, ballot)
        return Lease(self._terms, self._give_back, links[0], token, fence, sent)

    def _is_decided(self, votes: list[list[int]]) -> bool:
        certain = sum(fence > 0 and knows > 0 for fence, knows in votes)
        refused = sum(fence < 0 for fence, _ in votes)
        return certain >= self._quorum or refused > len(self._servers) - self._quorum

    def _elect(self, ballot: Ballot[list[int]]) -> int:
        """The fence, if the token has won; 0 when others have voted against it."""
        votes = list(ballot.answers.values())
        granted = [fence for fence, _ in votes if fence > 0]
        certain = [fence for fence, knows in votes if knows]
        if len(granted) == len(self._servers) or sum(fence > 0 for fence in certain) >= self._quorum:
            return max(granted) + 1
        if len(certain) >= self._quorum:
            return 0
        young = len(votes) - len(certain)
        more = f"; {young} started less than a lease ago, and may have forgotten a holder" if young else ""
        raise self._unreachable("answered", len(certain), ballot, more)

    async def _confirm(self, links: list[Link], token: str, fence: int) -> None:
        """Write the fence to a majority, so that every later holder gets a greater one."""
        ballot: Ballot[int] = Ballot(
            _CONFIRM(link, self._key, self._fence, token, fence, deadline=self._deadline(link)) for link in links
        )
        confirmed = sum(await ballot.settle(lambda votes: sum(votes) >= self._quorum))
        if confirmed < self._quorum:
            raise self._unreachable("confirmed it", confirmed, ballot)

    def _check_time(self, sent: float, lease_ms: int) -> None:
        if monotonic() >= sent + self._terms.certain(lease_ms):
            raise OutcomeUnknownError("redlock", f"lock {self.name!r}: a majority took longer than its lease")

    def _unreachable(self, did: str, count: int, ballot: Ballot[Any], more: str = "") -> Exception:
        said = f"{count} of {len(self._servers)} servers {did}, {self._quorum} have to{more}"
        failures = ballot.failures
        if any(isinstance(failure, OutcomeUnknownError) for failure in failures):
            error: Exception = OutcomeUnknownError("redlock", f"lock {self.name!r}: {said}")
        else:
            error = RedisConnectionError(f"lock {self.name!r}: {said}")
        error.__cause__ = next(iter(failures), None)
        return error

    def _links(self) -> list[Link]:
        return [link_of(redis) for redis in self._servers]

    def _deadline(self, link: Link) -> float:
        return min(self._patience, link.deadline)

    # Waiting ---------------------------------------------------------------------------------------------------------

    async def _wait(self, started: float, limit: float | None) -> Lease:
        """Stand in the line of this client, and leave it with the lock or without anything."""
        link = link_of(self._servers[0])
        waiting, key = link.companion(Waiting), self._key
        waiter = Waiter("", "", self._terms.lease_ms, started)
        waiting.join(key, waiter)
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                lease = await self._take_turn(waiter, link.deadline)
        except BaseException as error:
            waiting.leave(key, waiter, holding=False)
            if isinstance(error, TimeoutError) and timer.expired():
                raise waiter.failure or self._timed_out(started, limit or 0.0) from None
            if isinstance(error, RedisError | OutcomeUnknownError):
                waiting.fail(key, error)
            raise
        waiting.leave(key, waiter, holding=True)
        return lease

    async def _take_turn(self, waiter: Waiter, deadline: float) -> Lease:
        """Wait in the line, then try again and again, at random times so that clients get out of each other's way."""
        while not waiter.first:
            await waiter.bell.wait()
            waiter.check()
        pause, heard = _FIRST_PAUSE, monotonic()
        # What is told when the timeout comes before any answer.
        waiter.failure = None if waiter.served else OutcomeUnknownError("redlock", "no majority answered in time")
        while True:
            if not waiter.served:
                try:
                    lease = await self._try()
                    waiter.failure, heard = None, monotonic()  # the frames of a failure keep the lease alive
                    if lease is not None:
                        return lease
                except (RedisConnectionError, OutcomeUnknownError) as error:
                    waiter.failure = error
                    if monotonic() - heard >= deadline:
                        raise
            await waiter.bell.wait(RECHECK if waiter.served else pause * random.uniform(0.5, 1))  # noqa: S311
            waiter.served, pause = False, min(pause * 2, _LONGEST_PAUSE)

    def _timed_out(self, started: float, limit: float) -> LockTimeoutError:
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockTimedOut(pattern="Redlock", waited=monotonic() - started))
        return LockTimeoutError(self.name, limit)

    # Renewing --------------------------------------------------------------------------------------------------------

    async def _renew(self, token: str, lease_ms: int) -> int:
        """Extend the lease of a token: 1 when a majority did, 0 when it is gone, -1 when it is another's."""
        links, sent = self._links(), monotonic()
        ballot: Ballot[int] = Ballot(
            _RENEW(link, self._key, token, lease_ms, deadline=self._deadline(link)) for link in links
        )
        may_fail = len(self._servers) - self._quorum
        votes = await ballot.settle(lambda votes: votes.count(1) >= self._quorum or _missing(votes) > may_fail)
        if _missing(votes) > may_fail:
            self._free(token, dict(enumerate(links)), self._ballot_of(token))
            return -1 if -1 in votes else 0
        if votes.count(1) < self._quorum:
            raise self._unreachable("renewed it", votes.count(1), ballot)
        self._check_time(sent, lease_ms)
        if votes.count(1) < len(self._servers):
            background(self._mend(links, ballot, token, lease_ms), name="redis redlock mended")
        return 1

    async def _mend(self, links: list[Link], renewed: Ballot[int], token: str, lease_ms: int) -> None:
        """Put the lock back on servers that have lost it, else one after the other might, and then nobody has it."""
        await renewed.settle()
        for number, answer in renewed.answers.items():
            held = self._held
            if answer == 0 and held is not None and held.token == token:
                link = links[number]
                deadline = self._deadline(link)
                mended = _MEND(link, self._key, self._fence, token, held.fence, lease_ms, deadline=deadline)
                held.ballot.ask_again(number, mended)

    # Giving back -----------------------------------------------------------------------------------------------------

    async def _give_back(self, link: Link, lease: Lease) -> bool:
        """Free the lock on every server; whether it may still have been held by a majority."""
        ballot = self._free(lease.token, dict(enumerate(self._links())), self._ballot_of(lease.token))
        if self._held is not None and self._held.token == lease.token:
            self._held = None
        may_fail = len(self._servers) - self._quorum
        try:
            await shielded(ballot.settle(self._is_freed, link.deadline), link.deadline + RECHECK)
        finally:
            self._let_ask(link.companion(Waiting))
        votes = list(ballot.answers.values())
        if votes.count(0) > may_fail:
            return False
        if len(votes) < self._quorum:
            raise self._unreachable("freed it", len(votes), ballot)
        return True

    def _is_freed(self, votes: list[int]) -> bool:
        return votes.count(1) >= self._quorum or votes.count(0) > len(self._servers) - self._quorum

    def _let_ask(self, waiting: Waiting) -> None:
        if self._key in waiting:
            self._turns = (self._turns + 1) % _TURNS
            pause = 0 if self._turns else _LONGEST_PAUSE
            asyncio.get_running_loop().call_later(pause, waiting.first(self._key).ask)

    def _ballot_of(self, token: str) -> Ballot[Any] | None:
        held = self._held
        return held.ballot if held is not None and held.token == token else None

    def _free(self, token: str, links: dict[int, Link], asked: Ballot[Any] | None) -> Ballot[int]:
        """Free what a token may have, in the background: a server that is late is told for as long as that may live."""
        freed: Ballot[int] = Ballot(self._free_at(link, number, token, asked) for number, link in links.items())
        for place, link in enumerate(links.values()):
            link.finish(freed.ended(place), "redis redlock freed")
        return freed

    async def _free_at(self, link: Link, number: int, token: str, asked: Ballot[Any] | None) -> int:
        """Free one server, after what was asked of it before: 1 when the token had the lock there."""
        if asked is not None:
            asked.withdraw(number)
        give_up, closings = monotonic() + max(link.deadline, self._terms.lease_ms / 1000), link.closings
        unknown = 0
        while (left := round(give_up - monotonic(), 2)) >= SOON and link.closings == closings:
            try:
                freed: int = await _RELEASE(link, self._key, token, deadline=left)
            except OutcomeUnknownError:
                unknown = 1  # that one may have freed it
            else:
                return freed or unknown
        raise OutcomeUnknownError(_RELEASE.name, "no answer came within the lease")


@final
class _QuorumRenewal:
    """Renews the holds of one Redlock as a script would: the answers are those of a majority."""

    __slots__ = ("_renew",)

    def __init__(self, renew: Callable[[str, int], Coroutine[Any, Any, int]]) -> None:
        self._renew = renew

    def taking(self, keys: int) -> _QuorumRenewal:
        return self

    async def __call__(
        self,
        redis: AnyRedis,
        *keys_and_args: str | bytes | int,
        deadline: Seconds | None = None,
    ) -> list[int]:
        arguments = keys_and_args[len(keys_and_args) // 3 :]
        pairs = zip(arguments[::2], arguments[1::2], strict=True)
        return await asyncio.gather(*[self._renew(str(token), int(lease_ms)) for token, lease_ms in pairs])


def _checked(servers: Sequence[AnyRedis]) -> tuple[AnyRedis, ...]:
    if isinstance(servers, Redis | RedisCluster):
        raise TypeError("servers must be a sequence of clients, one for each server")
    checked = tuple(servers)
    for server in checked:
        if not isinstance(server, Redis | RedisCluster):
            raise TypeError(f"servers must be clients of redis.asyncio, not {server!r:.80}")
    if not checked or len(set(checked)) < len(checked):
        raise ValueError("servers must be one client or more, each of another server")
    return checked


def _missing(votes: list[int]) -> int:
    return sum(vote <= 0 for vote in votes)


def _refused(ballot: Ballot[list[int]], number: int) -> bool:
    vote = ballot.answers.get(number)
    return vote is not None and vote[0] < 0
