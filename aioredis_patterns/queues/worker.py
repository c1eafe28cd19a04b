"""A worker: runs a handler on the messages of a queue, so many at a time, and tries again what failed.

Promise: a message is acknowledged after its handler has returned, and only then. Its lease is renewed while the
handler runs; a handler whose lease is lost is cancelled. When the worker stops, what is not begun goes back at once,
and what does not end within its grace goes back too, with no attempt charged.

Limit of the promise: that of the queue, so a handler may run twice for one message; `Transaction` makes its writes in
Redis count once. A handler that never awaits keeps the lease from being renewed.

Cost: a claim for as many messages as there are free places, an acknowledgement for each; when idle, a handful of
commands a minute.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.durations import lease_ms, timeout_seconds
from aioredis_patterns._core.tasks import BackgroundTasks, background
from aioredis_patterns.errors import PatternError
from aioredis_patterns.types import Claimed, Seconds, Source

__all__ = ("Worker",)

T = TypeVar("T")

_LONGEST_PAUSE: Final = 5.0
"""Seconds between two claims while Redis fails, at most."""

_MOST_AT_ONCE: Final = 100
"""Messages in one claim, so that the server is never busy for long."""

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger("aioredis_patterns")


@final
class Worker(Generic[T]):
    """Handles the messages of a queue for as long as its block lasts.

    Promise, limit and cost: see the module.

    Args:
        queue: Where the messages come from: a queue, or `ConsumerGroup.consumer`.
        handle: A coroutine function of the payload, or of the payload and its `Delivery`.
        concurrency: How many are handled at a time.
        timeout: Seconds after which a handler is cancelled, and its message tried again; None for never.
        backoff: Seconds before the second try, at most; twice as many before each further one. The pause is chosen
            from all of that time at random, so that what failed together is not tried again together.
        longest_backoff: Seconds between two tries, at most.
        grace: Seconds that running handlers have at the end, before they are cancelled and their messages handed back.
        around: A context manager of each delivery, which its handler runs in: for traces, logs, measurements. It finds
            what the sender knew, such as the W3C `traceparent`, in `delivery.headers`.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails")
        ...     async def send(payload):
        ...         print(payload)
        ...     async with Worker(queue, send, concurrency=10):
        ...         await queue.put({"to": "ada@example.com"})
    """

    __slots__ = (
        "_around",
        "_backoff",
        "_claiming",
        "_claims",
        "_free",
        "_grace",
        "_handle",
        "_handlers",
        "_longest",
        "_queue",
        "_room",
        "_timeout",
        "_with_delivery",
    )

    def __init__(
        self,
        queue: Source[T],
        handle: Callable[..., Any],
        *,
        concurrency: int = 10,
        timeout: Seconds | None = None,
        backoff: Seconds = 1,
        longest_backoff: Seconds = 300,
        grace: Seconds = 30,
        around: Callable[[Any], AbstractAsyncContextManager[Any]] = nullcontext,
    ) -> None:
        self._queue, self._handle, self._around = queue, handle, around
        self._with_delivery = _takes_delivery(handle)
        self._timeout = None if timeout is None else lease_ms(timeout, "timeout") / 1000
        self._backoff = timeout_seconds(backoff, "backoff")
        self._longest = timeout_seconds(longest_backoff, "longest_backoff")
        self._grace = timeout_seconds(grace, "grace")
        self._free = check_count(concurrency, "concurrency")
        self._handlers, self._claims = BackgroundTasks(), BackgroundTasks()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then end as the block does; a second signal ends the grace at once.

        Example:
            >>> import asyncio, signal
            >>> async def main(redis):
            ...     async def send(payload):
            ...         print(payload)
            ...     loop = asyncio.get_running_loop()
            ...     loop.call_later(0.1, signal.raise_signal, signal.SIGTERM)  # as a supervisor would
            ...     await Worker(Queue(redis, "emails"), send, concurrency=10).run()
        """
        asked = asyncio.Event()

        def stop() -> None:
            if asked.is_set():
                background(self._handlers.cancel(), "a worker ends at once")
            asked.set()

        with _signals(stop):
            async with self:
                stopping = asyncio.create_task(asked.wait())
                try:
                    await asyncio.wait((stopping, self._claiming), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stopping.cancel()
                if self._claiming.done():
                    await self._claiming

    async def __aenter__(self) -> Self:
        self._room = asyncio.Event()  # of the event loop that runs now
        self._claiming = self._claims.start(self._claim(), f"worker of queue {self._queue.name!r}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._claims.cancel()
        try:
            await self._handlers.wait(self._grace if error is None else 0)
        finally:
            await self._handlers.cancel()

    async def _claim(self) -> None:
        """Claim for every free place, again and again, until cancelled; a cancelled claim strands nothing."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            self._room.clear()
            if not self._free:
                await self._room.wait()
            try:
                found = await self._queue.claim_many(min(self._free, _MOST_AT_ONCE))
            except (RedisError, PatternError, OSError, TimeoutError) as error:
                _logger.warning("worker of queue %r: %r; it tries again", self._queue.name, error)
                pause = min(max(pause * 2, 0.05), _LONGEST_PAUSE)
                continue
            pause = 0.0
            self._free -= len(found)
            for delivery in found:
                task = self._handlers.start(self._work(delivery), f"message {delivery.id} of {self._queue.name!r}")
                delivery.on_loss = task.cancel

    async def _work(self, delivery: Claimed[T]) -> None:
        """Handle one message, and free its place when the server knows what became of it."""
        delivery.keep()
        try:
            async with asyncio.timeout(self._timeout), self._around(delivery):
                await (
                    self._handle(delivery.payload, delivery) if self._with_delivery else self._handle(delivery.payload)
                )
            await delivery.done()
        except BaseException as error:  # whatever a handler raises, the next message is handled
            what = "its lease was lost" if delivery.lost else repr(error)
            _logger.warning("message %s of queue %r: %s", delivery.id, self._queue.name, what)
            if not delivery.lost:
                await delivery.fail(error, self._pause(delivery.attempt))
            if not isinstance(error, Exception):
                raise
        finally:
            self._free += 1
            self._room.set()

    def _pause(self, attempt: int) -> float:
        """Seconds before the next try."""
        longest: float = min(self._backoff * 2 ** min(attempt - 1, 30), self._longest)
        return longest * random.random()  # noqa: S311


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call this on each signal that asks the process to end."""
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)


def _takes_delivery(handle: Callable[..., Any]) -> bool:
    """Whether a handler takes the delivery beside the payload.

    Raises:
        TypeError: It takes neither the payload alone nor both.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(handle)
    needed = [p for p in signature.parameters.values() if p.kind in kinds and p.default is p.empty]
    takes_delivery = len(needed) > 1
    signature.bind(*("payload", "delivery")[: 1 + takes_delivery])
    return takes_delivery
