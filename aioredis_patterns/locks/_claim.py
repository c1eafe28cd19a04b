"""One acquisition of what may have to be waited for, when the server alone decides who is next.

A claim asks under its token until it is answered, waits to be woken, and, given up, takes back what it may have left.
Tasks of one client that wait in the same line ask one after the other: only the first of them costs the server.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Final

from redis.exceptions import RedisError

from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import LockTimeoutError, OutcomeUnknownError
from aioredis_patterns.events import LockAcquired, LockTimedOut, emit
from aioredis_patterns.locks._waiting import Waiter, Waiting
from aioredis_patterns.locks.lease import Terms, quietly

__all__ = ("Claim", "RECHECK", "SOON", "give_back", "insist", "patience", "pause")

RECHECK: Final = 1.0
"""Seconds after which a waiter looks for itself, in case that what should have woken it was lost."""

SOON: Final = 0.02
"""Seconds, below which there is no time left to ask again."""


class Claim(ABC):
    """One acquisition.

    Args:
        link: The connection.
        terms: Of the lease that is wanted.
        token: Of the acquisition.
        line: Where the tasks of this client wait for one another.
        inbox: The channel on which the server wakes it.
        topic: The message that wakes it; None for any.
    """

    __slots__ = ("_inbox", "_line", "_started", "_terms", "_topic", "link", "token")

    def __init__(self, link: Link, terms: Terms, token: str, line: str, inbox: str, topic: str | None) -> None:
        self.token = token
        self.link, self._terms, self._line, self._inbox, self._topic = link, terms, line, inbox, topic
        self._started = monotonic()

    @abstractmethod
    async def _ask(self, deadline: float, *place: str | int) -> int:
        """Ask once: a positive number when it is granted, else minus the ms after which to ask again.

        With a place (inbox and us waited) the server enrolls it. Asked again, it is granted what it has already.
        """

    @abstractmethod
    async def _undo(self, inbox: str, deadline: float) -> object:
        """Take back what this token has, and the place of the inbox unless that is empty."""

    async def once(self, deadline: float | None = None) -> tuple[float, int] | None:
        """Ask without waiting: when that was asked which was granted, and the number; None when it was refused."""
        try:
            sent, answer = await self._answered(deadline or self.link.deadline)
        except BaseException:
            self._take_back("")
            raise
        return (sent, answer) if answer > 0 else None

    async def take(self, limit: float | None) -> tuple[float, int]:
        """Wait for it so many seconds; None for ever.

        Raises:
            LockTimeoutError: It was not granted in that time.
        """
        deadline, granted = self.link.deadline, None
        if self._line not in self.link.companion(Waiting):
            granted = await self.once(patience(limit, deadline))
        if granted is None and limit != 0:
            granted = await self._wait(limit)
        if granted is None:
            raise self._timed_out(0.0)
        return granted

    def acquired(self) -> None:
        """Tell that it was granted."""
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockAcquired(pattern=self._terms.pattern, waited=monotonic() - self._started))

    async def _wait(self, limit: float | None) -> tuple[float, int]:
        """Stand in the line of this client, and leave it with a grant or without anything."""
        waiting, line = self.link.companion(Waiting), self._line
        waiter = Waiter(self.token, "", self._terms.lease_ms, self._started)
        waiting.join(line, waiter)
        timer = asyncio.timeout(None if limit is None else self._started + limit - monotonic())
        try:
            async with timer:
                granted = await self._take_turn(waiter)
        except BaseException as error:
            if waiter.first:
                self._take_back(self._inbox)  # before the next of the line takes the place
            waiting.leave(line, waiter, holding=False)
            if isinstance(error, TimeoutError) and timer.expired():
                raise self._timed_out(limit or 0.0) from None
            if isinstance(error, RedisError | OutcomeUnknownError):
                waiting.fail(line, error)
            raise
        waiting.leave(line, waiter, holding=False)  # the next asks the server, which may have something left
        return granted

    async def _take_turn(self, waiter: Waiter) -> tuple[float, int]:
        while not waiter.first:
            await waiter.bell.wait()
            waiter.check()
        async with self.link.subscriptions.listen(self._inbox, self._topic, waiter.bell):
            while True:
                sent, answer = await self._answered(self.link.deadline, self._inbox, waiter.waited_us)
                if answer > 0:
                    return sent, answer
                await waiter.bell.wait(pause(-answer))
                waiter.check()

    async def _answered(self, deadline: float, *place: str | int) -> tuple[float, int]:
        """Ask until an answer comes: when it was asked, and the answer, which is no grant that has run out already."""
        # The first deadline is the same object every time, so that questions of one moment are sent together.
        give_up, left = monotonic() + deadline, deadline
        while True:
            sent = monotonic()
            try:
                answer = await self._ask(left, *place)
            except OutcomeUnknownError:
                pass
            else:
                if answer <= 0 or monotonic() < sent + self._terms.lease_ms / 1000:
                    return sent, answer
            left = round(give_up - monotonic(), 2)
            if left < SOON:
                raise OutcomeUnknownError(self._terms.pattern, "no answer came in time")

    def _take_back(self, inbox: str) -> None:
        """Undo it in the background, for as long as what it may have left would live."""
        undone = insist(self.link, partial(self._undo, inbox), max(self.link.deadline, self._terms.lease_ms / 1000))
        self.link.finish(quietly(undone), "redis claim undone")

    def _timed_out(self, limit: float) -> LockTimeoutError:
        if (hook := self._terms.on_event) is not None:
            emit(hook, LockTimedOut(pattern=self._terms.pattern, waited=monotonic() - self._started))
        return LockTimeoutError(self._terms.name, limit)


async def give_back(link: Link, free: Callable[[float | None], Awaitable[object]]) -> bool:
    """Give something back by a call that takes a deadline; whether it was still held.

    When its answer is lost, or its caller is cancelled, it is asked again: what is gone then, the first call has freed.
    """
    give_up = monotonic() + link.deadline
    try:
        try:
            return bool(await free(None))
        except OutcomeUnknownError:
            await insist(link, free, give_up - monotonic())
            return True
    except asyncio.CancelledError:
        await quietly(shielded(insist(link, free, link.deadline), link.deadline + SOON))
        raise


async def insist(link: Link, call: Callable[[float], Awaitable[object]], seconds: float) -> None:
    """Make a call that takes a deadline again and again until it is answered, or the client is closed."""
    give_up, closings = monotonic() + seconds, link.closings
    while (left := round(give_up - monotonic(), 2)) >= SOON and link.closings == closings:
        try:
            await call(left)
        except OutcomeUnknownError:
            continue
        return
    raise OutcomeUnknownError("release", "no answer came in time")


def patience(limit: float | None, deadline: float) -> float:
    """Seconds that the first question of somebody may take who waits so long; one try has the client's deadline."""
    return max(min(limit, deadline), SOON) if limit else deadline


def pause(left_ms: float) -> float:
    """Seconds to sleep until what is waited for may have changed, though nobody said so."""
    return min(left_ms / 1000, RECHECK * random.uniform(0.5, 1))  # noqa: S311
