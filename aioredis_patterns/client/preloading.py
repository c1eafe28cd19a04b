"""Preloading: a new connection asks which scripts the server lacks, and loads those before its first command."""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, ResponseError

from aioredis_patterns._core.lua import KNOWN

from .packing import pack_command

__all__ = ("preload",)


async def preload(connection: AbstractConnection) -> None:
    """Load every imported script that the server does not have; where that is refused, the calls do it themselves.

    Cost: one round trip, and a second one where the server has been restarted or flushed.
    """
    known = list(KNOWN.values())
    if not known:
        return
    (there,) = await _replies(connection, pack_command(("SCRIPT", "EXISTS", *(source.sha for source in known))))
    if there is not None:
        missing = [source for source, exists in zip(known, there, strict=True) if not exists]
        await _replies(connection, *(pack_command(("SCRIPT", "LOAD", source.text)) for source in missing))


async def _replies(connection: AbstractConnection, *commands: bytes) -> list[Any]:
    """Send commands in one write; their replies, None for each that was refused."""
    await connection.send_packed_command([b"".join(commands)])
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response(disable_decoding=True))
        except (ResponseError, BusyLoadingError):
            replies.append(None)
    return replies
