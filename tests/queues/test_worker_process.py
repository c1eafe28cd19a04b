"""The worker as a process of its own: what it does on a signal, and what it tells its supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aioredis_patterns.console import main
from aioredis_patterns.queues import Queue


@asynccontextmanager
async def process(url: str, name: str, target: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`aioredis-patterns worker` in a process that is killed at the end, should it still run."""
    command = ("-m", "aioredis_patterns", "worker", f"tests.queues.jobs:{target}")
    environment = {**os.environ, "QUEUE": name, "QUEUE_URL": url}
    running = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def begun(redis: Redis, name: str, handlers: int) -> None:
    """Wait until so many handlers have begun."""
    async with asyncio.timeout(20):
        while await redis.llen(f"{name}:begun") < handlers:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)


async def code_of(running: asyncio.subprocess.Process) -> int:
    """Its exit code, long before a handler of a minute would end."""
    async with asyncio.timeout(20):
        return await running.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_is_asked_to_end_finishes_what_it_began(
    url: str, pipelined: Redis, name: str, number: signal.Signals
) -> None:
    """After a signal the running handlers end, nothing else begins, and the exit code is 0."""
    queue = Queue(pipelined, name)
    await queue.put_many("abcde")
    async with process(url, name, "patient") as running:
        await begun(pipelined, name, 2)
        running.send_signal(number)
        assert await code_of(running) == 0
    stats = await queue.stats()
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (3, 0, 0, 0)
    assert [delivery.attempt for delivery in await queue.claim_many(3)] == [1, 1, 1]
    await pipelined.delete(f"{name}:begun")


@pytest.mark.parametrize(
    ("target", "signals"), [("impatient", [signal.SIGTERM]), ("stubborn", [signal.SIGTERM, signal.SIGINT])]
)
async def test_what_does_not_end_in_time_is_handed_back(
    url: str, pipelined: Redis, name: str, target: str, signals: list[signal.Signals]
) -> None:
    """After the grace, or after a second signal, the rest is handed back uncharged, with exit code 0."""
    queue = Queue(pipelined, name)
    await queue.put_many("abc")
    async with process(url, name, target) as running:
        await begun(pipelined, name, 2)
        for number in signals:
            running.send_signal(number)
        assert await code_of(running) == 0
    found = await queue.claim_many(3, timeout=0)
    assert sorted((delivery.payload, delivery.attempt) for delivery in found) == [("a", 1), ("b", 1), ("c", 1)]
    await pipelined.delete(f"{name}:begun")


@pytest.mark.parametrize(
    "target", ["nowhere", "tests.queues.nowhere:x", "tests.queues.jobs:x", "tests.queues.jobs:Any"]
)
def test_what_is_no_worker_is_refused(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A supervisor is told by exit code 2 that another start would not help, and a person is told why."""
    assert main(["worker", target]) == 2
    assert capsys.readouterr().err.startswith(f"no worker '{target}': ")


def test_a_module_that_is_no_python_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that cannot be compiled is no worker either: another start would fail the same way."""
    (tmp_path / "unreadable_jobs.py").write_text("def\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["worker", "unreadable_jobs:worker"]) == 2
    assert capsys.readouterr().err.startswith("no worker 'unreadable_jobs:worker': ")
