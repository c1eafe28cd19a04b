"""The tour's steps of the rate limits, one for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from aioredis_patterns import rate_limits
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.rate_limits import (
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
)

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEPS", "hit", "judge")

_HITS: Final = 2_000
_LIMIT: Final = 100
_PERIOD: Final = 86_400
"""A day: within the tour nothing of the limit comes back."""

_ROUNDING: Final = 0.002
"""A key expires at a whole millisecond, so a window may be told to end one later than it does."""

_KINDS: Final[dict[type[Limiter], str]] = {
    TokenBucket: "a burst passes, then the rate; a denied hit takes nothing",
    Gcra: "the same in one number for each subject",
    LeakyBucket: "what is admitted may leave at an even pace",
    FixedWindow: "a count for each period, in one integer",
    SlidingWindow: "two counts stand for a window that begins now",
    SlidingLog: "every hit is known, so that no window lets one too many pass",
}


async def _run(kind: type[Limiter], stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:hit", kind.__name__, _HITS // PROCESSES)
    waits = [wait for answer in answers for wait in answer]
    admitted = waits.count(0)
    return Outcome(f"{admitted:,} admitted, {len(waits) - admitted:,} denied", judge(waits, _HITS, _LIMIT))


async def hit(redis: PipelinedRedis, prefix: str, kind: str, hits: int) -> list[float]:
    """In each process: hit the limit from many tasks; the seconds that each has to wait, 0 when admitted."""
    limiter = getattr(rate_limits, kind)(redis, "api", limit=_LIMIT, period=_PERIOD, prefix=prefix)
    decisions = await asyncio.gather(*(limiter.hit("user:42") for _ in range(hits)))
    return [0 if decision else decision.retry_after for decision in decisions]


def judge(waits: Sequence[float], hits: int, limit: int) -> tuple[Check, ...]:
    """Whether the limit was admitted, not one more and not one less, and the others were told when to come back."""
    return (
        Check(f"{hits:,} hits are answered", len(waits) == hits),
        Check(f"exactly {limit} are admitted", list(waits).count(0) == limit),
        Check("who is denied is told when to come back", all(0 <= wait <= _PERIOD + _ROUNDING for wait in waits)),
    )


STEPS: Final = tuple(
    Step(
        kind.__name__,
        f"{_HITS:,} concurrent hits from {PROCESSES} processes, {_LIMIT} allowed",
        shows,
        partial(_run, kind),
    )
    for kind, shows in _KINDS.items()
)
