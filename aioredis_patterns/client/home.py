"""Where a connection lives: on one event loop, in one thread, in one process."""

from __future__ import annotations

import asyncio
import sys
import weakref
from threading import get_ident
from typing import Final

if sys.platform != "win32":
    from os import register_at_fork

__all__ = ("Home",)

_HOMES: Final[weakref.WeakSet[Home]] = weakref.WeakSet()


class Home:
    """The event loop that runs now, and the thread that runs it."""

    __slots__ = ("__weakref__", "_thread", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = get_ident()
        _HOMES.add(self)

    def here(self) -> bool:
        """Whether this code runs there; False also where the loop has moved to another thread.

        Before Python 3.12, `get_running_loop` asks the kernel for the process at every call, which is a tenth of the
        cost of a command.
        """
        return self._thread == get_ident() and self.loop.is_running()

    @property
    def over(self) -> bool:
        """Whether nothing runs there ever again, in this process."""
        return self._thread == 0 or self.loop.is_closed()

    def leave(self) -> None:
        """Nothing runs here any more."""
        self._thread = 0


def _leave_all() -> None:
    """In a forked child the parent's loop looks as if it ran on, and the parent's sockets are open."""
    for home in _HOMES:
        home.leave()


if sys.platform != "win32":
    register_at_fork(after_in_child=_leave_all)
