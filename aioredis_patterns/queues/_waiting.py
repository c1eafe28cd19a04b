"""Tasks of one client that wait for the same queue: they stand in line here, and only the first asks the server.

So a hundred idle consumers of one client cost as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

__all__ = ("Waiting",)


@final
class _Line:
    __slots__ = ("length", "turn")

    def __init__(self) -> None:
        self.length = 0
        self.turn = asyncio.Lock()


@final
class Waiting:
    """The lines of one client on one event loop, by the queue's key."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def length(self, key: str) -> int:
        """How many stand in a line."""
        line = self._lines.get(key)
        return 0 if line is None else line.length

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Stand in line, and be inside as its first."""
        line = self._lines.setdefault(key, _Line())
        line.length += 1
        try:
            async with line.turn:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]
