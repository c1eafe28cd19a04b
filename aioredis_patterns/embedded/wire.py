"""One command on a connection of its own: enough to start a server and to build a topology."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import hiredis

__all__ = ("ask",)

_UNFINISHED: Final = object()


async def ask(unix_path: Path, *command: str | int, timeout: float = 2) -> Any:
    """Send a command through a server's unix socket and return its reply, decoded; an error reply is returned too.

    Args:
        unix_path: The server's socket.
        command: Name and arguments.
        timeout: Seconds for connecting and for the reply.

    Raises:
        OSError: Nobody listens, or the connection ended before the reply. A timeout is a TimeoutError, so one too.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_unix_connection(unix_path)
        try:
            writer.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # typed as a tuple of one
            return await _reply(reader)
        finally:
            writer.transport.abort()


async def _reply(reader: asyncio.StreamReader) -> Any:
    parser = hiredis.Reader(encoding="utf-8", notEnoughData=_UNFINISHED)
    while (reply := parser.gets()) is _UNFINISHED:
        received = await reader.read(65_536)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        parser.feed(received)
    return reply
