"""CompositeLimit: several limits decided together, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from math import inf
from typing import Any, Final, TypeAlias, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import deadline_seconds, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys, check_name, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import is_cluster, link_of
from aioredis_patterns.errors import PatternError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .counts import check_count
from .decision import Decision
from .kinds import FRAGMENTS, HITS, PEEKS, REFUNDS, Part, capacity_of, states_of, told_of
from .limiter import Limiter
from .lines import Lines
from .quota import Quota

__all__ = ("CompositeLimit", "Costs", "Subjects")

Subjects: TypeAlias = KeyPart | Mapping[str, KeyPart] | None
"""Who is limited: one subject for all parts, or each part's own by the part's name."""

Costs: TypeAlias = int | Mapping[str, int]
"""How much a hit weighs: the same for all parts, or each part's own by the part's name."""

_HIT: Final = Script(__package__, "composite_hit", fragments=FRAGMENTS, calls=(*PEEKS, *HITS))
_PEEK: Final = Script(__package__, "composite_peek", fragments=FRAGMENTS, calls=PEEKS, repeatable=True)
_REFUND: Final = Script(__package__, "composite_refund", fragments=FRAGMENTS, calls=(*PEEKS, *REFUNDS))
_RESET: Final = Script(__package__, "composite_reset", repeatable=True)

_SECOND: Final = 1_000_000
_GIVING_BACK: Final = 5.0  # seconds that a cancelled caller waits for it at most


@final
class CompositeLimit:
    """Several limits, quotas too, over any subjects, of which a hit passes all or is counted by none.

    "10 a second for each user, 1000 a minute for the tenant, 5000 a second for everybody", in one question. Limits
    that are asked one after the other charge the first ones for what a later one denies.

    The promise. One script decides: it asks every part, and only when all of them agree it counts, with the very
    scripts of the parts, at one time of the server's. So each part promises what it promises alone. A decision names
    the part that binds: of those that deny, the one to wait for longest, with `retry_after` exact; of those that admit,
    the one with the fewest hits left. `limit`, `remaining` and `reset_after` are that part's.

    On one server the parts keep their state where they keep it alone, so a hit on a part counts here, and a hit here
    counts there.

    The limit of the promise. In a cluster one script reaches one slot, so a composite keeps a state of its own there,
    all of it in the slot of its name: hits on the parts alone do not count. One name is one node's load; `within`
    spreads it, a tenant for each slot, and then every part counts for each tenant apart, so all subjects should be
    inside of their tenant. A part's own deadline, `on_error` and hooks are not used here, and a denied hit counts in no
    part, also where one has `count_denied`. `acquire` keeps the order of the callers of one client; those of several
    clients race.

    The cost. One round trip. The server works as for a peek and a hit of each part, and keeps what the parts keep.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited.
        parts: Limits of a rate and quotas, each with another name.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every decision.
        prefix: First part of every key that is the composite's own.

    Raises:
        TypeError: A part that is neither a limit of a rate nor a quota.
        ValueError: No part, or two of one name.

    Example:
        >>> user = TokenBucket(redis, "user", limit=10, period=1)
        >>> tenant = SlidingWindow(redis, "tenant", limit=1000, period=60)
        >>> api = CompositeLimit(redis, "api", [user, tenant])
        >>> decision = await api.hit({"user": "ada", "tenant": "acme"})
        >>> decision.allowed, decision.policy, decision.remaining
        (True, 'user', 9)
    """

    __slots__ = (
        *("_capacities", "_deadline", "_hit", "_is_apart", "_kept", "_keys", "_on_event", "_peek", "_redis"),
        *("_refund", "_reset", "_told", "name", "parts"),
    )

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        parts: Sequence[Part],
        *,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self.parts = _check_parts(parts)
        self._redis = redis
        self._is_apart = is_cluster(redis)
        self._keys = Keys(name, prefix)
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._on_event = on_event
        self._kept = [states_of(part) for part in parts]
        self._told = [None if isinstance(part, Quota) else told_of(part) for part in parts]
        self._capacities = [capacity_of(part) for part in parts]
        size = sum(map(len, self._kept))
        self._hit, self._peek, self._refund = _HIT.taking(size), _PEEK.taking(size), _REFUND.taking(size)
        self._reset = _RESET.taking(size)

    def __repr__(self) -> str:
        return f"<CompositeLimit {self.name!r}: {', '.join(map(repr, self.parts))}>"

    async def hit(self, subject: Subjects = None, cost: Costs = 1, *, within: KeyPart | None = None) -> Decision:
        """Ask to be admitted by all parts, and be counted by all if so. One round trip.

        Args:
            subject: Who is limited: one subject for all parts, or a mapping by the parts' names; a part that it does
                not name has no subject.
            cost: How much this hit weighs: one cost for all parts, or a mapping by the parts' names; a part that it
                does not name counts 1. A part for which it costs 0 is not asked for room.
            within: What all the subjects are inside of, such as a tenant. In a cluster its slot is the state's; on one
                server it changes nothing.

        Raises:
            TypeError: A cost is no int.
            ValueError: A cost is negative, or a mapping names no part.
            OutcomeUnknownError: The reply was lost; all parts may have counted the hit, or none.
            redis.exceptions.RedisError: Redis failed; the hit was not counted.

        Example:
            >>> requests = Gcra(redis, "requests", limit=60, period=60)
            >>> tokens = TokenBucket(redis, "tokens", limit=90_000, period=60)
            >>> model = CompositeLimit(redis, "model", [requests, tokens])
            >>> (await model.hit("user:42", {"tokens": 1_500})).policy
            'requests'
        """
        costs = self._costs(cost)
        decision = await self._ask(self._hit if any(costs) else self._peek, subject, costs, within)
        if self._on_event is not None and any(costs):
            outcome: Any = "allowed" if decision.allowed else "denied"
            emit(self._on_event, LimitDecided(pattern="CompositeLimit", name=self.name, outcome=outcome))
        return decision

    async def peek(self, subject: Subjects = None, cost: Costs = 1, *, within: KeyPart | None = None) -> Decision:
        """Say what a hit would be answered; count nothing, write nothing. One round trip.

        Args:
            subject, cost, within: As in `hit`.

        Raises:
            TypeError, ValueError: As in `hit`.
            redis.exceptions.RedisError: Redis failed.
        """
        return await self._ask(self._peek, subject, self._costs(cost), within)

    async def acquire(
        self,
        subject: Subjects = None,
        cost: Costs = 1,
        *,
        timeout: Seconds | None = None,
        within: KeyPart | None = None,
    ) -> Decision:
        """Wait to be admitted by all parts, and be counted by all.

        Callers of one client with the same subjects stand in line, and the first of them asks again when the part that
        binds may admit it: one round trip for each time it is denied. A caller that is cancelled gives back what it
        has just been counted.

        Args:
            subject, cost, within: As in `hit`.
            timeout: Seconds to wait at most; 0 to ask once if nobody stands in line, None for as long as it takes.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
            RateLimitExceededError: The wait would be longer, which is told at once to the first in line, or the cost
                can never be admitted.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout_seconds(timeout)
        lines, states = link_of(self._redis).companion(Lines), tuple(self._states(subject, within))
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout_at(end):
                    await turn.enter_async_context(lines.turn(states))
            except TimeoutError:
                decision = await self.peek(subject, cost, within=within)
                raise RateLimitExceededError(decision.policy, decision.retry_after) from None
            while not (decision := await self._taken(subject, cost, within)):
                wait = decision.retry_after
                if wait == inf or (end is not None and loop.time() + wait > end):
                    raise RateLimitExceededError(decision.policy, wait)
                await asyncio.sleep(wait)
            return decision

    async def _taken(self, subject: Subjects, cost: Costs, within: KeyPart | None) -> Decision:
        """A hit, which is given back when its caller is cancelled before he has the answer."""
        hit = asyncio.ensure_future(self.hit(subject, cost, within=within))
        try:
            return await asyncio.shield(hit)
        except asyncio.CancelledError:
            await shielded(self._give_back(hit, subject, cost, within), _GIVING_BACK)
            raise

    async def _give_back(
        self, hit: asyncio.Future[Decision], subject: Subjects, cost: Costs, within: KeyPart | None
    ) -> None:
        try:
            if await hit:
                await self.refund(subject, cost, within=within)
        except (RedisError, PatternError):
            pass  # what was counted comes back with time

    async def refund(self, subject: Subjects = None, cost: Costs = 1, *, within: KeyPart | None = None) -> Decision:
        """Give back what a hit consumed, in all parts, and say what the same hit would be answered now.

        Args:
            subject, cost, within: As in `hit`.

        Raises:
            TypeError, ValueError, OutcomeUnknownError, redis.exceptions.RedisError: As in `hit`.
        """
        return await self._ask(self._refund, subject, self._costs(cost), within)

    async def reset(self, subject: Subjects = None, *, within: KeyPart | None = None) -> None:
        """Forget all that these subjects have used, in all parts. One round trip.

        Args:
            subject, within: As in `hit`.

        Raises:
            ValueError: A mapping names no part.
            redis.exceptions.RedisError: Redis failed.
        """
        await self._reset(self._redis, *self._states(subject, within), deadline=self._deadline)

    async def _ask(self, script: Script, subject: Subjects, costs: list[int], within: KeyPart | None) -> Decision:
        states = self._states(subject, within)
        while True:
            told: list[bytes | int] = []
            for part, kept, fixed, cost in zip(self.parts, self._kept, self._told, costs, strict=True):
                told += (len(kept), fixed or told_of(part), cost)
            reply = await script(self._redis, *states, *told, deadline=self._deadline)
            answers = [reply[i : i + 4] for i in range(0, len(reply), 4)]
            if not self._moved(answers):
                return self._decision(answers, costs)

    def _moved(self, answers: list[Any]) -> bool:
        """Whether the period of a quota is over, so that nothing was done; it is another then."""
        moved = False
        for part, (allowed, now_us, _, _) in zip(self.parts, answers, strict=True):
            if allowed < 0 and isinstance(part, Quota):
                part.follow(now_us)
                moved = True
        return moved

    def _states(self, subject: Subjects, within: KeyPart | None) -> list[str]:
        asked = zip(self.parts, self._kept, self._each(subject, None), strict=True)
        if not self._is_apart:
            return [part._keys.key(state, subject) for part, kept, subject in asked for state in kept]  # noqa: SLF001
        named = ((state, _inside(part, subject)) for part, kept, subject in asked for state in kept)
        return [self._keys.key(f"{state}|{inside}", within) for state, inside in named]

    def _costs(self, cost: Costs) -> list[int]:
        pairs = zip(self._each(cost, 1), self._capacities, strict=True)
        return [min(check_count(cost, "cost", least=0), capacity + 1) for cost, capacity in pairs]

    def _each(self, given: Any, default: Any) -> list[Any]:
        """What was given, for each part."""
        if not isinstance(given, Mapping):
            return [given] * len(self.parts)
        if strangers := given.keys() - {part.name for part in self.parts}:
            raise ValueError(f"composite {self.name!r} has no part {min(strangers)!r}")
        return [given.get(part.name, default) for part in self.parts]

    def _decision(self, answers: list[Any], costs: list[int]) -> Decision:
        """The answer of the part that binds: it denies for longest, or else admits the fewest further hits."""

        def tightness(i: int) -> tuple[bool, float, int, int]:
            allowed, remaining, retry, reset = answers[i]
            return not allowed, inf if retry < 0 else retry, -(remaining // (costs[i] or 1)), reset

        binding = max(range(len(answers)), key=tightness)
        allowed, remaining, retry, reset = answers[binding]
        retry_after = retry / _SECOND if retry >= 0 else inf
        limit, policy = self._capacities[binding], self.parts[binding].name
        return Decision(allowed == 1, limit, remaining, retry_after, reset / _SECOND, policy)


def _check_parts(parts: Sequence[Part]) -> tuple[Part, ...]:
    for part in parts:
        if not isinstance(part, Limiter | Quota):
            raise TypeError(f"a part must be a limit of a rate or a quota, not {part!r:.80}")
    if not parts or len({part.name for part in parts}) < len(parts):
        raise ValueError("a composite must have parts, each with a name of its own")
    return tuple(parts)


def _inside(part: Part, subject: KeyPart | None) -> str:
    """How the keys of a part end that a composite keeps itself."""
    return check_name(part.name) if subject is None else f"{check_name(part.name)}|{check_part(subject)}"
