"""The commands of one turn of the event loop that share a deadline: written together, expired together."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from itertools import islice
from typing import Any

from .wire import Unanswered, Wire

__all__ = ("Batch", "refuse")


class Batch:
    """Packed commands, and the futures that wait for their replies.

    Once it is written, the wire alone holds the futures, and lets go of each with its reply: the batch keeps no more
    than their place in the order of the wire.

    Args:
        deadline: Seconds that these calls may take.
        expires: When they give up, on the event loop's clock.
        decode: Whether the strings of the replies are to be decoded.
    """

    __slots__ = ("chunks", "deadline", "decode", "end", "expires", "futures", "size", "start", "whole", "wire")

    def __init__(self, deadline: float, expires: float, decode: bool) -> None:
        self.deadline = deadline
        self.expires = expires
        self.decode = decode
        self.whole = False  # the chunks mean something only together: all are sent, or none
        self.futures: list[asyncio.Future[Any]] = []
        self.chunks: list[bytes] = []
        self.size = 0
        self.wire: Wire | None = None  # it was written to
        self.start = self.end = 0  # its place in the order of that wire

    def finished(self) -> bool:
        """Whether nobody waits for any of these any more."""
        if self.wire is not None:
            return self.wire.answered >= self.end
        return all(future.done() for future in self.futures)

    def write_to(self, wire: Wire) -> int:
        """Send what somebody waits for; gives the number of commands sent."""
        if wire.starved:
            self._forget_the_gone()
        count = len(self.chunks)
        self.wire, self.start, self.end = wire, wire.sent, wire.sent + len(self.futures)
        if count:
            wire.send(b"".join(self.chunks) if count > 1 else self.chunks[0], self.futures, self.decode)
        self.chunks, self.futures = [], []
        return count

    def _forget_the_gone(self) -> None:
        """Drop what nobody waits for any more; it was never written, so it never happens."""
        if self.whole:
            if self.futures[-1].done():
                self.futures, self.chunks = [], []
            return
        waiting = [not future.done() for future in self.futures]
        self.chunks = [chunk for chunk, wanted in zip(self.chunks, waiting, strict=True) if wanted]
        self.futures = [future for future, wanted in zip(self.futures, waiting, strict=True) if wanted]

    def fail(self, reason: str, *, expired: bool) -> None:
        """End every call that still waits."""
        for future in self._waiting():
            if not future.done():
                future.set_exception(Unanswered(reason, written=self.wire is not None, expired=expired))

    def _waiting(self) -> Iterable[asyncio.Future[Any]]:
        if self.wire is None:
            return self.futures
        answered = self.wire.answered
        return islice(self.wire.pending, max(self.start - answered, 0), max(self.end - answered, 0))


def refuse(waiting: Iterable[asyncio.Future[Any]], error: Exception) -> None:
    """End every one that still waits with an error, as what nothing was sent for."""
    for future in waiting:
        if not future.done():
            future.set_exception(_copy_of(error))


def _copy_of(error: Exception) -> Exception:
    """One for each caller, who adds a traceback of its own; some exceptions cannot be copied."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever the constructor of somebody else's class raises
        return error
