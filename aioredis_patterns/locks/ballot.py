"""One question put to several servers at once: what each of them answered, and who is late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.tasks import background
from aioredis_patterns.errors import PatternError

__all__ = ("Ballot",)

T = TypeVar("T")


@final
class Ballot(Generic[T]):
    """The answers of several servers, as they come in.

    The calls go on to their end whoever waits for them: what was sent to a server that is late has to be known of, so
    that it can be undone there.

    Args:
        calls: One for each server.
    """

    __slots__ = ("_tasks",)

    def __init__(self, calls: Iterable[Awaitable[T]]) -> None:
        self._tasks = [background(_outcome(call), name="redis server asked") for call in calls]

    @property
    def answers(self) -> dict[int, T]:
        """What was answered so far, by the number of the server."""
        ended = self._ended().items()
        return {number: outcome for number, outcome in ended if not isinstance(outcome, Exception)}

    @property
    def failures(self) -> list[Exception]:
        """Of those that did not answer."""
        return [outcome for outcome in self._ended().values() if isinstance(outcome, Exception)]

    def _ended(self) -> dict[int, T | Exception]:
        return {i: task.result() for i, task in enumerate(self._tasks) if task.done() and not task.cancelled()}

    async def settle(self, enough: Callable[[list[T]], bool] | None = None, timeout: float | None = None) -> list[T]:
        """Wait until the answers are enough to decide, all are in, or the timeout has passed; the answers."""
        loop = asyncio.get_running_loop()
        ends = None if timeout is None else loop.time() + timeout
        while enough is None or not enough(list(self.answers.values())):
            late = [task for task in self._tasks if not task.done()]
            left = None if ends is None else ends - loop.time()
            if not late or (left is not None and left <= 0):
                break
            await asyncio.wait(late, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return list(self.answers.values())

    def ask_again(self, number: int, call: Awaitable[T]) -> None:
        """Put another question to a server that has answered."""
        self._tasks[number] = background(_outcome(call), name="redis server asked again")

    async def ended(self, number: int) -> None:
        """Wait until one server has answered, or failed."""
        await asyncio.wait((self._tasks[number],))

    def withdraw(self, number: int) -> None:
        """Wait no more for one server: nothing that was asked of it is sent again."""
        self._tasks[number].cancel()


async def _outcome(call: Awaitable[T]) -> T | Exception:
    try:
        return await call
    except (RedisError, PatternError, OSError, TimeoutError) as error:
        return error
