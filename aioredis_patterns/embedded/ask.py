"""One command on a connection of its own: enough to start a server and to build a topology."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import hiredis
from redis.exceptions import ResponseError

from aioredis_patterns.client.packing import pack_command

__all__ = ("ask",)

_UNFINISHED: Final = object()


async def ask(unix_path: Path, *command: str | int, timeout: float = 2) -> Any:
    """Send a command through a server's unix socket and return its reply, with text decoded.

    Args:
        unix_path: The server's socket.
        command: Name and arguments.
        timeout: Seconds for connecting and for the reply.

    Raises:
        OSError: Nobody listens, or the connection ended before the reply. A timeout is a TimeoutError, so one too.
        redis.exceptions.ResponseError: The server refused.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_unix_connection(unix_path)
        try:
            writer.write(pack_command(command))
            reply = await _reply(reader)
        finally:
            writer.transport.abort()
    if isinstance(reply, ResponseError):
        raise reply
    return reply


async def _reply(reader: asyncio.StreamReader) -> Any:
    parser = hiredis.Reader(replyError=ResponseError, encoding="utf-8", notEnoughData=_UNFINISHED)
    while (reply := parser.gets()) is _UNFINISHED:
        received = await reader.read(65_536)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        parser.feed(received)
    return reply
