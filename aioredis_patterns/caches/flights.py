"""Flights: one load per key in a process, for all who wait for it.

A load runs in a task of its own. Those who wait for it may come and go; cancelling one touches neither the load nor
the others. When the last one goes, the load is cancelled, or finished for the next to come, as the cache was told.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ("Flight", "Flights")


class Flight:
    """One load under way.

    Args:
        flights: Where it is listed.
        key: What it loads.
    """

    __slots__ = ("_flights", "_key", "_waiters", "loop", "task", "token")

    task: asyncio.Task[bytes]

    def __init__(self, flights: Flights, key: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.token = secrets.token_hex(8)
        self._flights = flights
        self._key = key
        self._waiters = 0

    def join(self) -> None:
        """Wait for it from now on, or have it finished for others when one never leaves."""
        self._waiters += 1

    def leave(self) -> None:
        """Wait no more; the last to leave may end it."""
        self._waiters -= 1
        if not self._waiters and not self.task.done():
            self._flights.abandon(self, self._key)

    async def content(self) -> bytes:
        """What it brings, for one who joined; cancelling this leaves it alone."""
        return await asyncio.shield(self.task)

    async def wait(self) -> bytes:
        """Join, and leave with what it brings."""
        self.join()
        try:
            return await asyncio.shield(self.task)
        finally:
            self.leave()

    def land(self, task: asyncio.Task[bytes]) -> None:
        """Take it off the list; its error was told to whoever waited."""
        self._flights.remove(self, self._key)
        if not task.cancelled():
            task.exception()


class Flights:
    """The loads of one cache in this process.

    Args:
        finishes: Whether a load that nobody waits for any more is finished; else it is cancelled.
    """

    __slots__ = ("_by_key", "_finishes", "_leading")

    def __init__(self, *, finishes: bool) -> None:
        self._by_key: dict[str, Flight] = {}
        self._leading: dict[str, Flight] = {}
        self._finishes = finishes

    def __len__(self) -> int:
        return len(self._by_key)

    def latest(self, key: str) -> Flight | None:
        """The flight that began last for this key and has not landed."""
        return self._by_key.get(key)

    def later_than(self, seen: Flight | None, key: str) -> Flight | None:
        """A flight that began after `seen` was the latest: an invalidation before that moment was before its load."""
        flight = self._by_key.get(key)
        if flight is None or flight is seen or flight.loop is not asyncio.get_running_loop():
            return None
        return flight

    def begin(self, key: str, run: Callable[[Flight], Coroutine[Any, Any, bytes]]) -> Flight:
        """Start a load, which all who come now may join."""
        flight = self._by_key[key] = Flight(self, key)
        flight.task = flight.loop.create_task(run(flight), name=f"load of {key}")
        flight.task.add_done_callback(flight.land)
        return flight

    def lead(self, flight: Flight) -> None:
        """Note that this flight calls the loader."""
        self._leading[flight.token] = flight

    def leader(self, token: str) -> Flight | None:
        """The flight that calls the loader under this token, when it is one of ours."""
        flight = self._leading.get(token)
        return flight if flight is not None and flight.loop is asyncio.get_running_loop() else None

    def abandon(self, flight: Flight, key: str) -> None:
        """Nobody waits for it any more."""
        if not self._finishes:
            self.remove(flight, key)
            flight.task.cancel()

    def remove(self, flight: Flight, key: str) -> None:
        """Let nobody join it any more."""
        self._leading.pop(flight.token, None)
        if self._by_key.get(key) is flight:
            del self._by_key[key]
