"""The tour's step of feature flags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.flags import FeatureFlags

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "ask", "judge", "watch")

_USERS: Final = 5_000
_SOON: Final = 10
_KEPT: Final = 60
"""Seconds after the tour; flags themselves have no expiry."""


async def _run(stage: Stage) -> Outcome:
    flags = FeatureFlags(stage.redis, "shop", prefix=stage.prefix)
    await flags.set("live", percentage=100, by="tour")
    inside = []
    for percentage in (10, 20):
        await flags.set("new-ui", percentage=percentage, by="tour")
        inside.append(await stage.crew.do(f"{__name__}:ask", _USERS))
    watching = asyncio.create_task(stage.crew.do(f"{__name__}:watch", "live"))
    await flags.set("live", killed=True, by="tour")
    dark = await watching
    for part in ("flags", "audit"):
        await stage.redis.expire(f"{stage.prefix}:{{shop}}:{part}", _KEPT)
    logged = [change.action for change in await flags.audit()]
    figures = f"{_USERS:,} users: {len(inside[0][0])} at 10 %, {len(inside[1][0])} at 20 %, in {PROCESSES} processes"
    return Outcome(figures, judge(inside[0], inside[1], dark, logged))


async def ask(redis: PipelinedRedis, prefix: str, users: int) -> list[int]:
    """In each process: for which users the flag is on."""
    flags = FeatureFlags(redis, "shop", prefix=prefix)
    return [user for user in range(users) if await flags.enabled("new-ui", user)]


async def watch(redis: PipelinedRedis, prefix: str, flag: str) -> bool:
    """In each process: ask until the flag is off; whether that came soon."""
    flags = FeatureFlags(redis, "shop", prefix=prefix)
    try:
        async with asyncio.timeout(_SOON):
            while await flags.enabled(flag, "user:1"):  # noqa: ASYNC110
                await asyncio.sleep(0)
    except TimeoutError:
        return False
    return True


def judge(
    few: Sequence[Sequence[int]], more: Sequence[Sequence[int]], dark: Sequence[bool], logged: Sequence[str]
) -> tuple[Check, ...]:
    """Whether all processes agree, nobody fell out of the rollout, and the kill was seen by all."""
    return (
        Check("every process says the same", all(one == few[0] for one in few) and all(one == more[0] for one in more)),
        Check("who is in at 10 % is in at 20 %", set(few[0]) < set(more[0])),
        Check("each percentage takes its part", 0.08 < len(few[0]) / _USERS < 0.12 < len(more[0]) / _USERS < 0.25),
        Check("a killed flag is off in every process", all(dark)),
        Check("every change is in the log", list(logged) == ["set"] * 4),
    )


STEP: Final = Step(
    "FeatureFlags",
    f"{PROCESSES} processes ask about {_USERS:,} users at 10 % and at 20 %, and go on asking while a flag is killed",
    "a rollout only grows and is the same everywhere, and a kill reaches all who keep copies",
    _run,
)
