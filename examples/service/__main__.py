"""Starts the teahouse on a Redis of its own, until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from aioredis_patterns import embedded_server

from .app import create_app

PORT = 8000


async def main() -> None:
    """Serve on a port of this machine; all data is forgotten at the end."""
    with TemporaryDirectory() as folder:
        async with embedded_server() as redis:
            app = create_app(redis.url, Path(folder) / "teahouse.sqlite", secure=False)
            # The board's events never end by themselves, so nobody waits for them at the end.
            config = uvicorn.Config(app, port=PORT, log_level="warning", timeout_graceful_shutdown=1)
            print(f"The teahouse is open: http://localhost:{PORT} (Ctrl-C closes it)")  # noqa: T201
            await uvicorn.Server(config).serve()


with suppress(KeyboardInterrupt):
    asyncio.run(main())
