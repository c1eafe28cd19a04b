"""The processes that contend with one another: each has its own connection, and does what the tour says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

__all__ = ("Crew", "CrewError", "PROCESSES", "crew_of")

PROCESSES: Final = 4

_LINE: Final = 2**24
"""Bytes that an answer may have."""


class CrewError(Exception):
    """Raised when a process of the tour failed, with what it said last."""


class Crew:
    """The running processes. `crew_of` makes it, and ends it."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._tasks = 0

    async def do(self, target: str, *arguments: Any) -> list[Any]:
        """Have every process do the same at the same time, and give the answer of each.

        Args:
            target: `module:function` of an async function that takes a client, the prefix, and the arguments.
            arguments: What JSON can carry; the answers too.

        Raises:
            CrewError: A process failed.
        """
        self._tasks += 1
        line = json.dumps([self._tasks, target, arguments]).encode() + b"\n"
        for process in self._processes:
            _pipe(process.stdin).write(line)
        return await _answers(self._processes, self._tasks)


@asynccontextmanager
async def crew_of(count: int, url: str, prefix: str) -> AsyncIterator[Crew]:
    """So many processes, connected and waiting. They are gone when the block ends, or when this process dies."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        for _ in range(count):
            processes.append(await _start(url, prefix))  # noqa: PERF401  # each is ended, also when the next fails
        await _answers(processes, 0)
        yield Crew(processes)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.communicate() for process in processes))


async def _start(url: str, prefix: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"{__package__}.worker", prefix),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
        env=os.environ | {"TOUR_URL": url},  # it may hold a password, which the list of processes would show
        start_new_session=True,  # the terminal's Ctrl-C reaches the tour alone, which ends them
    )


async def _answers(processes: Sequence[asyncio.subprocess.Process], task: int) -> list[Any]:
    """Wait for all of them, also when one has failed."""
    answers = await asyncio.gather(*(_answer(process, task) for process in processes), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def _answer(process: asyncio.subprocess.Process, task: int) -> Any:
    """The answer to one task; those that came too late for the tasks before it are dropped."""
    while line := await _pipe(process.stdout).readline():
        number, done, answer = json.loads(line)
        if number == task and not done:
            raise CrewError(answer)
        if number == task:
            return answer
    raise CrewError("a process of the tour ended; its error stands above")


def _pipe(pipe: Any) -> Any:
    if pipe is None:
        raise CrewError("a process of the tour has no pipe")
    return pipe
