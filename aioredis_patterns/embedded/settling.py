"""Waiting until several servers agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aioredis_patterns.errors import ServerUnavailableError

from .server import EmbeddedServer

__all__ = ("in_step", "settled")

_TIMEOUT: Final = 30.0
_POLL: Final = 0.02


async def settled(what: str, checks: Sequence[Callable[[], Awaitable[bool]]]) -> None:
    """Ask until all the checks hold at the same time.

    Raises:
        ServerUnavailableError: They did not within 30 s; the message names what was waited for.
    """
    deadline = time.monotonic() + _TIMEOUT
    while not all([await _holds(check) for check in checks]):
        if time.monotonic() > deadline:
            raise ServerUnavailableError(f"{what} did not settle within {_TIMEOUT:g} s")
        await asyncio.sleep(_POLL)


async def _holds(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await check()
    except TimeoutError:
        return False  # a server may stall, such as for its disk, and reply to the next question


async def in_step(replica: EmbeddedServer) -> bool:
    """Whether a replica has copied its master and follows it."""
    return "master_link_status:up" in await replica.ask("INFO", "replication")
