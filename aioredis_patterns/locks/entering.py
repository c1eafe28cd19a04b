"""How a lock is used without a handle: `async with`, a decorator, a call that runs under it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from aioredis_patterns.errors import LockError
from aioredis_patterns.types import Seconds

__all__ = ("Entering", "Held")


class Held(Protocol):
    """A handle of what is held."""

    @property
    def valid_for(self) -> float:
        """Seconds for which it is certainly held; 0 when it is not."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


H = TypeVar("H", bound=Held)
P = ParamSpec("P")
R = TypeVar("R")


class Entering(ABC, Generic[H]):
    """A lock that tasks enter, and that remembers which lease each of them is inside with.

    Args:
        name: Of the lock.
        timeout: Seconds that entering may take; None to wait for ever.
    """

    __slots__ = ("_entered", "_timeout", "name")

    _places: int = 1
    """How many times one task may be inside."""

    def __init__(self, name: str, timeout: float | None) -> None:
        self.name = name
        self._timeout = timeout
        # Held for the tasks that are inside `async with`; not inherited by the tasks that they start.
        self._entered: dict[asyncio.Task[Any] | None, list[H]] = {}

    def share_entries_of(self, other: Entering[H]) -> None:
        """Whoever is inside the other is inside this too, and must not wait for itself."""
        self._entered = other._entered

    @abstractmethod
    async def acquire(self, timeout: Seconds | None = None) -> H:
        """Wait until the lock is free, and take it."""

    async def __aenter__(self) -> H:
        task = asyncio.current_task()
        if self._timeout is None and sum(lease.valid_for > 0 for lease in self._entered.get(task, ())) >= self._places:
            raise LockError(
                self.name, f"this task holds lock {self.name!r} already, and would wait for itself for ever"
            )
        lease = await self.acquire()
        await lease.__aenter__()
        self._entered.setdefault(task, []).append(lease)
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        # An async generator may be left by another task than it was entered by.
        task = task if task in self._entered else next(reversed(self._entered))
        lease = self._entered[task].pop()
        if not self._entered[task]:
            del self._entered[task]
        await lease.__aexit__(kind, error, traceback)

    def __call__(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorate a coroutine function so that each call runs under the lock.

        Example:
            >>> async def main(redis):
            ...     @Lock(redis, "nightly-report")
            ...     async def report(day):
            ...         return f"the report of {day}"
            ...     return await report("monday")
        """

        @wraps(function)
        async def under_lock(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(function, *args, **kwargs)

        return under_lock

    async def run(self, function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a coroutine function under the lock, and give its result."""
        async with self:
            return await function(*args, **kwargs)
