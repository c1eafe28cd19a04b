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
    if not KNOWN:
        return
    known = list(KNOWN.values())
    try:
        there = (await _replies(connection, [pack_command(("SCRIPT", "EXISTS", *(source.sha for source in known)))]))[0]
    except (ResponseError, BusyLoadingError):
        return
    missing = [source for source, exists in zip(known, there, strict=True) if not exists]
    try:
        await _replies(connection, [pack_command(("SCRIPT", "LOAD", source.text)) for source in missing])
    except (ResponseError, BusyLoadingError):
        return


async def _replies(connection: AbstractConnection, commands: list[bytes]) -> list[Any]:
    """Send commands in one write; their replies.

    Raises:
        ResponseError, BusyLoadingError: The first refusal, when all replies were read.
    """
    if not commands:
        return []
    await connection.send_packed_command([b"".join(commands)])
    replies: list[Any] = []
    refusals: list[Exception] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response(disable_decoding=True))
        except (ResponseError, BusyLoadingError) as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    return replies
