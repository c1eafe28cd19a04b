"""Who holds a lock: the token of one acquisition, and what the holder says of itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aioredis_patterns._core.stored import Stored

__all__ = ("LockOwner", "describe_owner", "next_token", "read_owner")

_HOST: Final = socket.gethostname().replace(" ", "-") or "-"


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who holds a lock, as the holder described itself.

    Example:
        >>> async def main(redis):
        ...     owner = await Lock(redis, "resource:42").owner()
        ...     return owner and f"{owner.host}:{owner.pid} since {owner.since}"
    """

    host: str
    pid: int
    task: str  #: name of the asyncio task
    since: datetime  #: by the holder's clock
    fence: int
    valid_for: float  #: seconds that its lease has left


def read_owner(value: bytes, left_ms: int) -> LockOwner:
    """The owner that a lock's value names; its lease has so many ms left."""
    with Stored("a lock"):
        _, fence, host, pid, since, task = value.decode(errors="replace").split(" ", 5)
        began = datetime.fromtimestamp(int(since), UTC)
        return LockOwner(host, int(pid), task, began, int(fence), max(left_ms, 0) / 1000)


class _Process:
    """What tells the acquisitions of this process from those of every other."""

    __slots__ = ("numbers", "owner", "prefix")

    def __init__(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.numbers = itertools.count(1)
        self.owner = f"{_HOST} {os.getpid()}"


_process = _Process()
if hasattr(os, "register_at_fork"):  # a forked child is another process; Windows does not fork
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]


def next_token() -> str:
    """A token that no other acquisition has."""
    return f"{_process.prefix}{next(_process.numbers):x}"


def describe_owner(loop: asyncio.AbstractEventLoop) -> str | bytes:
    """The task that runs on this loop, as `read_owner` reads it from a lock's value."""
    task = asyncio.current_task(loop)
    text = f"{_process.owner} {int(time.time())} {task.get_name()[:100] if task else '-'}"
    return text if text.isascii() else text.encode(errors="replace")
