"""Lines: tasks of one client that wait for the same thing, each in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import final

__all__ = ("Lines",)


@final
class Lines:
    """The lines of one client on one event loop."""

    __slots__ = ("_turns", "_waiting")

    def __init__(self) -> None:
        self._turns: dict[Hashable, asyncio.Lock] = {}
        self._waiting: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Stand in line, and be inside as its first."""
        lock = self._turns.setdefault(key, asyncio.Lock())
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._turns[key], self._waiting[key]
