"""Starts servers all at once, tells what they are in one line, and keeps them until its input ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack

from aioredis_patterns.embedded import embedded_server


async def main(count: int) -> None:
    """Keep so many servers."""
    async with AsyncExitStack() as stack:
        own = (stack.enter_async_context(embedded_server(args=["--loglevel", "notice"])) for _ in range(count))
        servers = await asyncio.gather(*own)
        told = [{"pid": server.pid, "url": server.url, "directory": str(server.directory)} for server in servers]
        print(json.dumps(told), flush=True)  # noqa: T201
        orphaned = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, orphaned.set)
        await orphaned.wait()


# A shell that runs the tests in the background has told all its children to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main(int(sys.argv[1])))
