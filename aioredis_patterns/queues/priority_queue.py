"""A queue with priorities: higher first, first in first out among equals; otherwise as `Queue`.

Promise and limit: those of `Queue`. What is recovered goes back to its own place. With `aging` nobody starves.

Cost: one round trip to put, to claim and to acknowledge; claiming grows with the logarithm of what waits. One small
key is kept for good: it numbers the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar, final, overload

from aioredis_patterns._core.durations import period_us
from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .message_queue import MessageQueue, Terms

__all__ = ("PriorityQueue",)

T = TypeVar("T")

_MOST: Final = 4096
"""Levels above and below 0, so that priority and number together are exact in a double."""

_LONGEST_AGING: Final = 86_400_000_000
"""A day, in us: with it the time and 4,096 levels together are exact in a double."""


@final
class PriorityQueue(MessageQueue[T]):
    """Messages, the most important first, delivered at least once.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the queue is called.
        aging: Seconds of waiting that make up for one level of priority, at most a day; None for never.
        visibility: Seconds that a delivery is held without a renewal.
        max_deliveries: Deliveries after which a message is a dead letter.
        maxlen: How many messages may wait to be claimed, those with a delay included; None for any number.
        codec: How payloads become bytes: `codecs.Json` when None, `codec_for(User)` for a type of yours.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     queue = PriorityQueue(redis, "jobs", aging=60)
        ...     await queue.put("can wait")
        ...     await queue.put("cannot", priority=10)
        ...     async with await queue.claim() as delivery:
        ...         print(delivery.payload)
    """

    __slots__ = ()

    @overload
    def __init__(
        self: PriorityQueue[Any],
        redis: AnyRedis,
        name: str,
        *,
        aging: Seconds | None = ...,
        visibility: Seconds = ...,
        max_deliveries: int = ...,
        maxlen: int | None = ...,
        codec: None = ...,
        prefix: str = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        aging: Seconds | None = ...,
        visibility: Seconds = ...,
        max_deliveries: int = ...,
        maxlen: int | None = ...,
        codec: Codec[T],
        prefix: str = ...,
    ) -> None: ...

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        aging: Seconds | None = None,
        visibility: Seconds = 30,
        max_deliveries: int = 5,
        maxlen: int | None = None,
        codec: Codec[Any] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        order = 0 if aging is None else period_us(aging, "aging")
        if order > _LONGEST_AGING:
            raise ValueError(f"aging must be a day at most, not {aging!r}")
        super().__init__(redis, name, str(order), visibility, max_deliveries, maxlen, codec, prefix)

    async def put(  # noqa: PLR0913  # what a message is, is said in one place
        self,
        payload: T,
        priority: int = 0,
        *,
        delay: Seconds = 0,
        dedup: KeyPart | None = None,
        dedup_for: Seconds | None = None,
        dedup_again: bool = False,
        group: KeyPart | None = None,
        ttl: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> str:
        """Put a message behind its equals; its id, or that of the one before with the same `dedup`.

        A queue that is full is asked again, four times a second at least, until it has room.

        Args:
            payload: What the codec takes.
            priority: -4096 to 4096, higher first.
            delay: Seconds until it may be claimed.
            dedup: While a message with this key is pending, no other is put: not acknowledged, and no dead letter.
            dedup_for: The same for so many seconds from the first put, whatever becomes of it; then one more is put,
                even if the first is pending still.
            dedup_again: Once the message with this key was claimed, one more is kept, the one put last, and put when
                that message has ended; so a handler runs once more after whatever changed while it ran.
            group: A tenant: those of one priority take turns, however much each has put. Not with `aging`.
            ttl: Seconds after which it is dropped if nobody has claimed it; None to keep it.
            headers: What travels beside the payload, such as a trace.
            timeout: Seconds to wait while the queue is full; 0 to try once, None for ever.

        Raises:
            CodecError: The codec refuses the payload.
            QueueFullError: There was no room in time.
            OutcomeUnknownError: The reply was lost; the message may be in the queue.
        """
        if group is not None and self._place.order != "0":
            raise ValueError("a queue with aging goes by time, and has no groups")
        level = _checked(priority)
        terms = Terms.of(
            delay, ttl, priority=level, dedup=dedup, dedup_for=dedup_for, dedup_again=dedup_again, group=group
        )
        (id_,) = await self._put([payload], terms, headers, timeout)
        return id_

    async def put_many(
        self,
        payloads: Iterable[T],
        priority: int = 0,
        *,
        delay: Seconds = 0,
        ttl: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> list[str]:
        """Put messages of one priority, in their order, 500 in one round trip; their ids.

        Each 500 are put together or not at all; in a full queue, those before the first that found no room are put.
        """
        return await self._put(payloads, Terms.of(delay, ttl, priority=_checked(priority)), headers, timeout)


def _checked(priority: int) -> int:
    if type(priority) is not int or not -_MOST <= priority <= _MOST:
        raise ValueError(f"priority must be an integer from -{_MOST} to {_MOST}, not {priority!r}")
    return priority
