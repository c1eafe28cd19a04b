"""No server outlives the process that started it, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.embedded.processes import ROOT, living, parent
from tests.support.waiting import eventually


def is_there(directory: str) -> bool:
    """Whether the directory of a server exists."""
    return Path(directory).is_dir()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_killed_parent_leaves_no_server(paused: bool) -> None:
    """After SIGKILL of the parent, its server, the watcher and the directory are gone, were the server stopped too."""
    with parent(1) as (process, [server]):
        group, directory = int(server["pid"]), str(server["directory"])
        assert group in living(group)
        assert is_there(directory)
        if paused:
            os.kill(group, signal.SIGSTOP)
        process.kill()
        await eventually(lambda: not living(group))
        await eventually(lambda: not is_there(directory))


async def test_a_killed_parent_leaves_no_child_of_the_server() -> None:
    """A child that saves for the server goes with it."""
    with parent(1) as (process, [server]):
        group = int(server["pid"])
        server_and_watcher = living(group)
        async with Redis.from_url(str(server["url"])) as redis:
            await redis.execute_command("CONFIG", "SET", "rdb-key-save-delay", "10000000")
            await redis.set("n", 1)
            await redis.bgsave()
            await eventually(lambda: living(group) > server_and_watcher)
        process.kill()
        await eventually(lambda: not living(group))


async def test_a_parent_that_ends_without_cleaning_up_leaves_no_server() -> None:
    """A parent that leaves by os._exit, with the block still open, leaves nothing."""
    script = """if True:
        import asyncio, os
        from aioredis_patterns.embedded import embedded_server

        async def main():
            async with embedded_server(args=["--loglevel", "notice"]) as server:
                print(server.pid, flush=True)
                os._exit(0)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", script]
    group = int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)  # noqa: ASYNC221
    await eventually(lambda: not living(group))


async def test_an_interrupted_parent_cleans_up() -> None:
    """Ctrl-C reaches the parent and not its server; the parent ends the server and removes the directory."""
    with parent(1) as (process, [server]):
        group, directory = int(server["pid"]), str(server["directory"])
        assert os.getpgid(group) == group
        process.send_signal(signal.SIGINT)
        await eventually(lambda: process.poll() is not None)
        assert not living(group)
        assert not is_there(directory)
