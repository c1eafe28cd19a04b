"""`aioredis-patterns tour`: runs the steps, one after the other."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import embedded_server
from aioredis_patterns.errors import PatternError

from .crew import PROCESSES, CrewError, crew_of
from .perform import clean, perform
from .screen import Lines, LiveTable, Screen
from .step import Report, Stage
from .steps import STEPS

__all__ = ("run", "summary")


def run(chosen: argparse.Namespace) -> int:
    """Run the tour and give the exit code: 0 every promise was kept, 1 one was broken, 2 no server, 130 interrupted."""
    started = time.perf_counter()
    try:
        reports = asyncio.run(_tour(chosen.url, plain=chosen.plain or not sys.stdout.isatty()))
    except (RedisError, PatternError, CrewError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        return 130
    print(summary(reports, time.perf_counter() - started))
    return 1 if any(report.broken for report in reports) else 0


async def _tour(url: str | None, plain: bool) -> list[Report]:
    _end_on(signal.SIGINT, signal.SIGTERM)
    prefix = f"tour-{secrets.token_hex(3)}"
    async with AsyncExitStack() as stack:
        if url is None:
            url = (await stack.enter_async_context(embedded_server())).url
        # With a socket_timeout redis-py writes under asyncio.wait_for, which can lose a cancellation on Python 3.11.
        redis = await stack.enter_async_context(connect(url, socket_timeout=None))
        info = await redis.info("server")
        stack.push_async_callback(clean, redis, prefix)  # when the processes have ended
        stage = Stage(redis, url, prefix, await stack.enter_async_context(crew_of(PROCESSES, url, prefix)))
        title = f"aioredis_patterns on {_described(info)}; its keys begin with {prefix}:"
        screen: Screen = Lines(title) if plain else LiveTable(title, len(STEPS))
        with screen:
            return await _perform_all(stage, screen)


def _end_on(*signals: signal.Signals) -> None:
    """Cancel the tour at a signal, so that it cleans up.

    asyncio.run would cancel it while the task is running, and asyncio.timeout(0), with which redis-py 5 looks at its
    connections, takes such a cancellation for its own.
    """
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _perform_all(stage: Stage, screen: Screen) -> list[Report]:
    reports: list[Report] = []
    seen: set[str] = set()
    for step in STEPS:
        screen.begin(step)
        reports.append(await perform(step, stage, seen))
        screen.end(reports[-1])
    return reports


def _described(info: dict[str, object]) -> str:
    if info.get("server_name") == "valkey":
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def summary(reports: Sequence[Report], seconds: float) -> str:
    """The last line."""
    checks = sum(len(report.outcome.checks) for report in reports)
    commands = sum(sum(report.commands.values()) for report in reports)
    broken = sum(len(report.broken) for report in reports)
    kept = f"{broken} of {checks} promises broken" if broken else f"all {checks} promises kept"
    return f"{len(reports)} steps, {kept}, {commands:,} commands, {seconds:.1f} s. Nothing is left behind."
