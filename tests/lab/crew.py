"""The worker processes of a storm."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, final

from tests.support.processes import Worker, worker
from tests.support.waiting import eventually

__all__ = ("Crew",)

_PATIENCE = 120.0
"""Seconds that processes have to start, and to end."""


@final
class Crew:
    """So many places, each with a process; one that was killed is replaced by another.

    Args:
        url: Where they connect to.
        patterns: Names of what they use.
        seed: Of their random numbers.
        folder: Where they write their diaries.
        places: How many.
    """

    def __init__(self, url: str, patterns: Sequence[str], seed: int, folder: Path, places: int) -> None:
        self._arguments = (url, list(patterns), seed)
        self._folder = folder
        self._count = places
        self._running: dict[str, Worker] = {}
        self._killed: set[str] = set()
        self._over = False
        #: What must not be left: tasks and subscriptions in processes that ended in order, and those that did not.
        self.left: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._places = [asyncio.create_task(self._fill(place)) for place in range(self._count)]
        await eventually(self._is_complete, timeout=_PATIENCE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)

    def kill(self, size: float) -> None:
        """Kill one of the processes, chosen by a number from 0 to 1."""
        for name in self._one(size):
            self._killed.add(name)
            self._running[name].kill()

    async def stop(self, size: float, seconds: float) -> None:
        """Stop one of them for so long."""
        for name in self._one(size):
            process = self._running[name]
            process.pause()
            await asyncio.sleep(seconds)
            if name not in self._killed:
                process.resume()

    async def calm_down(self) -> None:
        """Ask every process to end, and wait for what it says of itself."""
        self._over = True
        for name in self._alive():
            self._running[name].terminate()
        ended, late = await asyncio.wait(self._places, timeout=_PATIENCE)
        for place in ended:
            place.result()
        self.left["processes that do not end"] += len(late)

    def _is_complete(self) -> bool:
        for place in self._places:
            if place.done():
                place.result()
        return len(self._running) == self._count

    def _alive(self) -> list[str]:
        return [name for name in self._running if name not in self._killed]

    def _one(self, size: float) -> list[str]:
        """The name of one that lives, if there is one."""
        alive = self._alive()
        return alive[int(size * len(alive)) :][:1]

    async def _fill(self, place: int) -> None:
        """Keep one process running, and start another whenever it was killed."""
        born = 0
        while not self._over:
            name = f"{place}-{born}"
            born += 1
            async with worker("tests.lab.worker:work", *self._arguments, str(self._folder / name)) as process:
                await process.line(timeout=_PATIENCE)  # it listens to SIGTERM now
                self._running[name] = process
                if self._over:
                    process.terminate()
                try:
                    self.left.update(await process.line(timeout=86_400))
                except EOFError:
                    self.left["errors that ended a process"] += name not in self._killed
                finally:
                    del self._running[name]
                await process.wait()
