"""The commands of one turn of the event loop that share a deadline: written together, expired together."""

from __future__ import annotations

import asyncio
from typing import Any

from .wire import Unanswered

__all__ = ("Batch",)


class Batch:
    """Packed commands, and the futures that wait for their replies.

    Args:
        deadline: Seconds that these calls may take.
        expires: When they give up, on the event loop's clock.
        decode: Whether the strings of the replies are to be decoded.
    """

    __slots__ = ("chunks", "deadline", "decode", "expires", "futures", "size", "whole", "written")

    def __init__(self, deadline: float, expires: float, decode: bool) -> None:
        self.deadline = deadline
        self.expires = expires
        self.decode = decode
        self.whole = False  # the chunks mean something only together: all are sent, or none
        self.futures: list[asyncio.Future[Any]] = []
        self.chunks: list[bytes] = []
        self.size = 0
        self.written = False

    def finished(self) -> bool:
        """Whether nobody waits for any of these any more."""
        if not self.written:
            return all(future.done() for future in self.futures)
        while self.futures and self.futures[-1].done():
            self.futures.pop()
        return not self.futures

    def forget_the_gone(self) -> None:
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
        for future in self.futures:
            if not future.done():
                future.set_exception(Unanswered(reason, written=self.written, expired=expired))
