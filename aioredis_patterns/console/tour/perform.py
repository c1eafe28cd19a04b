"""How a step is performed: its keys, commands and time are taken down, and its keys must expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from redis.exceptions import RedisError

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.errors import PatternError

from .crew import CrewError
from .nodes import calls_of, keys_of
from .step import Check, Outcome, Report, Stage, Step

__all__ = ("clean", "perform")

_PATIENCE: Final = 20.0
"""Seconds that a step may take."""

_BETWEEN_LOOKS: Final = 0.1
_OWN: Final = frozenset(("client|list", "info", "scan"))
"""Commands of the tour itself."""


async def perform(step: Step, stage: Stage, seen: set[str]) -> Report:
    """Run one step and say what it left to be seen.

    Args:
        step: What to run.
        stage: What it runs with.
        seen: The keys of the steps before; those of this one are added.
    """
    keys: set[str] = set()
    before = await calls_of(stage.redis)
    watcher = asyncio.create_task(_watch(stage, keys), name="keys of the tour")
    started = time.perf_counter()
    try:
        outcome = await _outcome(step, stage)
    finally:
        seconds = time.perf_counter() - started
        watcher.cancel()
        await asyncio.wait([watcher])
    after = await calls_of(stage.redis)
    checks = (*outcome.checks, Check("every key expires", not await _lasting(stage, keys)))
    names = tuple(sorted(key.removeprefix(f"{stage.prefix}:") for key in keys - seen))
    seen |= keys
    return Report(step, Outcome(outcome.figures, checks), names, _difference(before, after), seconds)


async def _outcome(step: Step, stage: Stage) -> Outcome:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await step.run(stage)
    except (RedisError, PatternError, CrewError, OSError) as error:
        said = f"{type(error).__name__}: {error}"
        return Outcome(said, (Check(f"it runs to its end ({said})", kept=False),))


async def _watch(stage: Stage, keys: set[str]) -> None:
    """Some keys are there for a moment only."""
    while True:
        keys |= await keys_of(stage.redis, stage.prefix)
        await asyncio.sleep(_BETWEEN_LOOKS)


async def _lasting(stage: Stage, keys: set[str]) -> list[str]:
    """The keys that would stay for ever."""
    present = sorted(await keys_of(stage.redis, stage.prefix))
    keys |= set(present)
    ttls = await asyncio.gather(*(stage.redis.pttl(key) for key in present))
    return [key for key, ttl in zip(present, ttls, strict=True) if ttl == -1]


async def clean(redis: PipelinedRedis, prefix: str) -> None:
    """Delete every key of the tour."""
    keys = await keys_of(redis, prefix)
    await asyncio.gather(*(redis.unlink(key) for key in keys))


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    grown = {name: calls - before.get(name, 0) for name, calls in after.items() if name not in _OWN}
    return {name: calls for name, calls in sorted(grown.items(), key=lambda item: -item[1]) if calls > 0}
