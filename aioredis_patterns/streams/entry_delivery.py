"""EntryDelivery: one entry of a log that one consumer of a group has in hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import delay_ms, lease_ms
from aioredis_patterns._core.renewal import LossReason, Renewals
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import is_interruption, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.errors import OutcomeUnknownError, PatternError
from aioredis_patterns.types import AnyRedis, Seconds

from .entry import Entry

__all__ = ("EntryDelivery", "Post", "hand_back")

T = TypeVar("T")

_ACK: Final = Script(__package__, "group_ack", keys=3, fragments=("pending", "ring"), lease=True)
_NACK: Final = Script(__package__, "group_nack", keys=4, fragments=("clock", "pending", "ring"), lease=True)
_COMMIT: Final = Script(
    __package__, "group_commit", keys=4, fragments=("clock", "entry", "pending", "ring"), lease=True
)
_EXTEND: Final = Script(
    __package__, "group_extend", keys=2, fragments=("clock", "pending"), repeatable=True, lease=True
)
_RENEW: Final = Script(__package__, "group_renew", fragments=("pending",), repeatable=True, lease=True)
_HAND_BACK: Final = Script(
    __package__, "group_hand_back", keys=4, fragments=("clock", "pending", "ring"), repeatable=True, lease=True
)

_LONGEST_REASON: Final = 4000
"""Bytes of a reason that are kept."""


@final
@dataclass(frozen=True, slots=True)
class Post:
    """Where a consumer of a group stands: at one partition of a log."""

    redis: AnyRedis
    group: str
    consumer: str
    visibility_ms: int
    max_deliveries: int
    ordered: int
    log: str
    dead: str
    later: str
    state: str
    claims: str
    waiters: str


@final
class EntryDelivery(Generic[T]):
    """One entry, held until it is acknowledged, given back or rejected, or until its time is over.

    `async with` holds it for as long as the block lasts: it is renewed meanwhile, acknowledged at the end, given back
    by an exception, and handed back uncharged by a cancellation. What the block raised goes on.

    Promise: when `ack` answers True, the group gets the entry no more. Limit of the promise: between the end of its
    time and the next claim two consumers may be at one entry; make a handler's effect one that may happen twice, with
    `entry.id` as its mark.

    Cost: one round trip for each call.

    Example:
        >>> async def main(redis):
        ...     group = ConsumerGroup(EventLog(redis, "orders"), "billing")
        ...     delivery = await group.claim("worker-1", timeout=0)
        ...     if delivery is not None:
        ...         async with delivery:
        ...             print(delivery.entry.id, delivery.payload)
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_post",
        "attempt",
        "due",
        "entry",
        "lost",
        "on_loss",
        "patience",
        "token",
        "valid_until",
    )

    def __init__(self, post: Post, entry: Entry[T], attempt: int, sent: float) -> None:
        self._post = post
        self._ended = False
        self.entry = entry
        self.attempt = attempt  #: 1 for the first delivery
        self.lost = False  #: the entry was found to have moved on
        self.token = "\0".join((entry.id, str(attempt), post.group, post.consumer, post.log))
        self.on_loss: Callable[[], object] | None = None
        self._set_validity(sent, post.visibility_ms)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ended" if self._ended else "held"
        return f"<EntryDelivery {self.id} to {self._post.group!r}, attempt {self.attempt}, {state}>"

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.entry.id

    @property
    def payload(self) -> T:
        """What was appended."""
        return self.entry.payload

    @property
    def headers(self) -> dict[str, str]:
        """What travelled beside it."""
        return self.entry.headers

    async def ack(self) -> bool:
        """The group is done with the entry; False when it had moved on.

        Raises:
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed; it is delivered again unless it was done.
        """
        post = self._post
        return bool(await self._end(_ACK, post.log, post.later, post.waiters, *self._name, post.ordered))

    async def nack(self, delay: Seconds = 0, reason: str = "") -> bool:
        """Handling failed: deliver it again, or bury it if this was its last delivery.

        Args:
            delay: Seconds until it may be delivered again.
            reason: What the dead letter says, if it becomes one.

        Returns:
            False when it had moved on.
        """
        return await self._give_back(delay_ms(delay), reason or "given back", self._post.max_deliveries)

    async def reject(self, reason: str) -> bool:
        """It can never be handled: put it among the dead letters now; False when it had moved on."""
        return await self._give_back(0, reason, 0)

    async def extend(self, lease: Seconds | None = None) -> bool:
        """Hold it for so many seconds from now, the group's `visibility` when None; False when it had moved on."""
        post, sent = self._post, monotonic()
        length_ms = post.visibility_ms if lease is None else lease_ms(lease)
        if not await _EXTEND(post.redis, post.log, post.later, *self._name, post.visibility_ms, length_ms):
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
        post = self._post
        own = (post.log, post.dead, post.later, post.waiters)
        return await self._end(_COMMIT.taking(4 + len(keys)), *own, *keys, *self._name, post.ordered, *commands)

    async def hand_back(self) -> bool:
        """It was not begun: deliver it again, this attempt not charged; False when it had moved on."""
        self._stop()
        return bool(await hand_back(self._post, "", f"{self.id} {self.attempt}"))

    def keep(self) -> None:
        """Renew it in the background, until it ends."""
        link_of(self.redis).companion(Renewals).add(self)

    async def __aenter__(self) -> EntryDelivery[T]:
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
        """Give it back for what was raised, whatever Redis says to it; time does it if need be."""
        if self._ended:
            return
        why = f"{type(error).__name__}: {error}"
        given = self.hand_back() if is_interruption(error) else self.nack(delay, why)
        try:
            await shielded(given, link_of(self.redis).deadline)
        except (RedisError, PatternError, OSError, TimeoutError) as failure:
            error.add_note(f"the entry could not be given back either: {failure!r}")

    @property
    def _name(self) -> tuple[str, str, str, int]:
        return self._post.group, self._post.consumer, self.id, self.attempt

    async def _give_back(self, delay: int, reason: str, most: int) -> bool:
        post = self._post
        text = reason.encode(errors="replace")[:_LONGEST_REASON]
        keys = (post.log, post.dead, post.later, post.waiters)
        return bool(await self._end(_NACK, *keys, *self._name, post.visibility_ms, delay, most, text))

    async def _end(self, script: Script, *keys_and_args: str | bytes | int) -> Any:
        """Let the server end it. When the reply was lost it is asked again: "not held" then means "done already"."""
        self._stop()
        try:
            held = await script(self.redis, *keys_and_args)
        except OutcomeUnknownError:
            held = await script(self.redis, *keys_and_args) or monotonic() < self.valid_until
            if not held:
                raise
        self.lost = not held
        return held

    def _stop(self) -> None:
        self._ended = True
        link_of(self.redis).companion(Renewals).discard(self)

    # What renews it asks ---------------------------------------------------------------------------------------------

    @property
    def redis(self) -> AnyRedis:
        """The client that holds it."""
        return self._post.redis

    @property
    def renewal(self) -> Script:
        """The script that renews it."""
        return _RENEW

    @property
    def key(self) -> str:
        """Where the server knows who has it."""
        return self._post.log

    def next_lease_ms(self) -> int:
        """For how long it is to be renewed in the background."""
        return 0 if self._ended else self._post.visibility_ms

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed in the background; whether it is still wanted."""
        if not self._ended:
            self._set_validity(sent, lease_ms)
        return not self._ended

    def on_lost(self, reason: LossReason) -> None:
        """It has moved on: who handles it is told, once."""
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


async def hand_back(post: Post, claim: str, name: str) -> int:
    """Take back a claim by its token, or one delivery by its id and attempt, as if it had never been; how many."""
    keys = (post.log, post.later, f"{post.claims}:{claim}", post.waiters)
    count: int = await _HAND_BACK(post.redis, *keys, post.group, post.consumer, post.visibility_ms, name)
    return count
