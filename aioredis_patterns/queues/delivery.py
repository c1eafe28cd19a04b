"""A delivery: one message that one consumer holds under a lease, until it is done with."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import delay_ms
from aioredis_patterns._core.durations import lease_ms as checked_lease_ms
from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.renewal import LossReason, Renewals
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import is_interruption, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import OutcomeUnknownError, PatternError
from aioredis_patterns.types import AnyRedis, Seconds

from ._acks import Acks

__all__ = ("Delivery", "Place", "hand_back", "quietly")

T = TypeVar("T")

_NACK: Final = Script(
    __package__, "queue_nack", keys=7, fragments=("clock", "ready", "message", "hold", "wake", "again"), lease=True
)
_HAND_BACK: Final = Script(
    __package__, "queue_hand_back", keys=5, fragments=("ready", "hold", "wake"), repeatable=True, lease=True
)
_COMMIT: Final = Script(
    __package__,
    "transaction_commit",
    keys=7,
    fragments=("clock", "ready", "message", "hold", "wake", "again"),
    lease=True,
)
_EXTEND: Final = Script(__package__, "queue_extend", fragments=("clock",), repeatable=True, lease=True)

_LONGEST_REASON, _LONGEST_TRACE = 4000, 8000
"""Bytes of a reason, and of the end of a traceback, that are kept."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a queue keeps its messages, and how it delivers them."""

    redis: AnyRedis
    name: str
    order: str
    visibility_ms: int
    max_deliveries: int
    ready: str
    delayed: str
    leased: str
    dead: str
    messages: str
    index: str
    waiters: str
    recent: str

    @staticmethod
    def of(redis: AnyRedis, keys: Keys, order: str, visibility_ms: int, max_deliveries: int) -> Place:
        """The place of a queue of this name."""
        parts = ("ready", "delayed", "leased", "dead", "messages", "index", "waiters", "recent")
        return Place(redis, keys.name, order, visibility_ms, max_deliveries, *map(keys.key, parts))


@final
class Delivery(Generic[T]):
    """One message, held until it is acknowledged, given back or rejected, or until its lease ends.

    `async with` holds it for as long as the block lasts: its lease is renewed meanwhile, the message is acknowledged
    at the end, put back at the tail by an exception, and handed back uncharged by a cancellation. What the block
    raised goes on.

    Promise: when `ack` answers True, the message is delivered no more. Limit of the promise: between the end of a
    lease and the next claim, two handlers may be at the same message; make a handler's effect one that may happen
    twice.

    Cost: one round trip for each call.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails")
        ...     await queue.put("hello")
        ...     delivery = await queue.claim(timeout=5)
        ...     if not await delivery.extend(60):
        ...         return "another has it"
        ...     return await delivery.ack()
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_place",
        "attempt",
        "due",
        "headers",
        "id",
        "lost",
        "on_loss",
        "patience",
        "payload",
        "token",
        "valid_until",
    )

    def __init__(self, place: Place, token: str, id: str, attempt: int, sent: float) -> None:  # noqa: A002
        self._place = place
        self._ended = False
        self.token = token
        self.id = id  #: the same in every delivery of the message
        self.attempt = attempt  #: 1 for the first delivery
        self.lost = False  #: the lease was found to have moved on
        self.headers: dict[str, str] = {}
        self.payload: T
        self.on_loss: Callable[[], object] | None = None
        self._set_validity(sent, place.visibility_ms)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ended" if self._ended else "held"
        return f"<Delivery {self.id} of {self._place.name!r}, attempt {self.attempt}, {state}>"

    async def ack(self) -> bool:
        """The message is done with; False when the lease had moved on, and another has it or will.

        All that a client acknowledges in one turn of the event loop is one call.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; it is delivered again unless it was done.
        """
        place, link = self._place, link_of(self.redis)
        keys = (place.ready, place.delayed, place.leased, place.messages, place.index, place.waiters, place.order)
        return bool(await self.end(lambda: link.companion(Acks).add(link, keys, self.token)))

    async def nack(self, delay: Seconds = 0, reason: str = "") -> bool:
        """Handling failed: put it at the tail, or among the dead letters if this was its last delivery.

        Args:
            delay: Seconds until it may be claimed again.
            reason: What the dead letter says, if it becomes one.

        Returns:
            False when the lease had moved on.
        """
        return await self._give_back(delay_ms(delay), reason or "given back", self._place.max_deliveries)

    async def reject(self, reason: str) -> bool:
        """It can never be handled: put it among the dead letters now; False when the lease had moved on."""
        return await self._give_back(0, reason, 0)

    async def extend(self, lease: Seconds | None = None) -> bool:
        """Hold it for so many seconds from now, the queue's `visibility` when None; False when it had moved on."""
        length_ms = self._place.visibility_ms if lease is None else checked_lease_ms(lease)
        sent = monotonic()
        (held,) = await _EXTEND(self.redis, self.key, self.token, length_ms)
        if not held:
            self.on_lost("expired")
            return False
        renewals = link_of(self.redis).companion(Renewals)
        kept = renewals.discard(self)  # before its patience is another, by which it is found
        self._set_validity(sent, length_ms)
        if kept:
            renewals.add(self)
        return True

    async def commit(self, keys: Sequence[str], commands: Sequence[str | bytes | int]) -> Any:
        """Execute commands and acknowledge it, in one step, for `Transaction`."""
        place = self._place
        own = (place.ready, place.delayed, place.leased, place.dead, place.messages, place.index, place.waiters)
        what = (*keys, place.order, self.token, self.id, self.attempt, *commands)
        return await self.end(lambda: _COMMIT.taking(7 + len(keys))(self.redis, *own, *what))

    async def hand_back(self) -> bool:
        """It was not begun: put it back at the front, this attempt not charged; False when the lease had moved on."""
        self._stop()
        return bool(await hand_back(self._place, link_of(self.redis), self.token))

    async def __aenter__(self) -> Delivery[T]:
        self.keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.done()
        else:
            await self.fail(error)

    async def done(self) -> None:
        """Acknowledge it, unless its handler has said already what becomes of it."""
        if not self._ended:
            await self.ack()

    async def fail(self, error: BaseException, delay: Seconds = 0) -> None:
        """Give it back for what was raised, whatever Redis says to it; the lease ends it if need be."""
        if self._ended:
            return
        given = self.hand_back() if is_interruption(error) else self._failed(error, delay)
        try:
            await shielded(given, link_of(self.redis).deadline)
        except (RedisError, PatternError, OSError, TimeoutError) as failure:
            error.add_note(f"the message could not be given back either: {failure!r}")

    def keep(self) -> None:
        """Renew the lease in the background, until it ends."""
        link_of(self.redis).companion(Renewals).add(self)

    async def _failed(self, error: BaseException, delay: Seconds) -> bool:
        most = self._place.max_deliveries
        # Only a dead letter tells why; what is tried again is spared the formatting.
        trace = "".join(tracebacks.format_exception(error)) if self.attempt >= most else ""
        return await self._give_back(delay_ms(delay), f"{type(error).__name__}: {error}", most, trace)

    async def _give_back(self, delay: int, reason: str, most: int, trace: str = "") -> bool:
        place = self._place
        keys = (place.ready, place.delayed, place.leased, place.dead, place.messages, place.index, place.waiters)
        text = reason.replace("\0", " ").encode(errors="replace")[:_LONGEST_REASON]
        if trace:
            text += b"\0" + trace.encode(errors="replace")[-_LONGEST_TRACE:]
        return bool(await self.end(lambda: _NACK(self.redis, *keys, self.token, delay, text, most, place.order)))

    async def end(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Let the server end it, and give its answer, which is 0 when the lease had moved on.

        When the reply was lost it is asked again: while the lease is certain, "not held" then means "done already".
        """
        self._stop()
        try:
            held = await ask()
        except OutcomeUnknownError:
            held = await ask() or monotonic() < self.valid_until
            if not held:
                raise
        self.lost = not held
        return held

    def _stop(self) -> None:
        self._ended = True
        link_of(self.redis).companion(Renewals).discard(self)

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """Where its queue is kept."""
        return self._place

    @property
    def redis(self) -> AnyRedis:
        """The client that holds it."""
        return self._place.redis

    @property
    def renewal(self) -> Script:
        """The script that renews it."""
        return _EXTEND

    @property
    def key(self) -> str:
        """Where the server keeps the lease."""
        return self._place.leased

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed in the background."""
        return 0 if self._ended else self._place.visibility_ms

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed in the background; whether it is still wanted."""
        if not self._ended:
            self._set_validity(sent, lease_ms)
        return not self._ended

    def on_lost(self, reason: LossReason) -> None:
        """Its lease has moved on: who handles it is told, once."""
        if self._ended or self.lost:
            return
        self.lost = True
        if self.on_loss is not None:
            self.on_loss()

    def _set_validity(self, sent: float, lease_ms: int) -> None:
        lease = lease_ms / 1000
        self.valid_until = sent + lease * 0.99
        self.patience = lease / 3
        self.due = sent + self.patience


async def hand_back(place: Place, link: Link, *tokens: str, inbox: str = "") -> int:
    """Take back claims as if they had never been; how many there were. The inbox is of a client that waits no more."""
    keys = (place.ready, place.leased, place.messages, place.index, place.waiters)
    count: int = await _HAND_BACK(link, *keys, inbox, *tokens)
    return count


async def quietly(work: Awaitable[object]) -> None:
    """For what is given back: when Redis fails, the lease ends it."""
    try:
        await work
    except (RedisError, PatternError, OSError, TimeoutError):
        pass
