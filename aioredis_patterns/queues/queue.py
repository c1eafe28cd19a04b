"""A queue over processes and machines: first in, first out, and nothing is lost with the process that handles it.

Promise: a message that `put` has answered for is delivered until a handler acknowledges it, at least once. A consumer
that dies loses its lease, and the message goes back to the front; one that was delivered `max_deliveries` times
becomes a dead letter. A claim that is cancelled leaves nothing behind.

Limit of the promise: a message may be handled twice, when a lease ends before its handler does or a reply is lost.
Redis replicates after it has answered, so a failover may forget what was just put, and an eviction policy other than
`noeviction` may drop what waits. The keys have no expiry: what waits is kept until it is claimed.

Cost: one round trip to put, to claim and to acknowledge. All keys of a queue are in one slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, final, overload

from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .message_queue import MessageQueue, Terms

__all__ = ("Queue",)

T = TypeVar("T")


@final
class Queue(MessageQueue[T]):
    """Messages, first in, first out, delivered at least once.

    The object is only a definition: it does no I/O when it is made, and any number of tasks may share it.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the queue is called.
        visibility: Seconds that a delivery is held without a renewal; others get the message after them.
        max_deliveries: Deliveries after which a message is a dead letter.
        maxlen: How many messages may wait to be claimed, those with a delay included; None for any number.
        codec: How payloads become bytes: `codecs.Json` when None, `codec_for(User)` for a type of yours.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails", visibility=30, max_deliveries=5)
        ...     await queue.put({"to": "ada@example.com"})
        ...     if delivery := await queue.claim(timeout=5):
        ...         async with delivery:
        ...             print(delivery.payload, delivery.attempt)
    """

    __slots__ = ()

    @overload
    def __init__(
        self: Queue[Any],
        redis: AnyRedis,
        name: str,
        *,
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
        visibility: Seconds = 30,
        max_deliveries: int = 5,
        maxlen: int | None = None,
        codec: Codec[Any] | None = None,
        prefix: str = PREFIX,
    ) -> None:
        super().__init__(redis, name, "fifo", visibility, max_deliveries, maxlen, codec, prefix)

    async def put(
        self,
        payload: T,
        *,
        delay: Seconds = 0,
        dedup: KeyPart | None = None,
        dedup_for: Seconds | None = None,
        dedup_again: bool = False,
        ttl: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> str:
        """Put a message at the tail; its id, or that of the one before with the same `dedup`.

        A queue that is full is asked again, four times a second at least, until it has room.

        Args:
            payload: What the codec takes.
            delay: Seconds until it may be claimed.
            dedup: While a message with this key is pending, no other is put: not acknowledged, and no dead letter.
            dedup_for: The same for so many seconds from the first put, whatever becomes of it; then one more is put,
                even if the first is pending still.
            dedup_again: Once the message with this key was claimed, one more is kept, the one put last, and put when
                that message has ended; so a handler runs once more after whatever changed while it ran.
            ttl: Seconds after which it is dropped if nobody has claimed it; None to keep it.
            headers: What travels beside the payload, such as a trace.
            timeout: Seconds to wait while the queue is full; 0 to try once, None for ever.

        Raises:
            CodecError: The codec refuses the payload.
            QueueFullError: There was no room in time.
            OutcomeUnknownError: The reply was lost; the message may be in the queue.
        """
        terms = Terms.of(delay, ttl, dedup=dedup, dedup_for=dedup_for, dedup_again=dedup_again)
        (id_,) = await self._put([payload], terms, headers, timeout)
        return id_

    async def put_many(
        self,
        payloads: Iterable[T],
        *,
        delay: Seconds = 0,
        ttl: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> list[str]:
        """Put messages at the tail, in their order, 500 in one round trip; their ids.

        Each 500 are put together or not at all; in a full queue, those before the first that found no room are put.
        """
        return await self._put(payloads, Terms.of(delay, ttl), headers, timeout)
