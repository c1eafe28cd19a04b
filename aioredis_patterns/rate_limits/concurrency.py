"""ConcurrencyLimit: so many at a time, each for as long as it takes."""

from __future__ import annotations

import asyncio
import random
from secrets import token_hex
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, final

from redis.exceptions import RedisError

from aioredis_patterns._core.counts import EXACT
from aioredis_patterns._core.durations import deadline_seconds, lease_ms, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.renewal import LossReason, Renewals
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import PatternError, RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .counts import check_count
from .decision import Decision

__all__ = ("ConcurrencyLimit", "Slot")

_SHARED: Final = ("fragment_time", "fragment_slots")
_ENTER: Final = Script(__package__, "concurrency_enter", keys=3, fragments=_SHARED, repeatable=True, lease=True)
_LEAVE: Final = Script(__package__, "concurrency_leave", keys=3, fragments=_SHARED, repeatable=True, lease=True)
_PEEK: Final = Script(__package__, "concurrency_peek", keys=2, fragments=_SHARED, repeatable=True)
_RENEW: Final = Script(__package__, "concurrency_renew", fragments=_SHARED, repeatable=True, lease=True)
_RESET: Final = Script(__package__, "concurrency_reset", keys=3, repeatable=True)

_SECOND: Final = 1_000_000
_BACKLOG: Final = 10_000
_RECHECK: Final = 1.0  # seconds after which a waiter asks, so that it counts as alive
_LEAVING: Final = 5.0  # seconds that a cancelled caller waits for its slot being given back at most


@final
class ConcurrencyLimit:
    """So many slots for each subject, each held while something is done.

    What a `Semaphore` is for one thing, this is for every user or key: "four uploads at a time for each of them".

    The promise. While leases are valid no more than `limit` slots of a subject are held. Who waits is served in the
    order of waiting, also across processes. A slot is free as soon as it is left, and at the latest when its holder
    died and its lease has run out; a waiter that died costs the others three seconds at most. When the limit changes,
    who is inside stays inside.

    The limit of the promise. A holder that is stopped, or that blocks its event loop, for longer than its lease is
    inside together with its successor. A server that fails over without its last writes forgets the slots among them.

    The cost. One round trip to enter and one to leave. Who has to wait asks once more, and once a second as a sign of
    life; a message wakes it. A subject has up to three sorted sets, which expire with the last lease and the last
    waiter.

    Args:
        redis: Any asyncio client of redis-py.
        name: What is limited; decisions name it as their policy.
        limit: Slots of each subject.
        lease: Seconds that a slot lives without a renewal. It is renewed when a third of them has passed.
        backlog: Callers that may wait for one subject; 10,000 when None.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every decision.
        prefix: First part of every key.

    Raises:
        TypeError, ValueError: A limit, lease or backlog that makes no sense.

    Example:
        >>> gpus = ConcurrencyLimit(redis, "gpu", limit=4, lease=30)
        >>> async with gpus.slot("user:42", timeout=5):
        ...     (await gpus.peek("user:42")).remaining
        3
    """

    __slots__ = ("_backlog", "_deadline", "_keys", "_on_event", "lease_ms", "limit", "name", "redis")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        limit: int,
        lease: Seconds = 30,
        backlog: int | None = None,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.redis = redis
        self.name = name
        self.limit = check_count(limit, "limit", most=EXACT)
        self.lease_ms = lease_ms(lease)
        self._backlog = _BACKLOG if backlog is None else check_count(backlog, "backlog", least=0)
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._on_event = on_event
        self._keys = Keys(name, prefix)

    def __repr__(self) -> str:
        return f"<ConcurrencyLimit {self.name!r}: {self.limit} at a time>"

    def slot(self, subject: KeyPart | None = None, *, timeout: Seconds | None = None) -> Slot:
        """A slot to be entered with `async with`, or with `await`, which waits for it.

        Args:
            subject: Who is limited; None where there is only one.
            timeout: Seconds to wait at most; 0 to ask once, None for as long as it takes.
        """
        return Slot(self, self.keys(subject), None if timeout is None else timeout_seconds(timeout))

    async def peek(self, subject: KeyPart | None = None) -> Decision:
        """Say whether a slot would be given at once; take none, write nothing. One round trip.

        `retry_after` is the time until a slot is free at the latest, and `reset_after` until all are, if no lease is
        renewed meanwhile. Where free slots are kept for who waits, it is the time until one of those counts as gone.

        Args:
            subject: Who is limited.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        slots, _, heard = self.keys(subject)
        return self.decision(await _PEEK(self.redis, slots, heard, self.limit, deadline=self._deadline))

    async def reset(self, subject: KeyPart | None = None) -> None:
        """Free all slots of a subject, whose holders lose them, and send the waiters to the end. One round trip.

        Args:
            subject: Who is limited.

        Raises:
            redis.exceptions.RedisError: Redis failed.
        """
        await _RESET(self.redis, *self.keys(subject), deadline=self._deadline)

    # For its slots ---------------------------------------------------------------------------------------------------

    def keys(self, subject: KeyPart | None) -> tuple[str, str, str]:
        """Where the server keeps who is inside, who waits, and who of them is alive."""
        key = self._keys.key
        return key("slots", subject), key("line", subject), key("heard", subject)

    def decision(self, reply: list[int]) -> Decision:
        """What a script has answered."""
        allowed, remaining, retry, reset = reply
        return Decision(allowed == 1, self.limit, remaining, retry / _SECOND, reset / _SECOND, self.name)

    async def enter(self, keys: tuple[str, str, str], token: str, inbox: str) -> tuple[Decision, bool]:
        """Ask for a slot once, and stand in line if there is an inbox; the answer, and whether it stands there."""
        told = (self.limit, token, self.lease_ms, self._backlog, inbox)
        *reply, waits = await _ENTER(self.redis, *keys, *told, deadline=self._deadline)
        return self.decision(reply), waits == 1

    async def leave(self, keys: tuple[str, str, str], token: str, inbox: str) -> bool:
        """Give back a slot, or a place in the line; whether it was a slot."""
        held: int = await _LEAVE(self.redis, *keys, self.limit, token, inbox, deadline=self._deadline)
        return held == 1

    def tell(self, outcome: Literal["allowed", "denied"]) -> None:
        """Tell the hook how it was decided."""
        if self._on_event is not None:
            emit(self._on_event, LimitDecided(pattern="ConcurrencyLimit", name=self.name, outcome=outcome))


@final
class Slot:
    """A slot of a `ConcurrencyLimit`; made by `slot`, and entered once.

    While this handle is inside and its event loop runs, its lease is renewed. `lost` is true when it ended before it
    was left, because no renewal reached Redis in time or the limit was reset; others may be inside then.

    Example:
        >>> uploads = ConcurrencyLimit(redis, "uploads", limit=2)
        >>> slot = await uploads.slot("user:42")
        >>> slot.lost, await slot.leave()
        (False, True)
    """

    __slots__ = (
        *("__weakref__", "_inbox", "_keys", "_limit", "_open", "_renewals", "_timeout"),
        *("due", "lost", "patience", "token", "valid_until"),
    )

    def __init__(self, limit: ConcurrencyLimit, keys: tuple[str, str, str], timeout: float | None) -> None:
        self._limit = limit
        self._keys = keys
        self._timeout = timeout
        self._open = False
        self._inbox = ""
        self._renewals: Renewals | None = None
        self.lost = False  #: whether it ended before it was left
        self.token = token_hex(8)
        self.patience = limit.lease_ms / 3000
        self.due = self.valid_until = 0.0

    def __await__(self) -> Any:
        return self._enter().__await__()

    async def __aenter__(self) -> Slot:
        return await self._enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.leave()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"a slot of {self._limit.name!r} could not be given back: {failure!r}")

    def __repr__(self) -> str:
        state = "held" if self._open else "lost" if self.lost else "not held"
        return f"<Slot of {self._limit.name!r}, {state}>"

    async def leave(self) -> bool:
        """Give the slot back, and wake who waits longest. One round trip.

        Returns:
            Whether it was still held.

        Raises:
            redis.exceptions.RedisError: Redis failed; the slot is free when its lease is over.
        """
        if not self._open:
            return False
        self._end()
        return await shielded(self._limit.leave(self._keys, self.token, self._inbox), _LEAVING)

    async def _enter(self) -> Slot:
        if self._renewals is not None:
            raise RuntimeError("a slot is entered once")
        link = link_of(self._limit.redis)
        self._renewals = link.companion(Renewals)
        try:
            decision = await self._ask()
            if not decision and self._timeout != 0:
                decision = await self._wait(decision)
        except BaseException:
            link.finish(self._quit(), "redis slot given up")
            raise
        if not decision:
            self._limit.tell("denied")
            raise RateLimitExceededError(self._limit.name, decision.retry_after)
        self._limit.tell("allowed")
        self._open = True
        self._renewals.add(self)
        return self

    async def _ask(self) -> Decision:
        sent = monotonic()
        decision, _ = await self._limit.enter(self._keys, self.token, "")
        self.on_renewed(sent, self._limit.lease_ms)
        return decision

    async def _wait(self, decision: Decision) -> Decision:
        """Stand in line until there is a slot, the time is over, or the line is too long."""
        subscriptions = link_of(self._limit.redis).subscriptions
        self._inbox = subscriptions.inbox
        timer = asyncio.timeout(self._timeout)
        try:
            async with timer, subscriptions.listen(self._inbox, self.token) as bell:
                while True:
                    sent = monotonic()
                    decision, waits = await self._limit.enter(self._keys, self.token, self._inbox)
                    if not waits:
                        break
                    pause = min(decision.retry_after + 0.001, _RECHECK * random.uniform(0.5, 1))  # noqa: S311
                    await bell.wait(pause)
        except TimeoutError:
            if not timer.expired():
                raise
            await self._quit()
            self._limit.tell("denied")
            raise RateLimitExceededError(self._limit.name, decision.retry_after) from None
        self.on_renewed(sent, self._limit.lease_ms)
        return decision

    async def _quit(self) -> None:
        """Leave the line; where Redis does not answer, silence does it."""
        try:
            await self._limit.leave(self._keys, self.token, self._inbox)
        except (RedisError, PatternError, OSError):
            pass

    def _end(self) -> None:
        self._open = False
        if self._renewals is not None:
            self._renewals.discard(self)

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def redis(self) -> AnyRedis:
        """The client that holds it."""
        return self._limit.redis

    @property
    def renewal(self) -> Script:
        """The script that renews it."""
        return _RENEW

    @property
    def key(self) -> str:
        """Where the server keeps it."""
        return self._keys[0]

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed in the background."""
        return self._limit.lease_ms if self._open else 0

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed by a call sent at this time; whether it is still wanted."""
        self.valid_until, self.due = sent + lease_ms / 1000, sent + self.patience
        return self._open

    def on_lost(self, reason: LossReason) -> None:
        """Its lease is over."""
        self.lost = self.lost or self._open
        self._end()
