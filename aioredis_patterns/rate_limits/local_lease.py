"""LocalLease: a limit for subjects so busy that asking the server for each hit is too much."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import Final, final

from aioredis_patterns._core.durations import timeout_seconds
from aioredis_patterns.types import KeyPart, Seconds

from .counts import check_count
from .decision import Deciding, Decision
from .fixed_window import FixedWindow

__all__ = ("LocalLease",)

_SUBJECTS: Final = 10_000


@final
class LocalLease:
    """A limit of which this process takes blocks and then decides by itself, in less than 2 us a hit.

    A subject's first hit takes what it costs. Whoever uses a block up before it ends gets one twice as large, up to
    `block`; whoever does not gets as much as was used. So only busy subjects are leased ahead.

    The promise. Nothing is admitted that the limit has not counted before. A block ends `hold` seconds after it was
    asked for, that of a `FixedWindow` with its window at the latest. So in any stretch of time all processes together
    admit no more than the limit admits in that time and `hold`, and of a `FixedWindow` its limit in each window, as
    without leases. Where even that is too much, let the burst be smaller by what the rate gives in `hold`.

    The limit of the promise. What is left of a block when it ends is lost: of one subject, a process wastes at most one
    block per `hold`, and holds at most one at a time. Where the limit has less left than a block, this process takes
    that and denies by itself until there is a block again, which is then the `retry_after`, but no longer than `hold`:
    a refund or a reset is felt as late as that. `remaining` is what the server and this process had left; others may
    have used it. A lease belongs to one event loop.

    The cost. One round trip per block, two where the limit has less left. 10,000 subjects at most in this process's
    memory.

    Only `hit` is leased; whatever else the limit can do is asked of `.limiter`.

    Args:
        limiter: The limit, of whatever kind that takes one subject and one cost.
        block: Units to take at once, at most. A hit that costs more is asked for alone.
        hold: Seconds until what was taken is lost.

    Raises:
        TypeError: A block that is no int.
        ValueError: A block or a time that is too small.

    Example:
        >>> hot = LocalLease(TokenBucket(redis, "ingest", limit=100_000, period=1), block=1000, hold=1)
        >>> decisions = [await hot.hit("tenant:7") for _ in range(100)]
        >>> all(decisions), sum(decision.source == "redis" for decision in decisions)
        (True, 7)
    """

    __slots__ = ("_block", "_held", "_hold", "_windows", "limiter", "name")

    def __init__(self, limiter: Deciding, *, block: int, hold: Seconds = 0.1) -> None:
        self.limiter = limiter
        self.name = limiter.name
        self._block = check_count(block, "block")
        self._hold = timeout_seconds(hold, "hold")
        self._windows = isinstance(limiter, FixedWindow)
        self._held: dict[KeyPart | None, _Held] = {}

    def __repr__(self) -> str:
        return f"<LocalLease of {self._block} from {self.limiter!r}>"

    async def hit(self, subject: KeyPart | None = None, cost: int = 1) -> Decision:
        """Ask to be admitted: this process if it holds enough, the server otherwise.

        Args:
            subject: Who is limited.
            cost: How much this hit weighs.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As of the limit itself.
        """
        held = self._held.get(subject)
        if held is not None and (decision := held.decide(cost, self.name)) is not None:
            return decision
        if not 0 < check_count(cost, "cost", least=0) <= self._block:
            return await self.limiter.hit(subject, cost)
        if held is None:
            held = self._hold_of(subject)
        async with held.lock:
            decision = held.decide(cost, self.name)  # somebody else may have asked meanwhile
            return await self._take(held, subject, cost) if decision is None else decision

    def _hold_of(self, subject: KeyPart | None) -> _Held:
        held = self._held[subject] = _Held()
        if len(self._held) > _SUBJECTS:
            del self._held[next(iter(self._held))]
        return held

    async def _take(self, held: _Held, subject: KeyPart | None, cost: int) -> Decision:
        """Take a block, or else what is left."""
        asked, block_at = monotonic(), 0.0
        size = held.size = max(held.next_size(asked, self._block), cost)
        decision = await self.limiter.hit(subject, size)
        if not decision.allowed and cost < size:
            block_at = (asked := monotonic()) + decision.retry_after
            size = max(min(size, decision.remaining), cost)
            decision = await self.limiter.hit(subject, size)
        held.learn(decision, min(block_at, asked + self._hold))
        if decision.allowed:
            held.got, held.tokens = size, size - cost
            held.ends = asked + (min(self._hold, decision.reset_after) if self._windows else self._hold)
            held.denied, held.retry_at = range(1, held.size + 1), block_at
            return replace(decision, remaining=decision.remaining + held.tokens)
        held.denied = range(cost, cost + 1)
        held.quiet_until = max(held.quiet_until, asked + min(decision.retry_after, self._hold))
        return replace(decision, retry_after=max(decision.retry_after, held.quiet_until - monotonic()))


class _Held:
    """What this process holds of one subject's limit, and what the limit said last."""

    __slots__ = (
        *("beyond", "denied", "ends", "got", "limit", "lock", "quiet_until", "reset_at", "retry_at", "size", "tokens"),
    )

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.size = self.got = self.tokens = 0  # of the block: wanted, had, left
        self.ends = 0.0
        self.denied = range(0)  # these costs, until it is worth asking again
        self.quiet_until = 0.0
        self.limit = self.beyond = 0
        self.retry_at = self.reset_at = 0.0

    def decide(self, cost: int, policy: str) -> Decision | None:
        """The answer to a hit, if it can be had without asking."""
        if type(cost) is not int or cost <= 0:
            return None
        now = monotonic()
        if cost <= self.tokens and now < self.ends:
            self.tokens = left = self.tokens - cost
            return Decision(True, self.limit, self.beyond + left, 0.0, max(self.reset_at - now, 0.0), policy, "lease")
        if now < self.quiet_until and cost in self.denied:
            wait = max(self.quiet_until, self.retry_at) - now
            return Decision(False, self.limit, self.beyond, wait, max(self.reset_at - now, 0.0), policy, "lease")
        return None

    def next_size(self, now: float, most: int) -> int:
        """Twice the last block where it was used up in time, and otherwise as much as was used of it."""
        size = 2 * self.size if now < self.ends else self.got - self.tokens
        return max(min(size, most, self.limit or most), 1)

    def learn(self, decision: Decision, quiet_until: float) -> None:
        now = monotonic()
        self.limit, self.beyond = decision.limit, decision.remaining
        self.retry_at, self.reset_at = now + decision.retry_after, now + decision.reset_after
        self.quiet_until = quiet_until
